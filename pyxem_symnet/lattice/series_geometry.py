# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the spots of a rotation series come from: axis, step, lattice and camera."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.spatial import cKDTree

from pyxem_symnet.lattice.distortion import undistort
from pyxem_symnet.lattice.electrons import on_ewald_sphere
from pyxem_symnet.lattice.find import spot_list
from pyxem_symnet.lattice.view_fit import DISTORTION

# Spots of successive views nearer than this, in 1/Å, are of one reflection
_SAME_PLACE = 0.012
_INDICES = np.array([i for i in itertools.product(range(-3, 4), repeat=3) if any(i)])


class Weights(NamedTuple):
    """How much the errors of spots count in a fit.

    Parameters
    ----------
    scale
        Errors in 1/Å that are much larger are outliers'.
    along
        Of errors along the beam, where a spot only says that its reflection
        was near the Ewald sphere, against those in the detector's plane.
    """

    scale: float
    along: float


#: While axis, step and lattice are known badly
FIRST_WEIGHTS = Weights(scale=0.006, along=0.3)


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

    def moved(self, shifts: np.ndarray) -> SeriesPoints:
        """Return the spots elsewhere, by shifts of shape (spots, 2) in 1/Å."""
        return dataclasses.replace(self, positions=self.positions + shifts)

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

    def distances(self, points: SeriesPoints, hkl: np.ndarray) -> np.ndarray:
        """Return where spots are from their reflections, of shape (spots, 3).

        In 1/Å, in the frame of each spot's view.
        """
        turned = turn_about_axis(hkl @ self.basis, self.axis, self.step * points.place)
        return self.in_view(points) - turned

    def errors(
        self, points: SeriesPoints, hkl: np.ndarray, weights: Weights
    ) -> np.ndarray:
        """Return how far spots are from reflections, of shape (3 spots + 3,).

        Those along the beam count less. The assumed centre counts as one more
        spot, and so does a distortion.
        """
        error = self.distances(points, hkl)
        error[:, 2] *= weights.along
        typical = self.shear * weights.scale / DISTORTION
        return np.concatenate([error.ravel(), self.centre, [typical]])

    def slopes(
        self, points: SeriesPoints, hkl: np.ndarray, weights: Weights
    ) -> np.ndarray:
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
        slopes[:, 2] *= weights.along
        known = np.zeros((3, 14))
        known[[0, 1, 2], [11, 12, 13]] = 1, 1, weights.scale / DISTORTION
        return np.concatenate([slopes.reshape(-1, 14), known])


def shortest_basis(basis: np.ndarray) -> np.ndarray:
    """Return three shortest vectors of a lattice that span it, right-handed.

    Parameters
    ----------
    basis
        Vectors of the lattice as rows, of shape (3, 3).
    """
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
