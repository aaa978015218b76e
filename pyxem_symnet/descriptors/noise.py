# SPDX-License-Identifier: GPL-3.0-or-later
"""How much the counts of patterns vary, and what of them no electron made."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from pyxem_symnet.descriptors._compiled import arrays, kernels
from pyxem_symnet.descriptors._pixels import block_sum

#: Bright windows exceed dark ones by so many standard deviations of a window's
#: mean, and are as many, where the gain can be told from them
LEVER, LEAST_BRIGHT = 6.0, 32
#: From where on, in parts of all windows, parts of the bright ones are looked at
BRIGHT = (0.5, 0.75, 0.9)
#: Quantiles of the means: the dark level, and what is dark
DARK, LOW = 0.05, 0.1
#: Quantile of the variance in a part of the windows
QUIET = 0.25
# Windows that are looked at, about
_WINDOWS = 2048
# Times more or less noise than counts of electrons alone make
_UNUSUAL = 2.0
# Variance of whole numbers, as a part of them, that is no counted electrons', and
# the least counts that can be told of
_SUB_POISSON, _LEAST_PEDESTAL = 0.55, 5.0
# Standard deviations of the read-out noise below the dark level that a pixel
# can be
_FAR_BELOW = 5.0
# Smoothing with the 5 × 5 binomial kernel multiplies the variance of
# independent pixels by the sum of the kernel's squares.
_KERNEL_POWER = (70 / 256) ** 2
# What correlated pixels and the specimen's own texture may add to it.
_MAX_TEXTURE = 10.0
# The same of a camera's pixels, which share the light of an electron
_MAX_CAMERA = 40.0
#: Pixels between those that are compared to tell it
STEP = 5


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
        Shape (B, H, W), excluded pixels 0.
    weights
        Shape (1, H, W), 0 for excluded pixels.

    Returns
    -------
    levelled
        Nothing in them is far below 0. The dark level is 0 where counts
        were left alone; where all were, they are not copied.
    """
    whole = _windows(weights, 4)[0] > 15.99
    sums = _windows(counts, 4)
    mean, variance = sums[0] / 16, (sums[1] - sums[0].square() / 16) / 15
    line = fit_variance(mean.where(whole, torch.inf), variance.clamp(min=0), 16)
    dark, noise, gain = (part[:, None] for part in line[:3])
    # Counted electrons vary at least as much as their number
    whole_numbers = _are_whole(counts)[:, None]
    pedestal = (noise < _SUB_POISSON * dark) & (dark > _LEAST_PEDESTAL)
    told = line.told[:, None]
    usual = (noise < _UNUSUAL * gain * dark) & (noise * _UNUSUAL > gain * dark)
    offset = torch.where(told, noise / gain - dark, 0.0)
    shifted = told & ~usual & (offset.abs() > gain)
    shifted &= (offset > 0) | pedestal | ~whole_numbers
    offset = torch.where(shifted, offset, 0.0)
    lowest = torch.where(shifted, -_FAR_BELOW * noise.sqrt(), 0.0)
    if shifted.any() or counts.amin() < 0:
        counts = _shifted(counts, offset[:, 0], lowest[:, 0], weights)
        sums = _windows(counts, 4)
    gain = torch.where(shifted[:, 0], gain[:, 0], _gain_of(*sums))
    camera = shifted | (whole_numbers & pedestal & dark.isfinite())
    dark = torch.where(camera, dark, 0.0)
    level = torch.where(pedestal & (offset <= 0), dark, 0.0)
    return Levelled(counts, gain, (dark + offset)[:, 0], camera[:, 0], level[:, 0])


def _are_whole(counts: Tensor) -> Tensor:
    """Return which patterns hold whole numbers, of shape (B,)."""
    some = counts[:, ::8]
    if compiled := kernels("_noise_kernels", counts):
        return torch.from_numpy(compiled.are_whole(*arrays(some)))
    return (some == some.round()).all(2).all(1)


def _shifted(counts: Tensor, offset: Tensor, least: Tensor, weights: Tensor) -> Tensor:
    """Return what is not excluded plus *offset*, and not below *least*."""
    if compiled := kernels("_kernels", counts, offset, least, weights):
        shifted = compiled.shift(*arrays(counts, offset, least, weights[0]))
        return torch.from_numpy(shifted)
    offset, least = offset[:, None, None], least[:, None, None]
    return (counts + offset * weights).clamp_(min=least)


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
    ascending = _sorted(mean)
    if compiled := kernels("_noise_kernels", mean, variance):
        line = compiled.fit_variance(*arrays(ascending, mean, variance), n_pixels)
        dark, noise, slope = torch.from_numpy(line)
        told = slope.isfinite() & (slope > 0) & (noise > 0)
        return VarianceLine(dark, noise, slope, told)
    dark = _quantile_of_sorted(ascending, DARK)
    # Not what is behind a beam stop, and hardly varies
    low = mean <= _quantile_of_sorted(ascending, LOW)
    low &= mean >= dark - 0.5 * dark.abs()
    noise = _quantile(variance.where(low, torch.inf), QUIET)
    # Not the brightest only: the beam's slopes vary, too
    least = dark + LEVER * (noise / n_pixels).sqrt()
    ratio = (variance - noise) / (mean - dark).clamp(min=1e-30)
    slope = torch.full_like(dark, torch.inf)
    edges = [torch.maximum(_quantile_of_sorted(ascending, q), least) for q in BRIGHT]
    for lower, upper in pairwise((*edges, torch.full_like(dark, torch.inf))):
        part = (mean > lower) & (mean < upper)
        enough = part.sum(1, keepdim=True) >= LEAST_BRIGHT
        own = _quantile(ratio.where(part, torch.inf), QUIET)
        slope = torch.minimum(slope, own.where(enough, torch.inf))
    told = slope.isfinite() & (slope > 0) & (noise > 0)
    return VarianceLine(dark[:, 0], noise[:, 0], slope[:, 0], told[:, 0])


