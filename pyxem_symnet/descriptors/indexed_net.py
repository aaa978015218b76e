# SPDX-License-Identifier: GPL-3.0-or-later
"""Indices of spots on the net that most of a pattern's spots lie on."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from pyxem_symnet.descriptors.finer_net import add_missing_points
from pyxem_symnet.descriptors.net import net_vectors
from pyxem_symnet.descriptors.spots import Spots

#: Largest indices of the spots that a net is fitted to, and how far they may be from
#: whole ones, step by step: what is near the direct beam is indexed before what is far
_STEPS = ((3, 0.15), (5, 0.15), (9, 0.15), (99, 0.12))

#: Offset from whole indices within which a spot is on the net
ON_NET = 0.15

#: Reduction is done after so many exchanges, of which even flat nets need few
_REDUCTIONS = 8

#: So often points are added to a net at most: with four, or nine, times as many
_COMPLETIONS = 3

#: Smallest area of a net's mesh and smallest determinant of a fit, in 1/Å² and as
#: such: below, the vectors are parallel or no spot decides
_SMALLEST_MESH = 1e-4
_SMALLEST_FIT = 1e-5

#: Side of the square net in 1/Å that stands in where none is found
_NO_NET = 0.3


class IndexedNet(NamedTuple):
    """Nets of a batch of patterns, and where their spots are on them.

    Parameters
    ----------
    basis
        The two shortest vectors of each net as rows, in 1/Å, of shape
        (patterns, 2, 2): the shorter first, at an angle of 60 to 90
        degrees.
    indices
        Whole indices of each spot, of shape (patterns, spots, 2).
    offsets
        What is missing to the spot's place, in units of the basis, of
        the same shape.
    on_net
        Which spots lie on the net, of shape (patterns, spots).
    found
        Which patterns have a net, of shape (patterns,). That of others
        is square, and along the strongest spot.
    """

    basis: Tensor
    indices: Tensor
    offsets: Tensor
    on_net: Tensor
    found: Tensor

    def in_setting(self, setting: Tensor) -> IndexedNet:
        """Return the same nets with other basis vectors.

        Parameters
        ----------
        setting
            Whole numbers that turn the new indices (h, k), as columns,
            into those of now, of shape (patterns, 2, 2).
        """
        setting = setting.to(self.basis)
        back = torch.linalg.inv(setting).mT
        return self._replace(
            basis=setting.mT @ self.basis,
            indices=(self.indices.to(back) @ back).round().long(),
            offsets=self.offsets @ back,
        )


def index_net(spots: Spots) -> IndexedNet:
    """Fit a net to each pattern, and index its spots.

    It begins with two vectors that many pairs of spots are apart, is
    fitted by least squares to spots farther and farther from the direct
    beam, and reduced (after Gauss) in the end.

    Parameters
    ----------
    spots
        Spots of a batch of patterns.
    """
    basis = torch.stack(net_vectors(spots), 1)
    found = torch.linalg.det(basis).abs() > _SMALLEST_MESH
    basis = torch.where(found[:, None, None], basis, _stand_in(spots))
    return with_basis(spots, _reduce(_fit(spots, basis)), found)


def complete_net(spots: Spots, net: IndexedNet) -> IndexedNet:
    """Add points to nets until weak spots between theirs are on them too.

    Spots of other Laue zones may then be indexed as well, of which the
    patterns of zone axes have few.

    Parameters
    ----------
    spots
        Spots of a batch of patterns.
    net
        What :func:`index_net` returned.
    """
    basis = net.basis
    for _ in range(_COMPLETIONS):
        basis = _reduce(add_missing_points(spots, basis))
    return with_basis(spots, _reduce(_fit(spots, basis)), net.found)


def with_basis(spots: Spots, basis: Tensor, found: Tensor) -> IndexedNet:
    """Return nets of the given vectors, and where spots are on them.

    Parameters
    ----------
    spots
        Spots of a batch of patterns.
    basis, found
        As of :class:`IndexedNet`.
    """
    indices, offsets = _index(spots.positions, basis)
    on_net = (spots.intensities > 0) & (offsets.abs().amax(-1) < ON_NET)
    return IndexedNet(basis, indices.long(), offsets, on_net, found)


def _fit(spots: Spots, basis: Tensor) -> Tensor:
    """Return least-squares fits, from near the direct beam outwards."""
    relative = spots.relative_intensities().clamp_min(1e-6)
    weights = (spots.intensities > 0) * relative**0.25
    unit = torch.eye(2).to(basis)
    for largest, tolerance in _STEPS:
        indices, offsets = _index(spots.positions, basis)
        length = indices.abs().amax(-1)
        near = offsets.abs().amax(-1) < tolerance
        used = weights * (near & (length <= largest) & (length > 0))
        square = torch.einsum("bn,bni,bnj->bij", used, indices, indices) + 1e-9 * unit
        product = torch.einsum("bn,bni,bnj->bij", used, indices, spots.positions)
        # Spots of one row, or nearly so, decide on one vector only
        least = _SMALLEST_FIT * (1 + square.diagonal(dim1=1, dim2=2).prod(-1))
        decided = (torch.linalg.det(square) > least)[:, None, None]
        fitted = torch.linalg.solve(torch.where(decided, square, unit), product)
        sound = torch.linalg.det(fitted).abs() > _SMALLEST_MESH
        basis = torch.where(decided & sound[:, None, None], fitted, basis)
    return basis


def _stand_in(spots: Spots) -> Tensor:
    """Return square nets whose first vector is along the strongest spot."""
    strongest = spots.intensities.argmax(-1)
    rows = torch.arange(len(strongest), device=strongest.device)
    x, y = nn.functional.normalize(spots.positions[rows, strongest], dim=-1).unbind(-1)
    # Without a spot, along x
    x = torch.where((x == 0) & (y == 0), 1.0, x)
    return _NO_NET * torch.stack((x, y, -y, x), -1).unflatten(-1, (2, 2))


def _index(positions: Tensor, basis: Tensor) -> tuple[Tensor, Tensor]:
    places = positions @ torch.linalg.inv(basis)
    indices = places.round()
    return indices, places - indices


def _reduce(basis: Tensor) -> Tensor:
    """Return the two shortest vectors of each net, at 60 to 90 degrees."""
    first, second = basis.unbind(1)
    for _ in range(_REDUCTIONS):
        first, second = _shorter_first(first, second)
        length = first.square().sum(-1).clamp_min(1e-9)
        times = ((first * second).sum(-1) / length).round()
        second = second - times.unsqueeze(-1) * first
    first, second = _shorter_first(first, second)
    obtuse = (first * second).sum(-1, keepdim=True) < 0
    return torch.stack((first, torch.where(obtuse, -second, second)), 1)


def _shorter_first(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    swap = second.square().sum(-1, keepdim=True) < first.square().sum(-1, keepdim=True)
    return torch.where(swap, second, first), torch.where(swap, first, second)
