# SPDX-License-Identifier: GPL-3.0-or-later
"""Lattices that explain one view alike, by how far they are stretched along the beam.

Spots lie near the Ewald sphere, within an excitation error that is not known well.
Stretched along the beam, a lattice has its reflections as near to the sphere, measured
in a larger error. What tells one stretch from another is that no reflections should be
nearer to the sphere than those that are seen, and that the sphere is curved.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from pyxem_symnet.lattice.fit import IndexedView, LatticeFit
from pyxem_symnet.lattice.indexing import SpotList
from pyxem_symnet.lattice.metric import fill_reflections, reduce_basis
from pyxem_symnet.lattice.projection import Projection

# Largest excitation errors that are tried, in 1/Å; what is typical, and by how much the
# logarithm deviates from that
_EXCITATIONS = np.geomspace(0.007, 0.06, 16)
_TYPICAL, _SPREAD = 0.02, 0.4
_PRIORS = -0.5 * (np.log(_EXCITATIONS / _TYPICAL) / _SPREAD) ** 2
# How steeply fewer reflections are seen where they are farther from the sphere, and how
# far from it they are looked at
_STEEPNESS = 8.0
_REACH = 1.5
# Stretches are factors on one in which spots are typically this far from the sphere
_TYPICAL_DISTANCE = 0.0115
_STRETCHES = np.exp(np.linspace(-1.1, 1.1, 45))
# Relative errors of lengths across the beam, at least
_LEAST_ERROR = 2e-5
_TINY = 1e-9
_MOST_REFLECTIONS = 40_000


class Stretches:
    """One view, and the lattices that explain it.

    Parameters
    ----------
    projection
        The spots' indices, and the reciprocal vectors across the beam.
    view
        The spots.

    Attributes
    ----------
    basis
        Reciprocal vectors across the beam as rows in 1/Å, of shape (3, 2).
    along
        Unit vector of shape (3,): what three numbers that go with the reciprocal
        vectors have in its direction, no tilt of the lattice gives them.
    stretches
        Those that are tried, of either sense, of shape (n,). A stretch is how far the
        vectors reach along the beam in that direction, in 1/Å.
    likelihoods
        Logarithms of their likelihoods, of shape (n,).
    error
        Relative error of lengths across the beam.
    """

    def __init__(self, projection: Projection, view: SpotList):
        self.basis = projection.basis
        self._hkl = projection.hkl
        self._matched = projection.matched
        n = len(projection.hkl)
        self._vectors = view.vectors[:n]
        self._intensities = view.intensities[:n]
        used = self._hkl[self._matched]
        across = np.cross(*self.basis.T)
        self.along = across / np.linalg.norm(across)
        self._points = used @ self.basis
        heights = self._vectors[self._matched, 2]
        layers = used @ self.along
        inverse = np.linalg.pinv(self._points)
        # Tilt of the lattice without a stretch, and what a unit of it adds
        self._tilt = np.array([inverse @ heights, -inverse @ layers])
        heights = heights - self._points @ (inverse @ heights)
        layers = layers - self._points @ (inverse @ layers)
        self.error = self._relative_error()
        size = float(np.sqrt((layers**2).mean()))
        unit = _TYPICAL_DISTANCE / max(size, _TINY)
        self.stretches = unit * np.concatenate([_STRETCHES, -_STRETCHES])
        square = float((self._vectors[:, :2] ** 2).sum(1).max())
        self.likelihoods, excitations = _slab_likelihoods(
            self.basis,
            self.along,
            self._tilt,
            self.stretches,
            heights,
            layers,
            math.sqrt(square),
            self._vectors[-1, 2] / max(square, _TINY),
        )
        self._excitations = _EXCITATIONS[excitations]

    def _relative_error(self) -> float:
        errors = self._vectors[self._matched, :2] - self._points
        typical = float(np.sqrt((errors**2).mean()))
        shortest = float(np.linalg.norm(self.basis, axis=1).min())
        return max(2 * typical / math.sqrt(len(self._points)) / shortest, _LEAST_ERROR)

    def lattice(self, place: int) -> np.ndarray:
        """Return the reciprocal vectors of one of the stretches, as rows in 1/Å.

        Parameters
        ----------
        place
            Which stretch.

        Returns
        -------
        ndarray
            In the laboratory, of shape (3, 3).
        """
        stretch = self.stretches[place]
        tilt = self._tilt[0] + stretch * self._tilt[1]
        return np.column_stack([self.basis, stretch * self.along + self.basis @ tilt])

    def tilt_errors(self, third: np.ndarray, place: int) -> tuple[np.ndarray, float]:
        """Return how far a lattice is from being tilted as the spots say.

        Parameters
        ----------
        third
            Coordinates of its reciprocal vectors along the beam in 1/Å, of
            shape (3,).
        place
            A stretch near to that of the lattice.

        Returns
        -------
        errors
            In standard deviations, of shape (2,).
        stretch
            That of the lattice.
        """
        spread = self._excitations[place] / math.sqrt(3)
        root = np.linalg.cholesky(self._points.T @ self._points).T / spread
        stretch = float(third @ self.along)
        rest = third - stretch * self.along
        tilt = np.linalg.lstsq(self.basis, rest, rcond=None)[0]
        return root @ (tilt - self._tilt[0] - stretch * self._tilt[1]), stretch

    def cost(self, stretch: float) -> float:
        """Return how much less likely a stretch is than the likeliest, as logarithm.

        Parameters
        ----------
        stretch
            Any stretch. Infinite beyond those that are tried.
        """
        half = len(_STRETCHES)
        chosen = slice(0, half) if stretch > 0 else slice(half, None)
        tried = np.log(abs(self.stretches[chosen]))
        size = math.log(abs(stretch)) if stretch else -math.inf
        if not tried[0] <= size <= tried[-1]:
            return math.inf
        likelihood = np.interp(size, tried, self.likelihoods[chosen])
        return float(self.likelihoods.max() - likelihood)

    def fit(self, lattice: np.ndarray, cost: float) -> LatticeFit:
        """Return the view indexed with one of the lattices.

        Parameters
        ----------
        lattice
            Its reciprocal vectors in the laboratory as rows, of shape (3, 3).
        cost
            How much less likely than the likeliest it is, as logarithm.
        """
        metric, vectors = reduce_basis(lattice @ lattice.T)
        lattice = vectors @ lattice
        hkl = np.rint(self._hkl @ np.linalg.inv(vectors)).astype(np.int64)
        if np.linalg.det(lattice) < 0:
            lattice, hkl = -lattice, -hkl
        left, _, right = np.linalg.svd(
            np.linalg.solve(np.linalg.cholesky(metric), lattice)
        )
        view = IndexedView(
            self._vectors, self._intensities, (left @ right).T, hkl, self._matched
        )
        n = int(self._matched.sum())
        return LatticeFit(
            metric, (view,), len(self._matched), float(n), coarse=False, behind=cost
        )


@njit(cache=True, nogil=True)
def _slab_likelihoods(
    basis, along, tilts, stretches, heights, layers, radius, curvature
):
    """Return log likelihoods of stretches, and which width each is likeliest with.

    Each spot is one of the reflections that are near the sphere. `heights` and
    `layers` are those of the spots, the tilts taken out.
    """
    n = len(heights)
    best = np.full(len(stretches), -np.inf)
    chosen = np.zeros(len(stretches), np.int64)
    hkl = np.empty((_MOST_REFLECTIONS, 3))
    squares = np.empty(_MOST_REFLECTIONS)
    frame = np.empty((3, 3))
    reach = _EXCITATIONS[-1] * _REACH
    longest = math.sqrt(radius * radius + reach * reach) + reach
    for place in range(len(stretches)):
        stretch = stretches[place]
        for i in range(3):
            frame[i, :2] = basis[i]
            frame[i, 2] = stretch * along[i]
            for k in range(2):
                frame[i, 2] += basis[i, k] * (tilts[0, k] + stretch * tilts[1, k])
        metric, vectors = reduce_basis(frame @ frame.T)
        m = fill_reflections(metric, longest, hkl, squares)
        if m == 0:
            continue
        counts = _count_near(hkl[:m], vectors @ frame, radius, curvature, reach)
        for k in range(len(_EXCITATIONS)):
            total = _PRIORS[k] - n * math.log(max(counts[k], _TINY))
            for i in range(n):
                distance = abs(stretch * layers[i] - heights[i])
                total -= math.log1p((distance / _EXCITATIONS[k]) ** _STEEPNESS)
            if total > best[place]:
                best[place] = total
                chosen[place] = k
    return best, chosen


@njit(cache=True, nogil=True)
def _count_near(hkl, frame, radius, curvature, reach):
    """Return how many reflections are seen with each of the excitation errors."""
    counts = np.zeros(len(_EXCITATIONS))
    for i in range(len(hkl)):
        x = y = z = 0.0
        for c in range(3):
            x += hkl[i, c] * frame[c, 0]
            y += hkl[i, c] * frame[c, 1]
            z += hkl[i, c] * frame[c, 2]
        square = x * x + y * y
        if square > radius * radius:
            continue
        height = curvature * square
        for sign in (-1.0, 1.0):
            distance = abs(sign * z - height)
            if distance > reach:
                continue
            for k in range(len(counts)):
                counts[k] += 1 / (1 + (distance / _EXCITATIONS[k]) ** _STEEPNESS)
    return counts
