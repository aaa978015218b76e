# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a hidden beam hits the detector, from all patterns together."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from pyxem_symnet.descriptors._pixels import PATTERNS_AT_ONCE
from pyxem_symnet.descriptors.centre import MORE_SYMMETRIC, smoothed
from pyxem_symnet.descriptors.inversion import (
    doubled_box,
    inversion_symmetry,
    most_symmetric,
    symmetry_at,
)

#: Beams that are about the same are so near to each other, in parts of the detector
COMMON_REACH = 0.03

# Part of the patterns, the darkest of each pixel, that show the background
_DARKEST = 0.7
# How much the background counts against the patterns: a row of reflections along the
# axis that a crystal is turned about is symmetric about many points, in all of them
_BACKGROUND = 3.0
# Of fewer patterns, what is dark in most of them shows their spots, too
_FEWEST_FOR_BACKGROUND = 16
_PERFECT = 0.9999
# Half the size, in pixels, of where the point is that both agree on
_REFINED = 2


class CommonBeam(NamedTuple):
    """A beam that hits all patterns at about the same place.

    Parameters
    ----------
    common
        (x, y) in pixels of the most symmetric point of all patterns
        together, of shape (2,).
    background
        That of the background alone, of shape (2,).
    near
        That of each pattern near the common one, of shape (B, 2).
    better
        Whether the pattern is about as symmetric there as about the
        centre that was found in it by itself, of shape (B,).
    """

    common: Tensor
    background: Tensor
    near: Tensor
    better: Tensor


def locate_common_beam(
    images: Tensor,
    centres: Tensor,
    mask: Tensor | None = None,
    *,
    search_fraction: float = 0.7,
) -> CommonBeam:
    """Find a beam that hits all patterns at about the same place.

    A pattern of many orders is nearly its own inverse about many points;
    that of the beam is the one that different patterns have in common,
    and that is in the middle of the background.

    Parameters
    ----------
    images
        Patterns of shape (B, H, W), any real data type.
    centres
        Where `~pyxem_symnet.descriptors.centre.locate_beam` finds it in
        each pattern by itself, (x, y) in pixels, of shape (B, 2).
    mask, search_fraction
        See `~pyxem_symnet.descriptors.centre.find_centre`.
    """
    parts, means = [], []
    for i in range(0, len(images), PATTERNS_AT_ONCE):
        mean, weight, factor = smoothed(images[i : i + PATTERNS_AT_ONCE], mask)
        score = inversion_symmetry(mean, weight)
        own = (centres[i : i + PATTERNS_AT_ONCE].to(score) - (factor - 1) / 2) / factor
        parts.append((score, symmetry_at(score, own)))
        means.append(mean)
    patterns = sum(score.sum(0, keepdim=True) for score, _ in parts) / len(images)
    # A pixel has a spot in some patterns only
    dark = torch.cat(means).sort(0).values[: max(1, int(_DARKEST * len(images)))]
    background = inversion_symmetry(dark.mean(0, keepdim=True), weight)
    box = doubled_box(mean, search_fraction)
    middle, _ = most_symmetric(background, box)
    # As a log likelihood: a smooth halo is nearly symmetric about all points near
    # its centre
    unlike = torch.log1p(-background.clamp(0, _PERFECT).square())
    if len(images) >= _FEWEST_FOR_BACKGROUND:
        likeliest, _ = most_symmetric(patterns - 0.5 * _BACKGROUND * unlike, box)
        box = _around(likeliest, _REFINED)
    common, _ = most_symmetric(patterns + background, box)
    reach = round(2 * COMMON_REACH * min(mean.shape[-2:]))
    box = _around(common, reach)
    found = [(*most_symmetric(score, box), own) for score, own in parts]
    near, best, own = (torch.cat(part) for part in zip(*found, strict=True))
    shift = (factor - 1) / 2
    return CommonBeam(
        common[0] * factor + shift,
        middle[0] * factor + shift,
        near * factor + shift,
        best > own - MORE_SYMMETRIC,
    )


def _around(centre: Tensor, reach: int) -> tuple[slice, slice]:
    """Return the rows and columns of twice the centres about one, of shape (1, 2)."""
    x, y = (2 * centre[0]).round().long().tolist()
    return slice(max(y - reach, 1), y + reach + 1), slice(
        max(x - reach, 1), x + reach + 1
    )
