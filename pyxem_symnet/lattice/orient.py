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
    best_hkl = np.zeros((n_spots, 3))
    best_matched = np.zeros(n_spots, np.bool_)
    hkl = np.zeros((n_spots, 3))
    matched = np.zeros(n_spots, np.bool_)
    spot_frame = np.empty((3, 3))
    frame = np.empty((3, 3))
    distances = np.sqrt((vectors**2).sum(1))
    squared_error = excitation_error * excitation_error
    tried = 0
    for j in range(1, min(N_PAIR_SPOTS, n_spots)):
        for i in range(j):
            first, second = vectors[i], vectors[j]
            sine = abs(first[0] * second[1] - first[1] * second[0])
            if sine < _LEAST_SINE * distances[i] * distances[j]:
                continue
            slack = tolerance + _LENGTH_SLACK * squared_error / distances[i]
            low_1 = np.searchsorted(lengths, distances[i] - slack)
            high_1 = np.searchsorted(lengths, distances[i] + slack)
            slack = tolerance + _LENGTH_SLACK * squared_error / distances[j]
            low_2 = np.searchsorted(lengths, distances[j] - slack)
            high_2 = np.searchsorted(lengths, distances[j] + slack)
            product = dot(first, second)
            slack = (
                tolerance * (distances[i] + distances[j])
                + _PRODUCT_SLACK * squared_error
            )
            set_frame(first, second, 1.0, spot_frame)
            for a in range(low_1, high_1):
                for b in range(low_2, high_2):
                    found = dot(reflections[a], reflections[b])
                    if abs(found - product) < slack:
                        sign = 1.0
                    elif abs(found + product) < slack:
                        sign = -1.0
                    else:
                        continue
                    tried += 1
                    if set_frame(reflections[a], reflections[b], sign, frame):
                        rotation = multiply(spot_frame.T, frame)
                        n = match_spots(
                            multiply(rotation, columns),
                            multiply(rotation, inverse),
                            vectors,
                            reach,
                            FIRST,
                            excitation_error,
                            _PROMISING * best,
                            hkl,
                            matched,
                        )
                        if n >= _PROMISING * best:
                            for factors in (SECOND, LAST):
                                rotation = improve_rotation(
                                    columns, rotation, vectors, hkl, matched
                                )
                                n = match_spots(
                                    multiply(rotation, columns),
                                    multiply(rotation, inverse),
                                    vectors,
                                    reach,
                                    factors,
                                    excitation_error,
                                    0,
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
                    if best == n_spots or tried > most:
                        return best, best_rotation, best_hkl, best_matched
    return best, best_rotation, best_hkl, best_matched


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
