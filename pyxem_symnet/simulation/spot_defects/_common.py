# SPDX-License-Identifier: GPL-3.0-or-later
"""What the imperfections share."""

from __future__ import annotations

import torch
from torch import Tensor

from pyxem_symnet.descriptors.spots import Spots

#: One number for all patterns, or one a pattern
Strength = float | Tensor


def column(value: Strength | int, spots: Spots) -> Tensor:
    """Return a strength that broadcasts over (patterns, slots)."""
    intensities = spots.intensities
    value = torch.as_tensor(value, dtype=intensities.dtype, device=intensities.device)
    return value.reshape(-1, 1)


def uniform(shape, spots: Spots, generator: torch.Generator | None) -> Tensor:
    """Return numbers from 0 to 1 of the spots' type and device."""
    device = spots.intensities.device if generator is None else generator.device
    return torch.rand(shape, generator=generator, device=device).to(spots.intensities)


def normal(shape, spots: Spots, generator: torch.Generator | None) -> Tensor:
    """Return normally distributed numbers of the spots' type and device."""
    device = spots.intensities.device if generator is None else generator.device
    return torch.randn(shape, generator=generator, device=device).to(spots.intensities)


def kept(spots: Spots, keep: Tensor) -> Spots:
    """Return spots of which the others are empty slots."""
    return spots._replace(intensities=torch.where(keep, spots.intensities, 0.0))


def joined(spots: Spots, added: Spots) -> Spots:
    """Return spots with further slots."""
    return Spots(
        torch.cat([spots.positions, added.positions], 1),
        torch.cat([spots.intensities, added.intensities], 1),
    )


def near(positions: Tensor, spots: Spots, tolerance: float) -> Tensor:
    """Return which positions (n, m, 2) have a spot within a distance."""
    # Empty slots are put where nothing is
    there = torch.where((spots.intensities > 0)[..., None], spots.positions, 1e3)
    distance_squared = (
        (positions**2).sum(-1)[:, :, None]
        + (there**2).sum(-1)[:, None, :]
        - 2 * positions @ there.mT
    )
    return distance_squared.amin(-1) <= tolerance**2
