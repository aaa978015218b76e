# SPDX-License-Identifier: GPL-3.0-or-later
"""How well a metric explains the distances and the pairs of spots."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from pyxem_symnet.lattice.metric import (
    determinant,
    fill_reflections,
    is_plausible,
    list_reflections,
    reduce_metric,
)

#: Score of what is no lattice
IMPOSSIBLE = -1e9

#: Smallest volume of a primitive cell in Å³: that of a translation of 2 Å each way
SMALLEST_VOLUME = 8.0

# Reflections of a lattice that has more within a few lines' reach fit anything
_MOST_TO_LINES = 3000
_MOST_TO_PAIRS = 6000
_FEWEST_REFLECTIONS = 3
# Lengths are looked up in so many bins, and chance is counted in windows of a
# tenth of them to each side
_N_BINS = 600
_WINDOW = _N_BINS // 10
# How much better a matched pair is than a chance of this size, at most
_LEAST_CHANCE = 1e-3
# Later rounds of the refinement are stricter
_STRICTER = 0.8
# A pair that some lattice vectors match anyway says nothing about the metric
_LIKELY = 0.5
_FEWEST_PAIRS = 4
# What is not measured stays where it is
_PRIOR = 1e-3
# Errors of lengths that are typical, in tolerances
_TYPICAL_ERROR = 0.4


@njit(cache=True, nogil=True)
def score_lines(
    metrics,
    lines,
    weights,
    tolerance,
    radius,
    largest_volume,
    shortest,
    outliers,
):
    """Return how well each metric's lengths explain the lines.

    The score is the logarithm of a likelihood ratio: that a line lies
    within the tolerance of a reflection, against the share of lengths
    about it that do.

    Parameters
    ----------
    metrics
        Of shape (metrics, 3, 3) in 1/Å².
    lines
        Lengths in 1/Å.
    weights
        Weight of each line.
    tolerance
        Largest difference of lengths in 1/Å.
    radius
        Largest length in 1/Å.
    largest_volume
        Largest volume of a primitive cell in Å³.
    shortest
        Length of the shortest reciprocal vector that is plausible, in 1/Å.
    outliers
        Share of lines that no lattice explains.

    Returns
    -------
    scores
        Of shape (metrics,), :data:`IMPOSSIBLE` for what is no lattice of
        a crystal.
    reduced
        The metrics reduced, of shape (metrics, 3, 3). Those of another
        volume are left as they are.
    """
    width = radius * 1.05 / _N_BINS
    half = max(1, int(round(tolerance / width)))
    hkl = np.empty((_MOST_TO_LINES, 3))
    squares = np.empty(_MOST_TO_LINES)
    # Where the reach of reflections starts, less where it ends
    starts = np.zeros(_N_BINS + 1, np.int64)
    near = np.zeros(_N_BINS, np.bool_)
    # Number of bins up to each one that are near a reflection
    count = np.zeros(_N_BINS + 1, np.int64)
    scores = np.full(len(metrics), IMPOSSIBLE)
    reduced = metrics.copy()
    for candidate in range(len(metrics)):
        inverse = determinant(metrics[candidate])
        if inverse <= 0:
            continue
        volume = 1 / math.sqrt(inverse)
        if volume < SMALLEST_VOLUME or volume > largest_volume:
            continue
        metric = reduce_metric(metrics[candidate])
        reduced[candidate] = metric
        if not is_plausible(metric, shortest):
            continue
        n = fill_reflections(metric, radius, hkl, squares)
        if n < _FEWEST_REFLECTIONS:
            continue
        starts[:] = 0
        for i in range(n):
            place = int(math.sqrt(squares[i]) / width)
            starts[max(0, place - half)] += 1
            starts[min(_N_BINS, place + half + 1)] -= 1
        reflections = 0
        for k in range(_N_BINS):
            reflections += starts[k]
            near[k] = reflections > 0
            count[k + 1] = count[k] + near[k]
        score = 0.0
        for i in range(len(lines)):
            place = int(lines[i] / width)
            if place >= _N_BINS:
                continue
            if near[place]:
                low = max(0, place - _WINDOW)
                high = min(_N_BINS, place + _WINDOW)
                chance = min((count[high] - count[low] + 1) / (high - low + 1), 1.0)
                score += weights[i] * math.log(
                    (1 - outliers + outliers * chance) / chance
                )
            else:
                score += weights[i] * math.log(outliers)
        scores[candidate] = score
    return scores, reduced


@njit(cache=True, nogil=True)
def refine_by_pairs(
    metric, pairs, tolerance, flatness, radius, outliers, ellipticity, n_rounds
):
    """Return a metric refined on pairs of spots, and how well it explains them.

    Each pair that two reflections match in both lengths and in the
    product says three numbers, linear in the metric and in an elliptical
    distortion: least squares. The score is again the logarithm of a
    likelihood ratio, against the number of pairs of reflections that
    would match by chance.

    Parameters
    ----------
    metric
        Metric tensor of shape (3, 3) in 1/Å².
    pairs
        Two squared lengths and the product of each pair of spots of one
        view in 1/Å², and how a distortion changes them, as
        :func:`~pyxem_symnet.lattice.distortion.pair_slopes` says; of
        shape (pairs, 9).
    tolerance
        Largest difference of lengths in 1/Å.
    flatness
        How much larger the square of a reflection's length may be than
        that of its spot, in 1/Å²: it need not lie on the Ewald sphere.
    radius
        Length of the longest reflections in 1/Å.
    outliers
        Share of pairs that no lattice explains.
    ellipticity
        Typical size of a distortion. None is refined if zero.
    n_rounds
        Number of refinements.

    Returns
    -------
    metric
        Of shape (3, 3).
    distortion
        Its two numbers, of shape (2,).
    score
        Score of the refined metric, :data:`IMPOSSIBLE` for what is no
        lattice of a crystal.
    """
    refined = metric.copy()
    distortion = np.zeros(2)
    measured = np.empty((len(pairs), 3))
    score = IMPOSSIBLE
    matches = np.empty((len(pairs), 3), np.int64)
    for round_ in range(n_rounds + 1):
        reach = tolerance if round_ == 0 else _STRICTER * tolerance
        hkl, lengths = list_reflections(refined, radius, _MOST_TO_PAIRS)
        if len(hkl) < _FEWEST_REFLECTIONS:
            return refined, distortion, IMPOSSIBLE
        _set_pairs(pairs, distortion, measured)
        n_matches, score = _match_pairs(
            refined, measured, hkl, lengths, reach, flatness, outliers, matches
        )
        if round_ == n_rounds or n_matches < _FEWEST_PAIRS:
            break
        better, change = _least_squares(
            refined, pairs, hkl, matches, reach, flatness, ellipticity
        )
        volume = determinant(better)
        before = determinant(refined)
        if (
            volume <= 0
            or better[0, 0] <= 0
            or better[0, 0] * better[1, 1] - better[0, 1] ** 2 <= 0
            or not 0.5 * before <= volume <= 2 * before
        ):
            break
        refined = better
        distortion = change
    return refined, distortion, score


@njit(cache=True, nogil=True)
def _set_pairs(pairs, distortion, measured):
    """Fill rows with two lengths and the product, undistorted."""
    for p in range(len(pairs)):
        for i in range(3):
            measured[p, i] = (
                pairs[p, i]
                - pairs[p, 3 + 2 * i] * distortion[0]
                - pairs[p, 4 + 2 * i] * distortion[1]
            )
        measured[p, 0] = math.sqrt(max(measured[p, 0], 0.0))
        measured[p, 1] = math.sqrt(max(measured[p, 1], 0.0))


@njit(cache=True, nogil=True)
def _match_pairs(metric, pairs, hkl, lengths, reach, flatness, outliers, matches):
    """Find the reflections of each pair, return how many and the score.

    Rows of `matches` become two reflections and the sign of the second,
    zero for pairs that say nothing.
    """
    volume = 1 / math.sqrt(determinant(metric))
    score = 0.0
    n_matches = 0
    for p in range(len(pairs)):
        first, second, product = pairs[p, 0], pairs[p, 1], pairs[p, 2]
        longer_1 = reach + flatness / first
        longer_2 = reach + flatness / second
        reach_product = reach * (first + second) + 2 * flatness
        low_1 = np.searchsorted(lengths, first - reach)
        high_1 = np.searchsorted(lengths, first + longer_1)
        low_2 = np.searchsorted(lengths, second - reach)
        high_2 = np.searchsorted(lengths, second + longer_2)
        # Reflections in two shells, and the share of angles that match
        shell_1 = 2 * math.pi * first * first * (longer_1 + reach) * volume * 2
        shell_2 = 4 * math.pi * second * second * (longer_2 + reach) * volume
        expected = shell_1 * shell_2 * min(reach_product / (first * second), 1.0)
        chance = 1 - math.exp(-expected)
        matches[p, 2] = 0
        best = np.inf
        for a in range(low_1, high_1):
            h = hkl[a]
            x = h[0] * metric[0, 0] + h[1] * metric[0, 1] + h[2] * metric[0, 2]
            y = h[0] * metric[0, 1] + h[1] * metric[1, 1] + h[2] * metric[1, 2]
            z = h[0] * metric[0, 2] + h[1] * metric[1, 2] + h[2] * metric[2, 2]
            error_1 = (lengths[a] - first) / reach
            for b in range(low_2, high_2):
                k = hkl[b]
                found = k[0] * x + k[1] * y + k[2] * z
                error = (found - product) / reach_product
                sign = 1
                if abs(found + product) < abs(found - product):
                    error = (found + product) / reach_product
                    sign = -1
                if abs(error) >= 1:
                    continue
                error_2 = (lengths[b] - second) / reach
                distance = error_1 * error_1 + error_2 * error_2 + error * error
                if distance < best:
                    best = distance
                    matches[p, 0] = a
                    matches[p, 1] = b
                    matches[p, 2] = sign
        if matches[p, 2] == 0:
            score += math.log(outliers)
            continue
        least = min(1.0, chance + _LEAST_CHANCE)
        score += math.log((1 - outliers + outliers * least) / least)
        if chance > _LIKELY:
            matches[p, 2] = 0
        else:
            n_matches += 1
    return n_matches, score


@njit(cache=True, nogil=True)
def _least_squares(metric, pairs, hkl, matches, reach, flatness, ellipticity):
    """Return the metric and the distortion that fit the matched pairs best."""
    n = 8 if ellipticity > 0 else 6
    normal = np.zeros((n, n))
    right = np.zeros(n)
    row = np.zeros(n)
    for p in range(len(pairs)):
        if matches[p, 2] == 0:
            continue
        first, second = math.sqrt(pairs[p, 0]), math.sqrt(pairs[p, 1])
        h = hkl[matches[p, 0]]
        k = hkl[matches[p, 1]]
        for equation in range(3):
            u, v = h, k
            place = 2
            sign = matches[p, 2]
            weight = 1 / (reach * (first + second) / 1.4 + flatness)
            if equation == 0:
                v = h
                place = 0
                sign = 1
                weight = 1 / (2 * reach * first + flatness)
            elif equation == 1:
                u = k
                place = 1
                sign = 1
                weight = 1 / (2 * reach * second + flatness)
            row[0] = u[0] * v[0]
            row[1] = u[1] * v[1]
            row[2] = u[2] * v[2]
            row[3] = u[0] * v[1] + u[1] * v[0]
            row[4] = u[0] * v[2] + u[2] * v[0]
            row[5] = u[1] * v[2] + u[2] * v[1]
            for i in range(6, n):
                row[i] = sign * pairs[p, 2 * place + i - 3]
            seen = sign * pairs[p, place]
            weight = weight * weight
            for i in range(n):
                right[i] += weight * row[i] * seen
                for j in range(n):
                    normal[i, j] += weight * row[i] * row[j]
    prior = (normal[0, 0] + normal[1, 1] + normal[2, 2]) / 3 * _PRIOR + 1e-12
    rows = (0, 1, 2, 0, 0, 1)
    columns = (0, 1, 2, 1, 2, 2)
    for i in range(6):
        normal[i, i] += prior
        right[i] += prior * metric[rows[i], columns[i]]
    for i in range(6, n):
        normal[i, i] += (_TYPICAL_ERROR / ellipticity) ** 2
    solution = np.linalg.solve(normal, right)
    better = np.empty((3, 3))
    for i in range(6):
        better[rows[i], columns[i]] = solution[i]
        better[columns[i], rows[i]] = solution[i]
    distortion = np.zeros(2)
    distortion[: n - 6] = solution[6:]
    return better, distortion
