# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps of `refine`, compiled for a CPU.

Each spot is refined in a small copy of what is around it, and its ring
of points has one share of each of four pixels for all of them. Arrays
are float32 and contiguous.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from pyxem_symnet.descriptors.refine import MARGIN, N_STEPS, REACH, WINDOW

_ZERO = np.float32(0)
_ONE = np.float32(1)
_TWO = np.float32(2)
_FALL = np.float32(-0.5 / WINDOW**2)
_FLUX = np.float32((1 + WINDOW**2) / WINDOW**2)
_SIDE = 2 * REACH + 1
# The middle of a patch that holds the points about each place, which is a pixel
# away at most, and where what is refined begins
_MIDDLE = MARGIN + 1
_EDGE = _MIDDLE - REACH


@njit(cache=True, nogil=True)
def refine_level(chosen, contrast, row, column, mean, points, scale, position, flux):
    """Write positions and counts of the spots of one level.

    Parameters
    ----------
    chosen
        Patterns that this level is best for, of shape (n,).
    contrast, row, column, mean
        Of the level's candidates.
    points
        Half of the points around a pixel, (rows, columns).
    scale
        Of the level.
    position
        (x, y) in working pixels, of shape (B, K, 2).
    flux
        Counts, 0 where there is no spot, of shape (B, K).
    """
    spread = _ZERO
    for k in range(points.shape[0]):
        spread += _TWO * np.float32(points[k, 0] * points[k, 0])
    patch = np.empty((2 * _MIDDLE + 1, 2 * _MIDDLE + 1), np.float32)
    plane, window = np.empty(3, np.float32), np.empty(_SIDE, np.float32)
    offset = np.float32(0.5 * (scale - 1))
    size = np.float32(scale)
    for i in chosen:
        for k in range(contrast.shape[1]):
            y, x = row[i, k], column[i, k]
            shift_y, shift_x, total = _ZERO, _ZERO, _ZERO
            if contrast[i, k] > _ZERO:
                _cut(mean[i], y, x, patch)
                for _ in range(N_STEPS):
                    _plane(patch, shift_y, shift_x, points, spread, plane)
                    total, move_y, move_x = _moments(
                        patch, shift_y, shift_x, plane, window
                    )
                    shift_y = min(max(shift_y + _TWO * move_y, -_ONE), _ONE)
                    shift_x = min(max(shift_x + _TWO * move_x, -_ONE), _ONE)
            position[i, k, 0] = (np.float32(x) + shift_x) * size + offset
            position[i, k, 1] = (np.float32(y) + shift_y) * size + offset
            flux[i, k] = total * _FLUX * (size * size)


@njit(cache=True, nogil=True)
def _cut(mean, y, x, patch):
    """Copy what is around a pixel, the outermost pixels repeated."""
    height, width = mean.shape
    for j in range(patch.shape[0]):
        row = mean[min(max(y + j - _MIDDLE, 0), height - 1)]
        for k in range(patch.shape[1]):
            patch[j, k] = row[min(max(x + k - _MIDDLE, 0), width - 1)]


@njit(cache=True, nogil=True)
def _plane(patch, shift_y, shift_x, points, spread, plane):
    """Write level and slopes of the plane through the points about a place."""
    whole_y, whole_x = min(np.floor(shift_y), _ZERO), min(np.floor(shift_x), _ZERO)
    row_share, column_share = shift_y - whole_y, shift_x - whole_x
    top, left = _MIDDLE + int(whole_y), _MIDDLE + int(whole_x)
    # Two opposite points each: their sum and difference say it all
    a, b = (_ONE - row_share) * (_ONE - column_share), (_ONE - row_share) * column_share
    c, d = row_share * (_ONE - column_share), row_share * column_share
    level, slope_y, slope_x = _ZERO, _ZERO, _ZERO
    for k in range(points.shape[0]):
        dy, dx = points[k, 0], points[k, 1]
        v, u = top + dy, left + dx
        one = a * patch[v, u] + b * patch[v, u + 1] + c * patch[v + 1, u]
        one += d * patch[v + 1, u + 1]
        v, u = top - dy, left - dx
        other = a * patch[v, u] + b * patch[v, u + 1] + c * patch[v + 1, u]
        other += d * patch[v + 1, u + 1]
        level += one + other
        slope_y += (one - other) * np.float32(dy)
        slope_x += (one - other) * np.float32(dx)
    plane[0] = level / np.float32(2 * points.shape[0])
    plane[1] = slope_y / spread
    plane[2] = slope_x / spread


@njit(cache=True, nogil=True)
def _moments(patch, shift_y, shift_x, plane, window):
    """Return the sum and the mean offsets of what exceeds a plane, in a window."""
    for k in range(_SIDE):
        dx = np.float32(k - REACH) - shift_x
        window[k] = np.exp(_FALL * dx * dx)
    total, moment_y, moment_x = np.float32(1e-30), _ZERO, _ZERO
    for j in range(_SIDE):
        dy = np.float32(j - REACH) - shift_y
        base = plane[0] + plane[1] * dy
        line, line_x = _ZERO, _ZERO
        for k in range(_SIDE):
            dx = np.float32(k - REACH) - shift_x
            net = patch[_EDGE + j, _EDGE + k] - base - plane[2] * dx
            net = max(net, _ZERO) * window[k]
            line += net
            line_x += net * dx
        share = np.exp(_FALL * dy * dy)
        total += line * share
        moment_y += line * share * dy
        moment_x += line_x * share
    return total, moment_y / total, moment_x / total
