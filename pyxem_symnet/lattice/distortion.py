# SPDX-License-Identifier: GPL-3.0-or-later
"""Elliptical distortion that is common to all views of a crystal.

The projector lenses turn rings into ellipses. To first order in two numbers, (a, b),
a point p of the pattern goes to (1 + E) p with E = ((a, b), (b, -a)): an ellipse of
axes in the ratio exp(2 |(a, b)|), its long axis at half the angle of (a, b) from x.
Products of two spots of a view change by what is linear in these, as they are linear
in the metric, so that both are found together by least squares.
"""

from __future__ import annotations

import math

import numpy as np

#: Undistorted
NONE = (0.0, 0.0)


def undistort(vectors: np.ndarray, distortion: tuple[float, float]) -> np.ndarray:
    """Return spots where they were without an elliptical distortion.

    Parameters
    ----------
    vectors
        Spots on the Ewald sphere in 1/Å, of shape (spots, 3).
    distortion
        The two numbers. The area of a ring does not change.

    Returns
    -------
    ndarray
        Of shape (spots, 3), again on the sphere.
    """
    size = math.hypot(*distortion)
    if size == 0:
        return vectors
    x, y = vectors[:, 0], vectors[:, 1]
    a, b = (math.sinh(size) / size * part for part in distortion)
    same = math.cosh(size)
    result = np.column_stack([same * x - a * x - b * y, same * y - b * x + a * y, x])
    before, after = x * x + y * y, (result[:, :2] ** 2).sum(1)
    # So near to the beam, the sphere is a paraboloid
    result[:, 2] = vectors[:, 2] * np.divide(
        after, before, out=np.ones_like(before), where=before > 0
    )
    return result


def turned_distortion(turn: np.ndarray) -> np.ndarray:
    """Return what turning or mirroring a pattern makes of its distortion.

    Parameters
    ----------
    turn
        Orthogonal matrix of shape (2, 2) that turned the pattern.

    Returns
    -------
    ndarray
        Matrix of shape (2, 2), from the two numbers before to those after.
    """
    return np.column_stack(
        [(turn @ one @ turn.T)[0] for one in (np.diag([1, -1]), np.eye(2)[::-1])]
    )


def pair_slopes(vectors: np.ndarray) -> np.ndarray:
    """Return how a distortion changes the squares and products of pairs.

    Parameters
    ----------
    vectors
        Spots of one view in 1/Å, of shape (spots, 3).

    Returns
    -------
    ndarray
        Derivatives of both squared lengths and of the product with
        respect to the two numbers, in 1/Å², of shape (pairs, 6): a and
        b of the first, of the second, and of the product. Pairs are in
        the order of
        :func:`~pyxem_symnet.lattice.candidates.pairs_of_spots`.
    """
    first, second = np.triu_indices(len(vectors), 1)
    x, y = vectors[:, 0], vectors[:, 1]
    return 2 * np.column_stack(
        [
            slope
            for i, j in ((first, first), (second, second), (first, second))
            for slope in (x[i] * x[j] - y[i] * y[j], x[i] * y[j] + y[i] * x[j])
        ]
    )
