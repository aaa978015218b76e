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

from pyxem_symnet.lattice.distortion import undistort
from pyxem_symnet.lattice.electrons import on_ewald_sphere
from pyxem_symnet.lattice.find import spot_list
from pyxem_symnet.lattice.fit import IndexedView, SeriesFit
from pyxem_symnet.lattice.indexing import better_basis, log_likelihood
from pyxem_symnet.lattice.matching import matched_spots
from pyxem_symnet.lattice.periods import Periods
from pyxem_symnet.lattice.search import SERIES
from pyxem_symnet.lattice.strain import strain_information, symmetry_evidence
from pyxem_symnet.lattice.symmetry import lattice_groups
from pyxem_symnet.lattice.view_fit import DISTORTION

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
# Stretch along the axis that others follow from, and the largest
_TRIAL_STRETCH, _MOST_STRETCHED = 0.01, 0.04
# Least standard deviation of the strains of a lattice: axes and steps are not exact
_LEAST_STRAIN = 0.002
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
class SeriesGeometry:
    """Where the spots of a series come from.

    A distortion is written down in the frame of the axis: a shear, and a stretch
    along it. All but the stretch is fitted, as a vector of fourteen numbers.
    """

    axis: float
    step: float  # in radians, as the axis
    basis: np.ndarray
    centre: np.ndarray
    shear: float = 0.0
    stretch: float = 0.0

    def with_vector(self, x: np.ndarray) -> SeriesGeometry:
        """Return a geometry with these numbers in place of its own."""
        basis, centre = x[2:11].reshape(3, 3), x[11:13]
        return SeriesGeometry(x[0], x[1], basis, centre, x[13], self.stretch)

    def to_vector(self) -> np.ndarray:
        """Return what is fitted."""
        basis = self.basis.ravel()
        return np.array([self.axis, self.step, *basis, *self.centre, self.shear])

    @property
    def distortion(self) -> tuple[float, float]:
        """In the frame of the detector."""
        c, s = math.cos(2 * self.axis), math.sin(2 * self.axis)
        return c * self.stretch - s * self.shear, s * self.stretch + c * self.shear

    def opposite(self, stretch: float) -> np.ndarray:
        """Return what a stretch of patterns makes of a lattice that explains them."""
        along = np.array([math.cos(self.axis), math.sin(self.axis), 0.0])
        return (1 + stretch) * np.eye(3) - 2 * stretch * np.outer(along, along)

    def in_view(self, points: SeriesPoints) -> np.ndarray:
        """Return the spots on the Ewald sphere, each in the frame of its view."""
        vectors = on_ewald_sphere(points.positions - self.centre, points.wavelength)
        return undistort(vectors, self.distortion)

    def in_crystal(self, points: SeriesPoints) -> np.ndarray:
        """Return the spots in the frame of the view in the middle."""
        vectors = self.in_view(points)
        return turn_about_axis(vectors, self.axis, -self.step * points.place)

    def errors(self, points: SeriesPoints, hkl: np.ndarray) -> np.ndarray:
        """Return how far spots are from reflections, of shape (3 spots + 3,).

        Those along the beam count less. The assumed centre counts as one more
        spot, and so does a distortion.
        """
        turned = turn_about_axis(hkl @ self.basis, self.axis, self.step * points.place)
        error = self.in_view(points) - turned
        error[:, 2] *= _ALONG_BEAM
        typical = self.shear * _LOSS_SCALE / DISTORTION
        return np.concatenate([error.ravel(), self.centre, [typical]])

    def slopes(self, points: SeriesPoints, hkl: np.ndarray) -> np.ndarray:
        """Return how these change, of shape (3 spots + 3, 14), to first order."""
        angles = self.step * points.place
        before = hkl @ self.basis
        after = turn_about_axis(before, self.axis, angles)
        x, y = self.in_view(points)[:, :2].T
        c, s = math.cos(self.axis), math.sin(self.axis)
        upwards = np.array([0.0, 0.0, 1.0])
        slopes = np.zeros((len(hkl), 3, 14))
        back = turn_about_axis(np.cross(upwards, before), self.axis, angles)
        slopes[..., 0] = back - np.cross(upwards, after)
        slopes[..., 1] = -points.place[:, None] * np.cross([c, s, 0.0], after)
        for column, unit in enumerate(np.eye(3)):
            turned = turn_about_axis(np.tile(unit, (len(hkl), 1)), self.axis, angles)
            for row in range(3):
                slopes[..., 2 + 3 * row + column] = -hkl[:, row, None] * turned
        slopes[:, 0, 11] = slopes[:, 1, 12] = -1
        c, s = math.cos(2 * self.axis), math.sin(2 * self.axis)
        slopes[:, :2, 13] = np.column_stack([s * x - c * y, -s * y - c * x])
        slopes[:, 2] *= _ALONG_BEAM
        known = np.zeros((3, 14))
        known[[0, 1, 2], [11, 12, 13]] = 1, 1, _LOSS_SCALE / DISTORTION
        return np.concatenate([slopes.reshape(-1, 14), known])


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
        fit = _index(points, n_views, geometry)
        basis = better_basis(fit, SERIES, _SHORTEST_RECIPROCAL)
        if basis is None:
            break
        # In the frame of the crystal instead of that of the metric
        change = basis @ np.linalg.inv(fit.reciprocal_basis)
        related = dataclasses.replace(
            geometry, basis=change @ _shortest_basis(geometry.basis)
        )
        refined = _refine(points, related, step_is_free)
        if refined is None:
            break
        geometry = refined
    return _index(points, n_views, geometry), geometry


