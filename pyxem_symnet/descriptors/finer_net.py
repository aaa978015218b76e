# SPDX-License-Identifier: GPL-3.0-or-later
"""Nets with the weak rows that strong spots do not show."""

from __future__ import annotations

import torch
from torch import Tensor

from pyxem_symnet.descriptors.spots import Spots

#: What may be missing of a net: points at multiples of (p, q) / n
_MISSING = ((1, 0, 2), (0, 1, 2), (1, 1, 2))
_MISSING += ((1, 0, 3), (0, 1, 3), (1, 1, 3), (1, -1, 3))

#: How far a spot may be from such a point, for n = 1: of the mesh
_NEAR = 0.2

#: A spot this far from all points of the net, in units of its vectors, is off it
_OFF = 0.15

#: Spots off the net that must be explained: their share, and at least so many. One
#: of three kinds of missing points may explain a third, chance explains a twentieth
_SHARE = 0.3
_FEWEST = 3


def add_missing_points(spots: Spots, basis: Tensor) -> Tensor:
    """Return the bases of nets that have more of the spots on them.

    Of the nets with two or three times as many points, that is taken
    which explains most of the spots that are not on the net. Those of
    a net that is complete stay as they are.

    Parameters
    ----------
    spots
        Spots of a batch of patterns.
    basis
        The nets' vectors as rows, of shape (patterns, 2, 2).

    Returns
    -------
    basis
        Of the same shape, not reduced.
    """
    seen = spots.intensities > 0
    places = spots.positions @ torch.linalg.inv(basis)
    off = seen & ((places - places.round()).abs().amax(-1) > _OFF)
    explained = []
    for p, q, n in _MISSING:
        near = torch.zeros_like(off)
        for multiple in range(1, n):
            point = places.new_tensor([p, q]) * (multiple / n)
            apart = places - point
            near |= (apart - apart.round()).abs().amax(-1) < _NEAR / n
        explained.append((near & off).sum(-1))
    most, which = torch.stack(explained, -1).max(-1)
    enough = (most >= _SHARE * off.sum(-1)) & (most >= _FEWEST)
    finer = _finer_bases().to(basis)[which] @ basis
    return torch.where(enough[:, None, None], finer, basis)


def _finer_bases() -> Tensor:
    """Return vectors of nets with the missing points, in units of the basis."""
    bases = []
    for p, q, n in _MISSING:
        # The new vector takes the place of one that it has a part of
        other = (0.0, 1.0) if p else (1.0, 0.0)
        bases.append([[p / n, q / n], other])
    return torch.tensor(bases)
