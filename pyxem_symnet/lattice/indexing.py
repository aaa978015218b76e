# SPDX-License-Identifier: GPL-3.0-or-later
"""All views indexed with one lattice, and the lattice refined on all of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from pyxem_symnet.lattice.distortion import NONE, undistort
from pyxem_symnet.lattice.fit import IndexedView, LatticeFit
from pyxem_symnet.lattice.matching import count_matches
from pyxem_symnet.lattice.metric import (
    determinant,
    is_plausible,
    list_reflections,
    reduce_metric,
)
from pyxem_symnet.lattice.orient import N_PAIR_SPOTS, orient_view
from pyxem_symnet.lattice.scores import SMALLEST_VOLUME
from pyxem_symnet.lattice.search import Search
from pyxem_symnet.lattice.sublattices import coarser_bases, finer_bases

#: A view of fewer spots says nothing about a lattice
FEWEST_SPOTS = 3

# With more reflections than this within reach of the shortest spots, a lattice
# explains anything
_MOST_REFLECTIONS = 20000
_MOST_CHANCE = 0.9
# Two of the spots are needed to orient a view
_SPOTS_TO_ORIENT = 2
# Log likelihood of a view that no orientation explains, at least, and of one of
# which none could be tried
_LEAST_VIEW = -3.0
_UNORIENTED = -10.0
# Excitation errors of matched reflections reach as many tolerances
_LOOSER = 1.2
_TYPICAL_DISTANCE = 0.5
_LARGEST_STRAIN = 0.1
# What all views have in common: strain and distortion
_N_COMMON = 8
STRAINS = np.zeros((6, 3, 3))
for _strain, (_i, _j) in zip(
    STRAINS, ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2)), strict=True
):
    _strain[_i, _j] = _strain[_j, _i] = 1
# Errors of positions that are typical, in tolerances
_TYPICAL_ERROR = 0.4
_MOST_DISTORTED = 0.06
# Refinements at least
_FEWEST_REFINEMENTS = 2
# A lattice with more or fewer points must be so much better
_LEAST_GAIN = 3.0
_MOST_CHANGES = 4
_BASES = np.concatenate(
    [finer_bases(p) for p in (2, 3)] + [coarser_bases(p) for p in (2, 3, 5)]
)


class SpotList(NamedTuple):
    """Spots of one view, nearest to the direct beam first.

    Parameters
    ----------
    vectors
        On the Ewald sphere in 1/Å, of shape (spots, 3).
    intensities
        Of shape (spots,).
    """

    vectors: np.ndarray
    intensities: np.ndarray


def index_views(
    metric: np.ndarray,
    views: Sequence[SpotList],
    search: Search,
    n_orientations: int | None = None,
    distortion: tuple[float, float] = NONE,
    known_well: bool = False,
) -> LatticeFit:
    """Orient a lattice in each view.

    Parameters
    ----------
    metric
        Metric tensor of the reduced reciprocal basis in 1/Å².
    views
        Spots of each view.
    search
        Settings.
    n_orientations
        Number of orientations of a view that are tried, if other than
        that of the settings.
    distortion
        Elliptical distortion of the views, which is undone first.
    known_well
        Whether the metric is precise enough to lay pairs of spots far
        from the direct beam on reflections, too. They tell how a view is
        tilted, since an excitation error is a smaller angle there.
    """
    views = [_nearest_spots(view, distortion, search.n_spots) for view in views]
    basis = np.linalg.cholesky(metric)
    volume = 1 / math.sqrt(determinant(metric))
    # Pairs are made of the first spots, the others are indexed by an orientation
    radii = [_pair_radius(view.vectors, search) for view in views]
    near = _list_pairs(metric, max(radii), basis)
    far = near
    if known_well:
        farthest = max(_pair_radius(view.vectors[::-1], search) for view in views)
        far = _list_pairs(metric, farthest, basis)
    indexed = []
    n_spots = 0
    total = 0.0
    for view, radius in zip(views, radii, strict=True):
        within = np.searchsorted(near[1], radius, side="right")
        if within < FEWEST_SPOTS:
            total += _UNORIENTED
            continue
        limits = (
            search.tolerance,
            search.excitation_error,
            n_orientations or search.n_orientations,
        )
        reach = match_reach(view.vectors, search)
        n, rotation, indices, matched = orient_view(
            basis, near[0][:within], near[1][:within], view.vectors, reach, *limits
        )
        if known_well and n < len(view.vectors):
            other = orient_view(
                basis, *far, view.vectors[::-1].copy(), reach[::-1].copy(), *limits
            )
            if other[0] > n:
                n, rotation = other[:2]
                indices, matched = other[2][::-1], other[3][::-1]
        distance = np.linalg.norm(view.vectors, axis=1).mean()
        total += max(
            log_likelihood(volume, max(n, 0), len(view.vectors), 1, distance, search),
            _LEAST_VIEW,
        )
        n_spots += len(view.vectors)
        if n > 0:
            indexed.append(
                IndexedView(*view, rotation, indices.astype(np.int64), matched.copy())
            )
    return LatticeFit(metric, tuple(indexed), n_spots, total, False, distortion)


def _pair_radius(vectors: np.ndarray, search: Search) -> float:
    """Return how far out reflections are that pairs of the first spots may be."""
    distances = np.linalg.norm(vectors[:N_PAIR_SPOTS], axis=1)
    return distances.max() + 2 * search.tolerance


def _list_pairs(
    metric: np.ndarray, radius: float, basis: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return one of each Friedel pair of reflections, and their lengths."""
    hkl, lengths = list_reflections(metric, radius, _MOST_REFLECTIONS)
    return hkl @ basis, lengths


