# SPDX-License-Identifier: GPL-3.0-or-later
"""The lattice of a crystal that was turned about one axis from view to view.

A rotation series needs no search in each view: one axis and one step put all
spots in their places in reciprocal space, where their lattice shows as periods.
Neither axis nor step need to be known, since wrong ones show none.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from pyxem_symnet.lattice.electrons import electron_wavelength
from pyxem_symnet.lattice.fit import SeriesFit
from pyxem_symnet.lattice.periods import Periods, find_periods, hemisphere
from pyxem_symnet.lattice.search import LARGEST_STEP
from pyxem_symnet.lattice.series_exact import exact_series
from pyxem_symnet.lattice.series_fit import fit_series
from pyxem_symnet.lattice.series_geometry import SeriesPoints, turn_about_axis

# Fewer views or spots are no series
_FEWEST_VIEWS = 5
_FEWEST_SPOTS = 30
# Angles in degrees between the first view and the last
_SPANS = (10.0, 170.0)
# Grid of axes in degrees and of ratios of steps
_AXES = np.arange(0.0, 360.0, 6.0)
_STEP_RATIO = 1.06
# Axes about the best one of a step that are looked at more closely
_FINE_AXES = np.array([-2.0, 0.0, 2.0])
# Spots nearest to the direct beam show periods best where the grid is coarse
_N_COARSE, _N_FINE = 300, 600
_DIRECTIONS, _BINS = hemisphere(1000), 128
_FINE_DIRECTIONS, _FINE_BINS = hemisphere(1500), 256
# Pairs of axis and step that are fitted: spots near the beam hardly tell the step
_N_HYPOTHESES = 40
# A lattice that explains this share of the spots is the right one, and so is one of
# this likelihood for each spot that so many further pairs do not better by more
_RIGHT = 0.93
_LIKELY, _PATIENCE, _GAIN = 1.2, 8, 0.01
# Power of points that lie by chance: less than twice this is no lattice
_CHANCE = 12.0
# A lattice that explains a smaller share of the spots is none, nor one that is
# hardly likelier than chance: in no order, dense lattices reach 0.1 for each spot,
# and the right ones of distorted patterns more than one
_LEAST_EXPLAINED = 0.5
_LEAST_LIKELIHOOD = 0.7


def find_series_lattice(
    views: Sequence[np.ndarray],
    beam_energy: float = 200.0,
    step: float | None = None,
) -> SeriesFit | None:
    """Find the lattice of a crystal turned by equal steps about one axis.

    The axis lies in the plane of the detector, as that of a tilt stage
    does; neither its azimuth nor the cell need to be known.

    Parameters
    ----------
    views
        Spots of each view in the order of the series, arrays of shape
        (spots, 3): x and y in 1/Å from the direct beam, and the
        intensity. A view may have no spots.
    beam_energy
        Beam energy in kV.
    step
        Angle between successive views in degrees, of either sign, since
        both senses are tried. By default it is searched for, between
        10 and 170 degrees from the first view to the last. Between few
        views or small angles it is badly determined, and with it the
        cell.

    Returns
    -------
    SeriesFit or None
        None if no lattice explains half of the spots and is likelier
        than chance, or there are fewer than five views or thirty spots.

    Raises
    ------
    ValueError
        If a view is of another shape, holds what is not finite, or lies
        farther out than the Ewald sphere reaches, if the beam energy is
        none, or the step is not between 0 and 15 degrees.
    """
    wavelength = electron_wavelength(beam_energy)
    if step is not None and not 0 < abs(step) <= LARGEST_STEP:
        raise ValueError(
            f"step must be an angle in degrees up to {LARGEST_STEP:g}, not {step}."
        )
    if len(views) < _FEWEST_VIEWS:
        return None
    points = SeriesPoints.from_views(views, wavelength)
    if len(points.positions) < _FEWEST_SPOTS:
        return None
    best, start, n_tried = None, None, 0
    for periods, axis, angle in _hypotheses(points, len(views), step):
        if periods.score < 2 * _CHANCE:
            break
        fit, geometry = fit_series(
            points, len(views), axis, angle, periods, step is None
        )
        n_tried += 1
        if fit is None:
            continue
        gain = math.inf if best is None else fit.log_likelihood - best.log_likelihood
        if gain > _GAIN * fit.n_spots:
            n_tried = 0
        if gain > 0:
            best, start = fit, geometry
        likely = best.log_likelihood > _LIKELY * best.n_spots
        if best.n_matched > _RIGHT * best.n_spots or likely and n_tried >= _PATIENCE:
            break
    if best is None:
        return None
    best = exact_series(points, len(views), best, start, step is None)
    explained = best.n_matched > _LEAST_EXPLAINED * best.n_spots
    likely = best.log_likelihood > _LEAST_LIKELIHOOD * best.n_spots
    return best if explained and likely else None


def _hypotheses(
    points: SeriesPoints, n_views: int, step: float | None
) -> list[tuple[Periods, float, float]]:
    """Return periods with axes and steps in degrees, the strongest first.

    Of each step the best axis and the best that turns the other way. Spots
    near the beam find the axis, those farther out tell the steps apart.
    """
    points = points.brightest()
    nearest = points.nearest(_N_COARSE)
    if step is None:
        least, most = (span / (n_views - 1) for span in _SPANS)
        most = min(most, LARGEST_STEP)
        n = max(1, math.ceil(math.log(most / least) / math.log(_STEP_RATIO)))
        steps = np.geomspace(least, most, n + 1)
        offsets = _FINE_AXES
    else:
        steps = np.array([abs(step)])
        # There is time for all axes
        offsets = np.arange(-90.0, 90.0, 2.0)
    found = []
    for angle in steps:
        scores = np.array(
            [_periods(nearest, axis, angle, _DIRECTIONS, _BINS).score for axis in _AXES]
        )
        best = _AXES[scores.argmax()]
        away = abs((_AXES - best + 180) % 360 - 180) > 90
        for side in (~away, away):
            found.append((_AXES[np.where(side, scores, -1).argmax()], angle))
    farther = points.nearest(_N_FINE)
    closer = [
        (_periods(farther, near, angle, _FINE_DIRECTIONS, _FINE_BINS), near, angle)
        for axis, angle in found
        for near in axis + offsets
    ]
    closer.sort(key=lambda result: -result[0].score)
    return closer[:_N_HYPOTHESES]


def _periods(
    points: SeriesPoints, axis: float, step: float, directions: np.ndarray, bins: int
) -> Periods:
    turned = turn_about_axis(
        points.vectors, math.radians(axis), -math.radians(step) * points.place
    )
    return find_periods(turned, directions, bins)
