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
    n = 0
    for view in range(len(rotations)):
        of_view = slice(starts[view], starts[view + 1])
        points = vectors[of_view].T.copy()
        n += match_spots(
            multiply(rotations[view], columns),
            multiply(rotations[view], inverse),
            points,
            reach[of_view],
            LAST,
            excitation_error,
            np.empty_like(points),
            np.empty(points.shape[1], np.bool_),
        )
    return n


def matched_spots(
    basis: np.ndarray,
    rotation: np.ndarray,
    vectors: np.ndarray,
    reach: np.ndarray,
    excitation_error: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the reflections of the spots of a view in a known orientation.

    Parameters
    ----------
    basis
        Reciprocal vectors of the lattice as rows in 1/Å.
    rotation
        Matrix that turns the lattice into the laboratory frame.
    vectors
        Spots on the Ewald sphere in 1/Å, of shape (spots, 3).
    reach, excitation_error
        As for :func:`count_matches`.

    Returns
    -------
    hkl
        Reflection of each spot, of shape (spots, 3); zeros if none.
    matched
        Whether a spot has one, of shape (spots,).
    """
    hkl = np.empty((3, len(vectors)))
    matched = np.empty(len(vectors), bool)
    forth = rotation @ basis.T
    match_spots(
        forth,
        np.linalg.inv(forth).T.copy(),
        vectors.T.copy(),
        reach,
        LAST,
        excitation_error,
        hkl,
        matched,
    )
    return hkl.T.copy(), matched


@njit(cache=True, nogil=True)
def match_spots(forth, back, points, reach, factors, excitation_error, hkl, matched):
    """Match spots with reflections and return how many.

    `forth` turns indices, a column, into vectors in the laboratory; `back`
    turns such a vector, a row, into indices. `points` are spots as columns,
    of shape (3, spots); `hkl`, of the same shape, and `matched` are filled.

    A search spends most of its time here. Since there are no branches, and
    equal coordinates lie side by side, several spots are treated at once.
    """
    error = factors[1] * excitation_error
    rows = (
        (forth[0, 0], forth[0, 1], forth[0, 2]),
        (forth[1, 0], forth[1, 1], forth[1, 2]),
        (forth[2, 0], forth[2, 1], forth[2, 2]),
    )
    b00, b01, b02 = back[0, 0], back[0, 1], back[0, 2]
    b10, b11, b12 = back[1, 0], back[1, 1], back[1, 2]
    b20, b21, b22 = back[2, 0], back[2, 1], back[2, 2]
    shift = error * _STEP
    if error * max(abs(b20), abs(b21), abs(b22)) < _FINE_STEP:
        shift = 0.0
    s0, s1, s2 = shift * b20, shift * b21, shift * b22
    n = 0
    for i in range(points.shape[1]):
        x, y, z = points[0, i], points[1, i], points[2, i]
        limits = error, (factors[0] * reach[i]) ** 2
        p0 = x * b00 + y * b10 + z * b20
        p1 = x * b01 + y * b11 + z * b21
        p2 = x * b02 + y * b12 + z * b22
        # Below the sphere, on it and above it: no loop, for inside of one spots are
        # treated one by one
        best = np.inf, 0.0, 0.0, 0.0
        best = _nearer(best, (p0 - s0, p1 - s1, p2 - s2), (x, y, z), rows, limits)
        best = _nearer(best, (p0, p1, p2), (x, y, z), rows, limits)
        best = _nearer(best, (p0 + s0, p1 + s1, p2 + s2), (x, y, z), rows, limits)
        is_matched = best[0] < np.inf
        # Zero already, but without the choice the compiler would make branches
        hkl[0, i] = best[1] if is_matched else 0.0
        hkl[1, i] = best[2] if is_matched else 0.0
        hkl[2, i] = best[3] if is_matched else 0.0
        matched[i] = is_matched
        n += is_matched
    return n


@njit(cache=True, nogil=True)
def _nearer(best, place, spot, rows, limits):
    """Return the squared distance and indices of the nearer of two reflections.

    The second is the one next to a place in reciprocal lattice units, if it
    is within the limits along the beam and, squared, across it.
    """
    h, k, l = np.round(place[0]), np.round(place[1]), np.round(place[2])  # noqa: E741
    dx = h * rows[0][0] + k * rows[0][1] + l * rows[0][2] - spot[0]
    dy = h * rows[1][0] + k * rows[1][1] + l * rows[1][2] - spot[1]
    dz = h * rows[2][0] + k * rows[2][1] + l * rows[2][2] - spot[2]
    square = dx * dx + dy * dy
    is_other = abs(h) + abs(k) + abs(l) > 0
    is_match = is_other & (abs(dz) <= limits[0]) & (square <= limits[1])
    square = square if is_match else np.inf
    nearer = square < best[0]
    return (
        square if nearer else best[0],
        h if nearer else best[1],
        k if nearer else best[2],
        l if nearer else best[3],
    )


@njit(cache=True, nogil=True)
def improve_rotation(columns, rotation, points, hkl, matched):
    """Return the rotation, improved by least squares on the matched spots.

    `points` and `hkl` are as for :func:`match_spots`.
    """
    for _ in range(_N_STEPS):
        forth = multiply(rotation, columns)
        # A small rotation w moves p by w x p
        xx = yy = zz = _DAMPING
        xy = xz = yz = right_x = right_y = right_z = 0.0
        for i in range(points.shape[1]):
            if not matched[i]:
                continue
            h, k, l = hkl[0, i], hkl[1, i], hkl[2, i]  # noqa: E741
            x = forth[0, 0] * h + forth[0, 1] * k + forth[0, 2] * l
            y = forth[1, 0] * h + forth[1, 1] * k + forth[1, 2] * l
            z = forth[2, 0] * h + forth[2, 1] * k + forth[2, 2] * l
            dx = points[0, i] - x
            dy = points[1, i] - y
            dz = _ALONG_BEAM * (points[2, i] - z)
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
