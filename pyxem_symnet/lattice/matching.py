# SPDX-License-Identifier: GPL-3.0-or-later
"""Spots matched with the reflections of a lattice in a given orientation."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

#: Factors on the distance in the detector's plane and on the excitation error, of
#: the first match of an orientation and of those after each improvement
FIRST = (2.0, 1.5)
SECOND = (1.5, 1.2)
LAST = (1.0, 1.2)

# Reflections are looked for above and below the Ewald sphere, too, where an index
# changes by more than this within the excitation error; and how far
_FINE_STEP = 0.3
_STEP = 0.7
# Distances along the beam are hardly known
_ALONG_BEAM = 0.05
_N_STEPS = 2
_DAMPING = 1e-6


@njit(cache=True, nogil=True)
def count_matches(basis, vectors, starts, rotations, reach, excitation_error):
    """Return how many spots of several views a lattice explains.

    Parameters
    ----------
    basis
        Reciprocal vectors of the lattice as rows in 1/Å.
    vectors
        Spots of one view after the other, of shape (spots, 3).
    starts
        Where each view starts, and the last one ends.
    rotations
        Orientation of each view, of shape (views, 3, 3).
    reach
        Largest distance of a match from each spot, in the detector's
        plane, in 1/Å.
    excitation_error
        Largest distance of reflections from the Ewald sphere in 1/Å.
    """
    columns = basis.T.copy()
    inverse = np.linalg.inv(basis)
    hkl = np.empty((len(vectors), 3))
    matched = np.empty(len(vectors), np.bool_)
    n = 0
    for view in range(len(rotations)):
        of_view = slice(starts[view], starts[view + 1])
        n += match_spots(
            multiply(rotations[view], columns),
            multiply(rotations[view], inverse),
            vectors[of_view],
            reach[of_view],
            LAST,
            excitation_error,
            0,
            hkl,
            matched,
        )
    return n


@njit(cache=True, nogil=True)
def match_spots(
    forth, back, vectors, reach, factors, excitation_error, least, hkl, matched
):
    """Match spots with reflections and return how many, or fewer than `least`.

    `forth` turns indices, a column, into vectors in the laboratory; `back`
    turns such a vector, a row, into indices. `hkl` and `matched` are filled.
    """
    error = factors[1] * excitation_error
    step = max(abs(back[2, 0]), abs(back[2, 1]), abs(back[2, 2]))
    n_sides = 0 if error * step < _FINE_STEP else 1
    n_spots = len(vectors)
    n = 0
    for i in range(n_spots):
        if n + n_spots - i < least:
            return n
        x, y, z = vectors[i, 0], vectors[i, 1], vectors[i, 2]
        index_0 = x * back[0, 0] + y * back[1, 0] + z * back[2, 0]
        index_1 = x * back[0, 1] + y * back[1, 1] + z * back[2, 1]
        index_2 = x * back[0, 2] + y * back[1, 2] + z * back[2, 2]
        limit = (factors[0] * reach[i]) ** 2
        best = np.inf
        hkl[i, 0] = 0
        hkl[i, 1] = 0
        hkl[i, 2] = 0
        for side in range(-n_sides, n_sides + 1):
            shift = side * error * _STEP
            h = np.round(index_0 + shift * back[2, 0])
            k = np.round(index_1 + shift * back[2, 1])
            l = np.round(index_2 + shift * back[2, 2])  # noqa: E741
            if h == 0 and k == 0 and l == 0:
                continue
            if abs(h * forth[2, 0] + k * forth[2, 1] + l * forth[2, 2] - z) > error:
                continue
            dx = h * forth[0, 0] + k * forth[0, 1] + l * forth[0, 2] - x
            dy = h * forth[1, 0] + k * forth[1, 1] + l * forth[1, 2] - y
            distance = dx * dx + dy * dy
            if distance <= limit and distance < best:
                best = distance
                hkl[i, 0] = h
                hkl[i, 1] = k
                hkl[i, 2] = l
        matched[i] = best < np.inf
        n += matched[i]
    return n


@njit(cache=True, nogil=True)
def improve_rotation(columns, rotation, vectors, hkl, matched):
    """Return the rotation, improved by least squares on the matched spots."""
    for _ in range(_N_STEPS):
        forth = multiply(rotation, columns)
        # A small rotation w moves p by w x p
        xx = yy = zz = _DAMPING
        xy = xz = yz = right_x = right_y = right_z = 0.0
        for i in range(len(vectors)):
            if not matched[i]:
                continue
            x = dot(forth[0], hkl[i])
            y = dot(forth[1], hkl[i])
            z = dot(forth[2], hkl[i])
            dx = vectors[i, 0] - x
            dy = vectors[i, 1] - y
            dz = _ALONG_BEAM * (vectors[i, 2] - z)
            xx += z * z + _ALONG_BEAM * y * y
            yy += z * z + _ALONG_BEAM * x * x
            zz += x * x + y * y
            xy -= _ALONG_BEAM * x * y
            xz -= x * z
            yz -= y * z
            right_x += y * dz - z * dy
            right_y += z * dx - x * dz
            right_z += x * dy - y * dx
        # Cramer's rule
        minor_xx = yy * zz - yz * yz
        minor_xy = xz * yz - xy * zz
        minor_xz = xy * yz - xz * yy
        minor_yy = xx * zz - xz * xz
        minor_yz = xy * xz - xx * yz
        minor_zz = xx * yy - xy * xy
        scale = 1 / (xx * minor_xx + xy * minor_xy + xz * minor_xz)
        turn_x = scale * (minor_xx * right_x + minor_xy * right_y + minor_xz * right_z)
        turn_y = scale * (minor_xy * right_x + minor_yy * right_y + minor_yz * right_z)
        turn_z = scale * (minor_xz * right_x + minor_yz * right_y + minor_zz * right_z)
        angle = math.sqrt(turn_x * turn_x + turn_y * turn_y + turn_z * turn_z)
        if angle < 1e-9:
            break
        rotation = multiply(
            rotation_about(turn_x / angle, turn_y / angle, turn_z / angle, angle),
            rotation,
        )
    return rotation


@njit(cache=True, nogil=True)
def rotation_about(x, y, z, angle):
    """Return the matrix of a rotation by an angle in radians about a unit vector."""
    s = math.sin(angle)
    c = math.cos(angle)
    v = 1 - c
    matrix = np.empty((3, 3))
    matrix[0, 0] = c + v * x * x
    matrix[1, 1] = c + v * y * y
    matrix[2, 2] = c + v * z * z
    matrix[0, 1] = v * x * y - s * z
    matrix[1, 0] = v * x * y + s * z
    matrix[0, 2] = v * x * z + s * y
    matrix[2, 0] = v * x * z - s * y
    matrix[1, 2] = v * y * z - s * x
    matrix[2, 1] = v * y * z + s * x
    return matrix


@njit(cache=True, nogil=True)
def dot(a, b):
    """Return the scalar product of two vectors."""
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


@njit(cache=True, nogil=True)
def multiply(a, b):
    """Return the product of two matrices of shape (3, 3), without BLAS's overhead."""
    product = np.empty((3, 3))
    for i in range(3):
        for j in range(3):
            product[i, j] = a[i, 0] * b[0, j] + a[i, 1] * b[1, j] + a[i, 2] * b[2, j]
    return product
