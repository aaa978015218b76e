# SPDX-License-Identifier: GPL-3.0-or-later
"""Pixels that stick out of what is around them: where spots may be."""

from __future__ import annotations

from types import ModuleType
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pyxem_symnet.descriptors._compiled import arrays, kernels
from pyxem_symnet.descriptors._pixels import (
    block_max,
    extend,
    neighbour_max,
    sample,
)
from pyxem_symnet.descriptors.noise import Noise
from pyxem_symnet.descriptors.refine import MARGIN, Candidates, opposite_points

#: Side of the blocks of which each has one candidate at most: local maxima are
#: three pixels apart, so a block seldom holds two
BLOCK = 4
#: Least part of the kernel that a spot's smoothed value rests on. The outermost
#: pixels of a pattern have less.
SPOT_WEIGHT = 0.7
#: Least counts of a spot's eight other pixels, for each in its brightest
MIN_NEIGHBOURS = 0.35
#: What F. J. Anscombe adds to counts, so that twice the root of them has a
#: variance of one
ANSCOMBE = 0.375
#: Contrast, as a part of the background, that rounding can make
ROUNDING = 1e-5
# Candidates that are looked at closely, for each spot that is kept.
_CLOSER = 3
# A smoothed value that rests on less than this part of its kernel is no
# background.
_LEAST_WEIGHT = 0.3


class Limits(NamedTuple):
    """What makes a local maximum a spot."""

    threshold: float  # Excess over the background in standard deviations
    min_contrast: float  # The same as a part of the background
    max_spots: int


class Map(NamedTuple):
    """Patterns in one scale."""

    counts: Tensor  # (B, H, W)
    mean: Tensor  # (B, H, W), smoothed
    weight: Tensor  # (1, H, W), what it rests on
    beam: Tensor  # (B, 2), (x, y)
    exclude: Tensor  # (B,), radius about it without spots
    scale: int


