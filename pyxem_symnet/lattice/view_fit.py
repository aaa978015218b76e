# SPDX-License-Identifier: GPL-3.0-or-later
"""A known lattice fitted to a distorted view: its orientation and its distortion."""

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

#: What is fitted to a view: a small rotation, the two numbers of the distortion, and
#: how far the direct beam is from where it was taken to be
N_OWN = 7
#: These, and six strains of the lattice
N_ALL = N_OWN + 6
#: What is a view's own where all have their distortion in common: rotation and shift
N_SHARED = N_OWN - 2

#: Typical distortions
DISTORTION = 0.015
#: Excitation errors of visible reflections, in units of the largest
TYPICAL_EXCITATION = 0.5

# Typical shifts in 1/Å, and the largest distortions and shifts
_SHIFT = 0.005
_MOST_DISTORTED = 0.04
_MOST_SHIFTED = 0.015
# Rotations are small: their precision in radians, and the largest
_DAMPING = 1e2
_LARGEST_TURN = 0.1
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
def normal_equations(
    basis,
    rotation,
    own,
    vectors,
    hkl,
    matched,
    error,
    excitation,
    n,
    distortion=DISTORTION,
):
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
    distortion
        Typical size of a distortion.

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
        normal[3 + j, 3 + j] = distortion**-2
        right[3 + j] = -own[j] * distortion**-2
        normal[5 + j, 5 + j] = _SHIFT**-2
        right[5 + j] = -own[2 + j] * _SHIFT**-2
    columns = basis.T.copy()
    along = (TYPICAL_EXCITATION * excitation) ** -2
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
def eliminated(of_view, right_of_view, order, normal, right):
    """Add the equations of a view to common ones, its own parameters taken out.

    Parameters
    ----------
    of_view, right_of_view
        Least-squares problem of the view, of shapes (n, n) and (n,).
    order
        As :func:`shared_parameters` returns it: matrix of shape (n, n) to the
        parameters of the view from other ones, of which its own are first.
    normal, right
        That of the m common parameters, of shapes (m, m) and (m,), changed
        in place.

    Returns
    -------
    ndarray
        Of shape (n - m, m + 1): the view's own parameters are the last
        column, less the others times the common parameters.
    """
    back = order.T.copy()
    of_view = back @ of_view @ order
    right_of_view = back @ right_of_view
    n_own = len(of_view) - len(normal)
    rest = np.empty((n_own, len(normal) + 1))
    rest[:, :-1] = of_view[:n_own, n_own:]
    rest[:, -1] = right_of_view[:n_own]
    solved = np.linalg.solve(of_view[:n_own, :n_own].copy(), rest)
    for p in range(len(normal)):
        right[p] += right_of_view[n_own + p]
        for q in range(len(normal)):
            normal[p, q] += of_view[n_own + p, n_own + q]
        for k in range(n_own):
            right[p] -= rest[k, p] * solved[k, -1]
            for q in range(len(normal)):
                normal[p, q] -= rest[k, p] * solved[k, q]
    return solved


def shared_parameters(frame: np.ndarray) -> np.ndarray:
    """Return how parameters of a view follow from its own and from common ones.

    Parameters
    ----------
    frame
        Matrix from the two numbers of the common distortion to those in
        the view, of shape (2, 2).

    Returns
    -------
    ndarray
        Matrix from the view's rotation and shift, the common distortion and
        the strains to the parameters of :func:`normal_equations`, of shape
        (:data:`N_ALL`, :data:`N_ALL`).
    """
    turned = np.eye(N_ALL)
    turned[3:5, 3:5] = frame
    return turned[:, [0, 1, 2, 5, 6, 3, 4, *range(N_OWN, N_ALL)]]


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
def fit_view(
    basis,
    spots,
    rotation,
    own,
    error,
    excitation,
    reach,
    vectors,
    hkl,
    distortion=DISTORTION,
):
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
    distortion
        Typical size of a distortion.

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
            basis,
            rotation,
            own,
            vectors,
            hkl,
            matched,
            error,
            excitation,
            N_OWN,
            distortion,
        )
        moved(rotation, own, np.linalg.solve(normal, right))
    return n_matched, matched
