# SPDX-License-Identifier: GPL-3.0-or-later
"""Lattices put together from the nets that views along zone axes show.

Two planes of a lattice through the origin have a row in common: the same length is
then in both nets, or twice the length where every other reflection is absent from
one. Three nets with three common rows hold all six products of those rows. Nets that
have one row in common are the matter of :mod:`~pyxem_symnet.lattice.sheaves`.
"""

from __future__ import annotations

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
_REACH = 2.0
# Common rows of two nets that are tried, the shortest ones
_N_COMMON = 12
# A net may show so small a part of the lattice's plane: a glide plane leaves half
_LARGEST_INDEX = 2
#: Least volume of the unit cell of three rows in that of a box of the same edges
LEAST_BOX = 0.02
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
                    if inverse < LEAST_BOX**2 * uu * vv * ww:
                        continue
                    generators, unit = _generators(
                        u_a[i], v_a[j], u_b[i], w_b[k], v_c[j], sign * w_c[k]
                    )
                    if unit == 0:
                        continue
                    basis = generated(generators) / unit
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
def generated(vectors):
    """Return the triangular basis of all sums of integer vectors.

    Parameters
    ----------
    vectors
        Whole numbers in floating point, of shape (n, 3), which span space.

    Returns
    -------
    ndarray
        Of shape (3, 3), with a positive diagonal.
    """
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
