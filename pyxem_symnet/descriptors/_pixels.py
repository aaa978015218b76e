# SPDX-License-Identifier: GPL-3.0-or-later
"""Pixel operations shared by centring, resampling and spot finding.

All of them are sums and maxima of shifted slices: on a CPU these run at
memory speed, an order of magnitude faster than PyTorch's pooling and
single-channel convolution, and on a GPU they are no slower.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

# Bright windows exceed dark ones by so many standard deviations of a window's
# mean, and are as many, where the gain can be told from them
_LEVER, _LEAST_BRIGHT = 6.0, 32
# Windows that are looked at, about
_WINDOWS = 2048
# From where on, in parts of all windows, parts of the bright ones are looked at
_BRIGHT = (0.5, 0.75, 0.9)
# Times more or less noise than counts of electrons alone make
_UNUSUAL = 2.0
# Variance of whole numbers, as a part of them, that is no counted electrons', and
# the least counts that can be told of
_SUB_POISSON, _LEAST_PEDESTAL = 0.55, 5.0
# Standard deviations of the read-out noise below the dark level that a pixel
# can be
_FAR_BELOW = 5.0


def check_images(images: Tensor, mask: Tensor | None) -> None:
    """Raise a clear error if *images* and *mask* are no batch of patterns."""
    if images.ndim != 3:
        raise ValueError(
            "images must have the shape (patterns, height, width), not "
            f"{tuple(images.shape)}; add a leading axis to a single pattern"
        )
    if mask is not None and tuple(mask.shape) != tuple(images.shape[1:]):
        raise ValueError(
            f"the mask has the shape {tuple(mask.shape)}, the patterns "
            f"{tuple(images.shape[1:])}; they must be the same"
        )


def prepare_images(images: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return float32 counts without excluded pixels, and the pixel weights.

    Parameters
    ----------
    images
        Patterns of shape (B, H, W), any real data type. Not modified.
    mask
        Excluded pixels (True) of shape (H, W).

    Returns
    -------
    counts
        Shape (B, H, W), excluded values set to 0.
    weights
        Shape (1, H, W), 0 for excluded pixels and 1 elsewhere.

    Raises
    ------
    ValueError
        If shapes disagree or a pixel that is not excluded is NaN or
        infinite.
    """
    check_images(images, mask)
    counts = images.to(torch.float32)
    if mask is None:
        weights = counts.new_ones((1, *counts.shape[1:]))
    else:
        mask = mask.to(device=counts.device, dtype=torch.bool)
        weights = (~mask).to(torch.float32)[None]
        counts = counts.masked_fill(mask, 0.0)
    # A sum carries any NaN or infinity along at the cost of one read.
    if images.is_floating_point() and not torch.isfinite(counts.sum()):
        if not torch.isfinite(counts).all():
            raise ValueError(
                "the patterns contain NaN or infinite values; replace them, or "
                "exclude these pixels with the mask (True = excluded)"
            )
    return counts, weights


class Levelled(NamedTuple):
    """Patterns whose variance is proportional to their counts."""

    counts: Tensor  # (B, H, W), excluded pixels 0
    gain: Tensor  # (B,), variance divided by counts of a pixel
    dark: Tensor  # (B,), counts where hardly an electron was seen, or 0
    camera: Tensor  # (B,), whether there is a pedestal or read-out noise
    pedestal: Tensor  # (B,), counts as recorded where hardly an electron was seen


def remove_pedestal(counts: Tensor, weights: Tensor) -> Levelled:
    """Shift counts so that their variance is proportional to them.

    Of a camera with a pedestal p and read-out noise of variance r the
    counts n have the variance r + gain (n - p), which is gain times
    (n - p + r / gain). Both are seen in the darkest windows of a
    pattern, the gain in its brightest. Where the variance is about
    proportional to the counts as they are, these are left alone.

    Parameters
    ----------
    counts
        Shape (B, H, W), excluded pixels 0. It may be changed.
    weights
        Shape (1, H, W), 0 for excluded pixels.

    Returns
    -------
    levelled
        Nothing in them is far below 0. The dark level is 0 where counts
        were left alone.
    """
    whole = _windows(weights, 4)[0] > 15.99
    sums = _windows(counts, 4)
    mean, variance = sums[0] / 16, (sums[1] - sums[0].square() / 16) / 15
    line = fit_variance(mean.where(whole, torch.inf), variance.clamp(min=0), 16)
    dark, noise, gain = (part[:, None] for part in line[:3])
    # Counted electrons vary at least as much as their number
    some = counts[:, ::8]
    whole_numbers = (some == some.round()).all(2).all(1)[:, None]
    pedestal = (noise < _SUB_POISSON * dark) & (dark > _LEAST_PEDESTAL)
    told = line.told[:, None]
    usual = (noise < _UNUSUAL * gain * dark) & (noise * _UNUSUAL > gain * dark)
    offset = torch.where(told, noise / gain - dark, 0.0)
    shifted = told & ~usual & (offset.abs() > gain)
    shifted &= (offset > 0) | pedestal | ~whole_numbers
    offset = torch.where(shifted, offset, 0.0)
    lowest = torch.where(shifted, -_FAR_BELOW * noise.sqrt(), 0.0)
    counts = (counts + offset[..., None] * weights).clamp_(min=lowest[..., None])
    gain = torch.where(shifted[:, 0], gain[:, 0], electron_gain(counts))
    camera = shifted | (whole_numbers & pedestal & dark.isfinite())
    dark = torch.where(camera, dark, 0.0)
    level = torch.where(pedestal & (offset <= 0), dark, 0.0)
    return Levelled(counts, gain, (dark + offset)[:, 0], camera[:, 0], level[:, 0])


