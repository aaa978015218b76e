# SPDX-License-Identifier: GPL-3.0-or-later
"""Axis, step and lattice of a rotation series, fitted to all of its spots."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence

import numpy as np
from scipy.optimize import least_squares
from scipy.spatial import cKDTree

from pyxem_symnet.lattice.electrons import on_ewald_sphere
from pyxem_symnet.lattice.find import spot_list
from pyxem_symnet.lattice.fit import IndexedView, SeriesFit
from pyxem_symnet.lattice.indexing import better_basis, log_likelihood
from pyxem_symnet.lattice.matching import matched_spots
from pyxem_symnet.lattice.periods import Periods
from pyxem_symnet.lattice.search import SERIES

# Spots fitted at a time: how far out, in shares of the radius of the spots that
# periods were found in, and how far from a lattice point in 1/Å
_ROUNDS = ((0.6, 0.05), (0.8, 0.04), (1.0, 0.035), (np.inf, 0.025), (np.inf, 0.02))
# Spots of successive views nearer than this, in 1/Å, are of one reflection
_SAME_PLACE = 0.012
# More spots than this say nothing new
_MOST_SPOTS = 1200
# Lattice points nearer to each other leave less room, in shares of their distance
_OF_SHORTEST = 0.35
# Scale in 1/Å of the robust loss, and weight of errors along the beam, where a
# spot only says that its reflection was near the Ewald sphere
_LOSS_SCALE = 0.006
_ALONG_BEAM = 0.3
# A fit that leaves where it started has fitted noise
_MOST_VOLUME_CHANGE = 0.35
_MOST_STEP_CHANGE = 0.2
_MOST_RELATED = 3
_SHORTEST_RECIPROCAL = 0.02
_INDICES = np.array([i for i in itertools.product(range(-3, 4), repeat=3) if any(i)])


@dataclasses.dataclass(frozen=True)
class SeriesPoints:
    """Spots of all views of a series.

    Parameters
    ----------
    positions
        x and y in 1/Å, of shape (spots, 2).
    intensities
        Of shape (spots,).
    place
        Of their views in the series, counted from its middle, of shape
        (spots,).
    wavelength
        Of the electrons in Å.
    """

    positions: np.ndarray
    intensities: np.ndarray
    place: np.ndarray
    wavelength: float

    @classmethod
    def from_views(cls, views: Sequence[np.ndarray], wavelength: float) -> SeriesPoints:
        """Put the spots of all views together.

        Parameters
        ----------
        views
            As for :func:`~pyxem_symnet.lattice.find_series_lattice`.
        wavelength
            Of the electrons in Å.
        """
        lists = [spot_list(view, wavelength) for view in views]
        place = np.arange(len(views)) - (len(views) - 1) / 2
        return cls(
            np.concatenate([spots.vectors[:, :2] for spots in lists]),
            np.concatenate([spots.intensities for spots in lists]),
            np.repeat(place, [len(spots.vectors) for spots in lists]),
            wavelength,
        )

    @property
    def vectors(self) -> np.ndarray:
        """On the Ewald sphere in 1/Å, in each view's own frame."""
        return on_ewald_sphere(self.positions, self.wavelength)

    @property
    def lengths(self) -> np.ndarray:
        """Distances from the direct beam in 1/Å, of shape (spots,)."""
        return np.hypot(self.positions[:, 0], self.positions[:, 1])

    def brightest(self) -> SeriesPoints:
        """Return each reflection where it is brightest, in one view of several.

        While it crosses the Ewald sphere it is seen in one place of some
        views in succession; in the middle one it is on the sphere.
        """
        kept = np.ones(len(self.positions), bool)
        for place in np.unique(self.place):
            here = np.flatnonzero(self.place == place)
            for side in (-1, 1):
                there = np.flatnonzero(self.place == place + side)
                if not len(there):
                    continue
                tree = cKDTree(self.positions[there])
                _, found = tree.query(
                    self.positions[here], distance_upper_bound=_SAME_PLACE
                )
                again = found < len(there)
                rival = self.intensities[there[found[again]]]
                own = self.intensities[here[again]]
                # Of equal ones the first stays
                kept[here[again]] &= (own > rival) | ((own == rival) & (side > 0))
        return self[kept]

    def nearest(self, n: int) -> SeriesPoints:
        """Return so many spots nearest to the direct beam."""
        return self[np.sort(np.argsort(self.lengths, kind="stable")[:n])]

    def __getitem__(self, chosen: np.ndarray) -> SeriesPoints:
        """Return some of the spots."""
        return SeriesPoints(
            self.positions[chosen],
            self.intensities[chosen],
            self.place[chosen],
            self.wavelength,
        )


def turn_about_axis(
    vectors: np.ndarray, azimuth: float, angles: np.ndarray
) -> np.ndarray:
    """Return vectors turned about an axis in the plane of the detector.

    Parameters
    ----------
    vectors
        Of shape (n, 3).
    azimuth
        Of the axis in radians, from x towards y.
    angles
        In radians, one for each vector, of shape (n,).
    """
    c, s = math.cos(azimuth), math.sin(azimuth)
    x, y, z = vectors.T
    along, across = c * x + s * y, c * y - s * x
    cosine, sine = np.cos(angles), np.sin(angles)
    across, z = cosine * across - sine * z, sine * across + cosine * z
    return np.column_stack([c * along - s * across, s * along + c * across, z])


