# SPDX-License-Identifier: GPL-3.0-or-later
"""Pair map: lengths of, and angles between, all pairs of spots."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pyxem_symnet.descriptors.spots import Spots


class PairMap(nn.Module):
    r"""Histogram over pairs of spots of their lengths and angle.

    For each ordered pair of spots :math:`g_1, g_2` in a pattern, the
    map counts :math:`(|g_1|, |g_2|, \angle(g_1, g_2))`, weighted by the
    product of the spots' intensities. These are the lengths and angles
    that the joining lines of a shaped pattern draw, in a form that does
    not change when the pattern is turned or mirrored, and that adds up
    over views of one crystal.

    Parameters
    ----------
    n_radii
        Number of bins of each length.
    n_angles
        Number of bins of the angle, from 0 to 180 degrees.
    radius
        Upper edge of the last length bin in 1/Å. Spots farther out are
        left out.
    max_spots
        Pairs are formed between this many strongest spots of a pattern.
    power
        A spot is weighted by its intensity, relative to the strongest
        in its pattern, to this power.
    """

    def __init__(
        self,
        n_radii: int = 48,
        n_angles: int = 24,
        radius: float = 0.96,
        max_spots: int = 48,
        power: float = 0.25,
    ):
        super().__init__()
        self.settings = {
            "n_radii": n_radii,
            "n_angles": n_angles,
            "radius": radius,
            "max_spots": max_spots,
            "power": power,
        }
        self.n_radii = n_radii
        self.n_angles = n_angles
        self.radius = radius
        self.max_spots = max_spots
        self.power = power

    def forward(
        self, spots: Spots, groups: Tensor | None = None, n_groups: int | None = None
    ) -> Tensor:
        """Return maps of shape (patterns, angles, radii, radii).

        Parameters
        ----------
        spots
            Spots of a batch of patterns.
        groups
            Which crystal each pattern is of, integers of shape
            (patterns,). The maps of a crystal's patterns are then
            summed, several times faster than afterwards.
        n_groups
            Number of crystals, the first axis of the maps, if groups
            are given.
        """
        relative = spots.relative_intensities()
        distance = torch.linalg.vector_norm(spots.positions, dim=-1)
        usable = (spots.intensities > 0) & (distance < self.radius) & (distance > 0)
        spots = Spots(spots.positions, torch.where(usable, relative, 0.0))
        spots = spots.strongest(self.max_spots)
        weight = torch.where(spots.intensities > 0, spots.intensities**self.power, 0.0)
        distance = torch.linalg.vector_norm(spots.positions, dim=-1)
        radial_bin = (distance * (self.n_radii / self.radius)).long()
        radial_bin = radial_bin.clamp_max(self.n_radii - 1)

        # Unordered pairs are visited once and the map symmetrised: half
        # the angles to compute, which dominate.
        n_patterns, n_spots = weight.shape
        first, second = torch.triu_indices(
            n_spots, n_spots, offset=1, device=weight.device
        )
        direction = spots.positions / distance.clamp_min(1e-12).unsqueeze(-1)
        x, y = direction.unbind(-1)
        cosine = x[:, first] * x[:, second] + y[:, first] * y[:, second]
        angle = torch.acos(cosine.clamp(-1, 1)) * (self.n_angles / torch.pi)
        angle_bin = angle.long().clamp_max(self.n_angles - 1)
        flat = (angle_bin * self.n_radii + radial_bin[:, first]) * self.n_radii
        flat += radial_bin[:, second]
        if groups is None:
            groups = torch.arange(n_patterns, device=weight.device)
            n_groups = n_patterns
        flat += groups.unsqueeze(-1) * (self.n_angles * self.n_radii**2)
        pairs = weight.new_zeros(n_groups, self.n_angles, self.n_radii, self.n_radii)
        product = weight[:, first] * weight[:, second]
        pairs.view(-1).scatter_add_(0, flat.flatten(), product.flatten())
        return pairs + pairs.transpose(-1, -2)

    def extra_repr(self) -> str:
        """Return the settings, for the printed module."""
        return ", ".join(f"{key}={value}" for key, value in self.settings.items())