class VarianceLine(NamedTuple):
    """Variance as a line over counts: noise + slope × (counts - dark)."""

    dark: Tensor  # (B,)
    noise: Tensor  # (B,)
    slope: Tensor  # (B,)
    told: Tensor  # (B,), whether there were bright windows


def fit_variance(mean: Tensor, variance: Tensor, n_pixels: int = 1) -> VarianceLine:
    """Fit the variance in the darkest and in the brightest windows.

    Low quantiles of it are taken, as edges, spots and dead pixels only
    ever make windows vary more.

    Parameters
    ----------
    mean, variance
        Of windows of each pattern, of shape (B, ...). Where the mean is
        infinite the window is left out.
    n_pixels
        Independent pixels that a window's mean is of.

    Returns
    -------
    line
        Its parameters.
    """
    mean, variance = mean.flatten(1), variance.flatten(1)
    # More windows say no more, and sorting is what costs time here
    step = max(1, mean.shape[1] // _WINDOWS)
    mean, variance = mean[:, ::step], variance[:, ::step]
    ascending = mean.sort(1).values
    dark = _quantile_of_sorted(ascending, 0.05)
    # Not what is behind a beam stop, and hardly varies
    low = mean <= _quantile_of_sorted(ascending, 0.1)
    low &= mean >= dark - 0.5 * dark.abs()
    noise = _quantile(variance.where(low, torch.inf), 0.25)
    # Not the brightest only: the beam's slopes vary, too
    least = dark + _LEVER * (noise / n_pixels).sqrt()
    ratio = (variance - noise) / (mean - dark).clamp(min=1e-30)
    slope = torch.full_like(dark, torch.inf)
    edges = [torch.maximum(_quantile_of_sorted(ascending, q), least) for q in _BRIGHT]
    for lower, upper in pairwise((*edges, torch.full_like(dark, torch.inf))):
        part = (mean > lower) & (mean < upper)
        enough = part.sum(1, keepdim=True) >= _LEAST_BRIGHT
        own = _quantile(ratio.where(part, torch.inf), 0.25)
        slope = torch.minimum(slope, own.where(enough, torch.inf))
    told = slope.isfinite() & (slope > 0) & (noise > 0)
    return VarianceLine(dark[:, 0], noise[:, 0], slope[:, 0], told[:, 0])


def _windows(values: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Return sums and sums of squares of windows, half of them."""
    step = 2 * size
    height = values.shape[1] - values.shape[1] % step
    values = values[:, :height].unflatten(1, (height // step, step))[:, :, :size]
    values = values.flatten(1, 2)
    return block_sum(values, size), block_sum(values * values, size)


def _quantile(values: Tensor, quantile: float) -> Tensor:
    """Return a quantile of the finite values (B, N), of shape (B, 1)."""
    return _quantile_of_sorted(values.sort(1).values, quantile)


def _quantile_of_sorted(values: Tensor, quantile: float) -> Tensor:
    """Return the same of ascending values, infinite ones last."""
    count = torch.isfinite(values).sum(1, keepdim=True)
    place = (quantile * count).long().clamp(max=values.shape[1] - 1)
    return values.gather(1, place)


def bin_mean(images: Tensor, factor: int) -> Tensor:
    """Return the means of factor × factor pixels, the edge filled with 0."""
    if factor == 1:
        return images
    height, width = images.shape[-2:]
    bottom, right = -height % factor, -width % factor
    if bottom or right:
        images = F.pad(images, (0, right, 0, bottom))
    rows = images[..., 0::factor, :]
    for i in range(1, factor):
        rows = rows + images[..., i::factor, :]
    binned = rows[..., 0::factor]
    for i in range(1, factor):
        binned = binned + rows[..., i::factor]
    return binned / factor**2


def _blur(images: Tensor) -> Tensor:
    """Smooth with a 5 × 5 binomial kernel of sum 256, edges cut by 2."""
    for _ in range(4):
        images = images[..., 1:, :] + images[..., :-1, :]
    for _ in range(4):
        images = images[..., :, 1:] + images[..., :, :-1]
    return images


def neighbour_max(images: Tensor) -> Tensor:
    """Return the largest value of 3 × 3 pixels, edges cut by 1."""
    rows = torch.maximum(images[..., 1:, :], images[..., :-1, :])
    rows = torch.maximum(rows[..., 1:, :], rows[..., :-1, :])
    columns = torch.maximum(rows[..., 1:], rows[..., :-1])
    return torch.maximum(columns[..., 1:], columns[..., :-1])


def block_max(images: Tensor, size: int) -> Tensor:
    """Return the largest value of size × size blocks, remainder included."""
    height, width = images.shape[-2:]
    bottom, right = -height % size, -width % size
    if bottom or right:
        images = F.pad(images, (0, right, 0, bottom), value=-torch.inf)
    rows = images[..., 0::size, :]
    for i in range(1, size):
        rows = torch.maximum(rows, images[..., i::size, :])
    blocks = rows[..., 0::size]
    for i in range(1, size):
        blocks = torch.maximum(blocks, rows[..., i::size])
    return blocks


def block_sum(images: Tensor, size: int) -> Tensor:
    """Return the sums of whole size × size blocks, the remainder left out."""
    height, width = (n - n % size for n in images.shape[-2:])
    images = images[..., :height, :width]
    rows = images.unflatten(-2, (height // size, size)).sum(-2)
    return rows.unflatten(-1, (width // size, size)).sum(-1)


def clip_hot_pixels(counts: Tensor, gain: Tensor, ratio: float = 5.0) -> Tensor:
    """Limit pixels that stick out of their 8 neighbours.

    A pixel may exceed the darkest diagonal neighbour *ratio* times as
    far as the brightest adjacent one does, and by two electrons. The
    sharpest spot that can be located (a Gaussian of 0.5 pixel) just
    about stays within that.

    Parameters
    ----------
    counts
        Shape (B, H, W).
    gain
        Counts an electron, of shape (B,).
    ratio
        See above.

    Returns
    -------
    counts
        Shape (B, H, W).
    """
    padded = extend(counts, 1)
    above, below = padded[:, :-2], padded[:, 2:]
    # The nearest pixels hold most of a spot, the diagonal ones least.
    brightest = torch.maximum(above[..., 1:-1], below[..., 1:-1])
    torch.maximum(brightest, padded[:, 1:-1, :-2], out=brightest)
    torch.maximum(brightest, padded[:, 1:-1, 2:], out=brightest)
    darkest = torch.minimum(above, below)
    darkest = torch.minimum(darkest[..., :-2], darkest[..., 2:])
    darkest = torch.minimum(darkest, brightest)
    limit = brightest.mul_(ratio).sub_(darkest, alpha=ratio - 1)
    return torch.minimum(counts, limit.add_(2 * gain[:, None, None]))


def electron_gain(counts: Tensor) -> Tensor:
    """Estimate the counts an electron makes, as variance over mean.

    A low quantile over windows of 4 × 4 pixels, half of them, is taken:
    spots, gradients and hot pixels only ever make windows vary more.

    Parameters
    ----------
    counts
        Shape (B, H, W), not negative.

    Returns
    -------
    gain
        Shape (B,).
    """
    total, square = _windows(counts, 4)
    mean, square = total / 16, square / 16
    return low_ratio((square - mean * mean) * (16 / 15), mean, 0.1)


def low_ratio(numerator: Tensor, denominator: Tensor, quantile: float) -> Tensor:
    """Return a quantile of the ratios (B, ...) with denominators > 0."""
    ratio = torch.where(
        denominator > 0, numerator / denominator.clamp(min=1e-30), torch.inf
    )
    # Every third value is plenty, and sorting is what costs time here.
    ratio = ratio.flatten(1)
    if ratio.shape[1] > 1024:
        ratio = ratio[:, ::3]
    ratio = ratio.sort(1).values
    count = torch.isfinite(ratio).sum(1, keepdim=True)
    value = ratio.gather(1, (quantile * count).long())[:, 0]
    return value.nan_to_num(posinf=0.0).clamp(min=1e-30)


def smooth(counts: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Return the locally weighted mean, and the weight it rests on.

    Parameters
    ----------
    counts
        Shape (B, H, W), excluded pixels 0.
    weights
        Shape (1, H, W), in [0, 1].

    Returns
    -------
    mean
        Shape (B, H, W), 0 where less than a tenth of the kernel rests
        on pixels.
    weight
        Shape (1, H, W), in [0, 1].
    """
    edge = (2, 2, 2, 2)
    weight = _blur(F.pad(weights, edge))
    inverse = torch.where(weight > 25.6, 1.0 / weight.clamp(min=25.6), 0.0)
    return _blur(F.pad(counts, edge)).mul_(inverse), weight / 256


def extend(images: Tensor, margin: int) -> Tensor:
    """Repeat the outermost pixels *margin* times."""
    return F.pad(images[:, None], (margin,) * 4, mode="replicate")[:, 0]


def sample(flat: Tensor, index: Tensor) -> Tensor:
    """Gather *flat* (B, N) at the indices of shape (B, ...)."""
    return flat.gather(1, index.flatten(1)).reshape(index.shape)