@dataclasses.dataclass(frozen=True)
class _Geometry:
    """What is fitted: a vector of thirteen numbers with names."""

    axis: float
    step: float  # in radians, as the axis
    basis: np.ndarray
    centre: np.ndarray

    @classmethod
    def from_vector(cls, x: np.ndarray) -> _Geometry:
        return cls(x[0], x[1], x[2:11].reshape(3, 3), x[11:13])

    def to_vector(self) -> np.ndarray:
        return np.array([self.axis, self.step, *self.basis.ravel(), *self.centre])

    def in_crystal(self, points: SeriesPoints) -> np.ndarray:
        """Return the spots in the frame of the view in the middle."""
        vectors = on_ewald_sphere(points.positions - self.centre, points.wavelength)
        return turn_about_axis(vectors, self.axis, -self.step * points.place)


def fit_series(
    points: SeriesPoints,
    n_views: int,
    axis: float,
    step: float,
    periods: Periods,
    step_is_free: bool = True,
) -> SeriesFit | None:
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
    SeriesFit or None
        None if the fit leaves where it started.
    """
    if abs(np.linalg.det(periods.translations)) < 1e-6:
        return None
    start = _Geometry(
        math.radians(axis),
        math.radians(step),
        np.linalg.inv(periods.translations).T,
        np.zeros(2),
    )
    geometry = _refine(points, start, step_is_free)
    if geometry is None:
        return None
    for _ in range(_MOST_RELATED):
        fit = _index(points, n_views, geometry)
        basis = better_basis(fit, SERIES, _SHORTEST_RECIPROCAL)
        if basis is None:
            return fit
        # In the frame of the crystal instead of that of the metric
        change = basis @ np.linalg.inv(fit.reciprocal_basis)
        related = dataclasses.replace(
            geometry, basis=change @ _shortest_basis(geometry.basis)
        )
        refined = _refine(points, related, step_is_free)
        if refined is None:
            return fit
        geometry = refined
    return _index(points, n_views, geometry)


def _refine(
    points: SeriesPoints, start: _Geometry, step_is_free: bool
) -> _Geometry | None:
    points = points.brightest().nearest(_MOST_SPOTS)
    lengths = points.lengths
    radius = np.sort(lengths)[min(len(lengths) - 1, _MOST_SPOTS // 4)]
    geometry = start
    free = np.ones(13, bool)
    for share, tolerance in _ROUNDS:
        # Spots near the beam hardly tell the axis and the step
        free[0] = share >= 1
        free[1] = step_is_free and share > 1
        basis = _shortest_basis(geometry.basis)
        geometry = dataclasses.replace(geometry, basis=basis)
        tolerance = min(tolerance, _OF_SHORTEST * np.linalg.norm(basis[0]))
        vectors = geometry.in_crystal(points)
        hkl = np.rint(vectors @ np.linalg.inv(basis))
        away = np.linalg.norm(vectors - hkl @ basis, axis=1)
        used = (away < tolerance) & (lengths <= share * radius) & hkl.any(1)
        if used.sum() < free.sum():
            return None
        some, indices = points[used], hkl[used]
        whole = geometry.to_vector()

        def errors(x, some=some, indices=indices, whole=whole):
            vector = whole.copy()
            vector[free] = x
            trial = _Geometry.from_vector(vector)
            error = trial.in_crystal(some) - indices @ trial.basis
            error = turn_about_axis(error, trial.axis, trial.step * some.place)
            error[:, 2] *= _ALONG_BEAM
            # The assumed centre counts as one more spot
            return np.append(error.ravel(), trial.centre)

        whole[free] = least_squares(
            errors, whole[free], loss="soft_l1", f_scale=_LOSS_SCALE
        ).x
        geometry = _Geometry.from_vector(whole)
    volume = abs(np.linalg.det(geometry.basis) / np.linalg.det(start.basis))
    changed = abs(math.log(volume)) > _MOST_VOLUME_CHANGE
    if changed or abs(geometry.step / start.step - 1) > _MOST_STEP_CHANGE:
        return None
    return geometry


def _index(points: SeriesPoints, n_views: int, geometry: _Geometry) -> SeriesFit:
    """Return the views indexed with a geometry."""
    crystal = _shortest_basis(geometry.basis)
    metric = crystal @ crystal.T
    basis = np.linalg.cholesky(metric)
    orientation = np.linalg.solve(basis, crystal).T
    places = np.arange(n_views) - (n_views - 1) / 2
    indexed = []
    for place in places:
        own = points[points.place == place]
        if not len(own.positions):
            continue
        vectors = on_ewald_sphere(own.positions - geometry.centre, own.wavelength)
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
            IndexedView(vectors, intensities, rotation, hkl.astype(np.int64), matched)
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
        axis=math.degrees(geometry.axis) % 360,
        step=math.degrees(geometry.step),
        centre=(float(geometry.centre[0]), float(geometry.centre[1])),
    )


def _shortest_basis(basis: np.ndarray) -> np.ndarray:
    """Return three shortest vectors of a lattice that span it, right-handed."""
    vectors = _INDICES @ basis
    vectors = vectors[np.argsort((vectors**2).sum(1), kind="stable")]
    first = vectors[0]
    across = np.cross(first, vectors)
    area = np.sqrt((across**2).sum(1))
    second = (area > 1e-6 * (first @ first)).argmax()
    heights = abs(vectors @ across[second])
    third = (heights > 0.5 * abs(np.linalg.det(basis))).argmax()
    shortest = np.array([first, vectors[second], vectors[third]])
    return shortest if np.linalg.det(shortest) > 0 else -shortest
