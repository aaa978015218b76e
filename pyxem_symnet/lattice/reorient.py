# SPDX-License-Identifier: GPL-3.0-or-later
"""The orientation of a known lattice in a view that shows a net.

Pairs of spots leave orientations in which other planes match all spots within the
tolerance, and none at all where the nearest spots are in one row. A whole net fits
no plane but its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numba import njit

from pyxem_symnet.lattice.fit import IndexedView, LatticeFit
from pyxem_symnet.lattice.indexing import SpotList, index_views, match_reach
from pyxem_symnet.lattice.matching import LAST, improve_rotation, match_spots, multiply
from pyxem_symnet.lattice.metric import list_reflections
from pyxem_symnet.lattice.nets import Net
from pyxem_symnet.lattice.orient import set_frame
from pyxem_symnet.lattice.search import Search

_MOST_REFLECTIONS = 4000
# Planes that a view is oriented by
_MOST_PLANES = 60
# Sides and the diagonal of a net's basis
_CORNERS = np.array([(1, 0), (0, 1), (1, 1)])
# Errors of a lattice that is not fitted yet, in those of a net
_LOOSER = 10.0
# Smaller singular values are of what no net tells
_RANK = 1e-4
_UPPER = np.triu_indices(3)


def index_nets(
    metric: np.ndarray,
    views: Sequence[SpotList],
    nets: Sequence[Net | None],
    search: Search,
) -> LatticeFit:
    """Orient a lattice in each view, by its net where it shows one.

    Parameters
    ----------
    metric
        Metric tensor of the reduced reciprocal basis in 1/Å².
    views
        Spots of each view.
    nets
        The net of each view, None where there is none.
    search
        Settings.

    Returns
    -------
    LatticeFit
        As that of :func:`~pyxem_symnet.lattice.indexing.index_views`, but for
        its log likelihood, which is that of the views oriented by pairs.
    """
    basis = np.linalg.cholesky(metric)
    indexed: list[IndexedView] = []
    n_spots = 0
    total = 0.0
    for view, net in zip(views, nets, strict=True):
        fit = index_views(metric, [view], search)
        best = fit.views
        if net is not None:
            turned = orient_by_net(metric, basis, view, net, search)
            if turned is not None:
                best = (max((turned, *best), key=lambda view: _rank(view, basis)),)
        indexed += best
        n_spots += min(len(view.vectors), search.n_spots)
        total += fit.log_likelihood
    return LatticeFit(metric, tuple(indexed), n_spots, total, coarse=False)


def _rank(view: IndexedView, basis: np.ndarray) -> tuple[int, float]:
    errors = view.errors(basis)[view.matched, :2]
    return int(view.matched.sum()), -float((errors**2).sum())


def orient_by_net(
    metric: np.ndarray, basis: np.ndarray, view: SpotList, net: Net, search: Search
) -> IndexedView | None:
    """Return a view with the lattice laid on its net, None if it has no such plane.

    Parameters
    ----------
    metric
        Metric tensor of the lattice in 1/Å².
    basis
        Its reciprocal vectors as rows in 1/Å.
    view
        Spots.
    net
        The net that they show.
    search
        Settings.
    """
    vectors = np.ascontiguousarray(view.vectors[: search.n_spots])
    sides, errors = net.lengths(_CORNERS)
    hkl, lengths = list_reflections(metric, sides[1] + errors[1], _MOST_REFLECTIONS)
    if not len(hkl):
        return None
    reach = match_reach(vectors, search)
    n, rotation, indices, matched = _orient(
        basis,
        hkl @ basis,
        lengths,
        net.basis,
        sides,
        errors,
        vectors,
        reach,
        search.excitation_error,
    )
    if n < 1:
        return None
    intensities = view.intensities[: search.n_spots]
    return IndexedView(
        vectors, intensities, rotation, indices.astype(np.int64), matched
    )


def fitted_to_nets(metric: np.ndarray, nets: Sequence[Net]) -> np.ndarray | None:
    """Return a lattice that holds nets exactly as far as it can.

    Lattices that are put together from long rows are wrong by a multiple of the
    errors of these.

    Parameters
    ----------
    metric
        Metric tensor of the lattice in 1/Å².
    nets
        Nets that it should hold.

    Returns
    -------
    ndarray or None
        Metric tensor of the same basis, fitted to the nets by least squares.
        None if there is a net that no plane of it is like.
    """
    sides = [_plane_of(metric, net, _LOOSER) for net in nets]
    if any(side is None for side in sides):
        return None
    slopes, misfits = [], []
    for net, hkl in zip(nets, sides, strict=True):
        found = hkl @ metric @ hkl.T
        for i, j in ((0, 0), (0, 1), (1, 1)):
            weight = 1 / math.sqrt(net.metric[i, i] * net.metric[j, j])
            products = np.outer(hkl[i], hkl[j])
            products = products + products.T - np.diag(np.diag(products))
            slopes.append(weight * products[_UPPER])
            misfits.append(weight * (net.metric[i, j] - found[i, j]))
    solved, *_ = np.linalg.lstsq(np.array(slopes), np.array(misfits), rcond=_RANK)
    change = np.zeros((3, 3))
    change[_UPPER] = solved
    fitted = metric + change + change.T - np.diag(np.diag(change))
    if np.linalg.eigvalsh(fitted)[0] <= 0:
        return None
    good = all(_plane_of(fitted, net) is not None for net in nets)
    return fitted if good else None


def _plane_of(metric: np.ndarray, net: Net, looser: float = 1.0) -> np.ndarray | None:
    """Return the reflections at a net's basis in the plane most like it, or None."""
    sides, errors = net.lengths(_CORNERS)
    errors = looser * errors
    hkl, lengths = list_reflections(metric, sides[1] + errors[1], _MOST_REFLECTIONS)
    vectors = hkl @ np.linalg.cholesky(metric)
    planes = _planes(vectors, lengths, sides, errors, _MOST_PLANES)
    if not len(planes):
        return None
    first, second, sign = planes.T
    longest = np.linalg.norm(vectors[first] + sign[:, None] * vectors[second], axis=1)
    found = np.column_stack([lengths[first], lengths[second], longest])
    nearest = (((found - sides) / errors) ** 2).sum(1).argmin()
    return np.array([hkl[first[nearest]], sign[nearest] * hkl[second[nearest]]])


