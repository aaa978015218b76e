# SPDX-License-Identifier: GPL-3.0-or-later
"""The orientation of a known lattice in a distorted view."""

from __future__ import annotations

import numpy as np
from numba import njit

from pyxem_symnet.lattice.matching import dot, match_spots, multiply
from pyxem_symnet.lattice.orient import pair_rotations
from pyxem_symnet.lattice.view_fit import DISTORTION, fit_view

#: Orientations that are fitted, the best of those tried
N_FITTED = 25

# Orientations differ by more than some 2 degrees: sum of the products of elements
_SAME = 3 - 0.0012
# Pairs of so many spots nearest to the direct beam, and tolerances of their lengths
_N_PAIR_SPOTS = 14
_PAIR_TOLERANCE = 0.012
_PAIR_RELATIVE = 0.01
_FIRST_MATCH = (1.5, 1.5)
_FIRST_REACH = 0.006
_FIRST_RELATIVE = 0.012
# Orientations tried
_MOST_TRIED = 1500


@njit(cache=True, nogil=True)
def _product(a, b):
    """Return the sum of the products of the elements of two matrices."""
    return dot(a[0], b[0]) + dot(a[1], b[1]) + dot(a[2], b[2])


@njit(cache=True, nogil=True)
def _likely_orientations(
    basis, reflections, lengths, spots, known, excitation, n_fitted
):
    """Return orientations that match most spots at once, and how many each."""
    n = len(spots)
    columns = basis.T.copy()
    inverse = np.linalg.inv(basis)
    reach = _FIRST_REACH + _FIRST_RELATIVE * np.sqrt((spots**2).sum(1))
    points = spots.T.copy()
    hkl = np.empty((3, n))
    matched = np.empty(n, np.bool_)
    best = np.empty((n_fitted, 3, 3))
    counts = np.full(n_fitted, -1)
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
        for k in range(n_fitted):
            if counts[k] >= 0 and _product(rotation, best[k]) > _SAME:
                place = k
        if n_matched > counts[place]:
            counts[place] = n_matched
            best[place] = rotation
    return best, counts


@njit(cache=True, nogil=True)
def orient_distorted(
    basis,
    reflections,
    lengths,
    spots,
    known,
    error,
    excitation,
    reach,
    distortion=DISTORTION,
    n_fitted=N_FITTED,
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
    error, excitation, reach, distortion
        As for :func:`fit_view`.
    n_fitted
        Number of orientations that are fitted.

    Returns
    -------
    n_matched
        Number of matched spots, 0 if no orientation was tried.
    rotation, own
        Orientation, and distortion and shift.
    """
    rotations, counts = _likely_orientations(
        basis, reflections, lengths, spots, known, excitation, n_fitted
    )
    vectors = np.empty_like(spots)
    hkl = np.empty_like(spots)
    best = 0
    best_rotation = np.eye(3)
    best_own = np.zeros(4)
    for k in range(n_fitted):
        if counts[k] < 3:
            continue
        rotation = rotations[k].copy()
        own = np.zeros(4)
        n_matched, _ = fit_view(
            basis,
            spots,
            rotation,
            own,
            error,
            excitation,
            reach,
            vectors,
            hkl,
            distortion,
        )
        if n_matched > best:
            best = n_matched
            best_rotation[:] = rotation
            best_own[:] = own
    return best, best_rotation, best_own