def _nearest_spots(
    view: SpotList, distortion: tuple[float, float], most: int
) -> SpotList:
    vectors = undistort(view.vectors, distortion)
    if distortion == NONE:
        return SpotList(vectors[:most], view.intensities[:most])
    nearest = np.argsort((vectors[:, :2] ** 2).sum(1), kind="stable")[:most]
    return SpotList(vectors[nearest], view.intensities[nearest])


def match_reach(vectors: np.ndarray, search: Search) -> np.ndarray:
    """Return how far a reflection may be from each spot, in 1/Å."""
    return search.tolerance + search.scale_error * np.hypot(
        vectors[:, 0], vectors[:, 1]
    )


def log_likelihood(
    volume: float,
    n_matched: int,
    n_spots: int,
    n_views: int,
    distance: float,
    search: Search,
) -> float:
    """Return that of a lattice against spots that lie by chance.

    Parameters
    ----------
    volume
        Of the primitive cell in Å³.
    n_matched, n_spots
        Number of spots that the lattice explains, of all.
    n_views
        Number of views that were oriented one by one.
    distance
        Typical distance of a spot from the direct beam in 1/Å.
    search
        Settings.
    """
    reach = search.tolerance + search.scale_error * distance
    # Reflections in the cylinder about a spot
    height = 2 * search.excitation_error * _LOOSER
    chance = min(_MOST_CHANCE, volume * math.pi * reach**2 * height)
    explained = (1 - search.outliers + search.outliers * chance) / chance
    return (
        n_matched * math.log(explained)
        + (n_spots - n_matched) * math.log(search.outliers)
        + _SPOTS_TO_ORIENT * n_views * math.log(chance)
    )


def refine_fit(
    fit: LatticeFit,
    views: Sequence[SpotList],
    search: Search,
    n_orientations: int | None = None,
) -> LatticeFit:
    """Return the views indexed with the lattice that fits them best.

    Least squares on the strain of the lattice, a small rotation of each
    view and the elliptical distortion, if the settings let there be any.
    Only distances in the detector's plane count.

    Parameters
    ----------
    fit
        The views indexed with a lattice.
    views
        Spots of each view.
    search
        Settings.
    n_orientations
        As for :func:`index_views`.
    """
    metric, distortion = refine_lattice(fit, search)
    return index_views(metric, views, search, n_orientations, distortion)


def refine_often(
    fit: LatticeFit,
    views: Sequence[SpotList],
    search: Search,
    most: int = 6,
    n_orientations: int | None = None,
) -> LatticeFit:
    """Return the fit refined, more often as long as more spots are explained.

    Parameters
    ----------
    fit, views, search, n_orientations
        As for :func:`refine_fit`.
    most
        Largest number of refinements.
    """
    for step in range(most):
        refined = refine_fit(fit, views, search, n_orientations)
        if step >= _FEWEST_REFINEMENTS and refined.n_matched <= fit.n_matched:
            break
        fit = refined
    return fit


