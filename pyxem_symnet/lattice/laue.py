# SPDX-License-Identifier: GPL-3.0-or-later
"""How well intensities agree with a Laue class, and which are absent."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

# Variances of one reflection's scaled log intensities about their mean: the
# patterns' noise, from good to none of the intensity explained
VARIANCES = np.array([0.01, 0.03, 0.08, 0.2, 0.4, 0.7])
# Variance of the means, which are scaled to it
_SPREAD = 1.0
# How often each view is looked at while views are told apart
_PASSES = 3
# Variance of the mean of a view's log intensities, which depends on what it shows
_OFFSET_VARIANCE = 0.25
# Views are taken in so many orders
_ORDERS = 8
_SEED = 20200706
# Variance while scales of views are told, and how wrong the slope may be
_MERGING_VARIANCE = 0.05
_SLOPE_ERROR = 0.15
# An index is a digit of a reflection's key
_OFFSET = 2048
_BASE = 2 * _OFFSET


@njit(cache=True, nogil=True)
def reflection_keys(hkl, rotations):
    """Return a number for each reflection that its equivalents share.

    Parameters
    ----------
    hkl
        Integer array of shape (n, 3), indices below 2048.
    rotations
        Proper rotations of the Laue class, integers of shape (m, 3, 3),
        which act on rows. Friedel mates are equivalent.

    Returns
    -------
    ndarray
        Integer array of shape (n,).
    """
    keys = np.empty(len(hkl), np.int64)
    for i in range(len(hkl)):
        best = -1
        for o in range(len(rotations)):
            key = 0
            mate = 0
            for j in range(3):
                index = 0
                for k in range(3):
                    index += hkl[i, k] * rotations[o, k, j]
                key = key * _BASE + index + _OFFSET
                mate = mate * _BASE - index + _OFFSET
            best = max(best, key, mate)
        keys[i] = best
    return keys


@njit(cache=True, nogil=True)
def forbidden(rotations, translations, hkl):
    """Return what :func:`~pyxem_symnet.symmetry.absences.absent_reflections` does.

    Compiled, for the hundreds of settings that a lattice is tried in.

    Parameters
    ----------
    rotations
        Integer array of shape (n, 3, 3).
    translations
        Array of shape (n, 3) of fractions of the cell.
    hkl
        Integer array of shape (m, 3).

    Returns
    -------
    ndarray of bool
        True where absent, shape (m,).
    """
    absent = np.zeros(len(hkl), np.bool_)
    for i in range(len(hkl)):
        for o in range(len(rotations)):
            phase = 0.0
            for k in range(3):
                phase += hkl[i, k] * translations[o, k]
            if abs(phase - np.round(phase)) <= 1e-3:
                continue
            same = True
            for j in range(3):
                index = 0
                for k in range(3):
                    index += hkl[i, k] * rotations[o, k, j]
                same &= index == hkl[i, j]
            if same:
                absent[i] = True
                break
    return absent


def left_cosets(group: np.ndarray, subgroup: np.ndarray) -> np.ndarray:
    """Return the ways to index a view that a Laue class tells apart.

    Parameters
    ----------
    group
        Rotations of the lattice, integers of shape (n, 3, 3).
    subgroup
        Those of the Laue class, of shape (m, 3, 3).

    Returns
    -------
    ndarray
        One rotation of each left coset, of shape (n / m, 3, 3), the
        identity first if it is the first of the group.
    """
    known: set[bytes] = set()
    chosen = []
    for rotation in group:
        if rotation.tobytes() not in known:
            chosen.append(rotation)
            known.update((rotation @ other).tobytes() for other in subgroup)
    return np.array(chosen)


@njit(cache=True, nogil=True)
def resolve_views(keys, values, start, n_keys, noise):
    """Return which way of indexing makes each view agree with the others.

    Where the lattice has more rotations than the Laue class, a view can be
    indexed in ways that only its intensities tell apart (W. Brehm,
    K. Diederichs, Acta Cryst. D 70, 101 (2014)). Views are taken one after
    another, each as the sum of those before predicts it best, and then
    again with all the others known.

    Parameters
    ----------
    keys
        Reflections by way of indexing, integers from 0 of shape
        (ways, observations).
    values
        Scaled log intensities of shape (observations,), by view.
    start
        First observation of each view, and their number, of shape
        (views + 1,).
    n_keys
        Number of different reflections.
    noise
        Variance of the observations of one reflection.

    Returns
    -------
    ndarray
        Way of indexing by view, integers of shape (views,).
    """
    n_views = len(start) - 1
    best = np.zeros(n_views, np.int64)
    most = -np.inf
    order = np.arange(n_views)
    state = _SEED
    for _ in range(_ORDERS):
        chosen, likelihood = _resolve_in_order(
            keys, values, start, n_keys, noise, order
        )
        if likelihood > most + 1e-6:
            most = likelihood
            best = chosen
        # A generator of our own, the same wherever it is compiled
        for i in range(n_views - 1, 0, -1):
            state = (1103515245 * state + 12345) % 2147483648
            j = (state >> 8) % (i + 1)
            order[i], order[j] = order[j], order[i]
    return best


@njit(cache=True, nogil=True)
def _resolve_in_order(keys, values, start, n_keys, noise, order):
    """Return ways of views that are taken in this order, and their likelihood."""
    chosen = np.zeros(len(order), np.int64)
    offsets = np.zeros(len(order))
    total = np.zeros(n_keys)
    count = np.zeros(n_keys)
    for repeat in range(_PASSES):
        for view in order:
            first, last = start[view], start[view + 1]
            if repeat > 0:
                for i in range(first, last):
                    key = keys[chosen[view], i]
                    total[key] -= values[i] - offsets[view]
                    count[key] -= 1
            best = -np.inf
            for way in range(len(keys)):
                likelihood = 0.0
                slope = 0.0
                curvature = 1 / _OFFSET_VARIANCE
                for i in range(first, last):
                    key = keys[way, i]
                    # what the other views say of this reflection
                    precision = noise + count[key] * _SPREAD
                    mean = total[key] * _SPREAD / precision
                    variance = noise * (1 + _SPREAD / precision)
                    likelihood -= 0.5 * (values[i] - mean) ** 2 / variance
                    likelihood -= 0.5 * math.log(variance)
                    slope += (values[i] - mean) / variance
                    curvature += 1 / variance
                # what the mean of a view is off by is integrated out
                likelihood += 0.5 * (slope**2 / curvature - math.log(curvature))
                if likelihood > best + 1e-9:
                    best = likelihood
                    chosen[view] = way
                    offsets[view] = slope / curvature
            for i in range(first, last):
                key = keys[chosen[view], i]
                total[key] += values[i] - offsets[view]
                count[key] += 1
    resolved = np.empty(len(values), np.int64)
    shifted = np.empty(len(values))
    for view in order:
        for i in range(start[view], start[view + 1]):
            resolved[i] = keys[chosen[view], i]
            shifted[i] = values[i] - offsets[view]
    variances = np.array([noise])
    return chosen, log_likelihoods(resolved, shifted, n_keys, variances)[0]


@njit(cache=True, nogil=True)
def log_likelihoods(keys, values, n_keys, variances):
    """Return the marginal likelihood of intensities, by their noise.

    Each reflection's log intensity is drawn from a normal distribution of
    variance 1, its observations from one about it; the former is
    integrated out.

    Parameters
    ----------
    keys
        Reflection of each observation, integers from 0 of shape (n,).
    values
        Scaled log intensities of shape (n,).
    n_keys
        Number of different reflections.
    variances
        Variances of the observations, of shape (m,).

    Returns
    -------
    ndarray
        Logarithms, up to a constant that is the same for any keys, of
        shape (m,).
    """
    total = np.zeros(n_keys)
    square = np.zeros(n_keys)
    count = np.zeros(n_keys)
    for i in range(len(values)):
        total[keys[i]] += values[i]
        square[keys[i]] += values[i] * values[i]
        count[keys[i]] += 1
    likelihoods = np.zeros(len(variances))
    for s in range(len(variances)):
        variance = variances[s]
        for k in range(n_keys):
            n = count[k]
            if n == 0:
                continue
            mean = total[k] / n
            within = square[k] - n * mean * mean
            joint = variance + n * _SPREAD
            likelihoods[s] -= 0.5 * (
                (n - 1) * math.log(variance)
                + math.log(joint)
                + within / variance
                + n * mean * mean / joint
            )
    return likelihoods


@njit(cache=True, nogil=True)
def rescaled(keys, values, falls, views, n_keys, n_views):
    """Return values with the scale of each view, and the slope, of what is merged.

    The mean of a view's log intensities depends on which reflections it
    shows. Those that several views show, or that are equivalent, tell how
    the views' scales are to each other, and how intensities fall with the
    distance from the Ewald sphere. Each reflection's own log intensity is
    integrated out, as in :func:`log_likelihoods`.

    Parameters
    ----------
    keys
        Reflection of each observation, integers from 0 of shape (n,).
    values
        Scaled log intensities of shape (n,).
    falls
        What they fall by for a slope of one, about the mean of each view,
        of shape (n,).
    views
        View of each, integers of shape (n,).
    n_keys, n_views
        Number of different reflections, and of views.

    Returns
    -------
    ndarray
        Scaled log intensities of shape (n,).
    """
    n = len(values)
    order = np.argsort(keys, kind="mergesort")
    normal = np.zeros((n_views + 1, n_views + 1))
    right = np.zeros(n_views + 1)
    row = np.zeros(n_views + 1)
    for i in range(n):
        view = views[i]
        fall = falls[i]
        normal[view, view] += 1
        normal[view, n_views] += fall
        normal[n_views, view] += fall
        normal[n_views, n_views] += fall * fall
        right[view] += values[i]
        right[n_views] += fall * values[i]
    start = 0
    while start < n:
        end = start
        row[:] = 0
        total = 0.0
        while end < n and keys[order[end]] == keys[order[start]]:
            i = order[end]
            row[views[i]] += 1
            row[n_views] += falls[i]
            total += values[i]
            end += 1
        share = 1 / (end - start + _MERGING_VARIANCE / _SPREAD)
        for j in range(n_views + 1):
            if row[j] != 0:
                right[j] -= share * row[j] * total
                for k in range(n_views + 1):
                    normal[j, k] -= share * row[j] * row[k]
        start = end
    # A view's mean is off by the spread of its values, over their number
    counts = np.zeros(n_views)
    for i in range(n):
        counts[views[i]] += 1
    for view in range(n_views):
        normal[view, view] += _MERGING_VARIANCE / _SPREAD * max(counts[view], 1.0)
    normal[n_views, n_views] += _MERGING_VARIANCE / _SLOPE_ERROR**2
    change = np.linalg.solve(normal, right)
    scaled = np.empty(n)
    for i in range(n):
        scaled[i] = values[i] - change[views[i]] - change[n_views] * falls[i]
    return scaled
