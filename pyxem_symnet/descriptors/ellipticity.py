# SPDX-License-Identifier: GPL-3.0-or-later
"""The ellipse that a camera makes of rings, measured on spots of many orientations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial import KDTree

#: Half of the axes' ratio less one that cameras have, as a standard deviation of each
#: of two components
_TYPICAL = 0.015

#: Components that are tried first. Those whose log-probability is below that of the
#: best by less than so much are divided, each axis into so many, unless they are too
#: many to tell anything
_LARGEST, _STEP = 0.04, 0.005
_UNLIKELY, _FINER, _MOST_LIKELY = 12.0, 4, 40

#: Errors of positions in 1/Å that are tried
_ERRORS = (0.0015, 0.003, 0.006)

#: Spots of one ring are no farther apart in the logarithm of the distance
_FARTHEST = 2.2 * _LARGEST

#: Part of the spots that are on no common ring, at least
_ALONE = 0.05

#: Different views, and spots of each, that it takes, and the most that are used
MIN_VIEWS, _FEWEST_SPOTS = 20, 2
_MOST_VIEWS, _MOST_SPOTS = 36, 32

#: Views that share this part of the spots of one are of one orientation
_SHARED = 0.4

#: Part of all places with spots that have to be one view's own. Views of a bent crystal
#: show different spots of one net
_OWN_PLACES = 0.6

#: Spots are at the same place within this length in 1/Å
_SAME_PLACE = 0.012

#: Largest standard deviation of a component that is good enough to correct by
_GOOD_ENOUGH = 0.003

#: An ellipse is told from a circle by so many standard deviations, and if it is no
#: smaller than this. To correct what is not there would cost precise patterns more
_SIGNIFICANT, _SMALLEST = 2.5, 0.002


def measure_ellipticity(
    views: Sequence[np.ndarray],
) -> tuple[float, float] | None:
    r"""Return the ellipse that rings of spots are distorted to.

    Equivalent reflections are equally far from the direct beam in any
    orientation. So their distances in different patterns agree best where the
    camera's distortion is undone, whatever the crystal's symmetry. Spots of one
    pattern are not compared with each other, nor patterns of one orientation:
    there, an oblique lattice looks exactly like a distorted rectangular one.

    Parameters
    ----------
    views
        Spots (kx, ky) of each pattern in 1/Å from the direct beam, the strongest
        first, of shape (spots, 2).

    Returns
    -------
    ellipticity
        Ratio of the long axis to the short one, and the angle of the long one from
        x to y in degrees, as
        :class:`~pyxem_symnet.descriptors.PatternGeometry` takes them. None if the
        spots don't tell: too few, of too few orientations, or on no common rings;
        or if rings are round, as far as they tell.

    Notes
    -----
    With :math:`l` the logarithm of a distance and :math:`\varphi` its azimuth, the
    density of :math:`l - a \cos 2\varphi - b \sin 2\varphi` at each spot is
    estimated from the spots of all other patterns. The product of these, with a
    normal prior of the two components, is averaged over their values.
    """
    views = _different([np.asarray(view, dtype=np.float64) for view in views])
    if len(views) < MIN_VIEWS:
        return None
    spots = np.concatenate(views)
    if _places(spots) < _OWN_PLACES * sum(map(_places, views)):
        return None
    of_view = np.repeat(np.arange(len(views)), [len(view) for view in views])
    logs = np.log(np.hypot(*spots.T))
    azimuths = 2 * np.arctan2(spots[:, 1], spots[:, 0])
    shapes = np.column_stack([np.cos(azimuths), np.sin(azimuths)])

    first, second = np.nonzero(np.abs(logs[:, None] - logs) < _FARTHEST)
    other = of_view[first] != of_view[second]
    first, second = first[other], second[other]
    # Relative errors of both distances, for an error of positions of one
    relative = np.exp(-2 * logs)
    pairs = _Pairs(
        first,
        logs[first] - logs[second],
        shapes[first] - shapes[second],
        np.sqrt(relative[first] + relative[second]),
        (len(spots) - np.bincount(of_view)[of_view])[first],
    )
    background = _ALONE / (np.ptp(logs) + _FARTHEST)

    def score(components: np.ndarray, errors: Sequence[float]) -> np.ndarray:
        values = [
            [pairs.score(each, error, background) for each in components]
            for error in errors
        ]
        # A spot's density has the others in it, which have it in theirs
        prior = -0.5 * (components**2).sum(1) / _TYPICAL**2
        return 0.5 * np.array(values) + prior

    coarse = _square(_LARGEST, _STEP)
    scores = score(coarse, _ERRORS[-1:])[0]
    likely = coarse[scores > scores.max() - _UNLIKELY]
    if len(likely) > _MOST_LIKELY:
        return None
    fine = _square(_STEP * (_FINER - 1) / (2 * _FINER), _STEP / _FINER)
    components = (likely[:, None] + fine).reshape(-1, 2)
    scores = score(components, _ERRORS)
    weights = np.exp(scores - scores.max()).sum(0)
    weights /= weights.sum()
    mean = weights @ components
    spread = np.sqrt(weights @ (components - mean) ** 2)
    worst = float(spread.max())
    least = max(_SMALLEST, _SIGNIFICANT * worst)
    # Near the largest that are tried, others may be likelier
    most = _LARGEST - _STEP
    if worst > _GOOD_ENOUGH or not least <= math.hypot(*mean) <= most:
        return None
    return ellipse_of(mean)


def ellipse_of(components: Sequence[float]) -> tuple[float, float]:
    """Return the ratio of the axes of an ellipse, and the angle of the long one.

    Parameters
    ----------
    components
        Half of the ratio's logarithm, times the cosine and the sine of twice the
        angle, as lattices have it (:mod:`pyxem_symnet.lattice.distortion`).
    """
    a, b = components
    angle = 0.5 * math.degrees(math.atan2(b, a)) % 180.0
    return math.exp(2 * math.hypot(a, b)), angle


@dataclass(frozen=True)
class _Pairs:
    """Spots of different views at nearly the same distance from the beam.

    Parameters
    ----------
    first
        Number of the first spot of each pair.
    apart
        Difference of the logarithms of the distances.
    turned
        What this changes by with both components, of shape (pairs, 2).
    errors
        Its standard deviation, for an error of positions of 1/Å.
    n_others
        Spots in other views than the first's.
    """

    first: np.ndarray
    apart: np.ndarray
    turned: np.ndarray
    errors: np.ndarray
    n_others: np.ndarray

    def score(self, component, error: float, background: float) -> float:
        """Return the logarithm of the product of all spots' densities."""
        widths = error * self.errors
        rest = (self.apart - self.turned @ component) / widths
        near = np.exp(-0.5 * rest * rest) / (
            math.sqrt(2 * math.pi) * widths * self.n_others
        )
        density = (1 - _ALONE) * np.bincount(self.first, near) + background
        return float(np.log(density).sum())


