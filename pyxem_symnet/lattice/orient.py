# SPDX-License-Identifier: GPL-3.0-or-later
"""The orientation of a known lattice in one view."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from pyxem_symnet.lattice.matching import (
    FIRST,
    LAST,
    SECOND,
    dot,
    improve_rotation,
    match_spots,
    multiply,
)

# Pairs are made of so many spots nearest to the direct beam
N_PAIR_SPOTS = 8
# Spots of a pair should not be nearly in line: least sine of their angle
_LEAST_SINE = 0.35
# How far, in squares of the excitation error, lengths and products of reflections
# may be from those of spots on the Ewald sphere
_LENGTH_SLACK = 0.5
_PRODUCT_SLACK = 0.7
# An orientation worth refining matches this share of the best one's spots
_PROMISING = 0.6


@njit(cache=True, nogil=True)
def orient_view(
    basis, reflections, lengths, vectors, reach, tolerance, excitation_error, most
):
    """Find the orientation in which a lattice explains most spots of a view.

    Pairs of spots near the direct beam are laid on pairs of reflections
    of the same lengths and angle. Each such orientation is refined by
    all spots that it matches, if these are many.

    Parameters
    ----------
    basis
        Reciprocal vectors of the lattice as rows in 1/Å.
    reflections
        One of each Friedel pair as vectors in 1/Å, the shortest first, of
        shape (reflections, 3).
    lengths
        Of the reflections, in 1/Å.
    vectors
        Spots on the Ewald sphere in 1/Å, nearest to the direct beam
        first, of shape (spots, 3).
    reach
        Largest distance of a match from each spot, in the detector's
        plane, in 1/Å.
    tolerance
        Largest difference of lengths of pairs in 1/Å.
    excitation_error
        Largest distance of reflections from the Ewald sphere in 1/Å.
    most
        Number of orientations that are tried.

    Returns
    -------
    n_matched
        Number of matched spots, -1 if no orientation was tried.
    rotation
        Matrix that turns the lattice into the laboratory frame.
    hkl
        Reflection of each spot, of shape (spots, 3); zeros if none.
    matched
        Whether a spot is matched, of shape (spots,).
    """
    n_spots = len(vectors)
    columns = basis.T.copy()
    inverse = np.linalg.inv(basis)
    best = -1
    best_rotation = np.eye(3)
    best_hkl = np.zeros((3, n_spots))
    best_matched = np.zeros(n_spots, np.bool_)
    points = vectors.T.copy()
    hkl = np.zeros((3, n_spots))
    matched = np.zeros(n_spots, np.bool_)
    rotations = pair_rotations(
        reflections,
        lengths,
        vectors[:N_PAIR_SPOTS],
        tolerance,
        0.0,
        excitation_error,
        most,
    )
    for rotation in rotations:
        n = match_spots(
            multiply(rotation, columns),
            multiply(rotation, inverse),
            points,
            reach,
            FIRST,
            excitation_error,
            hkl,
            matched,
        )
        if n < _PROMISING * best:
            continue
        for factors in (SECOND, LAST):
            rotation = improve_rotation(columns, rotation, points, hkl, matched)
            n = match_spots(
                multiply(rotation, columns),
                multiply(rotation, inverse),
                points,
                reach,
                factors,
                excitation_error,
                hkl,
                matched,
            )
            if n < 2:
                break
        if n > best:
            best = n
            best_rotation[:] = rotation
            best_hkl[:] = hkl
            best_matched[:] = matched
        if best == n_spots:
            break
    return best, best_rotation, best_hkl.T, best_matched


@njit(cache=True, nogil=True)
def pair_rotations(
    reflections, lengths, vectors, tolerance, relative, excitation_error, most
):
    """Return orientations that lay pairs of spots on pairs of reflections.

    Parameters
    ----------
    reflections, lengths
        As for :func:`orient_view`.
    vectors
        Spots on the Ewald sphere in 1/Å, of shape (spots, 3). Pairs that
        are nearly in line are left out.
    tolerance, relative
        Largest difference of lengths in 1/Å, and what is added to it as a
        share of the length.
    excitation_error
        Largest distance of reflections from the Ewald sphere in 1/Å.
    most
        Number of orientations that are listed, those of the first spots
        first.

    Returns
    -------
    ndarray
        Matrices that turn the lattice into the laboratory frame, of shape
        (orientations, 3, 3).
    """
    rotations = np.empty((most, 3, 3))
    n = 0
    spot_frame = np.empty((3, 3))
    frame = np.empty((3, 3))
    distances = np.sqrt((vectors**2).sum(1))
    squared_error = excitation_error * excitation_error
    slacks = tolerance + relative * distances
    slacks += _LENGTH_SLACK * squared_error / distances
    low = np.searchsorted(lengths, distances - slacks)
    high = np.searchsorted(lengths, distances + slacks)
    for j in range(1, len(vectors)):
        for i in range(j):
            first, second = vectors[i], vectors[j]
            both = distances[i] * distances[j]
            sine = abs(first[0] * second[1] - first[1] * second[0])
            if sine < _LEAST_SINE * both:
                continue
            product = dot(first, second)
            slack = tolerance * (distances[i] + distances[j]) + 2 * relative * both
            slack += _PRODUCT_SLACK * squared_error
            set_frame(first, second, 1.0, spot_frame)
            for a in range(low[i], high[i]):
                for b in range(low[j], high[j]):
                    found = dot(reflections[a], reflections[b])
                    if abs(found - product) < slack:
                        sign = 1.0
                    elif abs(found + product) < slack:
                        sign = -1.0
                    else:
                        continue
                    if set_frame(reflections[a], reflections[b], sign, frame):
                        rotations[n] = multiply(spot_frame.T, frame)
                        n += 1
                        if n == most:
                            return rotations
    return rotations[:n]


@njit(cache=True, nogil=True)
def set_frame(first, second, sign, frame):
    """Fill rows with unit vectors along `first`, in and across the plane.

    Returns whether the two vectors, the second times the sign, span a plane.
    """
    length = math.sqrt(dot(first, first))
    x, y, z = first[0] / length, first[1] / length, first[2] / length
    across_x = sign * (y * second[2] - z * second[1])
    across_y = sign * (z * second[0] - x * second[2])
    across_z = sign * (x * second[1] - y * second[0])
    length = math.sqrt(across_x * across_x + across_y * across_y + across_z * across_z)
    if length < 1e-6 * math.sqrt(dot(second, second)):
        return False
    across_x /= length
    across_y /= length
    across_z /= length
    frame[0, 0] = x
    frame[0, 1] = y
    frame[0, 2] = z
    frame[1, 0] = across_y * z - across_z * y
    frame[1, 1] = across_z * x - across_x * z
    frame[1, 2] = across_x * y - across_y * x
    frame[2, 0] = across_x
    frame[2, 1] = across_y
    frame[2, 2] = across_z
    return True
