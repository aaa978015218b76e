# SPDX-License-Identifier: GPL-3.0-or-later
"""The orientation of a known lattice in a distorted view, and its distortion."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from pyxem_symnet.lattice.matching import (
    LAST,
    dot,
    match_spots,
    multiply,
    rotation_about,
)
from pyxem_symnet.lattice.orient import pair_rotations

#: What is fitted to a view: a small rotation, the two numbers of the distortion, and
#: how far the direct beam is from where it was taken to be
N_OWN = 7
#: These, and six strains of the lattice
N_ALL = N_OWN + 6

# Typical distortions, and shifts in 1/Å, and largest ones
_DISTORTION = 0.015
_SHIFT = 0.005
_MOST_DISTORTED = 0.04
_MOST_SHIFTED = 0.015
# Rotations are small: their precision in radians, and the largest
_DAMPING = 1e2
_LARGEST_TURN = 0.1
# Excitation errors of visible reflections, in units of the largest
_TYPICAL_EXCITATION = 0.5
# A spot farther away than this many standard deviations counts less
_ROBUST = 2.0
# Matches of spots as far out as this share of the farthest one, and of so many at
# least, start a fit; the tolerance in 1/Å and as a share of the distance, and at most
# at first
_INNER = 0.55
_FEWEST = 8
_BEYOND = 1.05
_TOLERANCE = 0.006
_RELATIVE = 0.015
_FIRST_TOLERANCE = 0.012
_N_FIRST = 2
_FARTHEST = 3.5
_N_ROUNDS = 6
# Orientations differ by more than some 2 degrees: sum of the products of elements
_SAME = 3 - 0.0012
# Pairs of so many spots nearest to the direct beam, and tolerances of their lengths
_N_PAIR_SPOTS = 14
_PAIR_TOLERANCE = 0.012
_PAIR_RELATIVE = 0.01
_FIRST_MATCH = (1.5, 1.5)
_FIRST_REACH = 0.006
_FIRST_RELATIVE = 0.012
# Orientations tried, and the best of these that are fitted
_MOST_TRIED = 1500
_N_FITTED = 25


@njit(cache=True, nogil=True)
def undistorted(spots, own, vectors):
    """Fill `vectors` with where spots were without distortion and shift.

    Parameters
    ----------
    spots
        On the Ewald sphere in 1/Å, of shape (spots, 3).
    own
        The two numbers of the distortion, and the shift in 1/Å.
    vectors
        Array of the shape of `spots`.
    """
    a, b = own[0], own[1]
    area = 1 - a * a - b * b
    for i in range(len(spots)):
        x, y = spots[i, 0] - own[2], spots[i, 1] - own[3]
        vectors[i, 0] = ((1 - a) * x - b * y) / area
        vectors[i, 1] = ((1 + a) * y - b * x) / area
        # So near to the beam, the sphere is a paraboloid
        before = spots[i, 0] ** 2 + spots[i, 1] ** 2
        after = vectors[i, 0] ** 2 + vectors[i, 1] ** 2
        vectors[i, 2] = spots[i, 2] * after / max(before, 1e-12)


@njit(cache=True, nogil=True)
def normal_equations(basis, rotation, own, vectors, hkl, matched, error, excitation, n):
    """Return the least-squares problem of a view.

    Parameters
    ----------
    basis
        Reciprocal vectors of the lattice as rows in 1/Å.
    rotation
        Matrix that turns the lattice into the laboratory frame.
    own
        As for :func:`undistorted`.
    vectors
        Undistorted spots, of shape (spots, 3).
    hkl, matched
        Reflections of the spots, and whether they have one.
    error
        Standard deviation of a spot's coordinates in 1/Å.
    excitation
        Largest distance of reflections from the Ewald sphere in 1/Å.
    n
        Number of parameters: :data:`N_OWN`, or :data:`N_ALL`, with the six
        strains of :data:`~pyxem_symnet.lattice.indexing.STRAINS`.

    Returns
    -------
    normal, right
        Of shapes (n, n) and (n,).
    """
    normal = np.zeros((n, n))
    right = np.zeros(n)
    slopes = np.zeros((3, n))
    for j in range(3):
        normal[j, j] = _DAMPING
    for j in range(2):
        normal[3 + j, 3 + j] = _DISTORTION**-2
        right[3 + j] = -own[j] * _DISTORTION**-2
        normal[5 + j, 5 + j] = _SHIFT**-2
        right[5 + j] = -own[2 + j] * _SHIFT**-2
    columns = basis.T.copy()
    along = (_TYPICAL_EXCITATION * excitation) ** -2
    for i in range(len(vectors)):
        if not matched[i]:
            continue
        cx, cy = dot(columns[0], hkl[i]), dot(columns[1], hkl[i])
        cz = dot(columns[2], hkl[i])
        x = rotation[0, 0] * cx + rotation[0, 1] * cy + rotation[0, 2] * cz
        y = rotation[1, 0] * cx + rotation[1, 1] * cy + rotation[1, 2] * cz
        z = rotation[2, 0] * cx + rotation[2, 1] * cy + rotation[2, 2] * cz
        dx, dy, dz = vectors[i, 0] - x, vectors[i, 1] - y, vectors[i, 2] - z
        far = (dx * dx + dy * dy) / (_ROBUST * error) ** 2
        across = error**-2 / (1 + far)
        # A small rotation w moves p by w x p
        slopes[0, 1], slopes[0, 2] = z, -y
        slopes[1, 0], slopes[1, 2] = -z, x
        slopes[2, 0], slopes[2, 1] = y, -x
        slopes[0, 3], slopes[1, 3] = x, -y
        slopes[0, 4], slopes[1, 4] = y, x
        slopes[0, 5] = slopes[1, 6] = 1.0
        if n == N_ALL:
            for k in range(3):
                r = rotation[k]
                slopes[k, 7], slopes[k, 8] = r[0] * cx, r[1] * cy
                slopes[k, 9] = r[2] * cz
                slopes[k, 10] = r[0] * cy + r[1] * cx
                slopes[k, 11] = r[0] * cz + r[2] * cx
                slopes[k, 12] = r[1] * cz + r[2] * cy
        for p in range(n):
            for q in range(p + 1):
                normal[p, q] += across * (
                    slopes[0, p] * slopes[0, q] + slopes[1, p] * slopes[1, q]
                ) + along * (slopes[2, p] * slopes[2, q])
            right[p] += across * (slopes[0, p] * dx + slopes[1, p] * dy)
            right[p] += along * slopes[2, p] * dz
    for p in range(n):
        for q in range(p):
            normal[q, p] = normal[p, q]
    return normal, right


@njit(cache=True, nogil=True)
def moved(rotation, own, change):
    """Change orientation, distortion and shift of a view in place."""
    angle = math.sqrt(change[0] ** 2 + change[1] ** 2 + change[2] ** 2)
    if angle > 1e-9:
        rotation[:] = multiply(
            rotation_about(
                change[0] / angle,
                change[1] / angle,
                change[2] / angle,
                min(angle, _LARGEST_TURN),
            ),
            rotation,
        )
    for j in range(4):
        most = _MOST_DISTORTED if j < 2 else _MOST_SHIFTED
        own[j] = min(max(own[j] + change[3 + j], -most), most)


@njit(cache=True, nogil=True)
def fit_view(basis, spots, rotation, own, error, excitation, reach, vectors, hkl):
    """Fit a view with a lattice, from the inner spots outwards.

    Parameters
    ----------
    basis
        Reciprocal vectors of the lattice as rows in 1/Å.
    spots
        On the Ewald sphere in 1/Å, of shape (spots, 3).
    rotation, own
        Orientation, and distortion and shift, changed in place.
    error
        Standard deviation of a spot's coordinates in 1/Å.
    excitation
        Largest distance of reflections from the Ewald sphere in 1/Å.
    reach
        Largest distance of a match in the end, in 1/Å.
    vectors, hkl
        Arrays of the shape of `spots`, filled with what it ends with.

    Returns
    -------
    n_matched
        Number of spots that have a reflection.
    matched
        Which ones, of shape (spots,).
    """
    n = len(spots)
    columns = basis.T.copy()
    inverse = np.linalg.inv(basis)
    matched = np.zeros(n, np.bool_)
    found = np.empty((3, n))
    reaches = np.empty(n)
    distances = np.sort(np.sqrt(spots[:, 0] ** 2 + spots[:, 1] ** 2))
    farthest = distances[-1]
    enough = distances[min(_FEWEST, n) - 1] * _BEYOND
    closer = max(_FARTHEST * error, _TOLERANCE)
    for k in range(_N_ROUNDS + 1):
        undistorted(spots, own, vectors)
        share = _INNER + (1 - _INNER) * min(1.0, k / (_N_ROUNDS - 2))
        most = _FIRST_TOLERANCE if k < _N_FIRST else closer
        for i in range(n):
            distance = math.sqrt(vectors[i, 0] ** 2 + vectors[i, 1] ** 2)
            reaches[i] = min(_TOLERANCE + _RELATIVE * distance, most)
            if distance > max(share * farthest, enough):
                reaches[i] = 0.0
            if k == _N_ROUNDS:
                reaches[i] = reach
        n_matched = match_spots(
            multiply(rotation, columns),
            multiply(rotation, inverse),
            vectors.T.copy(),
            reaches,
            LAST,
            excitation,
            found,
            matched,
        )
        hkl[:] = found.T
        if k == _N_ROUNDS:
            break
        if n_matched < 3:
            continue
        normal, right = normal_equations(
            basis, rotation, own, vectors, hkl, matched, error, excitation, N_OWN
        )
        moved(rotation, own, np.linalg.solve(normal, right))
    return n_matched, matched


@njit(cache=True, nogil=True)
def _product(a, b):
    """Return the sum of the products of the elements of two matrices."""
    return dot(a[0], b[0]) + dot(a[1], b[1]) + dot(a[2], b[2])


@njit(cache=True, nogil=True)
def _likely_orientations(basis, reflections, lengths, spots, known, excitation):
    """Return orientations that match most spots at once, and how many each."""
    n = len(spots)
    columns = basis.T.copy()
    inverse = np.linalg.inv(basis)
    reach = _FIRST_REACH + _FIRST_RELATIVE * np.sqrt((spots**2).sum(1))
    points = spots.T.copy()
    hkl = np.empty((3, n))
    matched = np.empty(n, np.bool_)
    best = np.empty((_N_FITTED, 3, 3))
    counts = np.full(_N_FITTED, -1)
    proposed = pair_rotations(
        reflections,
        lengths,
        spots[:_N_PAIR_SPOTS],
        _PAIR_TOLERANCE,
        _PAIR_RELATIVE,
        excitation,
        _MOST_TRIED,
    )
    for rotation in np.concatenate((known, proposed)):
        n_matched = match_spots(
            multiply(rotation, columns),
            multiply(rotation, inverse),
            points,
            reach,
            _FIRST_MATCH,
            excitation,
            hkl,
            matched,
        )
        place = np.argmin(counts)
        if n_matched <= counts[place]:
            continue
        for k in range(_N_FITTED):
            if counts[k] >= 0 and _product(rotation, best[k]) > _SAME:
                place = k
        if n_matched > counts[place]:
            counts[place] = n_matched
            best[place] = rotation
    return best, counts


@njit(cache=True, nogil=True)
def orient_distorted(
    basis, reflections, lengths, spots, known, error, excitation, reach
):
    """Find the orientation in which a lattice explains most spots of a distorted view.

    Orientations are proposed by pairs of spots; the most promising are each
    fitted with a distortion and a shift.

    Parameters
    ----------
    basis, reflections, lengths
        As for :func:`~pyxem_symnet.lattice.orient.orient_view`.
    spots
        On the Ewald sphere in 1/Å, of shape (spots, 3), nearest to the
        direct beam first.
    known
        Orientations that are looked at, too, of shape (n, 3, 3).
    error, excitation, reach
        As for :func:`fit_view`.

    Returns
    -------
    n_matched
        Number of matched spots, 0 if no orientation was tried.
    rotation, own
        Orientation, and distortion and shift.
    """
    rotations, counts = _likely_orientations(
        basis, reflections, lengths, spots, known, excitation
    )
    vectors = np.empty_like(spots)
    hkl = np.empty_like(spots)
    best = 0
    best_rotation = np.eye(3)
    best_own = np.zeros(4)
    for k in range(_N_FITTED):
        if counts[k] < 3:
            continue
        rotation = rotations[k].copy()
        own = np.zeros(4)
        n_matched, _ = fit_view(
            basis, spots, rotation, own, error, excitation, reach, vectors, hkl
        )
        if n_matched > best:
            best = n_matched
            best_rotation[:] = rotation
            best_own[:] = own
    return best, best_rotation, best_own
