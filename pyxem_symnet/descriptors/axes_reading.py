# SPDX-License-Identifier: GPL-3.0-or-later
"""What the patterns along a, b and c show of one cell, in exact numbers."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from pyxem_symnet.descriptors.indexed_net import IndexedNet
from pyxem_symnet.descriptors.net_in_rows import net_in_rows
from pyxem_symnet.descriptors.net_intensities import (
    NetIntensities,
    correlation,
    look_up,
    mean_at_places,
)
from pyxem_symnet.descriptors.net_reading import POWER, NetReading, waves
from pyxem_symnet.descriptors.spots import Spots

#: Patterns of a crystal
N_AXES = 3

#: Frequencies at which ratios of lengths and skews are shown as sines and cosines
_RATIO_FREQUENCIES = (0.5, 1, 2, 4, 8, 16, 32)
_SKEW_FREQUENCIES = (1, 2, 4, 8)

#: Maps of a pattern's indices onto those of its own or of another pattern, up to the
#: turn by 180 degrees
_MAPS = (
    ((1, 0), (0, 1)),
    ((0, 1), (1, 0)),
    ((1, 0), (0, -1)),
    ((0, 1), (-1, 0)),
    ((1, 0), (-1, -1)),
    ((1, -1), (0, -1)),
)


class AxesReading(nn.Module):
    """Nets of the three axes' patterns in the setting that they come in.

    In the pattern along an axis, the next axis but one makes rows along
    y: seen along *c*, spots are one :math:`b^*` apart along y, and the
    rows are :math:`1/a` apart along x. So each axis is measured in two
    patterns. Written down are the nets in this setting, ratios of all
    lengths, intensities by index, which reflections are missing, and
    how far the intensities of one pattern are those of another, beside
    what :class:`~pyxem_symnet.descriptors.net_reading.NetReading` says
    of each pattern.

    Parameters
    ----------
    n_spots
        Strongest spots of a pattern that are read.
    reach
        Largest index of intensities that are written down.

    Attributes
    ----------
    n_values
        How many numbers there are of the three patterns.
    settings
        The parameters, as plain values that JSON can hold.
    """

    def __init__(self, n_spots: int = 192, reach: int = 8):
        super().__init__()
        self.settings = {"n_spots": n_spots, "reach": reach}
        self.n_spots = n_spots
        self.each = NetReading(n_spots, reach)
        self.intensities = NetIntensities(reach)
        # Made again from the settings, so no part of a checkpoint
        moved = self.intensities.moved(torch.tensor(_MAPS))
        self.register_buffer("_moved", moved, persistent=False)
        three = torch.tensor([[[0.1, 0.0], [0.0, 0.1], [0.1, 0.1]]]).expand(3, -1, -1)
        self.n_values = self(Spots(three, torch.ones(3, 3))).shape[1]

    @torch.no_grad()
    def forward(self, spots: Spots) -> Tensor:
        """Return numbers of the order of one, of shape (crystals, values).

        Parameters
        ----------
        spots
            Spots of the patterns, those along a, b and c of each crystal
            one after the other. One without any gives zeros.
        """
        spots = spots.strongest(self.n_spots)
        seen = spots.intensities > 0
        values = spots.relative_intensities().clamp_min(1e-7) ** POWER * seen
        net = net_in_rows(spots)
        at = self.intensities.places(net.indices)
        at = torch.where(net.on_net, at, -1)
        table = mean_at_places(at, values, len(self.intensities.indices))
        count = seen.to(values).sum(-1).clamp_min(1)
        shape, lengths = _shape(net)
        parts = [
            shape,
            (net.on_net.to(values).sum(-1) / count).unsqueeze(-1),
            table,
            self.intensities.absences(table).flatten(1),
            self.each(spots),
        ]
        of_three = [part.unflatten(0, (-1, N_AXES)).flatten(1) for part in parts]
        table = table.unflatten(0, (-1, N_AXES))
        lengths = lengths.unflatten(0, (-1, N_AXES)).flatten(1)
        return torch.cat([*of_three, _ratios(lengths), self._compare(table)], -1)

    def _compare(self, table: Tensor) -> Tensor:
        """Return how alike the tables of any two patterns are, and each and its own."""
        columns = []
        for one in range(N_AXES):
            for other in range(one, N_AXES):
                moved = look_up(table[:, other], self._moved)
                mine = table[:, one].unsqueeze(1).expand_as(moved)
                both = ((mine > 0) | (moved > 0)).to(mine)
                sums = ((mine + moved) * both).sum(-1).clamp_min(1e-6)
                columns += [
                    correlation(mine, moved, both),
                    ((mine - moved).abs() * both).sum(-1) / sums,
                ]
        return torch.cat(columns, -1)

    def extra_repr(self) -> str:
        """Return the settings, as shown by `repr`."""
        return ", ".join(f"{key}={value}" for key, value in self.settings.items())


def _shape(net: IndexedNet) -> tuple[Tensor, Tensor]:
    """Return what a net in rows is like, and the two lengths that tell of axes."""
    first, second = net.basis.unbind(1)
    along = second.norm(dim=-1).clamp_min(1e-3)
    across = torch.linalg.det(net.basis).abs() / along
    skew = (first * second).sum(-1) / along**2
    lengths = torch.stack((across.clamp_min(1e-3), along), -1).log()
    columns = [
        lengths + 1.5,
        torch.stack((skew, second[:, 0] / along, net.found.to(skew)), -1),
        waves(skew.unsqueeze(-1), _SKEW_FREQUENCIES),
    ]
    return torch.cat(columns, -1) * net.found.unsqueeze(-1), lengths


def _ratios(lengths: Tensor) -> Tensor:
    """Return the ratios of any two lengths, on logarithmic scales to the base two."""
    first, second = torch.triu_indices(2 * N_AXES, 2 * N_AXES, 1).unbind(0)
    ratio = (lengths[:, first] - lengths[:, second]) / math.log(2)
    return torch.cat((ratio.clamp(-3, 3), waves(ratio, _RATIO_FREQUENCIES)), -1)
