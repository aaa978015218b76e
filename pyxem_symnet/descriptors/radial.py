# SPDX-License-Identifier: GPL-3.0-or-later
"""Radial profile of spots: a powder-like sum that adds over views."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pyxem_symnet.descriptors.spots import Spots


class RadialProfile(nn.Module):
    """Histogram of the distances of spots from the direct beam.

    Each spot is shared between its two nearest bins (linear
    interpolation), so that the profile moves smoothly with the
    calibration. It does not change when the pattern is turned or
    mirrored, and the profiles of several views of one crystal add up.

    Parameters
    ----------
    n_bins
        Number of bins.
    radius
        Upper edge of the last bin in 1/Å.
    power
        A spot is weighted by its intensity, relative to the strongest
        in its pattern, to this power.
    """

    def __init__(self, n_bins: int = 512, radius: float = 1.28, power: float = 0.25):
        super().__init__()
        self.settings = {"n_bins": n_bins, "radius": radius, "power": power}
        self.n_bins = n_bins
        self.radius = radius
        self.power = power

    def forward(self, spots: Spots) -> Tensor:
        """Return the profiles of shape (patterns, bins).

        Parameters
        ----------
        spots
            Spots of a batch of patterns.
        """
        distance = torch.linalg.vector_norm(spots.positions, dim=-1)
        weight = spots.relative_intensities() ** self.power
        weight = torch.where(spots.intensities > 0, weight, 0.0)
        # Bin i is centred at (i + 1/2) * width
        place = distance * (self.n_bins / self.radius) - 0.5
        lower = place.floor()
        share = place - lower
        lower = lower.long()
        profile = weight.new_zeros(weight.shape[0], self.n_bins)
        for index, part in ((lower, 1 - share), (lower + 1, share)):
            inside = (index >= 0) & (index < self.n_bins)
            profile.scatter_add_(
                -1,
                index.clamp(0, self.n_bins - 1),
                torch.where(inside, part * weight, 0.0),
            )
        return profile

    def extra_repr(self) -> str:
        """Return the settings, for the printed module."""
        return ", ".join(f"{key}={value}" for key, value in self.settings.items())
