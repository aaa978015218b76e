# SPDX-License-Identifier: GPL-3.0-or-later
"""How like its own inverse a pattern is, about every point."""

from __future__ import annotations

import torch
from torch import Tensor

from pyxem_symnet.descriptors._pixels import sample


def search_box(length: int, fraction: float) -> slice:
    """Return the middle part of an axis.

    Parameters
    ----------
    length
        Of the axis.
    fraction
        Part of it.
    """
    margin = int(round(length * (1 - fraction) / 2))
    return slice(margin, max(length - margin, margin + 1))


def inversion_symmetry(mean: Tensor, weight: Tensor) -> Tensor:
    """Return how like its own inverse each pattern is, about all points.

    Parameters
    ----------
    mean, weight
        Local means (B, H, W) and their weights (1, H, W), see
        `~pyxem_symnet.descriptors._pixels.smooth`.

    Returns
    -------
    scores
        1 being perfect, of shape (B, 2 H, 2 W): a centre c shows up at 2 c.

    Notes
    -----
    The normalised correlation of the pattern with its inverse, over the
    pixels both have, is computed for every centre with Fourier
    transforms [Padfield2012]_.

    .. [Padfield2012] D. Padfield, IEEE Trans. Image Process. 21, 2706
       (2012).
    """
    height, width = mean.shape[-2:]
    valid = (weight > 0.9).to(mean.dtype)
    # So that a few strong spots don't outweigh all weak ones and the halo
    values = mean**0.3
    average = (values * valid).sum((1, 2)) / valid.sum((1, 2)).clamp(min=1)
    values = (values - average[:, None, None]) * valid

    size = (2 * height, 2 * width)
    spectrum = torch.fft.rfft2(values, s=size)
    squares = torch.fft.rfft2(values**2, s=size)
    shape = torch.fft.rfft2(valid, s=size)
    product = torch.fft.irfft2(spectrum**2, s=size)
    energy = torch.fft.irfft2(squares * shape, s=size)
    overlap = torch.fft.irfft2(shape**2, s=size)
    enough = overlap > 0.12 * valid.sum()
    # Both about their mean where they overlap, which is the same for both
    sums = torch.fft.irfft2(spectrum * shape, s=size)
    constant = sums.square() / overlap.clamp(min=1)
    energy = torch.where(enough, energy - constant, 0.0)
    floor = 0.1 * energy.amax((1, 2), keepdim=True) + 1e-30
    score = (product - constant) / energy.clamp(min=floor)
    return torch.where(enough, score, -1.0)


def doubled_box(mean: Tensor, fraction: float) -> tuple[slice, slice]:
    """Return the rows and columns of twice the centres that are searched.

    Parameters
    ----------
    mean
        Patterns of shape (B, H, W).
    fraction
        Part of the height and width, about the middle.
    """
    height, width = mean.shape[-2:]
    return (
        search_box(2 * height - 1, fraction),
        search_box(2 * width - 1, fraction),
    )


def most_symmetric(score: Tensor, box: tuple[slice, slice]) -> tuple[Tensor, Tensor]:
    """Return the centres with the highest scores in a part of the map, and these.

    Parameters
    ----------
    score
        As `inversion_symmetry` returns it.
    box
        Rows and columns of it.

    Returns
    -------
    centres, scores
        (x, y) in pixels of shape (B, 2), and of shape (B,).
    """
    rows, columns = box
    part = score[:, rows, columns]
    index = part.flatten(1).argmax(1)
    y = index // part.shape[-1] + rows.start
    x = index % part.shape[-1] + columns.start
    flat = score.flatten(1)
    position = y * score.shape[-1] + x

    def vertex(step: int) -> Tensor:
        low, middle, high = (
            sample(flat, (position + k * step)[:, None])[:, 0] for k in (-1, 0, 1)
        )
        curvature = (2 * middle - low - high).clamp(min=1e-12)
        return ((high - low) / (2 * curvature)).clamp(-0.5, 0.5)

    centres = torch.stack((x + vertex(1), y + vertex(score.shape[-1])), -1) / 2
    return centres, sample(flat, position[:, None])[:, 0]


def symmetry_at(score: Tensor, centres: Tensor) -> Tensor:
    """Return the highest scores at given centres and right beside them.

    Parameters
    ----------
    score
        As `inversion_symmetry` returns it.
    centres
        (x, y) in pixels, of shape (B, 2).
    """
    rows, columns = score.shape[-2:]
    x, y = (2 * centres).round().long().unbind(-1)
    near = torch.arange(-1, 2, device=score.device)
    y = (y[:, None] + near).clamp(0, rows - 1)[..., None] * columns
    x = (x[:, None] + near).clamp(0, columns - 1)[:, None]
    return sample(score.flatten(1), y + x).flatten(1).amax(1)
