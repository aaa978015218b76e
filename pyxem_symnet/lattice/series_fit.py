# SPDX-License-Identifier: GPL-3.0-or-later
"""Axis, step and lattice of a rotation series, fitted to all of its spots."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from scipy.optimize import least_squares

from pyxem_symnet.lattice.fit import IndexedView, SeriesFit
from pyxem_symnet.lattice.indexing import better_basis, log_likelihood
from pyxem_symnet.lattice.matching import matched_spots
from pyxem_symnet.lattice.periods import Periods
from pyxem_symnet.lattice.search import SERIES
from pyxem_symnet.lattice.series_geometry import (
    FIRST_WEIGHTS,
    SeriesGeometry,
    SeriesPoints,
    Weights,
    shortest_basis,
    turn_about_axis,
)

# Spots fitted at a time: how far out, in shares of the radius of so many nearest to the
# beam, and how far from a lattice point in 1/Å
_ROUNDS = ((0.6, 0.05), (0.8, 0.04), (1.0, 0.035), (np.inf, 0.025), (np.inf, 0.02))
_N_NEAREST = 300
# Where none are near the beam, the nearest ones, at least so many
_FEWEST_NEAREST = 40
# More spots than this say nothing new
_MOST_SPOTS = 1200
# Lattice points nearer to each other leave less room, in shares of their distance
_OF_SHORTEST = 0.35
# A fit that leaves where it started has fitted noise
_MOST_VOLUME_CHANGE = 0.35
_MOST_STEP_CHANGE = 0.2
_MOST_RELATED = 3
_SHORTEST_RECIPROCAL = 0.02


def fit_series(
    points: SeriesPoints,
    n_views: int,
    axis: float,
    step: float,
    periods: Periods,
    step_is_free: bool = True,
) -> tuple[SeriesFit, SeriesGeometry] | tuple[None, None]:
    """Fit axis, step, centre and lattice of a series, and index it.

    Parameters
    ----------
    points
        Spots of the series.
    n_views
        Number of views.
    axis, step
        Where to start, in degrees.
    periods
        Of the spots, with this axis and step.
    step_is_free
        Whether the step is fitted.

    Returns
    -------
    fit, geometry
        The series indexed, and how. Both None if the fit leaves where it
        started.
    """
    if abs(np.linalg.det(periods.translations)) < 1e-6:
        return None, None
    start = SeriesGeometry(
        math.radians(axis),
        math.radians(step),
        np.linalg.inv(periods.translations).T,
        np.zeros(2),
    )
    geometry = _refine(points, start, step_is_free)
    if geometry is None:
        return None, None
    for _ in range(_MOST_RELATED):
        fit = index_series(points, n_views, geometry)
        basis = better_basis(fit, SERIES, _SHORTEST_RECIPROCAL)
        if basis is None:
            break
        # In the frame of the crystal instead of that of the metric
        change = basis @ np.linalg.inv(fit.reciprocal_basis)
        related = dataclasses.replace(
            geometry, basis=change @ shortest_basis(geometry.basis)
        )
        refined = _refine(points, related, step_is_free)
        if refined is None:
            break
        geometry = refined
    return index_series(points, n_views, geometry), geometry


def _refine(
    points: SeriesPoints, start: SeriesGeometry, step_is_free: bool
) -> SeriesGeometry | None:
    points = points.brightest().nearest(_MOST_SPOTS)
    lengths = points.lengths
    nearest = np.sort(lengths)[:_N_NEAREST]
    geometry = start
    free = np.ones(14, bool)
    for share, tolerance in _ROUNDS:
        radius = max(share * nearest[-1], nearest[:_FEWEST_NEAREST][-1])
        # Spots near the beam hardly tell the axis and the step
        free[0] = share >= 1
        free[1] = step_is_free and share > 1
        free[13] = share > 1
        basis = shortest_basis(geometry.basis)
        geometry = dataclasses.replace(geometry, basis=basis)
        tolerance = min(tolerance, _OF_SHORTEST * np.linalg.norm(basis[0]))
        vectors = geometry.in_crystal(points)
        hkl = np.rint(vectors @ np.linalg.inv(basis))
        away = np.linalg.norm(vectors - hkl @ basis, axis=1)
        used = (away < tolerance) & (lengths <= radius) & hkl.any(1)
        if used.sum() < free.sum():
            return None
        geometry = fit_spots(geometry, points[used], hkl[used], free, FIRST_WEIGHTS)
    volume = abs(np.linalg.det(geometry.basis) / np.linalg.det(start.basis))
    changed = abs(math.log(volume)) > _MOST_VOLUME_CHANGE
    if changed or abs(geometry.step / start.step - 1) > _MOST_STEP_CHANGE:
        return None
    return geometry


def fit_spots(
    geometry: SeriesGeometry,
    points: SeriesPoints,
    hkl: np.ndarray,
    free: np.ndarray,
    weights: Weights,
) -> SeriesGeometry:
    """Return the geometry that explains spots best, with a loss that outliers bear.

    Parameters
    ----------
    geometry
        Where to start.
    points
        Spots.
    hkl
        Their reflections in the basis of the geometry, of shape (spots, 3).
    free
        Which of its fourteen numbers are fitted, of shape (14,).
    weights
        How much errors count.
    """
    whole = geometry.to_vector()

    def changed(x: np.ndarray) -> SeriesGeometry:
        vector = whole.copy()
        vector[free] = x
        return geometry.with_vector(vector)

    best = least_squares(
        lambda x: changed(x).errors(points, hkl, weights),
        whole[free],
        jac=lambda x: changed(x).slopes(points, hkl, weights)[:, free],
        loss="soft_l1",
        f_scale=weights.scale,
    )
    return changed(best.x)


def index_series(
    points: SeriesPoints, n_views: int, geometry: SeriesGeometry
) -> SeriesFit:
    """Return the views of a series indexed with a geometry.

    Parameters
    ----------
    points
        Spots of the series.
    n_views
        Number of views.
    geometry
        Axis, step, lattice and camera.
    """
    crystal = shortest_basis(geometry.basis)
    metric = crystal @ crystal.T
    basis = np.linalg.cholesky(metric)
    orientation = np.linalg.solve(basis, crystal).T
    places = np.arange(n_views) - (n_views - 1) / 2
    indexed = []
    for place in places:
        own = points[points.place == place]
        if not len(own.positions):
            continue
        vectors = geometry.in_view(own)
        order = np.argsort((vectors[:, :2] ** 2).sum(1), kind="stable")
        vectors = vectors[order]
        turned = turn_about_axis(
            orientation.T, geometry.axis, np.full(3, geometry.step * place)
        )
        rotation = np.ascontiguousarray(turned.T)
        reach = SERIES.tolerance + SERIES.scale_error * np.hypot(*vectors[:, :2].T)
        hkl, matched = matched_spots(
            basis, rotation, vectors, reach, SERIES.excitation_error
        )
        intensities = own.intensities[order]
        indexed.append(
            IndexedView(
                vectors, intensities, rotation, hkl.astype(np.int64), matched, np.eye(2)
            )
        )
    n_spots = len(points.positions)
    volume = 1 / abs(np.linalg.det(crystal))
    distance = float(points.lengths.mean())
    n_matched = sum(int(view.matched.sum()) for view in indexed)
    likelihood = log_likelihood(volume, n_matched, n_spots, 1, distance, SERIES)
    return SeriesFit(
        metric,
        tuple(view for view in indexed if view.matched.any()),
        n_spots,
        likelihood,
        coarse=False,
        distortion=tuple(map(float, geometry.distortion)),
        axis=math.degrees(geometry.axis) % 360,
        step=math.degrees(geometry.step),
        centre=(float(geometry.centre[0]), float(geometry.centre[1])),
    )
