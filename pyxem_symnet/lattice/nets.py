# SPDX-License-Identifier: GPL-3.0-or-later
"""Views along zone axes: the whole nets that they show.

Near a zone axis all spots lie on one net, a plane of the reciprocal lattice through
the origin. Least squares on dozens of spots give its metric far more precisely than
a spot has its place.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numba import njit

from pyxem_symnet.lattice.candidates import shortest_spots
from pyxem_symnet.lattice.indexing import SpotList
from pyxem_symnet.lattice.search import Search

# Fewer spots, or a smaller share of them, make no net
_FEWEST_SPOTS = 6
_LEAST_SHARE = 0.7
# Nets are looked for in pairs of spots nearest to the beam, and nearest to it off
# the first one's row
_N_SEEDS = 7
_N_OFF_ROW = 3
# Spots are put on a net from the beam outwards, as it becomes more precise
_SHARES = (0.25, 0.5, 1.0, 1.0)
_MOST_CHANCE = 0.9
_LEAST_SINE = 0.1
# Relative error of lengths in a net that is tilted a little, and where it counts
_TILT_ERROR = 1e-4
_N_ERRORS = 3.0
_SCALE_ERRORS = 1.5
# Least error of a spot's place in 1/Å
_LEAST_ERROR = 1e-4


class Net(NamedTuple):
    """A plane of the reciprocal lattice through the origin.

    Parameters
    ----------
    basis
        Two shortest vectors as rows in 1/Å, in the view's frame, of shape
        (2, 2).
    covariance
        Of each coordinate of the two vectors in 1/Å², of shape (2, 2).
    radius
        Distance of the farthest spot that is on it in 1/Å.
    scale_error
        Relative error of distances that nets of two views may differ by.
    n_spots
        Number of spots that are on it.
    """

    basis: np.ndarray
    covariance: np.ndarray
    radius: float
    scale_error: float
    n_spots: int

    @property
    def metric(self) -> np.ndarray:
        """Products of the two vectors in 1/Å², of shape (2, 2)."""
        return self.basis @ self.basis.T

    def lengths(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the lengths of vectors of the net, and their largest errors.

        Parameters
        ----------
        rows
            Indices of shape (rows, 2).
        """
        lengths = np.linalg.norm(rows @ self.basis, axis=1)
        errors = np.sqrt(((rows @ self.covariance) * rows).sum(1))
        return lengths, _N_ERRORS * errors + self.scale_error * lengths


def find_nets(views: Sequence[SpotList], search: Search) -> list[Net | None]:
    """Return the net of each view, None where it shows none.

    Parameters
    ----------
    views
        Spots of each view.
    search
        Settings.
    """
    return [find_net(view.vectors[: search.n_spots], search) for view in views]


def find_net(vectors: np.ndarray, search: Search) -> Net | None:
    """Return the net that nearly all spots of a view lie on, None if none.

    Reflections that are absent leave a coarser net, which is what is
    returned.

    Parameters
    ----------
    vectors
        Spots on the Ewald sphere in 1/Å, nearest to the direct beam
        first, of shape (spots, 3).
    search
        Settings.
    """
    if len(vectors) < _FEWEST_SPOTS:
        return None
    places = np.ascontiguousarray(vectors[:, :2])
    seeds = _seeds(vectors, search)
    reach = search.tolerance + search.scale_error * np.hypot(*places.T)
    basis, on_net = _best_net(
        places, seeds, reach, search.outliers, int(_LEAST_SHARE * len(places))
    )
    if on_net.sum() < max(_FEWEST_SPOTS, _LEAST_SHARE * len(places)):
        return None
    basis = _reduced(basis)
    indices = np.rint(places[on_net] @ np.linalg.inv(basis))
    normal = indices.T @ indices
    if np.linalg.matrix_rank(normal) < 2:
        return None
    basis = np.linalg.solve(normal, indices.T @ places[on_net])
    residual = places[on_net] - indices @ basis
    # Two coordinates of each spot, of which the basis takes four
    freedom = max(residual.size - 4, 1)
    error = max(math.sqrt((residual**2).sum() / freedom), _LEAST_ERROR)
    return Net(
        basis,
        error**2 * np.linalg.inv(normal),
        float(np.hypot(*places[on_net].T).max()),
        _TILT_ERROR + _SCALE_ERRORS * search.scale_error,
        int(on_net.sum()),
    )


