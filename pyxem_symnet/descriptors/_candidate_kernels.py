# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps of `candidates`, compiled for a CPU.

Only local maxima are compared with the points around them, and only
what is brighter than all of these is looked at further. Arrays are
float32 and contiguous.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from pyxem_symnet.descriptors._kernels import extend_one
from pyxem_symnet.descriptors.candidates import (
    ANSCOMBE,
    BLOCK,
    MIN_NEIGHBOURS,
    ROUNDING,
    SPOT_WEIGHT,
)
from pyxem_symnet.descriptors.refine import MARGIN

_ZERO = np.float32(0)
_TWO = np.float32(2)
_HALF = np.float32(0.5)
_ANSCOMBE = np.float32(ANSCOMBE)
_LEAST_WEIGHT = np.float32(SPOT_WEIGHT)
_LEAST_NET = np.float32(1 + MIN_NEIGHBOURS)
_ROUNDING = np.float32(ROUNDING)
# Less than one by more than rounding
_ALMOST = np.float32(0.9999)


@njit(cache=True, nogil=True)
def find_candidates(
    counts,
    mean,
    weight,
    hidden,
    points,
    noise,
    beam,
    threshold,
    min_contrast,
    n_closer,
    max_spots,
):
    """Return the strongest local maxima that are significant.

    Parameters
    ----------
    counts
        Shape (B, H, W).
    mean
        Smoothed counts of shape (B, H, W).
    weight
        What these rest on, of shape (H, W).
    hidden
        Where they are no background, of shape (H + 2 margin, W + 2
        margin), or of shape (0, 0) if that is nowhere.
    points
        Half of the points around a pixel, (rows, columns).
    noise
        Power, level and dark level, of shape (B, 3).
    beam
        (x, y) of the beam and the radius about it without spots, of
        shape (B, 3).
    threshold, min_contrast
        See `candidates.Limits`.
    n_closer
        Number of blocks that are looked at closely.
    max_spots
        Number of candidates that are returned.

    Returns
    -------
    contrast
        Shape (B, max_spots), descending, 0 where there are no more.
    row, column
        Shape (B, max_spots).
    """
    n, height, width = counts.shape
    contrast = np.zeros((n, max_spots), np.float32)
    row = np.zeros((n, max_spots), np.int64)
    column = np.zeros((n, max_spots), np.int64)
    padded = np.empty((height + 2 * MARGIN, width + 2 * MARGIN), np.float32)
    highest = np.zeros((height, -(-width // 8) * 8), np.uint8)
    pixels = np.empty((highest.size, 2), np.int64)
    size = -(-height // BLOCK) * -(-width // BLOCK)
    place, passed = np.empty(size, np.int64), np.empty(size, np.bool_)
    value, around = np.empty(size, np.float32), np.empty(size, np.float32)
    for i in range(n):
        extend_one(mean[i], MARGIN, padded)
        _local_maxima(padded, highest)
        listed = pixels[: _list_pixels(highest, pixels)]
        _best_of_blocks(padded, listed, hidden, points, value, around, place)
        _significant(value, around, noise[i], threshold, min_contrast, passed)
        for k in range(size):
            if passed[k]:
                y, x = place[k] // width, place[k] % width
                dx, dy = np.float32(x) - beam[i, 0], np.float32(y) - beam[i, 1]
                passed[k] = (
                    dx * dx + dy * dy >= beam[i, 2] * beam[i, 2]
                    and weight[y, x] > _LEAST_WEIGHT
                    and _is_wider_than_a_pixel(counts[i], y, x, _HALF * around[k])
                )
        _keep_closest(padded, value, around, noise[i], n_closer, passed)
        found = 0
        for k in range(size):
            if passed[k]:
                found = _insert(value[k], place[k], found, contrast[i], row[i])
        for k in range(found):
            row[i, k], column[i, k] = row[i, k] // width, row[i, k] % width
    return contrast, row, column


@njit(cache=True, nogil=True)
def _local_maxima(mean, highest):
    for y in range(highest.shape[0]):
        for x in range(mean.shape[1] - 2 * MARGIN):
            peak = mean[y + MARGIN, x + MARGIN]
            highest[y, x] = (
                (peak > _ZERO)
                & (peak >= mean[y + MARGIN - 1, x + MARGIN - 1])
                & (peak >= mean[y + MARGIN - 1, x + MARGIN])
                & (peak >= mean[y + MARGIN - 1, x + MARGIN + 1])
                & (peak >= mean[y + MARGIN, x + MARGIN - 1])
                & (peak >= mean[y + MARGIN, x + MARGIN + 1])
                & (peak >= mean[y + MARGIN + 1, x + MARGIN - 1])
                & (peak >= mean[y + MARGIN + 1, x + MARGIN])
                & (peak >= mean[y + MARGIN + 1, x + MARGIN + 1])
            )


@njit(cache=True, nogil=True)
def _list_pixels(marked, pixels):
    """Write row and column of what is marked, and return their number."""
    found = 0
    # Eight at once, as there's seldom one among them
    eights = marked.view(np.uint64)
    for y in range(eights.shape[0]):
        for j in range(eights.shape[1]):
            if eights[y, j]:
                for x in range(8 * j, 8 * j + 8):
                    pixels[found, 0], pixels[found, 1] = y, x
                    found += marked[y, x]
    return found


@njit(cache=True, nogil=True)
def _best_of_blocks(mean, pixels, hidden, points, value, around, place):
    """Write each block's largest contrast, its background and its pixel.

    The background is the largest sum of two opposite points, twice what
    the contrast is above. A block with no contrast above 0 has the
    value 0.
    """
    stride = mean.shape[1]
    width = stride - 2 * MARGIN
    n_columns = -(-width // BLOCK)
    steps = points[:, 0] * stride + points[:, 1]
    flat, behind = mean.reshape(-1), hidden.reshape(-1)
    value[:] = _ZERO
    around[:] = _ZERO
    for i in range(pixels.shape[0]):
        y, x = pixels[i, 0], pixels[i, 1]
        middle = (y + MARGIN) * stride + x + MARGIN
        background = _ZERO
        for step in steps:
            one, other = flat[middle + step], flat[middle - step]
            pair = one + other
            if behind.shape[0]:
                pair += other * behind[middle + step] + one * behind[middle - step]
            background = pair if pair > background else background
        contrast = flat[middle] - _HALF * background
        block = y // BLOCK * n_columns + x // BLOCK
        if contrast > value[block]:
            value[block] = contrast
            around[block] = background
            place[block] = y * width + x


@njit(cache=True, nogil=True)
def _significant(value, around, noise, threshold, min_contrast, passed):
    """Write which contrasts are above the noise and a part of the background."""
    unit, level, dark = noise[0], noise[1], noise[2]
    for k in range(value.shape[0]):
        background = _HALF * around[k]
        expected = background - level
        expected = (expected if expected > _ZERO else _ZERO) / unit + _ANSCOMBE
        excess = np.sqrt(expected + value[k] / unit) - np.sqrt(expected)
        passed[k] = (
            (value[k] > _ROUNDING * background)
            & (_TWO * excess >= threshold)
            & (value[k] >= min_contrast * (background - dark))
        )


@njit(cache=True, nogil=True)
def _keep_closest(mean, value, around, noise, n_closer, passed):
    """Drop what is not among the *n_closer* blocks that stand out most."""
    n_columns = -(-(mean.shape[1] - 2 * MARGIN) // BLOCK)
    weakest = np.float32(np.inf)
    for k in range(value.shape[0]):
        if passed[k]:
            weakest = min(weakest, _roughly(mean, value[k], k, n_columns, noise))
    # No block is less bright than its candidate, so these are too many, if
    # anything, and mostly so few that nothing has to be sorted
    unit, level = noise[0], noise[1]
    least = weakest * weakest * unit * _ALMOST
    stronger, found = 0, 0
    for k in range(value.shape[0]):
        found += value[k] > _ZERO
        net = value[k] + _HALF * around[k] - level
        net = net if net > _ZERO else _ZERO
        stronger += (value[k] > _ZERO) & (value[k] * value[k] >= least * (net + unit))
    if stronger <= n_closer:
        return
    rough = np.empty(found, np.float32)
    found = 0
    for k in range(value.shape[0]):
        if value[k] > _ZERO:
            rough[found] = _roughly(mean, value[k], k, n_columns, noise)
            found += 1
    weakest = np.partition(rough, found - n_closer)[found - n_closer]
    for k in range(value.shape[0]):
        if passed[k]:
            passed[k] = _roughly(mean, value[k], k, n_columns, noise) >= weakest


@njit(cache=True, nogil=True)
def _roughly(mean, contrast, block, n_columns, noise):
    """Return a contrast over the noise where its block is brightest."""
    top, left = block // n_columns * BLOCK, block % n_columns * BLOCK
    brightest = _ZERO
    for y in range(top, min(top + BLOCK, mean.shape[0] - 2 * MARGIN)):
        for x in range(left, min(left + BLOCK, mean.shape[1] - 2 * MARGIN)):
            brightest = max(brightest, mean[y + MARGIN, x + MARGIN])
    unit, level = noise[0], noise[1]
    return contrast / np.sqrt(unit * (max(brightest - level, _ZERO) + unit))


@njit(cache=True, nogil=True)
def _insert(best, pixel, found, contrast, pixels):
    """Insert into what is sorted, dropping the least if it is full."""
    if found < contrast.shape[0]:
        found += 1
    elif best <= contrast[found - 1]:
        return found
    slot = found - 1
    while slot > 0 and contrast[slot - 1] < best:
        contrast[slot], pixels[slot] = contrast[slot - 1], pixels[slot - 1]
        slot -= 1
    contrast[slot], pixels[slot] = best, pixel
    return found


@njit(cache=True, nogil=True)
def _is_wider_than_a_pixel(counts, y, x, background):
    height, width = counts.shape
    total = _ZERO
    brightest = np.float32(-np.inf)
    for dy in range(-1, 2):
        for dx in range(-1, 2):
            row, column = (
                min(max(y + dy, 0), height - 1),
                min(max(x + dx, 0), width - 1),
            )
            net = counts[row, column] - background
            total += net
            brightest = max(brightest, net)
    return total >= _LEAST_NET * brightest