def find_candidates(level: Map, noise: Noise, limits: Limits) -> Candidates:
    """Return the strongest local maxima that are significant.

    Parameters
    ----------
    level
        Patterns in one scale.
    noise
        Of their smoothed counts.
    limits
        What makes a local maximum a spot.

    Returns
    -------
    candidates
        The strongest first.
    """
    height, width = level.mean.shape[1:]
    n_blocks = -(-height // BLOCK) * -(-width // BLOCK)
    n_closer = min(_CLOSER * limits.max_spots, n_blocks)
    hidden = level.weight < _LEAST_WEIGHT
    hidden = extend(hidden.to(level.mean), MARGIN) if hidden.any() else None
    if compiled := kernels("_candidate_kernels", level.counts, level.mean):
        found = _compiled_search(compiled, level, hidden, noise, limits, n_closer)
    else:
        found = _search(level, hidden, noise, limits, n_closer)
    return Candidates(*found, level.mean, level.scale)


def _compiled_search(
    compiled: ModuleType,
    level: Map,
    hidden: Tensor | None,
    noise: Noise,
    limits: Limits,
    n_closer: int,
) -> tuple[Tensor, ...]:
    """Return the same as `_search`."""
    beam = torch.cat((level.beam, level.exclude[:, None]), 1)
    found = compiled.find_candidates(
        *arrays(level.counts, level.mean, level.weight[0]),
        *arrays(level.mean.new_zeros(0, 0) if hidden is None else hidden[0]),
        np.array(opposite_points(level.scale)),
        *arrays(torch.stack(noise, 1), beam),
        np.float32(limits.threshold),
        np.float32(limits.min_contrast),
        n_closer,
        limits.max_spots,
    )
    return tuple(torch.from_numpy(values) for values in found)


def _search(
    level: Map,
    hidden: Tensor | None,
    noise: Noise,
    limits: Limits,
    n_closer: int,
) -> tuple[Tensor, ...]:
    """Return contrast, row and column, each of shape (B, max_spots)."""
    height, width = level.mean.shape[1:]
    mean = extend(level.mean, MARGIN)

    def shifted(values: Tensor, y: int, x: int) -> Tensor:
        y, x = y + MARGIN, x + MARGIN
        return values[:, y : y + height, x : x + width]

    peak = shifted(mean, 0, 0)
    around = torch.zeros_like(peak)
    for y, x in opposite_points(level.scale):
        one, other = shifted(mean, y, x), shifted(mean, -y, -x)
        pair = one + other
        if hidden is not None:
            # Beside what is excluded, the other point counts twice:
            # no edge of it must look like a slope's peak
            pair += other * shifted(hidden, y, x) + one * shifted(hidden, -y, -x)
        around = torch.maximum(around, pair)
    edge = MARGIN - 1
    highest = neighbour_max(mean[:, edge:-edge, edge:-edge])
    contrast = torch.sub(peak, around, alpha=0.5)
    contrast *= peak >= highest

    # Blocks are far fewer than pixels. The most significant ones are
    # looked at closely.
    blocks, brightest = block_max(contrast, BLOCK), block_max(peak, BLOCK)
    unit, least = noise.power[:, None, None], noise.level[:, None, None]
    brightest = (brightest - least).clamp(min=0)
    rough = blocks / torch.sqrt(unit * (brightest + unit))
    block = rough.flatten(1).topk(n_closer, dim=1).indices
    inner = torch.arange(BLOCK, device=mean.device)
    rows = (block // blocks.shape[2] * BLOCK)[..., None] + inner
    columns = (block % blocks.shape[2] * BLOCK)[..., None] + inner
    index = rows.clamp(max=height - 1)[..., None] * width
    index = index + columns.clamp(max=width - 1)[..., None, :]
    value, place = sample(contrast.flatten(1), index).flatten(2).max(2)
    index = index.flatten(2).gather(2, place[..., None])[..., 0]

    around = sample(around.flatten(1), index) / 2
    unit = noise.power[:, None]
    expected = (around - noise.level[:, None]).clamp(min=0) / unit + ANSCOMBE
    excess = torch.sqrt(expected + value / unit) - torch.sqrt(expected)
    row, column = index // width, index % width
    offset = torch.stack((column, row), -1) - level.beam[:, None]
    accepted = (
        (2 * excess >= limits.threshold)
        & (value > ROUNDING * around)
        & (value >= limits.min_contrast * (around - noise.dark[:, None]))
        & (offset.square().sum(-1) >= level.exclude.square()[:, None])
        & (level.weight > SPOT_WEIGHT).flatten()[index]
        & _is_wider_than_a_pixel(level.counts, row, column, around)
    )
    n_slots = min(limits.max_spots, n_closer)
    best, kept = (value * accepted).topk(n_slots, dim=1)
    row, column = row.gather(1, kept), column.gather(1, kept)
    missing = limits.max_spots - n_slots
    if missing:
        best = F.pad(best, (0, missing))
        row, column = (F.pad(n, (0, missing)) for n in (row, column))
    return best, row, column


def _is_wider_than_a_pixel(
    counts: Tensor, row: Tensor, column: Tensor, background: Tensor
) -> Tensor:
    """Tell spots from hot pixels, whose neighbours hold nothing.

    Of a spot as sharp as a Gaussian of 0.5 pixel the brightest pixel
    holds 47 %, its neighbours the rest.
    """
    height, width = counts.shape[1:]
    step = torch.arange(-1, 2, device=counts.device)
    rows = (row[..., None] + step).clamp(0, height - 1)[..., None] * width
    columns = (column[..., None] + step).clamp(0, width - 1)[..., None, :]
    net = sample(counts.flatten(1), rows + columns) - background[..., None, None]
    net = net.flatten(2)
    brightest = net.amax(2)
    return net.sum(2) >= (1 + MIN_NEIGHBOURS) * brightest
