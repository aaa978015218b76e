# SPDX-License-Identifier: GPL-3.0-or-later
"""Symmetric lattices among those that explain one view.

Three products of reciprocal vectors across the beam are known exactly. So a cubic
lattice, with one free parameter, has two of them by chance or not at all, one of two
parameters has one, and an orthorhombic lattice is determined by them, but for what is
known along the beam.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from pyxem_symnet.lattice.metric import reduce_basis
from pyxem_symnet.lattice.stretches import Stretches
from pyxem_symnet.lattice.symmetry import lattice_groups

# Squared errors, in standard deviations, and the cost in all, of a lattice at most
_MOST_CHI_SQUARE = 30.0
_MOST_COST = 27.0
# Of Levenberg and Marquardt's method: steps, differences that slopes are taken from,
# the first damping and the last, and a gain after which there is no further step
_N_STEPS = 12
_DIFFERENCE = 1e-6
_FIRST_DAMPING, _LAST_DAMPING = 1e-3, 1e6
_LEAST_GAIN = 1e-3
# What a group of rotations leaves of a metric has this singular value at least, in
# that of the largest
_INVARIANT = 0.1
_ROWS, _COLUMNS = np.triu_indices(3)
_UNITS = np.zeros((6, 3, 3))
_UNITS[range(6), _ROWS, _COLUMNS] = _UNITS[range(6), _COLUMNS, _ROWS] = 1


def symmetric_near(family: Stretches, place: int) -> list[tuple[np.ndarray, float]]:
    """Return symmetric lattices near one of the stretches.

    Parameters
    ----------
    family
        Lattices that explain the view.
    place
        Which stretch.

    Returns
    -------
    list of tuple
        Reciprocal vectors in the laboratory as rows in 1/Å, of shape (3, 3), and how
        much less likely than the likeliest stretch the lattice is, as logarithm.
    """
    lattice = family.lattice(place)
    metric, vectors = reduce_basis(lattice @ lattice.T)
    found = []
    for group in lattice_groups(metric):
        if len(group.operations) > 1:
            symmetric = _Symmetric(family, place, vectors, group.operations)
            solved = symmetric.nearest(metric)
            if solved is not None:
                found.append(solved)
    return found


class _Symmetric:
    """Lattices that have a group of rotations, and two vectors of known projections.

    Parameters
    ----------
    family
        Lattices that explain the view.
    place
        A stretch near to that of the symmetric lattice.
    vectors
        Vectors of a reduced basis in that of the family, as rows.
    operations
        Rotations in the reduced basis.
    """

    def __init__(
        self,
        family: Stretches,
        place: int,
        vectors: np.ndarray,
        operations: np.ndarray,
    ):
        self._family = family
        self._place = place
        self._vectors = vectors
        self._operations = operations
        self._basis = vectors @ family.basis
        self._across = np.cross(*self._basis.T)
        kept = np.array([self._average(unit).ravel() for unit in _UNITS])
        _, values, right = np.linalg.svd(kept, full_matrices=False)
        self._invariants = right[values > _INVARIANT * values[0]].reshape(-1, 3, 3)

    def _average(self, metric: np.ndarray) -> np.ndarray:
        turned = self._operations @ metric @ self._operations.transpose(0, 2, 1)
        return turned.mean(0)

    def nearest(self, metric: np.ndarray) -> tuple[np.ndarray, float] | None:
        """Return the lattice nearest to a metric and what it costs, None if none is.

        Parameters
        ----------
        metric
            Metric tensor in the reduced basis.
        """
        start = np.einsum("nij,ij->n", self._invariants, self._average(metric))
        free = _least_squares(self._errors, start)
        third = None if free is None else self._third(free)
        if third is None:
            return None
        chi_square = float((self._errors(free) ** 2).sum())
        if chi_square > _MOST_CHI_SQUARE:
            return None
        _, stretch = self._family.tilt_errors(third, self._place)
        cost = self._family.cost(stretch) + 0.5 * chi_square
        if cost > _MOST_COST:
            return None
        return np.column_stack([self._family.basis, third]), cost

    def _metric(self, free: np.ndarray) -> np.ndarray:
        return np.einsum("n,nij->ij", free, self._invariants)

    def _third(self, free: np.ndarray) -> np.ndarray | None:
        """Return the coordinates along the beam, in the basis of the family."""
        third = self._metric(free) @ self._across
        square = self._across @ third
        if square <= 0:
            return None
        third = np.linalg.solve(self._vectors, third / math.sqrt(square))
        # The beam is known but for its sense
        along = third @ self._family.along
        return -third if along * self._family.stretches[self._place] < 0 else third

    def _errors(self, free: np.ndarray) -> np.ndarray | None:
        """Return errors across the beam and of the tilt, in standard deviations."""
        third = self._third(free)
        if third is None:
            return None
        # Directions across the beam are of unit length, and perpendicular
        product = self._basis.T @ np.linalg.inv(self._metric(free)) @ self._basis
        exact = product[0, 0] - 1, product[1, 1] - 1, math.sqrt(2) * product[0, 1]
        tilt, _ = self._family.tilt_errors(third, self._place)
        return np.concatenate([np.array(exact) / self._family.error, tilt])


def _least_squares(
    errors_of: Callable[[np.ndarray], np.ndarray | None], free: np.ndarray
) -> np.ndarray | None:
    """Return parameters of least squared errors, None if the first have none.

    The method of Levenberg and Marquardt, for the few equations here much faster than
    that of a library, which takes longer to begin with.
    """
    errors = errors_of(free)
    if errors is None:
        return None
    damping = _FIRST_DAMPING
    for _ in range(_N_STEPS):
        step = _DIFFERENCE * abs(free).max()
        moved = [errors_of(free + one) for one in step * np.eye(len(free))]
        if any(one is None for one in moved):
            return None
        slopes = (np.array(moved) - errors).T / step
        normal = slopes.T @ slopes
        damped = normal + damping * np.diag(np.diag(normal))
        trial = free - np.linalg.solve(damped, slopes.T @ errors)
        others = errors_of(trial)
        gain = -1.0 if others is None else (errors**2).sum() - (others**2).sum()
        if gain > 0:
            free, errors = trial, others
            damping *= 0.1
            if gain < _LEAST_GAIN:
                break
        else:
            damping *= 10
            if damping > _LAST_DAMPING:
                break
    return free