def _seeds(vectors: np.ndarray, search: Search) -> np.ndarray:
    """Return the spots that nets are looked for in, of shape (seeds, 2)."""
    seeds = shortest_spots(vectors, search)[:_N_SEEDS, :2]
    across = vectors[:, 0] * seeds[0, 1] - vectors[:, 1] * seeds[0, 0]
    sines = across / (np.hypot(*vectors[:, :2].T) * np.hypot(*seeds[0]))
    off_row = vectors[abs(sines) > _LEAST_SINE, :2][:_N_OFF_ROW]
    return np.concatenate([seeds, off_row])


def _reduced(basis: np.ndarray) -> np.ndarray:
    """Return two shortest vectors of a net (C. F. Gauss)."""
    first, second = basis
    while True:
        if first @ first > second @ second:
            first, second = second, first
        times = np.rint(first @ second / (first @ first))
        if times == 0:
            return np.array([first, second])
        second = second - times * first


@njit(cache=True, nogil=True)
def _best_net(places, seeds, reach, outliers, fewest):
    """Return the basis of the likeliest net and which spots are on it."""
    n = len(places)
    squares = (places * places).sum(1)
    best_basis = np.eye(2)
    best_on = np.zeros(n, np.bool_)
    best = -np.inf
    indices = np.zeros((n, 2))
    on = np.zeros(n, np.bool_)
    area_reach = math.pi * (reach * reach).mean()
    for j in range(1, len(seeds)):
        for i in range(j):
            a0, a1, b0, b1 = seeds[i, 0], seeds[i, 1], seeds[j, 0], seeds[j, 1]
            sine = abs(a0 * b1 - a1 * b0)
            if sine < _LEAST_SINE * math.hypot(a0, a1) * math.hypot(b0, b1):
                continue
            farthest = max(a0 * a0 + a1 * a1, b0 * b0 + b1 * b1)
            fewest_first = np.searchsorted(squares, farthest * 1.01)
            count = 0
            for share in _SHARES:
                area = a0 * b1 - a1 * b0
                if abs(area) < area_reach:
                    count = 0
                    break
                last = min(n, max(4, fewest_first, int(share * n)))
                count = 0
                xx = xy = yy = x0 = x1 = y0 = y1 = 0.0
                for s in range(last):
                    p, q = places[s, 0], places[s, 1]
                    h = np.round((p * b1 - q * b0) / area)
                    k = np.round((q * a0 - p * a1) / area)
                    d0 = p - h * a0 - k * b0
                    d1 = q - h * a1 - k * b1
                    limit = reach[s] if share == 1.0 else 2 * reach[s]
                    on[s] = d0 * d0 + d1 * d1 < limit * limit and (h != 0 or k != 0)
                    if not on[s]:
                        continue
                    indices[s, 0] = h
                    indices[s, 1] = k
                    count += 1
                    xx += h * h
                    xy += h * k
                    yy += k * k
                    x0 += h * p
                    x1 += h * q
                    y0 += k * p
                    y1 += k * q
                normal = xx * yy - xy * xy
                if count < max(2, last // 2) or normal < 0.5:
                    count = 0
                    break
                a0 = (yy * x0 - xy * y0) / normal
                a1 = (yy * x1 - xy * y1) / normal
                b0 = (xx * y0 - xy * x0) / normal
                b1 = (xx * y1 - xy * x1) / normal
            if count < fewest:
                continue
            chance = min(_MOST_CHANCE, area_reach / abs(a0 * b1 - a1 * b0))
            explained = math.log((1 - outliers + outliers * chance) / chance)
            score = count * explained + (n - count) * math.log(outliers)
            if score > best:
                best = score
                best_basis[0, 0], best_basis[0, 1] = a0, a1
                best_basis[1, 0], best_basis[1, 1] = b0, b1
                best_on[:] = on
    return best_basis, best_on
