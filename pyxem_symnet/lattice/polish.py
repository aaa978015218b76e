# SPDX-License-Identifier: GPL-3.0-or-later
"""A lattice and the orientations of its views, as exact as their spots allow.

While lattices are looked for, a view is tilted until its spots are near the Ewald
sphere, all alike. Precise positions say more: where a reflection is along the beam
decides where it is seen. Then excitation errors are known, and with them what an
intensity would be on the sphere.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from pyxem_symnet.lattice.fit import IndexedView, LatticeFit
from pyxem_symnet.lattice.indexing import (
    FEWEST_SPOTS,
    STRAINS,
    SpotList,
    index_views,
    match_reach,
)
from pyxem_symnet.lattice.matching import matched_spots
from pyxem_symnet.lattice.pseudosymmetry import choose_indexing
from pyxem_symnet.lattice.search import Search

#: Spots of a view that are indexed: more than a search has time for
MOST_SPOTS = 64

# Views are told apart so often, while errors are larger than this in 1/Å and become
# smaller by so much
_RESOLUTIONS = 3
_EXACT = 2e-5
_BETTER = 0.7
_SHARPER = 0.3
# A view of which less is explained, in medians of all, is oriented wrongly
_MUCH_WORSE = 0.7
# Spots are matched anew so often, after as many steps of least squares each
_ROUNDS = 4
_STEPS = 2
# Least standard deviation of a spot's coordinates in 1/Å
_LEAST_ERROR = 5e-6
# Farther than so many standard deviations, and than this in 1/Å, a spot is another
# reflection's
_FARTHEST = 6.0
_LEAST_REACH = 3e-4
# Of a normal distribution, in median absolute deviations
_DEVIATION = 1.4826
# Excitation errors of visible reflections, in units of the largest
_TYPICAL_EXCITATION = 0.5
# What no spot says stays as it is: precision of strains and of angles in radians
_DAMPING = 1e3
_LARGEST_STRAIN = 0.02
_N_STRAINS = len(STRAINS)
# About the beam
_HALF_TURN = np.diag([-1.0, -1.0, 1.0])


def polish_fit(
    fit: LatticeFit, views: Sequence[SpotList], search: Search
) -> LatticeFit:
    """Return lattice and orientations that fit the spots best.

    Once the lattice is known well, views are oriented by pairs of spots far
    from the direct beam, which tell the tilt: an excitation error is a
    smaller angle there.

    Parameters
    ----------
    fit
        The views indexed with a lattice.
    views
        Spots of each view.
    search
        Settings.
    """
    if not fit.views:
        return fit
    fit = _fitted(fit, search)
    fit = _fitted(_oriented_anew(fit, views, search), search)
    fit = _resolved(fit, search)
    if not fit.views:
        return fit
    basis = fit.reciprocal_basis
    views = tuple(tilted_as_bright(basis, view) for view in fit.views)
    return _well_oriented(dataclasses.replace(fit, views=views))


def _oriented_anew(
    fit: LatticeFit, views: Sequence[SpotList], search: Search
) -> LatticeFit:
    """Return more spots of each view, oriented as before or anew if that is better."""
    more = dataclasses.replace(search, n_spots=MOST_SPOTS)
    again = index_views(fit.metric, views, more, None, fit.distortion, known_well=True)
    basis = fit.reciprocal_basis
    before = {name_of_view(view): view.rotation for view in fit.views}
    best = []
    for view in again.views:
        rotation = before.get(name_of_view(view), view.rotation)
        known = dataclasses.replace(view, rotation=rotation)
        known = _matched_anew(basis, known, math.inf, search)
        best.append(max(known, view, key=lambda one: one.matched.sum()))
    return dataclasses.replace(again, views=tuple(best), coarse=fit.coarse)


def name_of_view(view: IndexedView | SpotList) -> bytes:
    """Return what the same view has in common, however many spots are looked at.

    Parameters
    ----------
    view
        Its spots, indexed or not.
    """
    return view.vectors[:FEWEST_SPOTS].tobytes()


def _resolved(fit: LatticeFit, search: Search) -> LatticeFit:
    """Return the fit with views indexed in the ways that agree best."""
    for _ in range(_RESOLUTIONS):
        views = list(fit.views)
        if len(views) < 2:
            break
        error = typical_error(fit.reciprocal_basis, views)
        if error < _EXACT:
            break
        precision = _precision(error * _SHARPER, search)
        resolved = choose_indexing(fit.metric, views, STRAINS, precision)
        other = _fitted(dataclasses.replace(fit, views=tuple(resolved)), search)
        basis = other.reciprocal_basis
        if not other.views or typical_error(basis, other.views) > _BETTER * error:
            break
        fit = other
    return fit


def tilted_as_bright(basis: np.ndarray, view: IndexedView) -> IndexedView:
    """Return the view tilted the way in which bright spots are nearer to the sphere.

    Turned about the beam by 180 degrees, with indices of the opposite sign, a
    lattice lies in the mirror image by the detector's plane: all spots are
    where they were, and the tilt is the other way.

    Parameters
    ----------
    basis
        Reciprocal vectors of the lattice as rows in 1/Å.
    view
        Indexed view.
    """
    other = dataclasses.replace(
        view, rotation=_HALF_TURN @ view.rotation, hkl=-view.hkl
    )
    return min(view, other, key=lambda one: _distance_of_bright(basis, one))


def _distance_of_bright(basis: np.ndarray, view: IndexedView) -> float:
    """Return the mean square distance from the sphere, of bright spots above all."""
    heights = view.errors(basis)[view.matched, 2]
    return float(
        np.average(heights**2, weights=np.sqrt(view.intensities[view.matched]))
    )


def _well_oriented(fit: LatticeFit) -> LatticeFit:
    """Return the fit without views that are explained much worse than others."""
    shares = np.array([view.matched.mean() for view in fit.views])
    good = shares > _MUCH_WORSE * np.median(shares)
    views = [view for view, is_good in zip(fit.views, good, strict=True) if is_good]
    return dataclasses.replace(fit, views=tuple(views))


def _precision(error: float, search: Search) -> np.ndarray:
    along = _TYPICAL_EXCITATION * search.excitation_error
    return np.array([error, error, along]) ** -2.0


def _fitted(fit: LatticeFit, search: Search) -> LatticeFit:
    """Return lattice and orientations after least squares, matched anew.

    The lattice is strained and each view turned a little. Distances in the
    detector's plane count by how large they typically are, those along the
    beam by the excitation error.
    """
    views = [view for view in fit.views if view.matched.sum() >= FEWEST_SPOTS]
    if not views:
        return fit
    basis = fit.reciprocal_basis
    error = typical_error(basis, views)
    for _ in range(_ROUNDS):
        for _ in range(_STEPS):
            solved = _step(basis, views, error, search)
            if solved is None:
                return fit
            basis, views = solved
        error = typical_error(basis, views)
        views = [_matched_anew(basis, view, error, search) for view in views]
        if not any(view.matched.any() for view in views):
            return fit
    metric = basis @ basis.T
    back = np.linalg.solve(np.linalg.cholesky(metric), basis).T
    views = [
        dataclasses.replace(view, rotation=view.rotation @ back)
        for view in views
        if view.matched.sum() >= FEWEST_SPOTS
    ]
    return dataclasses.replace(fit, metric=metric, views=tuple(views))


def typical_error(basis: np.ndarray, views: Sequence[IndexedView]) -> float:
    """Return the standard deviation of a spot's coordinate in the detector's plane.

    Parameters
    ----------
    basis
        Reciprocal vectors of the lattice as rows in 1/Å.
    views
        Indexed views.

    Returns
    -------
    float
        In 1/Å.
    """
    errors = np.concatenate([view.errors(basis)[view.matched, :2] for view in views])
    n_free = 2 * len(errors) - _N_STRAINS - 3 * len(views)
    lost = math.sqrt(2 * len(errors) / max(n_free, 1))
    return max(_DEVIATION * lost * float(np.median(abs(errors))), _LEAST_ERROR)


def _step(
    basis: np.ndarray, views: list[IndexedView], error: float, search: Search
) -> tuple[np.ndarray, list[IndexedView]] | None:
    """Return basis and views after one step, None if it is too long."""
    precision = _precision(error, search)
    n = _N_STRAINS + 3 * len(views)
    normal = _DAMPING * np.eye(n)
    right = np.zeros(n)
    for index, view in enumerate(views):
        errors = view.errors(basis)
        near = (errors[:, :2] ** 2).sum(1) < (_FARTHEST * error) ** 2
        used = view.matched & near
        crystal = view.hkl[used] @ basis
        turned = crystal @ view.rotation.T
        slopes = np.zeros((len(turned), 3, _N_STRAINS + 3))
        strained = crystal @ STRAINS @ view.rotation.T
        slopes[:, :, :_N_STRAINS] = strained.transpose(1, 2, 0)
        x, y, z = turned.T
        # A small rotation w moves p by w x p
        slopes[:, 0, -2], slopes[:, 0, -1] = z, -y
        slopes[:, 1, -3], slopes[:, 1, -1] = -z, x
        slopes[:, 2, -3], slopes[:, 2, -2] = y, -x
        weighted = slopes * precision[:, None]
        first = _N_STRAINS + 3 * index
        own = np.r_[0:_N_STRAINS, first : first + 3]
        normal[np.ix_(own, own)] += np.einsum("nia,nib->ab", weighted, slopes)
        right[own] += np.einsum("nia,ni->a", weighted, errors[used])
    solution = np.linalg.solve(normal, right)
    strain = np.tensordot(solution[:_N_STRAINS], STRAINS, 1)
    if abs(strain).max() > _LARGEST_STRAIN:
        return None
    turns = solution[_N_STRAINS:].reshape(-1, 3)
    return basis @ (np.eye(3) + strain), [
        dataclasses.replace(view, rotation=_rotation(turn) @ view.rotation)
        for view, turn in zip(views, turns, strict=True)
    ]


def _rotation(vector: np.ndarray) -> np.ndarray:
    """Return the matrix of a small rotation, by Cayley's formula."""
    x, y, z = vector / 2
    half = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.linalg.solve(np.eye(3) - half, np.eye(3) + half)


def _matched_anew(
    basis: np.ndarray, view: IndexedView, error: float, search: Search
) -> IndexedView:
    farthest = max(_FARTHEST * error, _LEAST_REACH)
    reach = np.minimum(match_reach(view.vectors, search), farthest)
    hkl, matched = matched_spots(
        basis, view.rotation, view.vectors, reach, search.excitation_error
    )
    return dataclasses.replace(view, hkl=hkl.astype(np.int64), matched=matched)
