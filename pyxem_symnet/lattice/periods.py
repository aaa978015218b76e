# SPDX-License-Identifier: GPL-3.0-or-later
"""Three translations of a lattice, read off the Fourier transform of its points."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import scipy.fft
from numba import njit

# Translations of crystals, in Å
_SHORTEST, _LONGEST = 2.5, 35.0
# Least standard deviation of points along a translation, in spacings of the planes
# that it makes: of fewer planes than two or three, any spacing explains the points
_FEWEST_SPACINGS = 0.55
# Peaks of this share of the highest are translations, too
_STRONG = 0.8
# Largest cosine of two translations
_MOST_COSINE = 0.87


class Periods(NamedTuple):
    """Three translations that put points onto planes.

    Parameters
    ----------
    score
        Power of the weakest of the three: the square of the sum of phase
        factors over the number of points. Of points that lie by chance
        it is of the order of ten, of those of a lattice their number.
    translations
        In Å, as rows, of shape (3, 3).
    """

    score: float
    translations: np.ndarray


def hemisphere(n: int) -> np.ndarray:
    """Return directions spread evenly over a hemisphere, of shape (n, 3).

    Parameters
    ----------
    n
        Number of directions.
    """
    i = np.arange(n) + 0.5
    z, azimuth = i / n, np.pi * (1 + 5**0.5) * i
    r = np.sqrt(1 - z * z)
    return np.stack([r * np.cos(azimuth), r * np.sin(azimuth), z], 1)


def find_periods(points: np.ndarray, directions: np.ndarray, n_bins: int) -> Periods:
    """Find three translations, not in a plane, by which points repeat.

    Points are projected onto each direction, and the Fourier transform of
    how they lie there peaks at the translations of their lattice, as in
    the indexing of X-ray rotation patterns [Steller1997]_.

    Parameters
    ----------
    points
        In 1/Å, of shape (points, 3).
    directions
        Unit vectors of shape (directions, 3).
    n_bins
        Number of bins of a projection. Translations up to a quarter of
        these spacings are told apart.

    Returns
    -------
    Periods
        With a score of zero if there are no such three.

    .. [Steller1997] I. Steller, R. Bolotovsky and M. G. Rossmann,
       J. Appl. Cryst. 30, 1036 (1997).
    """
    width = 2.1 * np.sqrt((points**2).sum(1).max()) / n_bins
    spectrum = scipy.fft.rfft(_project(points, directions, width, n_bins), axis=1)
    power = (spectrum.real**2 + spectrum.imag**2) / len(points)
    lengths = np.arange(power.shape[1]) / (n_bins * width)
    within = np.flatnonzero((lengths >= _SHORTEST) & (lengths <= _LONGEST))
    # Finer detail than four bins is that of the bins
    within = within[within <= n_bins // 4]
    power, lengths = power[:, within], lengths[within]
    covariance = np.cov(points.T)
    spread = np.sqrt(np.einsum("di,ij,dj->d", directions, covariance, directions))
    power[lengths < _FEWEST_SPACINGS / spread[:, None]] = 0
    first = _shortest(power)
    apart = abs(directions @ directions[first[0]]) < _MOST_COSINE
    second = _shortest(power * apart[:, None])
    normal = np.cross(directions[first[0]], directions[second[0]])
    normal /= np.linalg.norm(normal)
    # Of points in a plane that the first two order, any third makes one layer
    height = abs(directions @ normal)[:, None] * lengths
    layers = height * math.sqrt(normal @ covariance @ normal)
    third = _shortest(np.where(layers >= _FEWEST_SPACINGS, power, 0))
    seen = layers[third] >= _FEWEST_SPACINGS
    chosen = [first, second, third]
    return Periods(
        float(min(power[place] for place in chosen)) if seen else 0.0,
        np.array([directions[d] * lengths[k] for d, k in chosen]),
    )


def _shortest(power: np.ndarray) -> tuple[int, int]:
    """Return direction and length of the shortest of the strong peaks.

    All translations of a lattice are about as strong, and the shortest ones are
    a basis of it.
    """
    strong = power >= _STRONG * power.max()
    length = strong.any(0).argmax()
    return int(power[:, length].argmax()), int(length)


@njit(cache=True, nogil=True)
def _project(points, directions, width, n_bins):
    """Return histograms of points along directions, shared between two bins."""
    counts = np.zeros((len(directions), n_bins), np.float32)
    for d in range(len(directions)):
        x, y, z = directions[d]
        for i in range(len(points)):
            place = points[i, 0] * x + points[i, 1] * y + points[i, 2] * z
            place = place / width + n_bins // 2
            lower = int(place)
            share = place - lower
            counts[d, lower] += 1 - share
            counts[d, lower + 1] += share
    return counts
