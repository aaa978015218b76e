# SPDX-License-Identifier: GPL-3.0-or-later
"""Positions and intensities of spots, from the pixels they were found at."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from pyxem_symnet.descriptors._pixels import sample

# The background of a pixel comes from pairs of opposite points (rows,
# columns). At the finest scale they are near, for lattices as dense as
# the detector resolves; at the others discs fit between them, and they
# are twice as many, so that no ridge passes between two directions.
_NEAR = ((0, 3), (3, 0), (2, 2), (2, -2))
_FAR = ((0, 4), (4, 0), (3, 3), (3, -3), (2, 4), (4, 2), (2, -4), (4, -2))
MARGIN = 4
# Half the size of the patch in which a position is refined.
_REACH = 3
# Standard deviation of the window in which positions are refined.
_WINDOW = 1.5
_N_STEPS = 5


def opposite_points(scale: int) -> tuple[tuple[int, int], ...]:
    """Return the points that, with their opposites, make the background."""
    return _NEAR if scale == 1 else _FAR


class Candidates(NamedTuple):
    """Candidates at one scale: what is needed to refine them."""

    contrast: Tensor  # (B, K), 0 = none
    row: Tensor  # (B, K), of the padded map
    column: Tensor  # (B, K)
    mean: Tensor  # (B, H + 2 margin, W + 2 margin)
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

    def chosen(values: list[Tensor]) -> Tensor:
        stacked = torch.stack(values, 1)
        index = choice.reshape(-1, *(1,) * (stacked.ndim - 1))
        return stacked.gather(1, index.expand(-1, 1, *stacked.shape[2:]))[:, 0]

    contrast = chosen([level.contrast for level in levels])
    row = chosen([level.row for level in levels])
    column = chosen([level.column for level in levels])
    flat = torch.cat([level.mean.flatten(1) for level in levels], 1)
    sizes = [level.mean[0].numel() for level in levels]
    starts = torch.tensor([sum(sizes[:i]) for i in range(len(sizes))])
    widths = torch.tensor([level.mean.shape[2] for level in levels])
    scales = torch.tensor([float(level.scale) for level in levels])
    start, width, scale = (
        values.to(choice.device)[choice][:, None] for values in (starts, widths, scales)
    )

    index = start + row * width + column
    n_pairs = len(_FAR)
    rings = torch.tensor(
        [(opposite_points(level.scale) * 2)[:n_pairs] for level in levels]
    )
    ring = torch.cat((rings, -rings), 1).to(flat)[choice][:, None]
    spread = ring[..., 0].square().sum(-1, keepdim=True)
    reach = torch.arange(-_REACH, _REACH + 1, device=flat.device)
    patch = index[..., None, None] + reach[:, None] * width[..., None, None] + reach
    patch = sample(flat, patch)
    shift = torch.zeros_like(patch[..., 0, :2])
    for _ in range(_N_STEPS):
        # The background is a plane through the ring about where the spot
        # is now, so that neither a slope nor neighbours pull.
        values = _interpolate(flat, index, width, shift[..., None, :] + ring)
        level = values.mean(-1)[..., None, None]
        slope = (values[..., None] * ring).sum(-2) / spread
        delta = reach - shift[..., None]  # (B, K, 2, 7): rows, columns
        dy, dx = delta[..., 0, :], delta[..., 1, :]
        net = patch - level - (slope[..., :1] * dy)[..., None]
        net = (net - (slope[..., 1:] * dx)[..., None, :]).clamp(min=0)
        wy, wx = torch.exp(-delta.square() / (2 * _WINDOW**2)).unbind(-2)
        columns = (net * wy[..., None]).sum(-2) * wx
        rows = (net * wx[..., None, :]).sum(-1) * wy
        total = columns.sum(-1).clamp(min=1e-30)
        step = torch.stack(((rows * dy).sum(-1), (columns * dx).sum(-1)), -1)
        shift = (shift + 2 * step / total[..., None]).clamp(-1, 1)
    # The flux of a point spread by the kernel and weighted by the window.
    window_sum = 2 * math.pi * _WINDOW**2
    flux = total / window_sum * 2 * math.pi * (1 + _WINDOW**2) * scale.square()
    x = (column - MARGIN + shift[..., 1]) * scale + (scale - 1) / 2
    y = (row - MARGIN + shift[..., 0]) * scale + (scale - 1) / 2
    return torch.stack((x, y), -1), flux * (contrast > 0)


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
