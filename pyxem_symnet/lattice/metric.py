# SPDX-License-Identifier: GPL-3.0-or-later
"""Metric tensors of reciprocal lattices: reduced bases and reflections.

A metric holds the products of three reciprocal vectors in 1/Å². It has no
orientation, which is what views in unknown orientations have in common.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

#: Shortest translation of a crystal lattice in Å: no atom is smaller
SHORTEST_TRANSLATION = 2.0

# More than any metric has needed
_MOST_ROUNDS = 40
# Equal lengths are no reason to go on
_MARGIN = 1e-9


@njit(cache=True, nogil=True)
def determinant(metric):
    """Return the determinant of a symmetric matrix of shape (3, 3)."""
    return (
        metric[0, 0] * (metric[1, 1] * metric[2, 2] - metric[1, 2] * metric[2, 1])
        - metric[0, 1] * (metric[1, 0] * metric[2, 2] - metric[1, 2] * metric[2, 0])
        + metric[0, 2] * (metric[1, 0] * metric[2, 1] - metric[1, 1] * metric[2, 0])
    )


@njit(cache=True, nogil=True)
def reduce_metric(metric):
    """Return the metric in a basis of three shortest vectors of the lattice.

    Vectors are shortened by multiples of one other, and the longest of
    the three by sums of the other two, until none becomes shorter. Their
    lengths are then the three successive minima of the lattice (H.
    Minkowski); they are not sorted.

    Parameters
    ----------
    metric
        Metric tensor of any primitive basis, of shape (3, 3).

    Returns
    -------
    ndarray
        Of shape (3, 3).
    """
    return reduce_basis(metric)[0]


@njit(cache=True, nogil=True)
def reduce_basis(metric):
    """Return the metric in a basis of three shortest vectors, and these vectors.

    Parameters
    ----------
    metric
        As for :func:`reduce_metric`.

    Returns
    -------
    reduced
        As of :func:`reduce_metric`.
    vectors
        Indices of the shortest vectors in the basis of the metric, as
        rows, of shape (3, 3), floating point.
    """
    reduced = metric.copy()
    vectors = np.eye(3)
    for _ in range(_MOST_ROUNDS):
        if not _shorten_by_one(reduced, vectors) and not _shorten_by_two(
            reduced, vectors
        ):
            break
    return reduced, vectors


@njit(cache=True, nogil=True)
def _shorten_by_one(metric, vectors):
    """Subtract from each vector multiples of each other, in place."""
    changed = False
    for i in range(3):
        for j in range(3):
            if i == j:
                continue
            product = metric[i, j]
            if abs(product) <= (0.5 + _MARGIN) * metric[i, i]:
                continue
            times = np.round(product / metric[i, i])
            for k in range(3):
                if k != j:
                    metric[j, k] -= times * metric[i, k]
                    metric[k, j] = metric[j, k]
            metric[j, j] = (
                metric[j, j] - 2 * times * product + times * times * metric[i, i]
            )
            vectors[j] -= times * vectors[i]
            changed = True
    return changed


@njit(cache=True, nogil=True)
def _shorten_by_two(metric, vectors):
    """Add to the longest vector the others or their opposites, in place."""
    c = 0
    for i in range(1, 3):
        if metric[i, i] > metric[c, c]:
            c = i
    a = (c + 1) % 3
    b = (c + 2) % 3
    shortest = metric[c, c] * (1 - _MARGIN)
    add_a = 0
    add_b = 0
    for m in range(-1, 2):
        for n in range(-1, 2):
            length = (
                metric[c, c]
                + m * m * metric[a, a]
                + n * n * metric[b, b]
                + 2 * (m * metric[c, a] + n * metric[c, b] + m * n * metric[a, b])
            )
            if length < shortest:
                shortest = length
                add_a = m
                add_b = n
    if add_a == 0 and add_b == 0:
        return False
    metric[c, a] += add_a * metric[a, a] + add_b * metric[a, b]
    metric[c, b] += add_a * metric[a, b] + add_b * metric[b, b]
    metric[a, c] = metric[c, a]
    metric[b, c] = metric[c, b]
    metric[c, c] = shortest
    vectors[c] += add_a * vectors[a] + add_b * vectors[b]
    return True


@njit(cache=True, nogil=True)
def is_plausible(metric, shortest):
    """Return whether a reduced metric may be that of a crystal.

    Parameters
    ----------
    metric
        Metric tensor of a reduced reciprocal basis.
    shortest
        Least length of a reciprocal vector in 1/Å. No direct one may be
        shorter than :data:`SHORTEST_TRANSLATION`.
    """
    for i in range(3):
        if metric[i, i] < shortest * shortest:
            return False
    limit = SHORTEST_TRANSLATION**2 * determinant(metric)
    for i in range(3):
        # Squared length of a direct vector is a minor over the determinant
        if _minor(metric, i) <= limit:
            return False
    return True


@njit(cache=True, nogil=True)
def _minor(metric, i):
    j = (i + 1) % 3
    k = (i + 2) % 3
    return metric[j, j] * metric[k, k] - metric[j, k] ** 2


@njit(cache=True, nogil=True)
def fill_reflections(metric, radius, hkl, squares):
    """List one of each Friedel pair of reflections, into arrays given.

    Parameters
    ----------
    metric
        Metric tensor of a primitive reciprocal basis.
    radius
        Longest reflection in 1/Å.
    hkl
        Filled with the indices, of shape (most, 3), floating point.
    squares
        Filled with the squared lengths in 1/Å², of shape (most,).

    Returns
    -------
    int
        Number of reflections; none if the arrays cannot hold them all or
        the metric is not that of a lattice.
    """
    volume = determinant(metric)
    if volume <= 0:
        return 0
    # The sphere's extent along a basis vector is its radius times the length of
    # the direct one
    most_h = int(radius * math.sqrt(max(_minor(metric, 0) / volume, 0.0)))
    most_k = int(radius * math.sqrt(max(_minor(metric, 1) / volume, 0.0)))
    most_l = int(radius * math.sqrt(max(_minor(metric, 2) / volume, 0.0)))
    limit = radius * radius
    n = 0
    for h in range(most_h + 1):
        for k in range(-most_k if h else 0, most_k + 1):
            # Chord of the sphere along l: a l² + 2 b l + c <= limit
            b = h * metric[0, 2] + k * metric[1, 2]
            c = h * h * metric[0, 0] + k * k * metric[1, 1] + 2 * (h * k * metric[0, 1])
            chord = b * b - metric[2, 2] * (c - limit)
            if chord < 0:
                continue
            chord = math.sqrt(chord)
            first = max(-most_l, math.ceil((-b - chord) / metric[2, 2] - _MARGIN))
            last = min(most_l, math.floor((-b + chord) / metric[2, 2] + _MARGIN))
            if h == 0 and k == 0:
                first = 1
            for l in range(first, last + 1):  # noqa: E741
                square = c + l * (2 * b + l * metric[2, 2])
                if square > limit:
                    continue
                if n == len(squares):
                    return 0
                hkl[n, 0] = h
                hkl[n, 1] = k
                hkl[n, 2] = l
                squares[n] = square
                n += 1
    return n


@njit(cache=True, nogil=True)
def list_reflections(metric, radius, most):
    """Return one of each Friedel pair of reflections, the shortest first.

    Parameters
    ----------
    metric
        Metric tensor of a primitive reciprocal basis in 1/Å², of shape
        (3, 3).
    radius
        Longest reflection in 1/Å.
    most
        With more than so many reflections, none are listed.

    Returns
    -------
    hkl
        Indices of shape (reflections, 3), floating point.
    lengths
        Of shape (reflections,), in 1/Å.
    """
    hkl = np.empty((most, 3))
    squares = np.empty(most)
    n = fill_reflections(metric, radius, hkl, squares)
    order = np.argsort(squares[:n])
    return hkl[order], np.sqrt(squares[order])
