# SPDX-License-Identifier: GPL-3.0-or-later
"""The search for the direct beam of `centre`, compiled for a CPU.

Rays are followed to where the beam ends, and sums are taken where its
window is. Arrays are float32 and contiguous.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from pyxem_symnet.descriptors.centre import (
    BLOCK,
    COVERED,
    FLAT_TOP,
    MORE_RADIUS,
    N_STEPS,
    OTHERS,
    RAY_LENGTH,
    WINDOW,
)

_ZERO = np.float32(0)
_ONE = np.float32(1)
_HALF = np.float32(0.5)
_TINY = np.float32(1e-30)
_COVERED = np.float32(COVERED)
_LOW, _RISE = np.float32(FLAT_TOP[0]), np.float32(FLAT_TOP[1])
_TIMES, _MORE = np.float32(MORE_RADIUS[0]), np.float32(MORE_RADIUS[1])
_APART, _BEYOND = np.float32(OTHERS[0]), np.float32(OTHERS[1])


@njit(cache=True, nogil=True)
def beam_radius(mean, centres, directions, level):
    """Return the radii at which the beams have fallen to *level*.

    Parameters
    ----------
    mean
        Shape (B, H, W).
    centres
        (x, y) of shape (B, 2).
    directions
        Unit vectors of the rays (x, y), of shape (rays, 2).
    level
        Part of the intensity at the centre.

    Returns
    -------
    ndarray
        Shape (B,).
    """
    radii = np.empty(mean.shape[0], np.float32)
    lengths = np.empty(directions.shape[0], np.int64)
    for i in range(mean.shape[0]):
        x, y = centres[i]
        radii[i] = _radius(mean[i], x, y, directions, np.float32(level), lengths)
    return radii


@njit(cache=True, nogil=True)
def _radius(mean, x, y, directions, level, lengths):
    least = level * _value(mean, x, y)
    for k in range(directions.shape[0]):
        length = 0
        while length < RAY_LENGTH:
            step = np.float32(length)
            column, row = x + directions[k, 0] * step, y + directions[k, 1] * step
            if not _value(mean, column, row) > least:
                break
            length += 1
        lengths[k] = length
    middle = (directions.shape[0] - 1) // 2
    radius = np.sort(lengths)[middle]
    return np.float32(radius if radius < RAY_LENGTH else 0)


@njit(cache=True, nogil=True)
def _value(mean, x, y):
    """Return the nearest pixel's value."""
    row = min(max(int(np.rint(y)), 0), mean.shape[0] - 1)
    column = min(max(int(np.rint(x)), 0), mean.shape[1] - 1)
    return mean[row, column]


@njit(cache=True, nogil=True)
def beam_centre(mean, weight, directions, level, box):
    """Return the brightest blobs' centres of mass.

    Parameters
    ----------
    mean
        Shape (B, H, W).
    weight
        Shape (H, W).
    directions, level
        As for `beam_radius`.
    box
        First and last row, first and last column (exclusive) of the
        part in which the beam is looked for.

    Returns
    -------
    centres
        (x, y) of shape (B, 2).
    peaks, others
        Smoothed counts of the brightest pixel, and of the brightest
        block elsewhere, of shape (B,).
    free
        Whether nothing near the beam is excluded, of shape (B,).
    """
    n = mean.shape[0]
    centres = np.empty((n, 2), np.float32)
    peaks, others = np.empty(n, np.float32), np.empty(n, np.float32)
    free = np.empty(n, np.bool_)
    lengths = np.empty(directions.shape[0], np.int64)
    for i in range(n):
        top, left = _brightest(mean[i], box)
        peak, x, y = mean[i, top, left], np.float32(left), np.float32(top)
        for _ in range(N_STEPS):
            radius = _radius(mean[i], x, y, directions, level, lengths)
            reach = _TIMES * radius + _MORE
            last_x, last_y = x, y
            x, y = _centre_of_mass(mean[i], top, left, last_x, last_y, reach)
        centres[i, 0], centres[i, 1], peaks[i] = x, y, peak
        free[i] = _is_free(weight, top, left, last_x, last_y, reach)
        others[i] = _brightest_beyond(mean[i], x, y, _APART * reach + _BEYOND)
    return centres, peaks, others, free


@njit(cache=True, nogil=True)
def _brightest(mean, box):
    """Return row and column of the first of the largest values in a box."""
    best, row, column = np.float32(-np.inf), box[0], box[2]
    for y in range(box[0], box[1]):
        line = mean[y, box[2] : box[3]]
        highest = line[0]
        for x in range(line.shape[0]):
            highest = line[x] if line[x] > highest else highest
        if highest > best:
            best, row = highest, y
    while mean[row, column] != best:
        column += 1
    return row, column


@njit(cache=True, nogil=True)
def _span(middle, around, reach, size):
    """Return the pixels of a window about *middle* within *reach* of a point."""
    first = max(middle - WINDOW, int(np.floor(around - reach)), 0)
    return first, min(middle + WINDOW, int(np.ceil(around + reach)), size - 1) + 1


@njit(cache=True, nogil=True)
def _centre_of_mass(mean, top, left, x, y, reach):
    """Return the centre of mass of the pixels about a point, cut at a height."""
    peak = max(mean[top, left], _TINY)
    rows = _span(top, y, reach + _ONE, mean.shape[0])
    columns = _span(left, x, reach + _ONE, mean.shape[1])
    total, moment_x, moment_y = 1e-30, 0.0, 0.0
    for row in range(rows[0], rows[1]):
        dy = np.float32(row) - y
        for column in range(columns[0], columns[1]):
            dx = np.float32(column) - x
            value = (mean[row, column] / peak - _LOW) / _RISE
            value = min(max(value, _ZERO), _ONE)
            inside = reach - np.sqrt(dx * dx + dy * dy) + _HALF
            value *= min(max(inside, _ZERO), _ONE)
            total += value
            moment_x += value * dx
            moment_y += value * dy
    return x + np.float32(moment_x / total), y + np.float32(moment_y / total)


@njit(cache=True, nogil=True)
def _is_free(weight, top, left, x, y, reach):
    rows = _span(top, y, reach + _ONE, weight.shape[0])
    columns = _span(left, x, reach + _ONE, weight.shape[1])
    for row in range(rows[0], rows[1]):
        dy = np.float32(row) - y
        for column in range(columns[0], columns[1]):
            dx = np.float32(column) - x
            if weight[row, column] > _COVERED:
                continue
            if np.sqrt(dx * dx + dy * dy) <= reach:
                return False
    return True


@njit(cache=True, nogil=True)
def _brightest_beyond(mean, x, y, distance):
    """Return the largest value of blocks that begin beyond a distance."""
    height, width = mean.shape
    best, square = _ZERO, distance * distance
    highest = np.empty(width, np.float32)
    for top in range(0, height, BLOCK):
        highest[:] = mean[top]
        for row in range(top + 1, min(top + BLOCK, height)):
            line = mean[row]
            for column in range(width):
                value = line[column]
                highest[column] = value if value > highest[column] else highest[column]
        dy = np.float32(top) - y
        for left in range(0, width, BLOCK):
            dx = np.float32(left) - x
            if dy * dy + dx * dx < square:
                continue
            for column in range(left, min(left + BLOCK, width)):
                best = max(best, highest[column])
    return best
