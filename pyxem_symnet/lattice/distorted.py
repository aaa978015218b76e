# SPDX-License-Identifier: GPL-3.0-or-later
"""A lattice, and the distortion of each view, that fit displaced spots best.

While lattices are looked for in badly calibrated patterns, spots are allowed to be
far from where they belong. Once there is a lattice, each view's own distortion and
beam position follow from its spots, and then little remains that is not random.
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
from pyxem_symnet.lattice.view_fit import (
    N_ALL,
    N_OWN,
    moved,
    normal_equations,
    orient_distorted,
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


class _View:
    """A view while it is fitted: spots as they are, and where they belong."""

    def __init__(self, spots: SpotList, known: np.ndarray):
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


def polish_distorted(fit: LatticeFit, views: Sequence[SpotList]) -> LatticeFit:
    """Return the lattice, orientations and undistorted spots that fit best.

    Parameters
    ----------
    fit
        Some of the views indexed with a lattice.
    views
        Spots of all views.
    """
    basis = np.linalg.cholesky(fit.metric)
    known = np.array([view.rotation for view in fit.views]).reshape(-1, 3, 3)
    fitted = [_View(view, known) for view in views]
    _orient(basis, fitted)
    basis, error = _fit_together(basis, fitted)
    metric = basis @ basis.T
    back = np.linalg.solve(np.linalg.cholesky(metric), basis).T
    indexed = tuple(
        IndexedView(
            view.vectors,
            view.intensities,
            view.rotation @ back,
            view.hkl.astype(np.int64),
            view.matched,
        )
        for view in fitted
        if view.matched.sum() >= FEWEST_SPOTS
    )
    return dataclasses.replace(
        fit,
        metric=metric,
        views=indexed,
        n_spots=sum(len(view.spots) for view in fitted),
        log_likelihood=_log_likelihood(basis, fitted, error),
        coarse=True,
        distortion=tuple(np.median([view.own[:2] for view in fitted], axis=0).tolist()),
    )


def _orient(basis: np.ndarray, views: list[_View]) -> None:
    """Orient views anew, in place."""
    radius = max(
        float(np.linalg.norm(view.spots[:_N_PAIR_SPOTS], axis=1).max())
        for view in views
    )
    metric = basis @ basis.T
    hkl, lengths = list_reflections(metric, radius + _MARGIN, _MOST_REFLECTIONS)
    reflections = hkl @ basis
    for view in views:
        _, view.rotation, view.own = orient_distorted(
            basis,
            reflections,
            lengths,
            view.spots,
            view.known,
            _FIRST_ERROR,
            _EXCITATION,
            _IN_THE_END * _FIRST_ERROR,
        )


def _fit_together(basis: np.ndarray, views: list[_View]) -> tuple[np.ndarray, float]:
    """Change views in place, and return the basis and the error of coordinates."""
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
    return basis, error


def _step(basis: np.ndarray, views: list[_View], error: float) -> np.ndarray:
    """Change views in place by a step of least squares, and return the new basis."""
    normal = _DAMPING * np.eye(6)
    right = np.zeros(6)
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
        own, mixed = of_view[:N_OWN, :N_OWN], of_view[:N_OWN, N_OWN:]
        solved = np.linalg.solve(own, np.column_stack([mixed, own_right[:N_OWN]]))
        normal += of_view[N_OWN:, N_OWN:] - mixed.T @ solved[:, :6]
        right += own_right[N_OWN:] - mixed.T @ solved[:, 6]
        back.append(solved)
    strains = np.linalg.solve(normal, right)
    strains *= min(1.0, _LARGEST_STRAIN / max(abs(strains).max(), 1e-12))
    for view, solved in zip(views, back, strict=True):
        moved(view.rotation, view.own, solved[:, 6] - solved[:, :6] @ strains)
        undistorted(view.spots, view.own, view.vectors)
    return basis @ (np.eye(3) + np.tensordot(strains, STRAINS, 1))


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
    for view in views:
        squares = (view.errors(basis)[:, :2] ** 2).sum(1)
        near = np.exp(-0.5 * squares / error**2) / chance
        gain = np.log(_OUTLIERS + (1 - _OUTLIERS) * near).sum()
        gain += (len(view.spots) - len(squares)) * math.log(_OUTLIERS)
        total += max(gain + cost, _LEAST_VIEW)
    return total
