# SPDX-License-Identifier: GPL-3.0-or-later
"""Lattices put together from the nets that views along zone axes show.

Two planes of a lattice through the origin have a row in common: the same length is
then in both nets, or twice the length where every other reflection is absent from
one. Three nets with three common rows hold all six products of those rows. Two
nets leave one product open, which a vector of a known length or a special angle
between the planes gives.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
from numba import njit

from pyxem_symnet.lattice.metric import determinant, is_plausible, reduce_metric
from pyxem_symnet.lattice.nets import Net
from pyxem_symnet.lattice.scores import SMALLEST_VOLUME

# Rows of a net that may be common to two, one of each pair of opposite directions
_ROWS = np.array(
    [
        (m, n)
        for m in range(7)
        for n in range(-6, 7)
        if math.gcd(m, n) == 1 and (m > 0 or n > 0)
    ]
)
# How many times a row's spacing is that of the common row, in either net
_MULTIPLES = ((1, 1), (1, 2), (2, 1))
# They may be longer than the farthest spot
_REACH = 1.5
# Common rows of two nets that are tried, the shortest ones
_N_COMMON = 12
# A net may show so small a part of the lattice's plane: a glide plane leaves half
_LARGEST_INDEX = 2
# Least volume of the unit cell of three rows in that of a box of the same edges
_LEAST_BOX = 0.02
# A net that shares one row with two others, in terms of theirs: k c = p a + q b, but
# for multiples of that row
_SUMS = np.array(
    [
        (k, p, q)
        for k in (1, 2)
        for p in (1, 2, 3)
        for q in (-3, -2, -1, 1, 2, 3)
        if math.gcd(k, p, q) == 1 and abs(p * q) < 6
    ]
)
# Angles between planes that two nets with one row in common are put at
_COSINES = np.cos(np.radians([90, 60, 120, 45, 135, 30, 150]))
# Vectors of a net, one of which completes any of its rows
_COMPLETIONS = [(m, n) for m in range(-6, 7) for n in range(-6, 7)]
# Shifts along a row agree within this share of its spacing
_SHIFT_ERROR = 0.01
_SHIFT_ERRORS = 5.0
# Larger denominators are no lattice that anything shows
_LARGEST_DENOMINATOR = 2000


def common_rows(one: Net, other: Net) -> tuple[np.ndarray, np.ndarray]:
    """Return vectors that two nets may have in common, the shortest first.

    Parameters
    ----------
    one, other
        Nets.

    Returns
    -------
    rows, others
        Indices of the vector in each net, of shape (rows, 2).
    """
    lengths, errors = one.lengths(_ROWS)
    others, other_errors = other.lengths(_ROWS)
    near, near_other = lengths < _REACH * one.radius, others < _REACH * other.radius
    found = []
    for k, m in _MULTIPLES:
        difference = abs(k * lengths[:, None] - m * others)
        same = difference < k * errors[:, None] + m * other_errors
        i, j = np.nonzero(same & near[:, None] & near_other)
        found.append(np.column_stack([k * lengths[i], k * _ROWS[i], m * _ROWS[j]]))
    rows = np.concatenate(found)
    rows = rows[np.argsort(rows[:, 0], kind="stable")[:_N_COMMON]]
    return rows[:, 1:3].copy(), rows[:, 3:5].copy()


def join_three(
    nets: Sequence[Net], shortest: float, largest_volume: float
) -> np.ndarray:
    """Return the metrics of lattices that three nets with three rows make.

    Parameters
    ----------
    nets
        Three nets.
    shortest
        Least length of a reciprocal vector in 1/Å.
    largest_volume
        Largest volume of a primitive cell in Å³.

    Returns
    -------
    ndarray
        Reduced metric tensors in 1/Å², of shape (metrics, 3, 3).
    """
    a, b, c = nets
    return _join(
        *common_rows(a, b),
        *common_rows(a, c),
        *common_rows(b, c),
        a.metric,
        b.metric,
        c.metric,
        shortest,
        largest_volume,
    )


@njit(cache=True, nogil=True)
def _join(
    u_a, u_b, v_a, v_c, w_b, w_c, gram_a, gram_b, gram_c, shortest, largest_volume
):
    """Return metrics for all choices of rows.

    Row u is common to the nets a and b, v to a and c, w to b and c.
    """
    metrics = []
    gram = np.empty((3, 3))
    for i in range(len(u_a)):
        for j in range(len(v_a)):
            det_a = u_a[i, 0] * v_a[j, 1] - u_a[i, 1] * v_a[j, 0]
            if det_a == 0:
                continue
            uv = _product(gram_a, u_a[i], v_a[j])
            for k in range(len(w_b)):
                det_b = u_b[i, 0] * w_b[k, 1] - u_b[i, 1] * w_b[k, 0]
                det_c = v_c[j, 0] * w_c[k, 1] - v_c[j, 1] * w_c[k, 0]
                if det_b == 0 or det_c == 0:
                    continue
                uw = _product(gram_b, u_b[i], w_b[k])
                vw = _product(gram_c, v_c[j], w_c[k])
                uu = _product(gram_a, u_a[i], u_a[i])
                vv = _product(gram_a, v_a[j], v_a[j])
                ww = _product(gram_b, w_b[k], w_b[k])
                gram[0, 0] = (uu + _product(gram_b, u_b[i], u_b[i])) / 2
                gram[1, 1] = (vv + _product(gram_c, v_c[j], v_c[j])) / 2
                gram[2, 2] = (ww + _product(gram_c, w_c[k], w_c[k])) / 2
                gram[0, 1] = gram[1, 0] = uv
                gram[0, 2] = gram[2, 0] = uw
                for sign in (1.0, -1.0):
                    # Three angles between rows close in two ways
                    gram[1, 2] = gram[2, 1] = sign * vw
                    inverse = determinant(gram)
                    if inverse < _LEAST_BOX**2 * uu * vv * ww:
                        continue
                    generators, unit = _generators(
                        u_a[i], v_a[j], u_b[i], w_b[k], v_c[j], sign * w_c[k]
                    )
                    if unit == 0:
                        continue
                    basis = _generated(generators) / unit
                    inverse *= (basis[0, 0] * basis[1, 1] * basis[2, 2]) ** 2
                    volume = 1 / math.sqrt(inverse)
                    if not SMALLEST_VOLUME <= volume <= largest_volume:
                        continue
                    if not _show_half(generators / unit, basis):
                        continue
                    metric = reduce_metric(basis @ gram @ basis.T)
                    if is_plausible(metric, shortest):
                        metrics.append(metric)
    found = np.empty((len(metrics), 3, 3))
    for i in range(len(metrics)):
        found[i] = metrics[i]
    return found


@njit(cache=True, nogil=True)
def _product(gram, a, b):
    return (
        gram[0, 0] * a[0] * b[0]
        + gram[0, 1] * (a[0] * b[1] + a[1] * b[0])
        + gram[1, 1] * a[1] * b[1]
    )


@njit(cache=True, nogil=True)
def _generators(u_a, v_a, u_b, w_b, v_c, w_c):
    """Return the bases of three nets in terms of rows u, v, w, times a number.

    The number, zero if it were too large, makes them integers.
    """
    generators = np.zeros((6, 3))
    denominators = np.empty(3)
    for net, first, second, p, q in (
        (0, 0, 1, u_a, v_a),
        (1, 0, 2, u_b, w_b),
        (2, 1, 2, v_c, w_c),
    ):
        denominators[net] = p[0] * q[1] - p[1] * q[0]
        generators[2 * net, first] = q[1]
        generators[2 * net, second] = -p[1]
        generators[2 * net + 1, first] = -q[0]
        generators[2 * net + 1, second] = p[0]
    unit = abs(denominators[0])
    for denominator in denominators[1:]:
        unit *= abs(denominator) / _common_divisor(unit, abs(denominator))
    if unit > _LARGEST_DENOMINATOR:
        return generators, 0.0
    for net in range(3):
        generators[2 * net : 2 * net + 2] *= np.round(unit / denominators[net])
    return generators, unit


@njit(cache=True, nogil=True)
def _common_divisor(a, b):
    while b != 0:
        a, b = b, np.round(a - b * math.floor(a / b))
    return a


@njit(cache=True, nogil=True)
def _generated(vectors):
    """Return the triangular basis of all sums of integer vectors, (n, 3)."""
    rest = vectors.copy()
    basis = np.zeros((3, 3))
    for column in range(3):
        for i in range(1, len(rest)):
            # Euclid's algorithm leaves nothing of the others in this column
            while rest[i, column] != 0:
                times = np.round(rest[0, column] / rest[i, column])
                for k in range(3):
                    below = rest[0, k] - times * rest[i, k]
                    rest[0, k] = rest[i, k]
                    rest[i, k] = below
        basis[column] = rest[0]
        rest[0] = 0.0
    for i in range(3):
        if basis[i, i] < 0:
            basis[i] *= -1
    return basis


@njit(cache=True, nogil=True)
def _show_half(nets, basis):
    """Return whether each of the nets is at least half of its plane."""
    back = np.linalg.inv(basis)
    for net in range(3):
        p = np.round(nets[2 * net] @ back)
        q = np.round(nets[2 * net + 1] @ back)
        index = _common_divisor(
            abs(p[1] * q[2] - p[2] * q[1]), abs(p[2] * q[0] - p[0] * q[2])
        )
        if _common_divisor(index, abs(p[0] * q[1] - p[1] * q[0])) > _LARGEST_INDEX:
            return False
    return True


def join_on_row(
    nets: Sequence[Net], shortest: float, largest_volume: float
) -> np.ndarray:
    """Return the metrics of lattices of three nets that have one row in common.

    Seen along that row, the next rows of the three nets are points of a plane
    lattice, of which the distances from the row are known.

    Parameters
    ----------
    nets, shortest, largest_volume
        As for :func:`join_three`.

    Returns
    -------
    ndarray
        Reduced metric tensors in 1/Å², of shape (metrics, 3, 3).
    """
    a, b, c = nets
    metrics = []
    for u_a, u_b in zip(*common_rows(a, b), strict=True):
        for v_a, v_c in zip(*common_rows(a, c), strict=True):
            if u_a[0] * v_a[1] != u_a[1] * v_a[0]:
                continue
            error = _SHIFT_ERROR + _SHIFT_ERRORS * a.scale_error
            spacing, *sides = _beside_row((a, b, c), (u_a, u_b, v_c))
            (x_a, y_a), (x_b, y_b), (x_c, y_c) = sides
            k, p, q = _SUMS.T
            cosines = (k**2 * y_c**2 - p**2 * y_a**2 - q**2 * y_b**2) / (
                2 * p * q * y_a * y_b
            )
            # The rest is whole spacings of the row, which the third net has, too
            for mirror in itertools.product((1, -1), repeat=2):
                shift = (k * mirror[0] * x_c - p * x_a - q * mirror[1] * x_b) / spacing
                good = abs(cosines) < 1 - _LEAST_BOX
                good &= abs(shift - np.rint(shift)) < error
                for i in np.flatnonzero(good):
                    gram = _gram(spacing, (x_a, y_a), (mirror[1] * x_b, y_b), cosines[i])
                    generators = np.array(
                        [(k[i], 0, 0), (0, k[i], 0), (0, 0, k[i]), (np.rint(shift[i]), p[i], q[i])],
                        float,
                    )
                    basis = _generated(generators) / k[i]
                    metrics.append(basis @ gram @ basis.T)
    return _plausible(metrics, shortest, largest_volume)


def join_at_angles(
    nets: Sequence[Net], shortest: float, largest_volume: float
) -> np.ndarray:
    """Return the metrics of two nets with a common row, at special angles.

    Parameters
    ----------
    nets
        Two nets.
    shortest, largest_volume
        As for :func:`join_three`.

    Returns
    -------
    ndarray
        Reduced metric tensors in 1/Å², of shape (metrics, 3, 3).
    """
    a, b = nets
    metrics = []
    for u_a, u_b in zip(*common_rows(a, b), strict=True):
        spacing, (x_a, y_a), (x_b, y_b) = _beside_row((a, b), (u_a, u_b))
        for cosine in _COSINES:
            metrics.append(_gram(spacing, (x_a, y_a), (x_b, y_b), cosine))
    return _plausible(metrics, shortest, largest_volume)


def _beside_row(nets: Sequence[Net], rows: Sequence[np.ndarray]) -> tuple:
    """Return the spacing of a common row, and where each net's next row is.

    That is the shift along the row and the distance from it in 1/Å.
    """
    spacings = []
    sides = []
    for net, row in zip(nets, rows, strict=True):
        row = row / math.gcd(*map(int, row))
        along = row @ net.basis
        spacing = float(np.hypot(*along))
        # A vector of the net that completes the row
        m, n = next(
            (m, n) for m, n in _COMPLETIONS if abs(row[0] * n - row[1] * m) == 1
        )
        other = np.array([m, n]) @ net.basis
        spacings.append(spacing)
        sides.append(
            (
                float(other @ along) / spacing,
                abs(float(other[0] * along[1] - other[1] * along[0])) / spacing,
            )
        )
    return min(spacings), *sides


def _gram(spacing, one, other, cosine) -> np.ndarray:
    """Return the metric of a row and the next row of each of two planes."""
    (x_1, y_1), (x_2, y_2) = one, other
    row = np.array([spacing, 0, 0])
    first = np.array([x_1, y_1, 0])
    second = np.array([x_2, y_2 * cosine, y_2 * math.sqrt(1 - cosine**2)])
    basis = np.array([row, first, second])
    return basis @ basis.T


def _plausible(
    metrics: list[np.ndarray], shortest: float, largest_volume: float
) -> np.ndarray:
    """Return the metrics that may be a crystal's, reduced."""
    good = []
    for metric in metrics:
        inverse = determinant(metric)
        if inverse <= 0 or not SMALLEST_VOLUME <= 1 / math.sqrt(inverse) <= largest_volume:
            continue
        metric = reduce_metric(metric)
        if is_plausible(metric, shortest):
            good.append(metric)
    return np.array(good).reshape(-1, 3, 3)
