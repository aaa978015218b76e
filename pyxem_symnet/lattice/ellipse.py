# SPDX-License-Identifier: GPL-3.0-or-later
"""A precise lattice in patterns that the camera made a little elliptical.

An ellipse of half a percent moves spots by less than a precise search allows, and yet
by more than they scatter: all seems explained, while each view strains the lattice in
another way. Once spots are indexed, what the views have in common of that is found by
least squares and undone, and with it goes what a lattice seemed to lack in symmetry.
A symmetric lattice may be indexed in several ways, though, and in each view one is
taken that makes of the ellipse the same strain as in others. There, least squares find
the ellipse only if they begin with the lattice as symmetric as it may be.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from pyxem_symnet.lattice.distortion import undistort
from pyxem_symnet.lattice.fit import LatticeFit
from pyxem_symnet.lattice.indexing import (
    STRAINS,
    SpotList,
    index_views,
    refine_fit,
)
from pyxem_symnet.lattice.polish import name_of_view, polish_fit, typical_error
from pyxem_symnet.lattice.search import PRECISE
from pyxem_symnet.lattice.strain import shape_evidence, symmetrised
from pyxem_symnet.lattice.view_fit import (
    N_ALL,
    N_SHARED,
    eliminated,
    normal_equations,
    shared_parameters,
)

_N_STRAINS = len(STRAINS)
_N_COMMON = N_ALL - N_SHARED
# Fewer views don't tell an ellipse from a strain of the lattice
_FEWEST_VIEWS = 4
# What no spot says stays as it is: precision of strains, and of those of a lattice
# that is taken to be symmetric
_DAMPING, _KNOWN = 1e3, 1e8
# Least squares are repeated so often, the spots indexed anew in between
_ROUNDS = 6
# As many of the ways in which the lattice is nearly symmetric are looked at, the most
# symmetric ones, while as large a share of the spots is explained as before
_MOST_SYMMETRIC = 2
_MUCH_WORSE = 0.9
# An ellipse is told from a circle by so many standard deviations, if it is larger than
# what the approximations of spots on the Ewald sphere leave in perfect patterns
_SIGNIFICANT = 2.5
_SMALLEST = 1e-4
# Logarithm of how much likelier the spots must be with it
_LEAST_GAIN = 10.0
# A lattice that explains a smaller share of the spots precisely is none
_EXPLAINED = 0.8


def without_ellipse(
    fit: LatticeFit, views: Sequence[SpotList], frames: Sequence[np.ndarray]
) -> LatticeFit | None:
    """Return a precise lattice of spots with a common distortion undone.

    Parameters
    ----------
    fit
        Some of the views indexed with a lattice, precisely or with a
        distortion in common.
    views
        Spots of all views, as they are.
    frames
        Matrices of shape (2, 2), from the two numbers of the common
        distortion to those in each view.

    Returns
    -------
    LatticeFit or None
        None if views have no distortion in common, as far as four of them or
        more tell, or if it is undone, but the lattice doesn't explain precise
        positions.
    """
    if fit.coarse:
        begun = _indexed(fit, views, frames, np.array(fit.distortion))
        if begun.n_matched <= _EXPLAINED * begun.n_spots:
            return None
    else:
        begun = _framed(fit, views, frames)
    if len(begun.views) < _FEWEST_VIEWS:
        return None
    found = [begun]
    for start in [begun, *symmetrised(begun)[-_MOST_SYMMETRIC:]]:
        # As symmetric as it was made, until spots are indexed with it
        precision = _DAMPING if start is begun else _KNOWN
        for _ in range(_ROUNDS):
            change = _rest(start, precision)
            if change is None:
                break
            start = _indexed(start, views, frames, start.distortion + change)
            if start.n_matched < _MUCH_WORSE * begun.n_matched:
                break
            found.append(start)
            precision = _DAMPING
    best = max(found, key=_evidence)
    if best is begun or _evidence(best) < _evidence(begun) + _LEAST_GAIN:
        return begun if fit.coarse else None
    return best


def _indexed(
    fit: LatticeFit,
    views: Sequence[SpotList],
    frames: Sequence[np.ndarray],
    distortion: np.ndarray,
) -> LatticeFit:
    """Return a lattice fitted precisely to views with a distortion undone."""
    spots = []
    for view, frame in zip(views, frames, strict=True):
        vectors = undistort(view.vectors, tuple(frame @ distortion))
        nearest = np.argsort((vectors[:, :2] ** 2).sum(1), kind="stable")
        spots.append(SpotList(vectors[nearest], view.intensities[nearest]))
    precise = refine_fit(index_views(fit.metric, spots, PRECISE), spots, PRECISE)
    precise = polish_fit(precise, spots, PRECISE)
    precise = dataclasses.replace(precise, distortion=tuple(distortion.tolist()))
    return _framed(precise, spots, frames)


def _framed(
    fit: LatticeFit, spots: Sequence[SpotList], frames: Sequence[np.ndarray]
) -> LatticeFit:
    """Return a fit whose views have a distortion in common that is to be found."""
    frame_of = {
        name_of_view(view): frame for view, frame in zip(spots, frames, strict=True)
    }
    indexed = [
        dataclasses.replace(view, frame=frame_of[name_of_view(view)])
        for view in fit.views
    ]
    return dataclasses.replace(fit, views=tuple(indexed))


def _rest(fit: LatticeFit, precision: float) -> np.ndarray | None:
    """Return what is left of a common distortion, None if that may be nothing.

    Strains of the lattice are known beforehand with the precision given.
    """
    basis = fit.reciprocal_basis
    error = typical_error(basis, fit.views)
    normal = np.zeros((_N_COMMON, _N_COMMON))
    normal[-_N_STRAINS:, -_N_STRAINS:] = precision * np.eye(_N_STRAINS)
    right = np.zeros(_N_COMMON)
    for view in fit.views:
        of_view, own_right = normal_equations(
            basis,
            np.ascontiguousarray(view.rotation),
            np.zeros(4),
            np.ascontiguousarray(view.vectors),
            view.hkl.astype(float),
            view.matched,
            error,
            PRECISE.excitation_error,
            N_ALL,
        )
        order = shared_parameters(view.frame)
        eliminated(of_view, own_right, order, normal, right)
    rest = np.linalg.solve(normal, right)[:2]
    variance = np.linalg.inv(normal)[:2, :2]
    significant = rest @ np.linalg.solve(variance, rest) > _SIGNIFICANT**2
    return rest if significant and math.hypot(*rest) > _SMALLEST else None


def _evidence(fit: LatticeFit) -> float:
    """Return the log likelihood of a lattice, where symmetric ones are likelier."""
    return _log_likelihood(fit) + shape_evidence(fit)


def _log_likelihood(fit: LatticeFit) -> float:
    """Return that of precise positions against spots that lie by chance."""
    basis = fit.reciprocal_basis
    error = typical_error(basis, fit.views)
    # Reflections in the place of one, if they lie anywhere
    chance = fit.volume * 2 * PRECISE.excitation_error * 2 * math.pi * error**2
    total = (fit.n_spots - fit.n_matched) * math.log(PRECISE.outliers)
    for view in fit.views:
        squares = (view.errors(basis)[view.matched, :2] ** 2).sum(1)
        near = np.exp(-0.5 * squares / error**2) / chance
        total += np.log(PRECISE.outliers + (1 - PRECISE.outliers) * near).sum()
    return float(total)
