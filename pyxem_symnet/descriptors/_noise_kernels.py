# SPDX-License-Identifier: GPL-3.0-or-later
"""Statistics of `noise`, compiled for a CPU.

Quantiles are selected, not sorted for. Arrays are float32.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from pyxem_symnet.descriptors.noise import (
    BRIGHT,
    DARK,
    LEAST_BRIGHT,
    LEVER,
    LOW,
    QUIET,
)

_ZERO = np.float32(0)
_TINY = np.float32(1e-30)
_HALF = np.float32(0.5)
_NOTHING = np.float32(np.inf)
_LEVER = np.float32(LEVER)


@njit(cache=True, nogil=True)
def fit_variance(ascending, mean, variance, n_pixels):
    """Return dark level, noise and slope of each pattern, see `noise`.

    Parameters
    ----------
    ascending, mean, variance
        Sorted means, means and variances of windows, of shape (B, N).
    n_pixels
        Independent pixels of a window.

    Returns
    -------
    ndarray
        Shape (3, B).
    """
    n, size = mean.shape
    line = np.full((3, n), _NOTHING)
    part, ratio = np.empty(size, np.float32), np.empty(size, np.float32)
    for i in range(n):
        count = np.searchsorted(ascending[i], _NOTHING)
        if not count:
            continue
        dark = ascending[i, _place(DARK, count)]
        highest, lowest = ascending[i, _place(LOW, count)], dark - _HALF * abs(dark)
        found = 0
        for k in range(size):
            part[found] = variance[i, k]
            found += (mean[i, k] <= highest) & (mean[i, k] >= lowest)
        noise = _quantile(part[:found], QUIET)
        line[0, i], line[1, i] = dark, noise
        least = dark + _LEVER * np.sqrt(noise / np.float32(n_pixels))
        for k in range(size):
            above = mean[i, k] - dark
            ratio[k] = (variance[i, k] - noise) / (above if above > _TINY else _TINY)
        for j in range(len(BRIGHT)):
            lower = max(ascending[i, _place(BRIGHT[j], count)], least)
            upper = _NOTHING
            if j + 1 < len(BRIGHT):
                upper = max(ascending[i, _place(BRIGHT[j + 1], count)], least)
            found = 0
            for k in range(size):
                part[found] = ratio[k]
                found += (mean[i, k] > lower) & (mean[i, k] < upper)
            if found >= LEAST_BRIGHT:
                line[2, i] = min(line[2, i], _quantile(part[:found], QUIET))
    return line


@njit(cache=True, nogil=True)
def are_whole(counts):
    """Return which patterns of (B, H, W) hold whole numbers."""
    whole = np.empty(counts.shape[0], np.bool_)
    for i in range(counts.shape[0]):
        found = 0
        for y in range(counts.shape[1]):
            for x in range(counts.shape[2]):
                found += counts[i, y, x] == np.rint(counts[i, y, x])
        whole[i] = found == counts.shape[1] * counts.shape[2]
    return whole


@njit(cache=True, nogil=True)
def low_ratio(numerator, denominator, quantile, step):
    """Return a quantile of every *step* ratio of (B, N), see `noise`."""
    n, size = numerator.shape
    value = np.empty(n, np.float32)
    ratio = np.empty(size, np.float32)
    for i in range(n):
        found = 0
        for k in range(0, size, step):
            below = denominator[i, k]
            ratio[found] = numerator[i, k] / max(below, _TINY)
            found += (below > _ZERO) & np.isfinite(ratio[found])
        least = _quantile(ratio[:found], quantile) if found else _ZERO
        value[i] = max(least, _TINY)
    return value


@njit(cache=True, nogil=True)
def _quantile(values, quantile):
    place = _place(quantile, values.shape[0])
    return np.partition(values, place)[place]


@njit(cache=True, nogil=True)
def _place(quantile, count):
    # As PyTorch does it, in single precision
    return int(np.float32(quantile) * np.float32(count))