def _windows(values: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Return sums and sums of squares of windows, half of them."""
    if compiled := kernels("_kernels", values):
        sums = compiled.window_sums(*arrays(values), size)
        return torch.from_numpy(sums[0]), torch.from_numpy(sums[1])
    step = 2 * size
    height = values.shape[1] - values.shape[1] % step
    values = values[:, :height].unflatten(1, (height // step, step))[:, :, :size]
    values = values.flatten(1, 2)
    return block_sum(values, size), block_sum(values * values, size)


def _quantile(values: Tensor, quantile: float) -> Tensor:
    """Return a quantile of the finite values (B, N), of shape (B, 1)."""
    return _quantile_of_sorted(_sorted(values), quantile)


def _sorted(values: Tensor) -> Tensor:
    """Return values (B, N), each row ascending."""
    if values.device.type == "cpu" and not values.requires_grad:
        # Thirty times faster than PyTorch, which sorts indices, too
        return torch.from_numpy(np.sort(values.numpy(), axis=1))
    return values.sort(1).values


def _quantile_of_sorted(values: Tensor, quantile: float) -> Tensor:
    """Return the same of ascending values, infinite ones last."""
    count = torch.isfinite(values).sum(1, keepdim=True)
    place = (quantile * count).long().clamp(max=values.shape[1] - 1)
    return values.gather(1, place)


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
    return _gain_of(*_windows(counts, 4))


def _gain_of(total: Tensor, square: Tensor) -> Tensor:
    """Return the same from sums and sums of squares of the windows."""
    mean, square = total / 16, square / 16
    return low_ratio((square - mean * mean) * (16 / 15), mean, 0.1)


def low_ratio(numerator: Tensor, denominator: Tensor, quantile: float) -> Tensor:
    """Return a quantile of the ratios (B, ...) with denominators > 0."""
    # Every third value is plenty, and sorting is what costs time here.
    numerator, denominator = numerator.flatten(1), denominator.flatten(1)
    step = 3 if numerator.shape[1] > 1024 else 1
    if compiled := kernels("_noise_kernels", numerator, denominator):
        pair = arrays(numerator, denominator)
        return torch.from_numpy(compiled.low_ratio(*pair, quantile, step))
    numerator, denominator = numerator[:, ::step], denominator[:, ::step]
    ratio = torch.where(
        denominator > 0, numerator / denominator.clamp(min=1e-30), torch.inf
    )
    value = _quantile(ratio, quantile)[:, 0]
    return value.nan_to_num(posinf=0.0).clamp(min=1e-30)


class Noise(NamedTuple):
    """Variance of smoothed counts: power × (counts - level)."""

    power: Tensor  # (B,)
    level: Tensor  # (B,)
    dark: Tensor  # (B,), counts where hardly an electron was seen


def smoothed_noise(
    mean: Tensor, weight: Tensor, gain: Tensor, dark: Tensor, camera: Tensor
) -> Noise:
    """Return the noise of smoothed counts.

    Parameters
    ----------
    mean, weight
        Smoothed counts (B, H, W) and their weights (1, H, W).
    gain
        Variance over mean of a single pixel, of shape (B,).
    dark
        Counts where hardly an electron was seen, of shape (B,).
    camera
        Whether there is a pedestal or read-out noise, of shape (B,).

    Returns
    -------
    noise
        What *gain* implies for independent pixels, or more if points
        five pixels apart differ by more.
    """
    whole = torch.stack(_triple(weight > 0.95)).all(0).to(mean)
    # Small tiles, so that some lie between the spots of any lattice
    size = 8 if min(mean.shape[1:]) >= 64 else 6
    squares, level = _differences(mean, whole, size)
    variance = squares * (2 / 3)
    white = gain * _KERNEL_POWER
    measured = low_ratio(variance, level, 0.25)
    power = torch.maximum(white, torch.minimum(measured, _MAX_TEXTURE * white))
    zero = torch.zeros_like(power)
    if not camera.any():
        return Noise(power, zero, dark)
    # Pixels of a camera are correlated, and its read-out noise is not
    n_pixels = block_sum(whole, size)
    seen = (n_pixels == size**2).expand_as(level)
    line = fit_variance((level / size**2).where(seen, torch.inf), variance / size**2)
    slope = torch.maximum(white, torch.minimum(line.slope, _MAX_CAMERA * white))
    base = torch.maximum(line.noise, power * zero)
    told = camera & line.told & (slope * line.dark > base)
    return Noise(
        torch.where(told, slope, power),
        torch.where(told, line.dark - base / slope, zero),
        dark,
    )


def _differences(mean: Tensor, whole: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Return sums of squares of differences, and of counts, of tiles."""
    if compiled := kernels("_kernels", mean, whole):
        sums = compiled.difference_sums(*arrays(mean, whole[0]), size)
        return torch.from_numpy(sums[0]), torch.from_numpy(sums[1])
    left, middle, right = _triple(mean)
    difference = (middle - 0.5 * (left + right)) * whole
    return block_sum(difference.square(), size), block_sum(middle * whole, size)


def _triple(values: Tensor) -> list[Tensor]:
    """Return pixels to the left, in the middle and to the right."""
    rows = values[:, ::2]  # neighbouring rows say nearly the same
    end = values.shape[2] - 2 * STEP
    return [rows[..., i : end + i] for i in (0, STEP, 2 * STEP)]