@njit(cache=True, nogil=True)
def _planes(vectors, lengths, sides, errors, most):
    """Return pairs of vectors, and the sign of the second, like a net's basis."""
    planes = np.empty((most, 3), np.int64)
    n = 0
    low = np.searchsorted(lengths, sides - errors)
    high = np.searchsorted(lengths, sides + errors)
    for i in range(low[0], high[0]):
        for j in range(low[1], high[1]):
            for sign in (1, -1):
                square = 0.0
                for k in range(3):
                    square += (vectors[i, k] + sign * vectors[j, k]) ** 2
                if i != j and abs(math.sqrt(square) - sides[2]) < errors[2]:
                    planes[n] = i, j, sign
                    n += 1
                    if n == most:
                        return planes
    return planes[:n]


@njit(cache=True, nogil=True)
def _orient(
    basis, reflections, lengths, net, sides, errors, vectors, reach, excitation_error
):
    """Return the best of the orientations in which planes lie on a net."""
    n_spots = len(vectors)
    columns = basis.T.copy()
    inverse = np.linalg.inv(basis)
    best = 0
    best_square = np.inf
    best_rotation = np.eye(3)
    best_hkl = np.zeros((3, n_spots))
    best_matched = np.zeros(n_spots, np.bool_)
    points = vectors.T.copy()
    hkl = np.zeros((3, n_spots))
    matched = np.zeros(n_spots, np.bool_)
    corners = np.zeros((2, 3))
    corners[:, :2] = net
    net_frame = np.empty((3, 3))
    frame = np.empty((3, 3))
    set_frame(corners[0], corners[1], 1.0, net_frame)
    planes = _planes(reflections, lengths, sides, errors, _MOST_PLANES)
    for i, j, sign in planes:
        # The plane may lie on the net upside down, too
        for turn in (1.0, -1.0):
            first = reflections[i] * turn
            if not set_frame(first, reflections[j] * turn, float(sign), frame):
                continue
            rotation = multiply(net_frame.T, frame)
            for attempt in range(3):
                if attempt > 0:
                    rotation = improve_rotation(columns, rotation, points, hkl, matched)
                n = match_spots(
                    multiply(rotation, columns),
                    multiply(rotation, inverse),
                    points,
                    reach,
                    LAST,
                    excitation_error,
                    hkl,
                    matched,
                )
                if n < 2:
                    break
            turned = multiply(rotation, columns)
            square = 0.0
            for s in range(n_spots):
                if matched[s]:
                    for k in range(2):
                        found = 0.0
                        for c in range(3):
                            found += turned[k, c] * hkl[c, s]
                        square += (found - points[k, s]) ** 2
            if n > best or (n == best and square < best_square):
                best = n
                best_square = square
                best_rotation[:] = rotation
                best_hkl[:] = hkl
                best_matched[:] = matched
    return best, best_rotation, best_hkl.T, best_matched
