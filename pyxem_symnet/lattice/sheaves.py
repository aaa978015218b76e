# SPDX-License-Identifier: GPL-3.0-or-later
"""Lattices of nets that have one row in common.

Seen along that row, planes through it are rows of a plane lattice. Their angles
follow from a third net, or are those that symmetric lattices have.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np

from pyxem_symnet.lattice.assembly import LEAST_BOX, common_rows, generated
from pyxem_symnet.lattice.metric import determinant, is_plausible, reduce_metric
from pyxem_symnet.lattice.nets import Net
from pyxem_symnet.lattice.scores import SMALLEST_VOLUME

# Largest product of the numbers below
_LARGEST_SUM = 10
# A net that shares one row with two others, in terms of theirs: k c = p a + q b, but
# for multiples of that row
_SUMS = np.array(
    [
        (k, p, q)
        for k in range(1, 6)
        for p in range(1, 6)
        for q in range(-5, 6)
        if math.gcd(k, p, q) == 1 and 0 < abs(k * p * q) <= _LARGEST_SUM
    ]
)
# Angles between planes that two nets with one row in common are put at
_COSINES = np.cos(np.radians([90, 60, 120, 45, 135, 30, 150]))
# Vectors of a net, one of which completes any of its rows
_COMPLETIONS = [(m, n) for m in range(-6, 7) for n in range(-6, 7)]
# Shifts along a row agree within this share of its spacing
_SHIFT_ERROR = 0.01
_SHIFT_ERRORS = 5.0


def join_on_row(
    nets: Sequence[Net], shortest: float, largest_volume: float
) -> np.ndarray:
    """Return the metrics of lattices of three nets that have one row in common.

    Seen along that row, the next rows of the three nets are points of a plane
    lattice, of which the distances from the row are known.

    Parameters
    ----------
    nets, shortest, largest_volume
        As for :func:`~pyxem_symnet.lattice.assembly.join_three`.

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
                good = abs(cosines) < 1 - LEAST_BOX
                good &= abs(shift - np.rint(shift)) < error
                for i in np.flatnonzero(good):
                    gram = _gram(
                        spacing, (x_a, y_a), (mirror[1] * x_b, y_b), cosines[i]
                    )
                    generators = np.array(
                        [
                            (k[i], 0, 0),
                            (0, k[i], 0),
                            (0, 0, k[i]),
                            (np.rint(shift[i]), p[i], q[i]),
                        ],
                        float,
                    )
                    basis = generated(generators) / k[i]
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
        As for :func:`~pyxem_symnet.lattice.assembly.join_three`.

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
        if (
            inverse <= 0
            or not SMALLEST_VOLUME <= 1 / math.sqrt(inverse) <= largest_volume
        ):
            continue
        metric = reduce_metric(metric)
        if is_plausible(metric, shortest):
            good.append(metric)
    return np.array(good).reshape(-1, 3, 3)
