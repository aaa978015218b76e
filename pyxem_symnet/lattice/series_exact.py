# SPDX-License-Identifier: GPL-3.0-or-later
"""A series' lattice as exact as its spots tell, once it is known which one it is.

While lattices are looked for, errors of spots are weighed by what is typical. In sharp
patterns those in the detector's plane turn out to be many times smaller than those
along the beam, and how they were weighed has bent the lattice: by half a degree where
the step is not known. So their sizes are measured, and the fit is that of greatest
likelihood.

A beam may drift while the crystal is turned. How far it is from the common centre in
each view follows from the view's spots, as far as these differ by more than chance.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from pyxem_symnet.lattice.fit import SeriesFit
from pyxem_symnet.lattice.series_fit import fit_spots, index_series
from pyxem_symnet.lattice.series_geometry import (
    SeriesGeometry,
    SeriesPoints,
    Weights,
    shortest_basis,
)
from pyxem_symnet.lattice.strain import strain_information, symmetry_evidence
from pyxem_symnet.lattice.symmetry import lattice_groups
from pyxem_symnet.lattice.view_fit import DISTORTION

# More spots than this, nearest to the beam, say nothing new, and fewer tell nothing
_MOST_SPOTS, _FEWEST_SPOTS = 3000, 20
# Spots are laid on reflections anew so often, the first time within this in 1/Å and
# then so many standard deviations, if that is more than the next
_ROUNDS = 6
_FIRST_REACH = 0.02
_DEVIATIONS, _LEAST_REACH = 6.0, 0.003
# And not farther than this in all, in 1/Å and in distances of lattice points
_REACH, _FIRST_OF_SHORTEST, _OF_SHORTEST = 0.035, 0.35, 0.5
# A spot this many standard deviations away counts as an outlier, and a standard
# deviation is this in 1/Å at least
_OUTLIER = 3.0
_LEAST_ERROR = 2e-5
# Of a normal distribution, in median absolute deviations
_DEVIATION = 1.4826
# An exact fit that explains a smaller share of what was explained before is none
_MUCH_WORSE = 0.9
# Stretch along the axis that others follow from, and the largest
_TRIAL_STRETCH, _MOST_STRETCHED = 0.01, 0.04
# Least standard deviation of the strains of a lattice: axes and steps are not exact
_LEAST_STRAIN = 0.002


def exact_series(
    points: SeriesPoints,
    n_views: int,
    fit: SeriesFit,
    geometry: SeriesGeometry,
    step_is_free: bool,
) -> SeriesFit:
    """Return the likeliest geometry, with the likeliest stretch along the axis.

    Views turned about the axis show no difference between patterns and a lattice
    that are stretched along it. What tells is that a typical distortion makes a
    lattice symmetric.

    Parameters
    ----------
    points, n_views, step_is_free
        As for :func:`~pyxem_symnet.lattice.series_fit.fit_series`.
    fit, geometry
        What it returned.

    Returns
    -------
    SeriesFit
        The same fit if the likeliest geometry explains much less.
    """
    exact, moved = _likeliest(points, geometry, step_is_free)
    indexed = index_series(moved, n_views, exact)
    if indexed.n_matched < _MUCH_WORSE * fit.n_matched:
        return fit
    stretched = _stretched(exact, indexed)
    if stretched is exact:
        return indexed
    exact, moved = _likeliest(points, stretched, step_is_free)
    return index_series(moved, n_views, exact)


def _likeliest(
    points: SeriesPoints, geometry: SeriesGeometry, step_is_free: bool
) -> tuple[SeriesGeometry, SeriesPoints]:
    """Return the geometry fitted with errors weighed by their sizes.

    And the spots with the drift of the beam undone.
    """
    all_points, points = points, points.nearest(_MOST_SPOTS)
    drift = _Drift.none(points)
    free = np.ones(14, bool)
    free[1] = step_is_free
    across = None
    for _ in range(_ROUNDS):
        basis = shortest_basis(geometry.basis)
        geometry = dataclasses.replace(geometry, basis=basis)
        centred = points.moved(-drift.at(points))
        hkl = np.rint(geometry.in_crystal(centred) @ np.linalg.inv(basis))
        errors = geometry.distances(centred, hkl)
        away = np.linalg.norm(errors, axis=1)
        spacing = np.linalg.norm(basis[0])
        if across is None:
            used = away < min(_FIRST_REACH, _FIRST_OF_SHORTEST * spacing)
        else:
            used = away < min(_REACH, _OF_SHORTEST * spacing)
            reach = max(_DEVIATIONS * across, _LEAST_REACH)
            used &= np.hypot(errors[:, 0], errors[:, 1]) < reach
        used &= hkl.any(1)
        if used.sum() < _FEWEST_SPOTS:
            break
        across = max(_typical(errors[used, :2]), _LEAST_ERROR)
        along = max(_typical(errors[used, 2]), across)
        weights = Weights(_OUTLIER * across, across / along)
        geometry = fit_spots(geometry, centred[used], hkl[used], free, weights)
        left = geometry.distances(centred[used], hkl[used])[:, :2]
        drift = drift.and_of(points[used], left)
    return geometry, all_points.moved(-drift.at(all_points))


@dataclasses.dataclass(frozen=True)
class _Drift:
    """How far the beam is from the common centre in each view, in 1/Å."""

    places: np.ndarray
    shifts: np.ndarray

    @classmethod
    def none(cls, points: SeriesPoints) -> _Drift:
        places = np.unique(points.place)
        return cls(places, np.zeros((len(places), 2)))

    def at(self, points: SeriesPoints) -> np.ndarray:
        """Return that of each spot, nothing where the view is not known."""
        index = np.searchsorted(self.places, points.place)
        index = np.minimum(index, len(self.places) - 1)
        known = self.places[index] == points.place
        return self.shifts[index] * known[:, None]

    def and_of(self, points: SeriesPoints, errors: np.ndarray) -> _Drift:
        """Return the drift with what errors in the detector's plane add to it."""
        index = np.searchsorted(self.places, points.place)
        n = np.maximum(np.bincount(index, minlength=len(self.places)), 1)[:, None]
        own = np.column_stack(
            [np.bincount(index, axis, len(self.places)) for axis in errors.T]
        )
        mean = own / n
        # A mean of few differs from none by chance
        variance = _typical(errors - mean[index]) ** 2 / n
        between = max(float((mean**2 - variance).mean()), 0.0)
        share = between / np.maximum(between + variance, _LEAST_ERROR**2)
        return _Drift(self.places, self.shifts + share * mean)


def _typical(errors: np.ndarray) -> float:
    """Return the standard deviation of errors, most of which are normal."""
    return _DEVIATION * float(np.median(abs(errors)))


def _stretched(geometry: SeriesGeometry, fit: SeriesFit) -> SeriesGeometry:
    """Return the geometry with the stretch, and the lattice that goes with it."""
    views = tuple(dataclasses.replace(view, frame=None) for view in fit.views)
    known = strain_information(dataclasses.replace(fit, views=views))
    covariance = np.linalg.inv(known.precision) + _LEAST_STRAIN**2 * np.eye(6)
    known = dataclasses.replace(known, precision=np.linalg.inv(covariance))
    crystal = shortest_basis(geometry.basis)
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