def refine_lattice(
    fit: LatticeFit, search: Search
) -> tuple[np.ndarray, tuple[float, float]]:
    """Return the reduced metric and the distortion that fit indexed spots best.

    Parameters
    ----------
    fit
        The views indexed with a lattice.
    search
        Settings.
    """
    views = _well_indexed(fit)
    if not views:
        return fit.metric, fit.distortion
    basis = np.linalg.cholesky(fit.metric)
    n = _N_COMMON + 3 * len(views)
    normal = np.zeros((n, n))
    right = np.zeros(n)
    for index, view in enumerate(views):
        crystal = view.hkl[view.matched] @ basis
        turned = crystal @ view.rotation.T
        error = (view.vectors[view.matched] - turned)[:, :2]
        slopes = np.zeros((len(turned), 2, _N_COMMON + 3))
        slopes[:, :, :6] = (crystal @ STRAINS @ view.rotation.T).transpose(1, 2, 0)[
            :, :2
        ]
        x, y, z = turned.T
        slopes[:, 0, 6] = slopes[:, 1, 7] = x
        slopes[:, 0, 7] = y
        slopes[:, 1, 6] = -y
        # A small rotation w moves p by w x p
        slopes[:, 0, 9] = z
        slopes[:, 0, 10] = -y
        slopes[:, 1, 8] = -z
        slopes[:, 1, 10] = x
        slopes = slopes.reshape(-1, _N_COMMON + 3)
        first = _N_COMMON + 3 * index
        own = np.r_[0:_N_COMMON, first : first + 3]
        normal[np.ix_(own, own)] += slopes.T @ slopes
        right[own] += slopes.T @ error.ravel()
    # A lattice vector that no view shows stays as it is
    normal[np.diag_indices(n)] += 1.01e-7
    if search.ellipticity > 0:
        # What may be strain or distortion is strain
        weight = (_TYPICAL_ERROR * search.tolerance / search.ellipticity) ** 2
        normal[(6, 7), (6, 7)] += weight
        right[6:8] -= weight * np.array(fit.distortion)
    else:
        normal[6:8] = normal[:, 6:8] = 0
        normal[(6, 7), (6, 7)] = 1
        right[6:8] = 0
    solution = np.linalg.solve(normal, right)
    strain = np.tensordot(solution[:6], STRAINS, 1)
    distortion = np.array(fit.distortion) + solution[6:8]
    if abs(strain).max() > _LARGEST_STRAIN or np.hypot(*distortion) > _MOST_DISTORTED:
        return reduce_metric(fit.metric), fit.distortion
    basis = basis @ (np.eye(3) + strain)
    return reduce_metric(basis @ basis.T), tuple(distortion.tolist())


def _well_indexed(fit: LatticeFit) -> list[IndexedView]:
    return [view for view in fit.views if view.matched.sum() >= FEWEST_SPOTS]


def best_related(
    fit: LatticeFit, views: Sequence[SpotList], search: Search, shortest: float
) -> LatticeFit:
    """Return the fit of a finer or coarser lattice as long as one is better.

    Parameters
    ----------
    fit
        The views indexed with a lattice.
    views
        Spots of each view.
    search
        Settings.
    shortest
        Length of the shortest reciprocal vector that is plausible, in 1/Å.
    """
    for _ in range(_MOST_CHANGES):
        basis = better_basis(fit, search, shortest)
        if basis is None:
            break
        metric = reduce_metric(basis @ basis.T)
        fit = index_views(metric, views, search, distortion=fit.distortion)
        fit = refine_fit(fit, views, search)
    return fit


def better_basis(
    fit: LatticeFit, search: Search, shortest: float, least_gain: float = _LEAST_GAIN
) -> np.ndarray | None:
    """Return the basis of a related lattice that explains the views better.

    They keep the orientations found with the given one.

    Parameters
    ----------
    fit
        The views indexed with a lattice.
    search
        Settings.
    shortest
        Length of the shortest reciprocal vector that is plausible, in 1/Å.
    least_gain
        Gain of the log likelihood from which on a lattice counts as better.
        Below zero, one may seem worse until views are oriented anew.

    Returns
    -------
    ndarray or None
        Reciprocal vectors as rows, in the frame of the fit's reciprocal
        basis. None if no finer or coarser lattice is better.
    """
    views = _well_indexed(fit)
    if not views:
        return None
    vectors = np.concatenate([view.vectors for view in views])
    starts = np.cumsum([0] + [len(view.vectors) for view in views])
    rotations = np.array([view.rotation for view in views])
    reach = match_reach(vectors, search)

    def score(basis: np.ndarray, volume: float) -> float:
        n = count_matches(
            basis, vectors, starts, rotations, reach, search.excitation_error
        )
        return log_likelihood(
            volume, n, len(vectors), len(views), _TYPICAL_DISTANCE, search
        )

    basis = np.linalg.cholesky(fit.metric)
    least_score = score(basis, fit.volume) + least_gain
    best = None
    for change in _BASES:
        volume = fit.volume / abs(np.linalg.det(change))
        if not SMALLEST_VOLUME <= volume <= 1.5 * search.largest_volume:
            continue
        changed = change @ basis
        if not is_plausible(reduce_metric(changed @ changed.T), shortest):
            continue
        gained = score(changed, volume)
        if gained > least_score:
            least_score = gained + max(least_gain, 0.0)
            best = changed
    return best
