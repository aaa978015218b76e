# SPDX-License-Identifier: GPL-3.0-or-later
"""Positions and intensities of spots, from the pixels they were found at."""

from __future__ import annotations

import math
from types import ModuleType
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from pyxem_symnet.descriptors._compiled import arrays, kernels
from pyxem_symnet.descriptors._pixels import extend, sample

# The background of a pixel comes from pairs of opposite points (rows,
# columns). At the finest scale they are near, for lattices as dense as
# the detector resolves; at the others discs fit between them, and they
# are twice as many, so that no ridge passes between two directions.
_NEAR = ((0, 3), (3, 0), (2, 2), (2, -2))
_FAR = ((0, 4), (4, 0), (3, 3), (3, -3), (2, 4), (4, 2), (2, -4), (4, -2))
MARGIN = 4
# Half the size of the patch in which a position is refined.
REACH = 3
# Standard deviation of the window in which positions are refined.
WINDOW = 1.5
N_STEPS = 5


def opposite_points(scale: int) -> tuple[tuple[int, int], ...]:
    """Return the points that, with their opposites, make the background."""
    return _NEAR if scale == 1 else _FAR


class Candidates(NamedTuple):
    """Candidates at one scale: what is needed to refine them."""

    contrast: Tensor  # (B, K), descending, 0 = none
    row: Tensor  # (B, K)
    column: Tensor  # (B, K)
    mean: Tensor  # (B, H, W), smoothed counts
    scale: int


def scores(levels: list[Candidates]) -> Tensor:
    """Return how much a pattern's spots stand out at each scale, (B, levels)."""
    # Contrast times scale is proportional to significance; the root
    # keeps few strong outliers from deciding.
    return torch.stack(
        [(level.contrast * level.scale).sqrt().sum(1) for level in levels], 1
    )


def refine(levels: list[Candidates]) -> tuple[Tensor, Tensor]:
    """Return (x, y) in working pixels and counts, at each pattern's scale.

    Positions are Gaussian-windowed centroids [Bertin2013]_ of what
    exceeds a plane through the ring of `opposite_points`.

    .. [Bertin2013] E. Bertin, SExtractor manual, "Windowed positional
       parameters".
    """
    choice = scores(levels).argmax(1)
    if compiled := kernels("_refine_kernels", *(level.mean for level in levels)):
        return _refine_compiled(compiled, levels, choice)

    def chosen(values: list[Tensor]) -> Tensor:
        stacked = torch.stack(values, 1)
        index = choice.reshape(-1, *(1,) * (stacked.ndim - 1))
        return stacked.gather(1, index.expand(-1, 1, *stacked.shape[2:]))[:, 0]

    contrast = chosen([level.contrast for level in levels])
    row = chosen([level.row for level in levels])
    column = chosen([level.column for level in levels])
    maps = [extend(level.mean, MARGIN) for level in levels]
    flat = torch.cat([values.flatten(1) for values in maps], 1)
    sizes = [values[0].numel() for values in maps]
    starts = torch.tensor([sum(sizes[:i]) for i in range(len(sizes))])
    widths = torch.tensor([values.shape[2] for values in maps])
    scales = torch.tensor([float(level.scale) for level in levels])
    start, width, scale = (
        values.to(choice.device)[choice][:, None] for values in (starts, widths, scales)
    )

    index = start + (row + MARGIN) * width + column + MARGIN
    n_pairs = len(_FAR)
    rings = torch.tensor(
        [(opposite_points(level.scale) * 2)[:n_pairs] for level in levels]
    )
    ring = torch.cat((rings, -rings), 1).to(flat)[choice][:, None]
    spread = ring[..., 0].square().sum(-1, keepdim=True)
    reach = torch.arange(-REACH, REACH + 1, device=flat.device)
    patch = index[..., None, None] + reach[:, None] * width[..., None, None] + reach
    patch = sample(flat, patch)
    shift = torch.zeros_like(patch[..., 0, :2])
    for _ in range(N_STEPS):
        # The background is a plane through the ring about where the spot
        # is now, so that neither a slope nor neighbours pull.
        values = _interpolate(flat, index, width, shift[..., None, :] + ring)
        level = values.mean(-1)[..., None, None]
        slope = (values[..., None] * ring).sum(-2) / spread
        delta = reach - shift[..., None]  # (B, K, 2, 7): rows, columns
        dy, dx = delta[..., 0, :], delta[..., 1, :]
        net = patch - level - (slope[..., :1] * dy)[..., None]
        net = (net - (slope[..., 1:] * dx)[..., None, :]).clamp(min=0)
        wy, wx = torch.exp(-delta.square() / (2 * WINDOW**2)).unbind(-2)
        columns = (net * wy[..., None]).sum(-2) * wx
        rows = (net * wx[..., None, :]).sum(-1) * wy
        total = columns.sum(-1).clamp(min=1e-30)
        step = torch.stack(((rows * dy).sum(-1), (columns * dx).sum(-1)), -1)
        shift = (shift + 2 * step / total[..., None]).clamp(-1, 1)
    # The flux of a point spread by the kernel and weighted by the window.
    window_sum = 2 * math.pi * WINDOW**2
    flux = total / window_sum * 2 * math.pi * (1 + WINDOW**2) * scale.square()
    x = (column + shift[..., 1]) * scale + (scale - 1) / 2
    y = (row + shift[..., 0]) * scale + (scale - 1) / 2
    return torch.stack((x, y), -1), flux * (contrast > 0)


def _refine_compiled(
    compiled: ModuleType, levels: list[Candidates], choice: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the same as `refine`."""
    positions = choice.new_zeros((*levels[0].contrast.shape, 2), dtype=torch.float32)
    flux = torch.zeros_like(levels[0].contrast)
    for i, level in enumerate(levels):
        compiled.refine_level(
            *arrays((choice == i).nonzero()[:, 0], *level[:4]),
            np.array(opposite_points(level.scale)),
            level.scale,
            positions.numpy(),
            flux.numpy(),
        )
    return positions, flux


def _interpolate(flat: Tensor, index: Tensor, width: Tensor, offset: Tensor) -> Tensor:
    """Return values between pixels.

    Parameters
    ----------
    flat
        Maps of shape (B, N).
    index
        Pixels of shape (B, K).
    width
        Pixels a row, of shape (B, 1).
    offset
        (rows, columns) from these pixels, of shape (B, K, n, 2).

    Returns
    -------
    values
        Shape (B, K, n).
    """
    whole = offset.floor()
    row_share, column_share = (offset - whole).unbind(-1)
    row, column = whole.long().unbind(-1)
    width = width[..., None]
    corner = (index[..., None] + row * width + column).clamp(0, flat.shape[1] - 1)
    right, below = corner + 1, corner + width
    last = flat.shape[1] - 1
    top = torch.lerp(
        sample(flat, corner), sample(flat, right.clamp(max=last)), column_share
    )
    bottom = torch.lerp(
        sample(flat, below.clamp(max=last)),
        sample(flat, (below + 1).clamp(max=last)),
        column_share,
    )
    return torch.lerp(top, bottom, row_share)
