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
# Variance while views are told apart, and how often each is looked at
_RESOLVING_VARIANCE = 0.1
_PASSES = 3
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
def resolve_views(keys, values, start, n_keys):
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

    Returns
    -------
    ndarray
        Way of indexing by view, integers of shape (views,).
    """
    n_views = len(start) - 1
    total = np.zeros(n_keys)
    count = np.zeros(n_keys)
    chosen = np.zeros(n_views, np.int64)
    for repeat in range(_PASSES):
        for view in range(n_views):
            if repeat > 0:
                for i in range(start[view], start[view + 1]):
                    key = keys[chosen[view], i]
                    total[key] -= values[i]
                    count[key] -= 1
            best = -np.inf
            for way in range(len(keys)):
                likelihood = 0.0
                for i in range(start[view], start[view + 1]):
                    key = keys[way, i]
                    # what the other views say of this reflection
                    precision = _RESOLVING_VARIANCE + count[key] * _SPREAD
                    mean = total[key] * _SPREAD / precision
                    variance = _RESOLVING_VARIANCE * (1 + _SPREAD / precision)
                    likelihood -= 0.5 * (values[i] - mean) ** 2 / variance
                    likelihood -= 0.5 * math.log(variance)
                if likelihood > best + 1e-9:
                    best = likelihood
                    chosen[view] = way
            for i in range(start[view], start[view + 1]):
                key = keys[chosen[view], i]
                total[key] += values[i]
                count[key] += 1
    return chosen


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