def with_likeliest_stretch(
    points: SeriesPoints,
    n_views: int,
    fit: SeriesFit,
    geometry: SeriesGeometry,
    step_is_free: bool,
) -> SeriesFit:
    """Return the series indexed with the stretch along the axis that is likeliest.

    Views turned about the axis show no difference between patterns and a lattice
    that are stretched along it. What tells is that a typical distortion makes a
    lattice symmetric.

    Parameters
    ----------
    points, n_views, step_is_free
        As for :func:`fit_series`.
    fit, geometry
        What it returned.
    """
    if not fit.views:
        return fit
    refined = _refine(points, _stretched(geometry, fit), step_is_free)
    return fit if refined is None else _index(points, n_views, refined)


def _stretched(geometry: SeriesGeometry, fit: SeriesFit) -> SeriesGeometry:
    """Return the geometry with the stretch, and the lattice that goes with it."""
    views = tuple(dataclasses.replace(view, frame=None) for view in fit.views)
    known = strain_information(dataclasses.replace(fit, views=views))
    covariance = np.linalg.inv(known.precision) + _LEAST_STRAIN**2 * np.eye(6)
    known = dataclasses.replace(known, precision=np.linalg.inv(covariance))
    crystal = _shortest_basis(geometry.basis)
    best, highest = geometry, 0.0
    for group in lattice_groups(fit.metric):

        def evidence(stretch: float, operations=group.operations):
            basis = crystal @ geometry.opposite(stretch)
            chi_square, found = symmetry_evidence(basis @ basis.T, operations, known)
            unlikely = (stretch / DISTORTION) ** 2
            return chi_square + unlikely, found - 0.5 * unlikely

        # A parabola
        low, middle, high = (evidence(k * _TRIAL_STRETCH)[0] for k in (-1, 0, 1))
        stretch = 0.5 * _TRIAL_STRETCH * (low - high) / (low - 2 * middle + high)
        found = evidence(stretch)[1]
        if abs(stretch) < _MOST_STRETCHED and found > highest:
            highest = found
            basis = geometry.basis @ geometry.opposite(stretch)
            best = dataclasses.replace(geometry, basis=basis, stretch=stretch)
    return best


def _refine(
    points: SeriesPoints, start: SeriesGeometry, step_is_free: bool
) -> SeriesGeometry | None:
    points = points.brightest().nearest(_MOST_SPOTS)
    lengths = points.lengths
    radius = np.sort(lengths)[min(len(lengths) - 1, _MOST_SPOTS // 4)]
    geometry = start
    free = np.ones(14, bool)
    for share, tolerance in _ROUNDS:
        # Spots near the beam hardly tell the axis and the step
        free[0] = share >= 1
        free[1] = step_is_free and share > 1
        free[13] = share > 1
        basis = _shortest_basis(geometry.basis)
        geometry = dataclasses.replace(geometry, basis=basis)
        tolerance = min(tolerance, _OF_SHORTEST * np.linalg.norm(basis[0]))
        vectors = geometry.in_crystal(points)
        hkl = np.rint(vectors @ np.linalg.inv(basis))
        away = np.linalg.norm(vectors - hkl @ basis, axis=1)
        used = (away < tolerance) & (lengths <= share * radius) & hkl.any(1)
        if used.sum() < free.sum():
            return None
        geometry = _least_squares(geometry, points[used], hkl[used], free)
    volume = abs(np.linalg.det(geometry.basis) / np.linalg.det(start.basis))
    changed = abs(math.log(volume)) > _MOST_VOLUME_CHANGE
    if changed or abs(geometry.step / start.step - 1) > _MOST_STEP_CHANGE:
        return None
    return geometry


def _least_squares(
    geometry: SeriesGeometry, points: SeriesPoints, hkl: np.ndarray, free: np.ndarray
) -> SeriesGeometry:
    """Return the geometry that explains spots best, with a loss that outliers bear."""
    whole = geometry.to_vector()

    def changed(x: np.ndarray) -> SeriesGeometry:
        vector = whole.copy()
        vector[free] = x
        return geometry.with_vector(vector)

    best = least_squares(
        lambda x: changed(x).errors(points, hkl),
        whole[free],
        jac=lambda x: changed(x).slopes(points, hkl)[:, free],
        loss="soft_l1",
        f_scale=_LOSS_SCALE,
    )
    return changed(best.x)


def _index(points: SeriesPoints, n_views: int, geometry: SeriesGeometry) -> SeriesFit:
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
