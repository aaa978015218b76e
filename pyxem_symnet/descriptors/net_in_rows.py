# SPDX-License-Identifier: GPL-3.0-or-later
"""Nets of patterns that lie with a row of spots along y."""

from __future__ import annotations

import torch
from torch import Tensor

from pyxem_symnet.descriptors.indexed_net import (
    IndexedNet,
    complete_net,
    index_net,
    with_basis,
)
from pyxem_symnet.descriptors.spots import Spots

#: Largest factors of a net's shortest vectors in those along the rows
_COMBINATIONS = 6

#: Sine of the largest angle to the axis y of a vector along it: more than the shear
#: that an ellipse of 6 percent makes
_ALONG = 0.08

#: How far a vector's step across the rows may be from one row, in rows
_ONE_ROW = 0.15

#: Skews are brought to this much above -1/2 to as much above 1/2, so that noise
#: doesn't tear centred nets apart
_ABOVE_HALF = 0.05


def net_in_rows(spots: Spots) -> IndexedNet:
    """Fit a net to each pattern, and index it along its rows.

    The second vector is the shortest one along +y, the first leads to
    the next row in the direction of +x, where the spot is taken that is
    nearest to the x axis. How far it is above that, as a share of the
    second vector, is the skew: 0 in a rectangular net, 1/2 in a centred
    one.

    Parameters
    ----------
    spots
        Spots of a batch of patterns that lie so.

    Returns
    -------
    net
        Of the patterns. Those without a vector along y are not found.
    """
    net = complete_net(spots, index_net(spots))
    span = torch.arange(-_COMBINATIONS, _COMBINATIONS + 1, device=net.basis.device)
    factors = torch.cartesian_prod(span, span)
    vectors = factors[factors.any(-1)].to(net.basis) @ net.basis
    x, y = vectors.unbind(-1)
    length = vectors.norm(dim=-1)
    along = (x.abs() < _ALONG * length) & (y > 0)
    patterns = torch.arange(len(vectors), device=vectors.device)
    second = vectors[patterns, _smallest(length, along)]
    area = torch.linalg.det(net.basis).abs().clamp_min(1e-6).unsqueeze(-1)
    # How many rows a vector goes on, whatever the angle of the rows
    step = (x * second[:, 1:] - y * second[:, :1]) / area
    square = second.square().sum(-1, keepdim=True).clamp_min(1e-6)
    skew = (vectors * second.unsqueeze(1)).sum(-1) / square
    inside = (skew > _ABOVE_HALF - 0.5) & (skew <= _ABOVE_HALF + 0.5)
    next_row = ((step - 1).abs() < _ONE_ROW) & inside
    first = vectors[patterns, _smallest(skew.abs(), next_row)]
    found = net.found & along.any(-1) & next_row.any(-1)
    basis = torch.stack((first, second), 1)
    basis = torch.where(found[:, None, None], basis, net.basis)
    indexed = with_basis(spots, basis, found)
    return indexed._replace(on_net=indexed.on_net & found.unsqueeze(1))


def _smallest(values: Tensor, which: Tensor) -> Tensor:
    return torch.where(which, values, torch.inf).argmin(-1)
