# SPDX-License-Identifier: GPL-3.0-or-later
"""Metrics that a crystal may have, put together from the spots of its views.

What no rotation of a view changes are the lengths of its spots and the products
of its pairs. Lengths that come again in many views are *lines*. Two spots of one
view span a net, the *zone* of that view, of which the reduced basis is known. Two
zones that share a row are two thirds of a lattice: the metric of that row and one
more vector of each lacks only the product of these two, and any line may be the
length of a vector that gives it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numba import njit

from pyxem_symnet.lattice.search import Search

# Lines looked at, from the shortest on, and the least weight of one
_MOST_LINES = 25
_LEAST_WEIGHT = 0.25
_FEWEST_LINES = 5
# Least sine of the angle in a zone's reduced basis
_LEAST_SINE = 0.3
_MOST_REDUCTIONS = 20
# A row and a vector that completes it, in terms of a zone's reduced basis: where
# there are few zones, more of their rows are tried
_ROWS = (
    ((1, 0), (0, 1)),
    ((0, 1), (1, 0)),
    ((1, -1), (1, 0)),
    ((1, 1), (1, 0)),
    ((2, 1), (1, 0)),
    ((2, -1), (1, 0)),
    ((1, 2), (0, 1)),
    ((1, -2), (0, 1)),
)
_ROWS_OF_MANY = _ROWS[:4]
# Vectors k t1 + m t2 + n s of two zones with row s that a line may be the length of,
# the simplest ones first
_SUMS = sorted(
    (
        (k, m, n)
        for k in (1, 2)
        for m in (-2, -1, 1, 2)
        for n in range(-3, 4)
        if abs(k * m) < 4
    ),
    key=lambda c: 2 * abs(c[0] * c[1]) + abs(c[2]),
)
# Largest cosine between the two vectors
_MOST_COSINE = 0.98
# Metrics compared at a time, since enough of the best are soon found
_BLOCK = 1024


def shortest_spots(vectors: np.ndarray, search: Search) -> np.ndarray:
    """Return the spots of a view nearest to the beam, one of each Friedel pair.

    Parameters
    ----------
    vectors
        Spots on the Ewald sphere in 1/Å, nearest to the direct beam
        first, of shape (spots, 3).
    search
        Settings.

    Returns
    -------
    ndarray
        Of shape (spots, 3). Of a pair, half the way from one to the other
        is taken: an error of the centre is then gone.
    """
    vectors = vectors[: search.n_seed_spots]
    sums = vectors[:, None, :2] + vectors[None, :, :2]
    opposite = np.hypot(sums[..., 0], sums[..., 1]) < 2 * search.tolerance
    kept: list[int] = []
    result = vectors.copy()
    for i in range(len(vectors)):
        partner = next((k for k in kept if opposite[i, k]), None)
        if partner is None:
            kept.append(i)
        else:
            result[partner, :2] = (vectors[partner] - vectors[i])[:2] / 2
    return result[kept]


def find_lines(
    lengths: np.ndarray, search: Search
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return lengths that several views have in common.

    Parameters
    ----------
    lengths
        Lengths of spots of all views in 1/Å.
    search
        Settings.

    Returns
    -------
    lines
        The shortest lines that are supported well enough, in 1/Å.
    weights
        Their weights, which approach one with the number of spots.
    seeds
        Lines that may be the length of any vector: the same, or all of
        them if these are few.
    """
    lines, counts = _cluster(lengths, search.tolerance / 2)
    if search.support < 1:
        supported = np.arange(len(lines))[:_MOST_LINES]
        weights = np.ones(len(supported))
    else:
        weights = 1 - np.exp(-counts / search.support)
        supported = np.flatnonzero(weights > _LEAST_WEIGHT)[:_MOST_LINES]
        weights = weights[supported]
    seeds = lines[supported] if len(supported) >= _FEWEST_LINES else lines
    return lines[supported], weights, seeds


def _cluster(values: np.ndarray, gap: float) -> tuple[np.ndarray, np.ndarray]:
    """Return medians and sizes of clusters of values, ascending.

    Values farther apart than the gap are in two clusters. Those that reach
    farther than three gaps are cut into parts.
    """
    values = np.sort(values)
    cuts = np.flatnonzero(np.diff(values) > gap) + 1
    medians = []
    counts = []
    for run in np.split(values, cuts):
        width = run[-1] - run[0]
        n_parts = int(np.ceil(width / (2 * gap))) if width > 3 * gap else 1
        for part in np.array_split(run, n_parts):
            medians.append(np.median(part))
            counts.append(len(part))
    return np.array(medians), np.array(counts)


def find_zones(pairs: np.ndarray, shortest: float, search: Search) -> np.ndarray:
    """Return two-dimensional nets that pairs of spots span, averaged.

    Parameters
    ----------
    pairs
        Squared lengths and product of pairs of spots of one view, in
        1/Å², of shape (pairs, 3).
    shortest
        Length of the shortest line in 1/Å.
    search
        Settings.

    Returns
    -------
    ndarray
        Squared lengths and product of a reduced basis of each, of shape
        (zones, 3). Small ones found many times come first.
    """
    first, second, product = _reduce_nets(*pairs.T)
    area = np.sqrt(np.maximum(first * second - product * product, 0))
    good = area > _LEAST_SINE * np.sqrt(first * second)
    good &= np.sqrt(first) > shortest - 2 * search.tolerance
    good = np.flatnonzero(good)
    good = good[np.argsort(area[good], kind="stable")]
    first, second, product = first[good], second[good], product[good]
    third = np.maximum(first + second - 2 * product, 0)
    sides = np.sqrt(np.column_stack([first, second, third]))
    # Noise reduces to small nets, so that more than wanted are averaged
    sides, counts = _average_nets(sides, 1.2 * search.tolerance, 4 * search.n_zones)
    rank = np.arange(len(sides)) / np.sqrt(counts)
    first, second, third = (
        sides[np.argsort(rank, kind="stable")[: search.n_zones]] ** 2
    ).T
    return np.column_stack([first, second, (first + second - third) / 2])


