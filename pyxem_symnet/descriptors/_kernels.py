# SPDX-License-Identifier: GPL-3.0-or-later
"""Pixel operations of `_pixels` and `noise`, compiled for a CPU.

They do the same sums in the same order as PyTorch does there, so that
results are equal, but read each pixel once. Arrays are float32 and
contiguous.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from pyxem_symnet.descriptors.noise import STEP

_HALF = np.float32(0.5)
_ZERO = np.float32(0)
_QUARTER = np.float32(0.25)


@njit(cache=True, nogil=True)
def window_sums(values, size):
    """Return sums and sums of squares of windows, half of them.

    Parameters
    ----------
    values
        Shape (B, H, W).
    size
        Side of a window; of two rows of windows one is taken.

    Returns
    -------
    sums, squares
        Shape (B, H // (2 size), W // size).
    """
    n, height, width = values.shape
    n_rows, n_columns = height // (2 * size), width // size
    sums = np.empty((n, n_rows, n_columns), np.float32)
    squares = np.empty((n, n_rows, n_columns), np.float32)
    lines = np.empty((2, n_columns * size), np.float32)
    for i in range(n):
        for j in range(n_rows):
            lines[:] = _ZERO
            for k in range(size):
                row = values[i, 2 * size * j + k]
                for x in range(lines.shape[1]):
                    lines[0, x] += row[x]
                    lines[1, x] += row[x] * row[x]
            _sum_of_each(lines[0], size, sums[i, j])
            _sum_of_each(lines[1], size, squares[i, j])
    return sums, squares


@njit(cache=True, nogil=True)
def _sum_of_each(values, size, sums):
    """Write the sum of every *size* values."""
    for j in range(sums.shape[0]):
        total = _ZERO
        for k in range(size):
            total += values[j * size + k]
        sums[j] = total


@njit(cache=True, nogil=True)
def shift(counts, offset, least, weight):
    """Return counts plus *offset* where not excluded, not below *least*.

    Parameters
    ----------
    counts
        Shape (B, H, W).
    offset, least
        Shape (B,).
    weight
        Shape (H, W).
    """
    n, height, width = counts.shape
    shifted = np.empty_like(counts)
    for i in range(n):
        added, lowest = offset[i], least[i]
        for y in range(height):
            for x in range(width):
                value = counts[i, y, x] + added * weight[y, x]
                shifted[i, y, x] = value if value > lowest else lowest
    return shifted


@njit(cache=True, nogil=True)
def clip_hot_pixels(counts, gain, ratio):
    """Return counts of shape (B, H, W), see `_pixels.clip_hot_pixels`."""
    n, height, width = counts.shape
    ratio = np.float32(ratio)
    clipped = np.empty_like(counts)
    padded = np.empty((height + 2, width + 2), np.float32)
    for i in range(n):
        extend_one(counts[i], 1, padded)
        _clip_hot_pixels(padded, ratio, np.float32(2) * gain[i], clipped[i])
    return clipped


@njit(cache=True, nogil=True)
def _clip_hot_pixels(padded, ratio, more, clipped):
    others = ratio - np.float32(1)
    for y in range(clipped.shape[0]):
        for x in range(clipped.shape[1]):
            above, below = padded[y, x + 1], padded[y + 2, x + 1]
            left, right = padded[y + 1, x], padded[y + 1, x + 2]
            vertical = above if above > below else below
            horizontal = left if left > right else right
            brightest = vertical if vertical > horizontal else horizontal
            left, right = padded[y, x], padded[y, x + 2]
            upper = left if left < right else right
            left, right = padded[y + 2, x], padded[y + 2, x + 2]
            lower = left if left < right else right
            darkest = upper if upper < lower else lower
            darkest = darkest if darkest < brightest else brightest
            limit = brightest * ratio - darkest * others + more
            value = padded[y + 1, x + 1]
            clipped[y, x] = value if value < limit else limit


@njit(cache=True, nogil=True)
def blur(images, factor):
    """Return images smoothed by the 5 × 5 binomial kernel, times *factor*.

    Parameters
    ----------
    images
        Shape (B, H, W); there is nothing beyond their edges.
    factor
        Shape (H, W).
    """
    n, height, width = images.shape
    smoothed = np.empty_like(images)
    padded = np.zeros((height + 4, width), np.float32)
    rows = np.zeros((height, width + 4), np.float32)
    for i in range(n):
        for y in range(height):
            for x in range(width):
                padded[y + 2, x] = images[i, y, x]
        _blur(padded, rows, factor, smoothed[i])
    return smoothed


@njit(cache=True, nogil=True)
def _blur(padded, rows, factor, smoothed):
    # The four additions of neighbours that `_pixels._blur` makes
    height, width = smoothed.shape
    for y in range(height):
        for x in range(width):
            a, b, c = padded[y, x], padded[y + 1, x], padded[y + 2, x]
            d, e = padded[y + 3, x], padded[y + 4, x]
            bc, cd = b + c, c + d
            bcd = bc + cd
            rows[y, x + 2] = (((a + b) + bc) + bcd) + (bcd + (cd + (d + e)))
    for y in range(height):
        for x in range(width):
            a, b, c = rows[y, x], rows[y, x + 1], rows[y, x + 2]
            d, e = rows[y, x + 3], rows[y, x + 4]
            bc, cd = b + c, c + d
            bcd = bc + cd
            total = (((a + b) + bc) + bcd) + (bcd + (cd + (d + e)))
            smoothed[y, x] = total * factor[y, x]


@njit(cache=True, nogil=True)
def bin_two(images):
    """Return the means of 2 × 2 pixels, the edge filled with 0."""
    n, height, width = images.shape
    binned = np.empty((n, (height + 1) // 2, (width + 1) // 2), np.float32)
    rows = np.zeros(width + width % 2, np.float32)
    for i in range(n):
        for j in range(binned.shape[1]):
            first, second = images[i, 2 * j], images[i, min(2 * j + 1, height - 1)]
            share = np.float32(2 * j + 1 < height)
            for x in range(width):
                rows[x] = first[x] + share * second[x]
            for x in range(binned.shape[2]):
                binned[i, j, x] = (rows[2 * x] + rows[2 * x + 1]) * _QUARTER
    return binned


@njit(cache=True, nogil=True)
def extend_one(image, margin, extended):
    """Write an image with its outermost pixels repeated *margin* times."""
    height, width = image.shape
    for y in range(extended.shape[0]):
        row = image[min(max(y - margin, 0), height - 1)]
        out = extended[y]
        inner = out[margin:]
        for x in range(width):
            inner[x] = row[x]
        for x in range(margin):
            out[x] = row[0]
            inner[width + x] = row[width - 1]


@njit(cache=True, nogil=True)
def difference_sums(mean, whole, size):
    """Return sums of tiles that tell how smoothed counts vary.

    Parameters
    ----------
    mean
        Smoothed counts of shape (B, H, W). Every second row is looked at.
    whole
        Shape ((H + 1) // 2, W - 2 steps), 0 where a pixel doesn't count.
    size
        Pixels a side of a tile.

    Returns
    -------
    squares, levels
        Sums of the squared difference of a pixel from the mean of those
        `noise.STEP` to the left and right of it, and of the pixel itself, of
        shape (B, rows // size, columns // size).
    """
    n = mean.shape[0]
    n_rows, n_columns = whole.shape[0] // size, whole.shape[1] // size
    squares = np.empty((n, n_rows, n_columns), np.float32)
    levels = np.empty((n, n_rows, n_columns), np.float32)
    lines = np.empty((2, n_columns * size), np.float32)
    for i in range(n):
        for j in range(n_rows):
            lines[:] = _ZERO
            for k in range(size):
                y = j * size + k
                _add_difference(mean[i, 2 * y], whole[y], lines)
            _sum_of_each(lines[0], size, squares[i, j])
            _sum_of_each(lines[1], size, levels[i, j])
    return squares, levels


@njit(cache=True, nogil=True)
def _add_difference(row, whole, lines):
    for x in range(lines.shape[1]):
        middle = row[x + STEP]
        difference = (middle - _HALF * (row[x] + row[x + 2 * STEP])) * whole[x]
        lines[0, x] += difference * difference
        lines[1, x] += middle * whole[x]