def _square(half: float, step: float) -> np.ndarray:
    """Return points of a square around none, of shape (points, 2)."""
    axis = np.arange(-half, half + step / 2, step)
    return np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2)


def _different(views: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return the strongest spots of one view of each orientation."""
    views = [view for view in views if len(view) >= _FEWEST_SPOTS]
    kept: list[np.ndarray] = []
    trees: list[KDTree] = []
    for view in sorted(views, key=len, reverse=True):
        strongest = view[:_MOST_SPOTS]
        if any(_shared(strongest, tree) > _SHARED for tree in trees):
            continue
        kept.append(strongest)
        trees.append(KDTree(np.concatenate([view, -view])))
        if len(kept) == _MOST_VIEWS:
            break
    return kept


def _shared(spots: np.ndarray, tree: KDTree) -> float:
    """Return the part of spots that are at the places of others."""
    return float((tree.query(spots)[0] < _SAME_PLACE).mean())


def _places(spots: np.ndarray) -> int:
    """Return how many places spots and their Friedel mates are at."""
    upper = np.where(spots[:, 1:] < 0, -spots, spots)
    first = np.ones(len(spots), dtype=bool)
    near = KDTree(upper).query_pairs(_SAME_PLACE, output_type="ndarray")
    first[near.max(1)] = False
    return int(first.sum())
