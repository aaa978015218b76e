# SPDX-License-Identifier: GPL-3.0-or-later
"""Views of a lattice that is nearly of higher symmetry, told apart by positions.

Where a lattice is nearly cubic, say, a view can be indexed in 24 ways that all match
its spots. If each view is in any of them, least squares give the mean of all ways,
which has the higher symmetry, and residuals that are larger than the errors of the
spots. One way for each view leaves none.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from pyxem_symnet.lattice.fit import IndexedView
from pyxem_symnet.lattice.symmetry import lattice_groups

# Deviation in degrees up to which a lattice is nearly symmetric: beyond, views that
# are indexed in another way do not match
_NEARLY = 1.5
# Largest likely strain from the mean of all ways
_STRAIN = 0.01
# Views are taken in so many orders, and each looked at so often
_ORDERS = 6
_PASSES = 4
_SEED = 20200706


def choose_indexing(
    metric: np.ndarray,
    views: list[IndexedView],
    strains: np.ndarray,
    precision: np.ndarray,
) -> list[IndexedView]:
    """Return views indexed in ways that agree best with one lattice.

    The sum of squares that is left once the lattice is strained and every
    view turned is that of the least over the strain of a sum of quadratic
    forms, one for each view and way. It is made smaller view by view, from
    several beginnings.

    Parameters
    ----------
    metric
        Metric tensor of the lattice as it is now, in 1/Å².
    views
        Indexed views. Only matched spots count.
    strains
        Strains to consider, symmetric, of shape (strains, 3, 3).
    precision
        Inverse variances of x, y and z of a spot, in Å².
    """
    operations = nearly_symmetric(metric)
    if len(operations) == 1 or len(views) < 2:
        return views
    basis = np.linalg.cholesky(metric)
    turns = _nearest_rotations(np.linalg.solve(basis, operations @ basis))
    forms = [
        _quadratic_forms(basis, view, operations, turns, strains, precision)
        for view in views
    ]
    chosen = _least_ways(*map(np.array, zip(*forms, strict=True)))
    return [
        dataclasses.replace(
            view, hkl=view.hkl @ operations[way], rotation=view.rotation @ turns[way]
        )
        for view, way in zip(views, chosen, strict=True)
    ]


def nearly_symmetric(metric: np.ndarray) -> np.ndarray:
    """Return the largest group of rotations that a lattice nearly has.

    Parameters
    ----------
    metric
        Metric tensor of the lattice in 1/Å².

    Returns
    -------
    ndarray
        Integers of shape (n, 3, 3), which act on rows of indices: the ways
        in which :func:`choose_indexing` chooses.
    """
    groups = lattice_groups(metric, _NEARLY)
    return max(groups, key=lambda group: len(group.operations)).operations


def _nearest_rotations(matrices: np.ndarray) -> np.ndarray:
    left, _, right = np.linalg.svd(matrices)
    return left @ right


def _quadratic_forms(
    basis: np.ndarray,
    view: IndexedView,
    operations: np.ndarray,
    turns: np.ndarray,
    strains: np.ndarray,
    precision: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the least sums of squares over rotations, e'Ae - 2b'e + c of strains.

    One for each way in which the view can be indexed.
    """
    crystal = view.hkl[view.matched] @ operations @ basis
    back = (view.rotation @ turns).transpose(0, 2, 1)
    turned = crystal @ back
    errors = view.vectors[view.matched] - turned
    n = len(strains)
    slopes = np.zeros((*turned.shape, n + 3))
    by_strain = crystal[:, None] @ strains @ back[:, None]
    slopes[..., :n] = by_strain.transpose(0, 2, 3, 1)
    # A small rotation w moves p by w x p
    for i, j, k in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        slopes[..., j, n + i] = -turned[..., k]
        slopes[..., k, n + i] = turned[..., j]
    weighted = slopes * precision[:, None]
    weighted = weighted.reshape(len(turns), -1, n + 3).transpose(0, 2, 1)
    normal = weighted @ slopes.reshape(len(turns), -1, n + 3)
    right = (weighted @ errors.reshape(len(turns), -1, 1))[..., 0]
    among = normal[:, n:, n:] + 1e-3 * np.eye(3)
    mixed = np.concatenate([normal[:, n:, :n], right[:, n:, None]], -1)
    gain = np.linalg.solve(among, mixed)
    reduced = normal[:, :n, n:] @ gain
    square = normal[:, :n, :n] - reduced[..., :n]
    linear = right[:, :n] - reduced[..., n]
    constant = (errors**2 @ precision).sum(1) - (right[:, n:] * gain[..., n]).sum(1)
    return square, linear, constant


def _least_ways(
    square: np.ndarray, linear: np.ndarray, constant: np.ndarray
) -> np.ndarray:
    """Return the way of each view, of forms of shapes (views, ways, ...)."""
    n_views, _, n = linear.shape
    random = np.random.default_rng(_SEED)
    prior = np.eye(n) / _STRAIN**2
    least = np.inf
    for order in range(_ORDERS):
        views = np.arange(n_views) if order == 0 else random.permutation(n_views)
        chosen = np.full(n_views, -1)
        total, slope, rest = prior.copy(), np.zeros(n), 0.0
        for step in range(_PASSES):
            before = chosen.copy()
            for view in views:
                if step > 0:
                    total = total - square[view, chosen[view]]
                    slope = slope - linear[view, chosen[view]]
                    rest -= constant[view, chosen[view]]
                # The first way of the first view is as good as any
                among = slice(0, 1) if step == 0 and view == views[0] else slice(None)
                sums = total + square[view, among]
                slopes = slope + linear[view, among]
                solved = np.linalg.solve(sums, slopes[..., None])[..., 0]
                left = constant[view, among] - (slopes * solved).sum(-1)
                chosen[view] = left.argmin()
                total = total + square[view, chosen[view]]
                slope = slope + linear[view, chosen[view]]
                rest += constant[view, chosen[view]]
            if (chosen == before).all():
                break
        left = rest - slope @ np.linalg.solve(total, slope)
        if left < least:
            least = left
            best = chosen
    return best