def _reduce_nets(first, second, product):
    """Return the forms of nets in a basis of shortest vectors (C. F. Gauss)."""
    for _ in range(_MOST_REDUCTIONS):
        first, second = np.minimum(first, second), np.maximum(first, second)
        # Two spots in one place have no net: theirs has no area
        times = np.divide(product, first, out=np.zeros_like(first), where=first > 0)
        times = np.round(times)
        if not times.any():
            break
        second = second - 2 * times * product + times * times * first
        product = product - times * first
    return np.minimum(first, second), np.maximum(first, second), abs(product)


@njit(cache=True, nogil=True)
def _average_nets(sides, tolerance, most):
    """Average nets that agree in all sides with an earlier one, count them."""
    means = np.empty((most, 3))
    counts = np.zeros(most, np.int64)
    n = 0
    for i in range(len(sides)):
        if n == most:
            break
        known = False
        for k in range(n):
            if np.abs(means[k] - sides[i]).max() < tolerance:
                counts[k] += 1
                means[k] += (sides[i] - means[k]) / counts[k]
                known = True
                break
        if not known:
            means[n] = sides[i]
            counts[n] = 1
            n += 1
    return means[:n], counts[:n]


def candidate_metrics(
    zones: np.ndarray, lines: np.ndarray, search: Search
) -> np.ndarray:
    """Return the metrics that two zones with a common row and a line give.

    Parameters
    ----------
    zones
        What :func:`find_zones` returned, of shape (zones, 3).
    lines
        Lengths in 1/Å.
    search
        Settings.

    Returns
    -------
    ndarray
        Metric tensors in 1/Å² of shape (metrics, 3, 3), not reduced.
    """
    first, second, product = zones.T
    bases = np.concatenate(
        [
            np.column_stack(
                [
                    m * m * first + n * n * second + 2 * m * n * product,
                    u * u * first + v * v * second + 2 * u * v * product,
                    m * u * first + n * v * second + (m * v + n * u) * product,
                ]
            )
            for (m, n), (u, v) in (
                _ROWS_OF_MANY if len(zones) > search.few_zones else _ROWS
            )
        ]
    )
    zone = np.arange(len(bases)) % len(zones)
    row = np.sqrt(bases[:, 0])
    reach = 1.5 * (search.tolerance + search.scale_error * row)
    one, other = np.nonzero(
        (abs(row[:, None] - row) < reach) & (zone[:, None] <= zone[None])
    )
    s = (bases[one, 0] + bases[other, 0]) / 2
    _, t1, d1 = bases[one].T
    _, t2, d2 = bases[other].T
    squares = lines[: search.n_lines] ** 2
    largest = _MOST_COSINE * np.sqrt(t1 * t2)[:, None]
    metrics = []
    total = 0
    for k, m, n in _SUMS:
        rest = k * k * t1 + m * m * t2 + n * n * s + 2 * k * n * d1 + 2 * m * n * d2
        product = (squares - rest[:, None]) / (2 * k * m)
        pair, line = np.nonzero(abs(product) < largest)
        found = np.empty((len(pair), 3, 3))
        found[:, 0, 0] = s[pair]
        found[:, 1, 1] = t1[pair]
        found[:, 2, 2] = t2[pair]
        found[:, 0, 1] = found[:, 1, 0] = d1[pair]
        found[:, 0, 2] = found[:, 2, 0] = d2[pair]
        found[:, 1, 2] = found[:, 2, 1] = product[pair, line]
        metrics.append(found)
        total += len(found)
        if total > search.n_metrics:
            break
    return np.concatenate(metrics)


def distinct(
    metrics: Sequence[np.ndarray], unit: float, steps: float, most: int
) -> list[int]:
    """Return where metrics are the first ones of their kind.

    Parameters
    ----------
    metrics
        Metric tensors of reduced bases in 1/Å², of shape (metrics, 3, 3).
    unit
        Lengths of one kind are the same when rounded to this, in 1/Å.
    steps
        Determinants of one kind are the same when their logarithms,
        times this, are rounded.
    most
        Largest number of kinds.
    """
    metrics = np.asarray(metrics).reshape(-1, 3, 3)
    seen: set[tuple] = set()
    first: list[int] = []
    for start in range(0, len(metrics), _BLOCK):
        block = metrics[start : start + _BLOCK]
        lengths = np.sqrt(np.sort(np.diagonal(block, axis1=1, axis2=2), axis=1))
        volumes = np.log(np.linalg.det(block))
        keys = np.rint(np.column_stack([lengths / unit, volumes * steps]))
        for i, key in enumerate(map(tuple, keys.tolist()), start):
            if len(first) == most:
                return first
            if key not in seen:
                seen.add(key)
                first.append(i)
    return first


def pairs_of_spots(vectors: np.ndarray) -> np.ndarray:
    """Return squared lengths and the product of each pair of vectors.

    Parameters
    ----------
    vectors
        Of shape (spots, 3), in 1/Å.

    Returns
    -------
    ndarray
        Of shape (pairs, 3), in 1/Å².
    """
    first, second = np.triu_indices(len(vectors), 1)
    squares = (vectors**2).sum(1)
    products = (vectors[first] * vectors[second]).sum(1)
    return np.column_stack([squares[first], squares[second], products])
