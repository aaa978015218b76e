# SPDX-License-Identifier: GPL-3.0-or-later
"""What one pattern shows of a lattice, in exact numbers."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from pyxem_symnet.descriptors.indexed_net import IndexedNet, complete_net, index_net
from pyxem_symnet.descriptors.net_intensities import NetIntensities
from pyxem_symnet.descriptors.products import ProductSpectrum
from pyxem_symnet.descriptors.spots import Spots

#: A spot's value is its relative intensity to this power
POWER = 0.25

#: Bins along each axis of the mesh, for what lies between the net's points
_MESH_BINS = 8

#: Points of the mesh where other layers of a symmetric lattice come to lie, and
#: widths in units of the basis in which spots are counted around them
_MESH_POINTS = (
    (1 / 2, 0), (0, 1 / 2), (1 / 2, 1 / 2), (1 / 3, 1 / 3), (1 / 3, -1 / 3),
    (1 / 4, 1 / 4), (1 / 2, 1 / 4), (1 / 4, 1 / 2), (1 / 4, -1 / 4), (1 / 4, 0),
    (0, 1 / 4), (1 / 3, 0), (0, 1 / 3), (0, 0),
)  # fmt: skip
_MESH_WIDTHS = (0.03, 0.08)

#: Bins of the distances of all spots and of those off the net, and the last's edge
_N_BINS = 96
_N_OFF_BINS = 32
_RADIUS = 1.3

#: Spots nearest to the direct beam that are listed
_N_NEAREST = 20

#: Distances in 1/Å that differ by less are equal, and the stronger spot comes first
_SAME_DISTANCE = 1e-4

#: Frequencies at which lengths and angles are shown as sines and cosines, so that
#: small differences from special values are seen
_LENGTH_FREQUENCIES = (1, 2, 4, 8)
_SHAPE_FREQUENCIES = (1, 2, 4, 8, 16, 32)
_SKEW_FREQUENCIES = (0.5, 2, 4, 8, 16)


class NetReading(nn.Module):
    """Measured net of each pattern, its symmetry and what is not on it.

    The net that most spots lie on is fitted and indexed. What it is,
    which operations leave it and its intensities alone, which rows of
    reflections are missing and where other spots lie between its points
    is written down as numbers, beside the intensities by index, the
    spots nearest to the direct beam, a radial profile and the spectrum
    of scalar products. Images show the same, but no difference of a
    hundredth between two lengths.

    Nothing changes when the pattern is turned or mirrored, or its
    intensities are scaled.

    Parameters
    ----------
    n_spots
        Strongest spots of a pattern that are read.
    reach
        Largest index of intensities that are written down.
    n_products
        Strongest spots whose scalar products are taken.
    complete
        Whether the net with all its weak points is read besides, see
        :func:`~pyxem_symnet.descriptors.indexed_net.complete_net`. In
        zone axes the strong spots alone often give one of two or four
        times the mesh.

    Attributes
    ----------
    n_values
        How many numbers there are of each pattern.
    settings
        The parameters, as plain values that JSON can hold.
    """

    def __init__(
        self,
        n_spots: int = 128,
        reach: int = 8,
        n_products: int = 48,
        complete: bool = False,
    ):
        super().__init__()
        self.settings = {
            "n_spots": n_spots,
            "reach": reach,
            "n_products": n_products,
            "complete": complete,
        }
        self.n_spots = n_spots
        self.complete = bool(complete)
        self.intensities = NetIntensities(reach)
        self.products = ProductSpectrum(n_products)
        self.register_buffer("_points", torch.tensor(_MESH_POINTS), persistent=False)
        three = torch.tensor([[[0.1, 0.0], [0.0, 0.1], [0.1, 0.1]]])
        self.n_values = self(Spots(three, torch.ones(1, 3))).shape[1]

    @torch.no_grad()
    def forward(self, spots: Spots) -> Tensor:
        """Return numbers of the order of one, of shape (patterns, values).

        Parameters
        ----------
        spots
            Spots of the patterns. One without any gives zeros.
        """
        spots = spots.strongest(self.n_spots)
        seen = spots.intensities > 0
        relative = spots.relative_intensities()
        values = relative.clamp_min(1e-7) ** POWER * seen
        net = index_net(spots)
        table, setting = self.intensities.table(net, values)
        # Which of equal vectors is the first must not depend on rounding
        turned = net.in_setting(setting)
        distances = spots.positions.norm(dim=-1) * seen
        parts = [
            _between_points(turned.offsets, values * net.found.unsqueeze(1)),
            self._at_points(turned.offsets, values * net.found.unsqueeze(1)),
            _profile(distances, values * ~net.on_net, _N_OFF_BINS),
            self.products(spots, values),
            _shape(net),
            self.intensities.symmetry(net, table).flatten(1),
            self.intensities.absences(table).flatten(1),
            self._amounts(net, values, distances, relative),
            table,
            _profile(distances, values, _N_BINS),
            _nearest(spots, turned, values),
        ]
        if self.complete:
            parts += self._of_complete(spots, net, values)
        return torch.cat(parts, -1) * seen.any(-1, keepdim=True)

    def _of_complete(
        self, spots: Spots, net: IndexedNet, values: Tensor
    ) -> list[Tensor]:
        net = complete_net(spots, net)
        table = self.intensities.table(net, values)[0]
        count = (values > 0).to(values).sum(-1, keepdim=True).clamp_min(1)
        return [
            net.on_net.to(values).sum(-1, keepdim=True) / count,
            _shape(net),
            self.intensities.symmetry(net, table).flatten(1),
            self.intensities.absences(table).flatten(1),
            table,
        ]

    def _at_points(self, offsets: Tensor, values: Tensor) -> Tensor:
        """Return the share of spots near special points of the mesh."""
        points = self._points.to(offsets)
        nearest = None
        # A spot's Friedel mate is at the opposite point
        for sign in (-1, 1):
            apart = offsets.unsqueeze(2) + sign * points
            apart = (apart - apart.round()).square().sum(-1)
            nearest = apart if nearest is None else torch.minimum(nearest, apart)
        shares = [
            ((-nearest / (2 * width**2)).exp() * values.unsqueeze(-1)).sum(1)
            for width in _MESH_WIDTHS
        ]
        return torch.cat(shares, -1) / _sum(values)

    def _amounts(
        self, net: IndexedNet, values: Tensor, distances: Tensor, relative: Tensor
    ) -> Tensor:
        count = (values > 0).to(values).sum(-1)
        at_least_one = count.clamp_min(1)
        weakest = torch.where(values > 0, relative, 1.0).amin(-1)
        in_table = net.on_net & (self.intensities.places(net.indices) >= 0)
        columns = [
            net.on_net.to(values).sum(-1) / at_least_one,
            (values * net.on_net).sum(-1) / _sum(values).squeeze(-1),
            at_least_one.log() / 4,
            distances.amax(-1),
            weakest.clamp_min(1e-7).log() / 10,
            values.sum(-1) / at_least_one,
            in_table.to(values).sum(-1) / at_least_one,
        ]
        return torch.stack(columns, -1)

    def extra_repr(self) -> str:
        """Return the settings, as shown by `repr`."""
        return ", ".join(f"{key}={value}" for key, value in self.settings.items())


def _between_points(offsets: Tensor, values: Tensor) -> Tensor:
    """Return the share of spots in each bin of the mesh, of either Friedel mate."""
    counts = values.new_zeros(len(values), _MESH_BINS**2)
    for sign in (1, -1):
        # The net's points are in the middle of a bin
        bins = (sign * offsets * _MESH_BINS).round().long() % _MESH_BINS
        counts.scatter_add_(1, bins[..., 0] * _MESH_BINS + bins[..., 1], values)
    return (counts / _sum(values)).sqrt()


def _profile(distances: Tensor, values: Tensor, n_bins: int) -> Tensor:
    bins = (distances * (n_bins / _RADIUS)).long().clamp_max(n_bins - 1)
    profile = values.new_zeros(len(values), n_bins)
    return profile.scatter_add_(1, bins, values).sqrt()


def _shape(net: IndexedNet) -> Tensor:
    """Return lengths, angle and mesh of nets, and their sines and cosines."""
    first, second = net.basis.unbind(1)
    lengths = torch.stack((first, second), 1).norm(dim=-1).clamp_min(1e-3)
    product = lengths.prod(-1)
    cosine = (first * second).sum(-1) / product
    area = torch.linalg.det(net.basis).abs().clamp_min(1e-5)
    short, long = lengths.log().unbind(-1)
    ratio = (long - short).clamp(0, 3)
    # One in a centred net, whose second vector ends above the middle of the first
    skew = 2 * cosine * lengths[:, 1] / lengths[:, 0]
    plain = [short + 1.5, long + 1.5, cosine, area.log() + 3, ratio]
    return torch.cat(
        (
            torch.stack([*plain, net.found.to(area)], -1),
            waves(short, _LENGTH_FREQUENCIES),
            waves(long, _LENGTH_FREQUENCIES),
            waves(ratio, _SHAPE_FREQUENCIES),
            waves(cosine, _SHAPE_FREQUENCIES),
            waves(skew, _SKEW_FREQUENCIES),
        ),
        -1,
    )


def waves(x: Tensor, frequencies: tuple[float, ...]) -> Tensor:
    """Return sines and cosines of each column, of shape (rows, columns * 2 * n).

    They show small differences from values that are special.
    """
    phase = 2 * math.pi * x.unsqueeze(-1) * x.new_tensor(frequencies)
    return torch.stack((phase.sin(), phase.cos()), -1).flatten(1)


def _nearest(spots: Spots, net: IndexedNet, values: Tensor) -> Tensor:
    """Return distance, value and place along and across the net of a few spots."""
    seen = spots.intensities > 0
    distances = torch.where(seen, spots.positions.norm(dim=-1), torch.inf)
    # Which of equals comes first must not depend on rounding
    rank = (distances / _SAME_DISTANCE).round() - 0.5 * values
    missing = _N_NEAREST - rank.shape[1]
    if missing > 0:
        rank = nn.functional.pad(rank, (0, missing), value=torch.inf)
    rank, order = rank.topk(_N_NEAREST, largest=False)
    known = rank.isfinite()
    order = torch.where(known, order, 0)
    distances = distances.gather(1, order)
    places = spots.positions.gather(1, order.unsqueeze(-1).expand(-1, -1, 2))
    first = net.basis[:, 0]
    x, y = (first / first.norm(dim=-1, keepdim=True).clamp_min(1e-3)).unbind(-1)
    along = places[..., 0] * x.unsqueeze(-1) + places[..., 1] * y.unsqueeze(-1)
    across = places[..., 0] * y.unsqueeze(-1) - places[..., 1] * x.unsqueeze(-1)
    columns = (distances, values.gather(1, order), along.abs(), across.abs())
    return torch.cat([torch.where(known, column, 0.0) for column in columns], -1)


def _sum(values: Tensor) -> Tensor:
    return values.sum(-1, keepdim=True).clamp_min(1e-6)
