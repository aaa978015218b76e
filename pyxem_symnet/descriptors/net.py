# SPDX-License-Identifier: GPL-3.0-or-later
"""The net that the spots of a pattern lie on, to turn patterns alike."""

from __future__ import annotations

import torch
from torch import Tensor

from pyxem_symnet.descriptors.spots import Spots

#: Spots between which vectors are looked for, the strongest, and candidates for
#: the shortest vector of the net, the nearest to the direct beam
_MAX_SPOTS = 40
_MAX_CANDIDATES = 16

#: Distance in 1/Å within which two vectors are the same: a quarter of the net
#: of a cell of 15 Å, and three times what noise moves a spot by
_TOLERANCE = 0.015

#: Share of the best supported candidate's pairs that others need. Low, since
#: missing spots cost a true vector many, and a false one finds next to none.
_SUPPORT = 0.3

#: Lengths that differ by less are equal, and the stronger spot is taken: a square
#: net need not be one of a square pattern
_SAME_LENGTH = 1.01

#: Sine of the smallest angle between the two vectors of a net
_MINIMUM_SINE = 0.3

#: Cosine of this angle below which a net is rectangular, so that which hand its
#: pattern has is up to the intensities
_OBLIQUE = 0.05


def align_to_net(spots: Spots) -> Spots:
    """Turn and mirror each pattern into the frame of its own net.

    The shortest vector that joins many pairs of spots comes to lie along
    +x, and the shortest other one within the first or the third quadrant.
    If it is across the first, the stronger spots come to lie there. A
    pattern that was turned or mirrored before comes out the same, but
    for a turn by 180 degrees, which Friedel pairs don't show.

    Parameters
    ----------
    spots
        Spots of a batch of patterns.

    Returns
    -------
    aligned
        The same spots in the new frames. Patterns of fewer than two
        spots stay as they are.
    """
    first, second = net_vectors(spots)
    cosine, sine = first.unbind(-1)
    length = first.norm(dim=-1)
    known = length > 0
    cosine = torch.where(known, cosine / length, 1.0)
    sine = torch.where(known, sine / length, 0.0)
    # Rows of the matrices that bring the first vector to +x
    x_row = torch.stack([cosine, sine], -1)
    y_row = torch.stack([-sine, cosine], -1)
    turned = spots.positions @ torch.stack([x_row, y_row], -1)
    along, across = (second * x_row).sum(-1), (second * y_row).sum(-1)
    oblique = along * across / (along.square() + across.square()).clamp_min(1e-12)
    x, y = turned.unbind(-1)
    uneven = (spots.relative_intensities() * x * y).sum(-1)
    hand = torch.where(oblique.abs() > _OBLIQUE, oblique, uneven)
    y = torch.where((hand < 0).unsqueeze(-1), -y, y)
    return Spots(torch.stack([x, y], -1), spots.intensities)


def net_vectors(spots: Spots) -> tuple[Tensor, Tensor]:
    """Return the two shortest vectors that spots repeat with.

    Parameters
    ----------
    spots
        Spots of a batch of patterns.

    Returns
    -------
    first, second
        Positions of two spots in 1/Å, of shape (patterns, 2). Zero
        where there is none.
    """
    length = torch.linalg.vector_norm(spots.positions, dim=-1)
    length = torch.where(spots.intensities > 0, length, torch.inf)
    n_candidates = min(_MAX_CANDIDATES, length.shape[1])
    length, order = length.topk(n_candidates, largest=False)
    usable = length.isfinite()
    candidates = spots.positions.gather(1, order.unsqueeze(-1).expand(-1, -1, 2))
    strength = spots.intensities.gather(1, order)
    positions, intensities = spots.strongest(_MAX_SPOTS)
    valid = intensities > 0

    one, other = torch.triu_indices(
        *[positions.shape[1]] * 2, offset=1, device=positions.device
    )
    steps = positions[:, other] - positions[:, one]
    pairs = valid[:, other] & valid[:, one]
    # Squared distances of steps, of either sense, and candidates
    product = (steps @ candidates.transpose(1, 2)).abs()
    squares = steps.square().sum(-1, keepdim=True) + length.square().unsqueeze(1)
    near = (squares - 2 * product < _TOLERANCE**2) & pairs.unsqueeze(-1)
    support = near.sum(1).to(length)
    support = torch.where(usable, support, -1.0)
    enough = usable & (support >= _SUPPORT * support.amax(-1, keepdim=True))
    first = _shortest(candidates, length, strength, enough)
    x, y = candidates.unbind(-1)
    cross = (x * first[:, 1:] - y * first[:, :1]).abs()
    apart = cross > _MINIMUM_SINE * length * first.norm(dim=-1, keepdim=True)
    support = torch.where(apart, support, -1.0)
    enough = usable & apart & (support >= _SUPPORT * support.amax(-1, keepdim=True))
    return first, _shortest(candidates, length, strength, enough)


def _shortest(
    candidates: Tensor, length: Tensor, strength: Tensor, allowed: Tensor
) -> Tensor:
    """Return the shortest allowed candidate, the strongest of equal ones."""
    length = torch.where(allowed, length, torch.inf)
    equal = length <= _SAME_LENGTH * length.amin(-1, keepdim=True)
    index = torch.where(equal & allowed, strength, -1.0).argmax(-1)
    chosen = candidates[torch.arange(len(candidates)), index]
    return torch.where(allowed.any(-1, keepdim=True), chosen, 0.0)
