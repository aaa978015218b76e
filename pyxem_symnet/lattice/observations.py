# SPDX-License-Identifier: GPL-3.0-or-later
"""Which reflections indexed views show, how strong, and which they do not."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from pyxem_symnet.lattice.fit import LatticeFit
from pyxem_symnet.lattice.metric import list_reflections

# Largest distance from the Ewald sphere in 1/Å, precise and coarse search, at
# which a spot is a reflection's; at half of it a reflection should be seen
_TOLERANCE = {False: 0.02, True: 0.03}
# Reflections are looked for as far out as a view has spots, and this much farther
_MARGIN = 1.0001
# Width in 1/Å of the spots' shape along the beam, an ordinary thickness
_SHAPE_WIDTH = 0.02
_STEEPEST = 1.2
_SMALLEST_SPREAD = 0.3
_OUTLIER = 3.0
# Least variance of a view's log intensities, and a typical variance of the
# logarithms of their standard deviations
_LEAST_VARIANCE = 1e-4
_TYPICAL_DIFFERENCE = 0.05
_FEWEST_SPOTS = 3
_FEWEST_OBSERVATIONS = 8
# A view with more reflections within its radius, Friedel mates counted once, is of
# so large a cell that what it does not show says nothing
_MOST_REFLECTIONS = 20_000


@dataclasses.dataclass(frozen=True, eq=False)
class Observations:
    """Reflections looked at in all views, view after view.

    Parameters
    ----------
    hkl
        Reflections in the reduced basis, integers of shape (n, 3).
    seen
        Whether each is a spot, of shape (n,). The others lie near enough
        to the Ewald sphere to be one.
    view
        View of each, integers from 0 of shape (n,), ascending.
    values
        Log intensities of the spots, of shape (spots,), each view's about
        its mean, the fall with distance from the Ewald sphere taken off,
        in units of their standard deviation. Where a coarse search was
        needed, of that of their view, as far as these differ by more than
        chance: patterns that are not precise are compressed, each by as
        much as multiple scattering and background happen to be.
    falls
        What each of these would be lower by for a slope of one, in the
        same units, about the mean of its view, of shape (spots,).
    spread
        This standard deviation, typical of the views.
    slope
        Power with which intensities fall away from the Ewald sphere, from
        0, not at all, to 1.2.
    """

    hkl: np.ndarray
    seen: np.ndarray
    view: np.ndarray
    values: np.ndarray
    falls: np.ndarray
    spread: float
    slope: float

    @property
    def n_views(self) -> int:
        """Number of views."""
        return int(self.view[-1]) + 1


def observe(fit: LatticeFit, wavelength: float) -> Observations | None:
    """Return what the views of a lattice show of its reflections.

    Parameters
    ----------
    fit
        Lattice and indexed views.
    wavelength
        Of the electrons in Å.

    Returns
    -------
    Observations or None
        None if there are fewer than eight spots.
    """
    basis = fit.reciprocal_basis
    views = [(view, view.matched & (view.intensities > 0)) for view in fit.views]
    views = [(view, bright) for view, bright in views if bright.sum() >= _FEWEST_SPOTS]
    hkl, seen, values, distances = [], [], [], []
    for view, bright in views:
        radius = _MARGIN * math.sqrt((view.vectors**2).sum(1).max())
        half, _ = list_reflections(fit.metric, radius, _MOST_REFLECTIONS)
        if not len(half):
            continue
        lattice = np.concatenate([half, -half]).astype(np.int64)
        distance = _sphere_distances(lattice @ basis @ view.rotation.T, wavelength)
        near = lattice[abs(distance) < 0.5 * _TOLERANCE[fit.coarse]]
        spots = view.hkl[bright].astype(np.int64)
        unseen = near[~(near[:, None] == spots).all(-1).any(-1)]
        hkl.append(np.concatenate([spots, unseen]))
        seen.append(np.arange(len(hkl[-1])) < len(spots))
        values.append(np.log(view.intensities[bright]))
        distances.append(_sphere_distances(spots @ basis @ view.rotation.T, wavelength))
    if sum(map(len, values)) < _FEWEST_OBSERVATIONS:
        return None
    return Observations(
        np.concatenate(hkl),
        np.concatenate(seen),
        np.repeat(np.arange(len(hkl)), [len(reflections) for reflections in hkl]),
        *_scaled(values, distances, fit.coarse),
    )


def _sphere_distances(vectors: np.ndarray, wavelength: float) -> np.ndarray:
    """Return how far reciprocal vectors end above the Ewald sphere, in 1/Å."""
    radius = 1 / wavelength
    height = radius - np.sqrt(radius**2 - (vectors[:, :2] ** 2).sum(1))
    return vectors[:, 2] - height


def _scaled(
    intensities: list[np.ndarray], distances: list[np.ndarray], coarse: bool
) -> tuple[np.ndarray, np.ndarray, float, float]:
    """Return scaled log intensities and falls, their spread and slope, by view.

    A spot's intensity falls with its distance from the Ewald sphere s, as
    1 / (1 + (pi s t)^2) for a thickness t that varies, to a fitted power.
    """
    falls = [np.log1p((math.pi * s / _SHAPE_WIDTH) ** 2) for s in distances]
    fall = np.concatenate([f - f.mean() for f in falls])
    values = np.concatenate([v - v.mean() for v in intensities])
    slope = float(np.clip(-(fall @ values) / max(fall @ fall, 1e-9), 0, _STEEPEST))
    values = values + slope * fall
    if coarse:
        view = np.repeat(np.arange(len(intensities)), [len(v) for v in intensities])
        spreads = _spreads(values, view)[view]
        values, fall = values / spreads, fall / spreads
    spread = max(float(values.std()), _SMALLEST_SPREAD)
    values = np.clip(values / spread, -_OUTLIER, _OUTLIER)
    return values, -fall / spread, spread, slope


def _spreads(values: np.ndarray, view: np.ndarray) -> np.ndarray:
    """Return the spread of each view's values, in units of what is typical.

    The logarithms of the standard deviations of a few values differ by chance.
    So much is taken off their differences as is likely to be chance.
    """
    n_free = np.maximum(np.bincount(view) - 1, 1)
    variances = np.bincount(view, values**2) / n_free
    logs = 0.5 * np.log(np.maximum(variances, _LEAST_VARIANCE))
    chance = 1 / (2 * n_free)
    logs -= np.average(logs, weights=1 / (chance + _TYPICAL_DIFFERENCE))
    true = max(0.0, float((logs**2 - chance).mean()))
    return np.exp(logs * true / (true + chance))
