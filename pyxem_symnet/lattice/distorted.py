# SPDX-License-Identifier: GPL-3.0-or-later
"""A lattice, and the distortion of its views, that fit displaced spots best.

While lattices are looked for in badly calibrated patterns, spots are allowed to be
far from where they belong. Once there is a lattice, each view's own distortion and
beam position follow from its spots, and then little remains that is not random.

One camera distorts all of its patterns alike. Where the views agree on that, they
tell the shape of the lattice far better: with a distortion of its own a view fits
nets of other shapes, too.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from pyxem_symnet.lattice.fit import IndexedView, LatticeFit
from pyxem_symnet.lattice.indexing import FEWEST_SPOTS, STRAINS, SpotList
from pyxem_symnet.lattice.matching import LAST, matched_spots
from pyxem_symnet.lattice.metric import list_reflections
from pyxem_symnet.lattice.orient_distorted import N_FITTED, orient_distorted
from pyxem_symnet.lattice.pseudosymmetry import choose_indexing, nearly_symmetric
from pyxem_symnet.lattice.view_fit import (
    DISTORTION,
    N_ALL,
    N_OWN,
    N_SHARED,
    TYPICAL_EXCITATION,
    eliminated,
    moved,
    normal_equations,
    shared_parameters,
    undistorted,
)

#: Spots of a view that are indexed
_MOST_SPOTS = 64
#: Largest distance of visible reflections from the Ewald sphere in 1/Å: since
#: all else is known better, more may be allowed here
_EXCITATION = 0.05
# Standard deviation of a coordinate in 1/Å: while views are oriented, the least that
# is used, and the least that is found
_FIRST_ERROR = 0.006
_LEAST_ERROR = 0.002
_LEAST_MEASURED = 5e-4
# A match, in standard deviations, while fitting and in the end, and at least in 1/Å
_WHILE_FITTING = 3.5
_IN_THE_END = 2.5
_NEAREST = 0.005
_NEAREST_IN_THE_END = 0.004
# Of a normal distribution, in median absolute deviations
_DEVIATION = 1.4826
_ROUNDS = 4
_STEPS = 2
_N_STRAINS = len(STRAINS)
# Precision of the strains, and the largest one at once
_DAMPING = 1e3
_LARGEST_STRAIN = 0.05
# Pairs of reflections are made of spots up to so many, nearest to the beam
_N_PAIR_SPOTS = 14
_MARGIN = 0.03
_MOST_REFLECTIONS = 20000
# Of the likelihood: spots no lattice explains, what a view's own distortion costs,
# and of a view that nothing explains
_OUTLIERS = 0.15
_DISTORTION_COST = 7.0
_LEAST_VIEW = -3.0
# How well a common distortion is known before views are fitted with it, and the best
# orientations that are
_KNOWN_DISTORTION = 0.002
_N_FITTED_SHARED = 8
# Decimals of a metric in 1/Å²: far more than views tell apart, and fewer than rounding
# changes
_DECIMALS = 11
# What it costs to choose among ways to index a view, for the logarithm of their number
_PER_LOG_WAYS = 1.5


class _View:
    """A view while it is fitted: spots as they are, and where they belong."""

    def __init__(
        self, spots: SpotList, known: np.ndarray, frame: np.ndarray, shared: bool
    ):
        # From the two numbers of a common distortion to those in this view
        self.frame = frame
        self.shared = shared
        self.order = shared_parameters(frame) if shared else np.eye(N_ALL)
        self.spots = spots.vectors[:_MOST_SPOTS].copy()
        self.intensities = spots.intensities[:_MOST_SPOTS]
        self.known = known
        self.rotation = np.eye(3)
        self.own = np.zeros(4)
        self.vectors = self.spots.copy()
        self.hkl = np.zeros_like(self.spots)
        self.matched = np.zeros(len(self.spots), bool)

    def match(self, basis: np.ndarray, reach: float) -> None:
        undistorted(self.spots, self.own, self.vectors)
        self.hkl, self.matched = matched_spots(
            basis,
            self.rotation,
            self.vectors,
            np.full(len(self.vectors), reach),
            _EXCITATION,
        )

    def errors(self, basis: np.ndarray) -> np.ndarray:
        """Return how far matched spots are from their reflections."""
        lattice = self.hkl[self.matched] @ basis @ self.rotation.T
        return self.vectors[self.matched] - lattice


def polish_distorted(
    fit: LatticeFit,
    views: Sequence[SpotList],
    frames: Sequence[np.ndarray] | None = None,
) -> LatticeFit:
    """Return the lattice, orientations and undistorted spots that fit best.

    Each view has a distortion of its own.

    Parameters
    ----------
    fit
        Some of the views indexed with a lattice.
    views
        Spots of all views.
    frames
        As for :func:`share_distortion`: with them, the most typical
        distortion is told in the common frame.
    """
    if frames is None:
        frames = [np.eye(2)] * len(views)
    fitted = _begin(fit, views, frames, shared=False)
    _orient(fit, fitted)
    return _fit_together(fit, fitted)


def share_distortion(
    fit: LatticeFit, views: Sequence[SpotList], frames: Sequence[np.ndarray]
) -> LatticeFit:
    """Return what fits best if the distortion is the same in all views.

    Where the lattice is nearly of higher symmetry, distortions of their own
    hide which of several ways to index views agree, so this is decided anew.

    Parameters
    ----------
    fit
        What :func:`polish_distorted` returned with the same frames, or this
        function.
    views
        Spots of all views.
    frames
        Matrices of shape (2, 2), from the two numbers of the common
        distortion to those in each view, which may have been turned.
    """
    fitted = _begin(fit, views, frames, shared=True)
    _orient(fit, fitted)
    shared = _fit_together(fit, fitted)
    n_ways, n_views = _choose_ways(shared, fitted)
    if n_ways > 1:
        other = _fit_together(shared, fitted)
        price = _PER_LOG_WAYS * math.log(n_ways) * (n_views - 1)
        if other.log_likelihood - price > shared.log_likelihood:
            shared = other
    # Orientations found with a better lattice are better
    fitted = _begin(shared, views, frames, shared=True)
    _orient(shared, fitted)
    again = _fit_together(shared, fitted)
    return max(shared, again, key=lambda one: one.log_likelihood)


def _begin(
    fit: LatticeFit,
    views: Sequence[SpotList],
    frames: Sequence[np.ndarray],
    shared: bool,
) -> list[_View]:
    known = np.array([view.rotation for view in fit.views]).reshape(-1, 3, 3)
    return [
        _View(view, known, frame, shared)
        for view, frame in zip(views, frames, strict=True)
    ]


def _orient(fit: LatticeFit, views: list[_View]) -> None:
    """Orient views anew, in place."""
    # Orientations are proposed in an order in which lengths may be equal
    metric = fit.metric.round(_DECIMALS)
    basis = np.linalg.cholesky(metric)
    radius = max(
        float(np.linalg.norm(view.spots[:_N_PAIR_SPOTS], axis=1).max())
        for view in views
    )
    hkl, lengths = list_reflections(metric, radius + _MARGIN, _MOST_REFLECTIONS)
    reflections = hkl @ basis
    for view in views:
        if view.shared:
            view.own[:2] = view.frame @ fit.distortion
        spots = np.empty_like(view.spots)
        undistorted(view.spots, view.own, spots)
        _, view.rotation, own = orient_distorted(
            basis,
            reflections,
            lengths,
            spots,
            view.known,
            _FIRST_ERROR,
            _EXCITATION,
            _IN_THE_END * _FIRST_ERROR,
            _KNOWN_DISTORTION if view.shared else DISTORTION,
            _N_FITTED_SHARED if view.shared else N_FITTED,
        )
        view.own[2:] = own[2:]
        if not view.shared:
            view.own[:2] = own[:2]


def _choose_ways(fit: LatticeFit, views: list[_View]) -> tuple[int, int]:
    """Turn views to the ways of indexing that agree best, in place.

    Returns how many ways there are, and how many views were chosen for.
    """
    if len(fit.views) < 2:
        return 1, len(fit.views)
    basis = fit.reciprocal_basis
    n_ways = len(nearly_symmetric(fit.metric))
    indexed = [view for view in views if view.matched.sum() >= FEWEST_SPOTS]
    errors = np.concatenate([view.errors(basis)[view.matched] for view in fit.views])
    error = max(_DEVIATION * float(np.median(abs(errors[:, :2]))), _LEAST_ERROR)
    precision = np.array([error, error, TYPICAL_EXCITATION * _EXCITATION]) ** -2.0
    chosen = choose_indexing(fit.metric, list(fit.views), STRAINS, precision)
    for view, other in zip(indexed, chosen, strict=True):
        view.rotation = np.ascontiguousarray(other.rotation)
    return n_ways, len(indexed)


def _fit_together(fit: LatticeFit, views: list[_View]) -> LatticeFit:
    """Return lattice and views that fit best. Views are changed in place."""
    basis = fit.reciprocal_basis
    error = _FIRST_ERROR
    for _ in range(_ROUNDS):
        reach = max(_WHILE_FITTING * error, _NEAREST)
        for view in views:
            view.match(basis, reach)
        for _ in range(_STEPS):
            basis = _step(basis, views, max(error, _LEAST_ERROR))
        error = _typical_error(basis, views)
    reach = max(_IN_THE_END * error, _NEAREST_IN_THE_END)
    for view in views:
        view.match(basis, reach)
    metric = basis @ basis.T
    # The frame of a lattice follows its reciprocal vectors
    back = np.linalg.solve(np.linalg.cholesky(metric), basis).T
    for view in views:
        view.rotation = view.rotation @ back
    basis = np.linalg.cholesky(metric)
    indexed = tuple(
        IndexedView(
            view.vectors.copy(),
            view.intensities,
            view.rotation.copy(),
            view.hkl.astype(np.int64),
            view.matched,
            view.frame if view.shared else None,
        )
        for view in views
        if view.matched.sum() >= FEWEST_SPOTS
    )
    return dataclasses.replace(
        fit,
        metric=metric,
        views=indexed,
        n_spots=sum(len(view.spots) for view in views),
        log_likelihood=_log_likelihood(basis, views, error),
        coarse=True,
        distortion=_common_distortion(views),
    )


def _common_distortion(views: list[_View]) -> tuple[float, float]:
    """Return the distortion that differs least from those of all views.

    Unlike a median of each number it turns with the patterns.
    """
    found = np.array([view.frame.T @ view.own[:2] for view in views])
    differences = np.linalg.norm(found[:, None] - found, axis=-1).sum(1)
    return tuple(found[differences.argmin()].tolist())


def _step(basis: np.ndarray, views: list[_View], error: float) -> np.ndarray:
    """Change views in place by a step of least squares, and return the new basis."""
    n_own = N_SHARED if views[0].shared else N_OWN
    n_common = N_ALL - n_own
    normal = np.zeros((n_common, n_common))
    normal[-_N_STRAINS:, -_N_STRAINS:] = _DAMPING * np.eye(_N_STRAINS)
    right = np.zeros(n_common)
    back = []
    for view in views:
        of_view, own_right = normal_equations(
            basis,
            view.rotation,
            view.own,
            view.vectors,
            view.hkl,
            view.matched,
            error,
            _EXCITATION,
            N_ALL,
        )
        back.append(eliminated(of_view, own_right, view.order, normal, right))
    common = np.linalg.solve(normal, right)
    largest = abs(common[-_N_STRAINS:]).max()
    common *= min(1.0, _LARGEST_STRAIN / max(largest, 1e-12))
    for view, solved in zip(views, back, strict=True):
        own = solved[:, -1] - solved[:, :-1] @ common
        moved(view.rotation, view.own, (view.order @ np.append(own, common))[:N_OWN])
        undistorted(view.spots, view.own, view.vectors)
    return basis @ (np.eye(3) + np.tensordot(common[-_N_STRAINS:], STRAINS, 1))


def _typical_error(basis: np.ndarray, views: list[_View]) -> float:
    errors = np.concatenate([view.errors(basis)[:, :2] for view in views])
    if not len(errors):
        return _FIRST_ERROR
    n_free = 2 * len(errors) - 6 - 5 * len(views)
    lost = math.sqrt(2 * len(errors) / max(n_free, 1))
    return max(_DEVIATION * lost * float(np.median(abs(errors))), _LEAST_MEASURED)


def _log_likelihood(basis: np.ndarray, views: list[_View], error: float) -> float:
    """Return that of the lattice against spots that lie by chance."""
    volume = 1 / abs(np.linalg.det(basis))
    # Reflections in the place of one, if they lie anywhere
    chance = volume * 2 * LAST[1] * _EXCITATION * 2 * math.pi * error**2
    cost = 2 * math.log(min(chance, 1.0)) - _DISTORTION_COST
    total = 0.0
    if views[0].shared:
        cost += _DISTORTION_COST / 2
        total -= _DISTORTION_COST
    for view in views:
        squares = (view.errors(basis)[:, :2] ** 2).sum(1)
        near = np.exp(-0.5 * squares / error**2) / chance
        gain = np.log(_OUTLIERS + (1 - _OUTLIERS) * near).sum()
        gain += (len(view.spots) - len(squares)) * math.log(_OUTLIERS)
        total += max(gain + cost, _LEAST_VIEW)
    return total
