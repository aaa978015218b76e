# SPDX-License-Identifier: GPL-3.0-or-later
"""Rotations that a lattice has, nearly or exactly."""

from __future__ import annotations

import dataclasses
import itertools
import math

import numpy as np
from numba import njit

SYSTEMS = "amorthc"
"""Lattice systems by letter: triclinic, monoclinic, orthorhombic,
rhombohedral, tetragonal, hexagonal and cubic."""

# Order of the group of rotations of each system's lattices
_SYSTEM_OF_ORDER = {1: "a", 2: "m", 4: "o", 6: "r", 8: "t", 12: "h", 24: "c"}
# How many groups of a system are kept, those with the smallest deviation: one
# lattice may be nearly monoclinic, say, along several axes
_KEPT = dict.fromkeys(SYSTEMS, 2) | {"m": 4, "o": 3}
# Twofold axes that are combined, those with the smallest deviation. A cubic
# lattice has nine.
_MOST_AXES = 16
_MOST_ROTATIONS = 24
# Operations of a lattice in a reduced basis have no larger entries
_LARGEST_ENTRY = 4


@dataclasses.dataclass(frozen=True, eq=False)
class LatticeGroup:
    """A group of rotations that maps a lattice onto itself, or nearly.

    Parameters
    ----------
    system
        Letter of the lattice system, one of :data:`SYSTEMS`.
    operations
        Integer array of shape (n, 3, 3), the identity first. Reflections
        in the reduced basis are rows: ``hkl @ operations[i]`` is the
        reflection that operation i turns hkl into.
    deviation
        Largest angle in degrees between a twofold axis of the direct
        lattice and the normal of its reciprocal plane, over the axes
        that generate the group; zero if the lattice has the group
        exactly.
    """

    system: str
    operations: np.ndarray
    deviation: float


def lattice_groups(metric: np.ndarray, tolerance: float = 4.0) -> list[LatticeGroup]:
    """Return the groups of rotations that a lattice has within a tolerance.

    A lattice has a twofold axis where a row of the direct lattice is
    perpendicular to a plane, that is, parallel to a row of the reciprocal
    lattice. All rotations of a lattice follow from its twofold axes
    (Y. Le Page, J. Appl. Cryst. 15, 255 (1982)).

    Parameters
    ----------
    metric
        Metric tensor of a reduced primitive reciprocal basis in 1/Å², of
        shape (3, 3).
    tolerance
        Largest deviation in degrees.

    Returns
    -------
    list of LatticeGroup
        From the triclinic to the cubic ones, a few of each system,
        ascending in deviation. The first is the identity alone.

    Raises
    ------
    ValueError
        If the metric is not that of a lattice.

    Examples
    --------
    >>> import numpy as np
    >>> from pyxem_symnet.lattice import lattice_groups
    >>> [group.system for group in lattice_groups(np.diag([0.04, 0.05, 0.06]))]
    ['a', 'm', 'm', 'm', 'o']
    """
    metric = checked_metric(metric)
    axes, deviations = _twofold_axes(metric, tolerance)
    found: dict[bytes, LatticeGroup] = {}
    for members, deviation in _generators(deviations):
        operations = _closure(axes[list(members)])
        system = _SYSTEM_OF_ORDER.get(len(operations))
        if system is None:
            continue
        key = b"".join(sorted(operation.tobytes() for operation in operations))
        if key not in found or deviation < found[key].deviation:
            found[key] = LatticeGroup(system, operations, deviation)
    groups = sorted(found.values(), key=lambda group: group.deviation)
    return [
        group
        for system in SYSTEMS
        for group in [g for g in groups if g.system == system][: _KEPT[system]]
    ]


def checked_metric(metric: np.ndarray) -> np.ndarray:
    """Return a metric tensor as floats, or say what is wrong with it.

    Parameters
    ----------
    metric
        Metric tensor of a lattice.

    Returns
    -------
    ndarray
        Of shape (3, 3).

    Raises
    ------
    ValueError
        If it is not symmetric and positive definite, of shape (3, 3).
    """
    metric = np.asarray(metric, dtype=float)
    if (
        metric.shape != (3, 3)
        or not np.allclose(metric, metric.T, rtol=1e-6, atol=0)
        or not (np.linalg.eigvalsh(metric) > 0).all()
    ):
        raise ValueError(
            "The metric must be a symmetric, positive definite matrix of shape (3, 3), "
            f"the products of three reciprocal vectors; got {metric}."
        )
    return metric


def small_vectors(limit: int = 2) -> np.ndarray:
    """Return the shortest indices along each row of a lattice.

    Parameters
    ----------
    limit
        Largest absolute index. Twofold axes of a reduced lattice have none
        above 2 (Le Page 1982).

    Returns
    -------
    ndarray
        Integers of shape (rows, 3), without common divisor and with the
        first index other than zero positive.
    """
    box = itertools.product(range(-limit, limit + 1), repeat=3)
    return np.array(
        [v for v in box if math.gcd(*v) == 1 and next(i for i in v if i) > 0]
    )


def _candidate_axes() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return direct rows, reciprocal rows and twofold rotations about them.

    Rows u and h, with u.h = 1 or 2, give the integer rotation 2 u h / u.h - 1,
    which leaves u where it is and turns the plane h over.
    """
    vectors = small_vectors()
    products = vectors @ vectors.T
    direct, reciprocal = np.nonzero((abs(products) == 1) | (abs(products) == 2))
    u, h = vectors[direct], vectors[reciprocal]
    products = products[direct, reciprocal]
    rotations = 2 * u[:, :, None] * h[:, None, :] // products[:, None, None]
    return u, h, rotations - np.eye(3, dtype=np.int64)


_DIRECT, _RECIPROCAL, _TWOFOLDS = _candidate_axes()
_PRODUCTS = abs((_DIRECT * _RECIPROCAL).sum(1))


def _twofold_axes(
    metric: np.ndarray, tolerance: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return twofold rotations and their deviations in degrees, ascending."""
    direct = np.linalg.inv(metric)
    u = np.sqrt(np.einsum("ni,ij,nj->n", _DIRECT, direct, _DIRECT))
    h = np.sqrt(np.einsum("ni,ij,nj->n", _RECIPROCAL, metric, _RECIPROCAL))
    cosines = _PRODUCTS / (u * h)
    deviations = np.degrees(np.arccos(np.clip(cosines, -1, 1)))
    near = np.flatnonzero(deviations < tolerance)
    near = near[np.argsort(deviations[near], kind="stable")][:_MOST_AXES]
    return _TWOFOLDS[near], deviations[near]


def _generators(deviations: np.ndarray):
    """Yield sets of twofold axes to make groups of, and their deviation.

    Two axes generate all groups but the cubic and some hexagonal ones, whose
    axes come together since their deviations are alike.
    """
    n_axes = len(deviations)
    yield (), 0.0
    for i in range(n_axes):
        yield (i,), float(deviations[i])
    for i in range(n_axes):
        for j in range(i):
            yield (i, j), float(deviations[i])
    for i in range(2, n_axes):
        yield tuple(range(i + 1)), float(deviations[i])


@njit(cache=True, nogil=True)
def _closure(generators):
    """Return the group of integer matrices, none at all if it is infinite."""
    elements = np.zeros((_MOST_ROTATIONS, 3, 3), np.int64)
    for k in range(3):
        elements[0, k, k] = 1
    n = 1
    done = 0
    product = np.empty((3, 3), np.int64)
    while done < n:
        for g in range(len(generators)):
            for i in range(3):
                for j in range(3):
                    total = 0
                    for k in range(3):
                        total += elements[done, i, k] * generators[g, k, j]
                    product[i, j] = total
            known = False
            for e in range(n):
                if np.all(elements[e] == product):
                    known = True
                    break
            if known:
                continue
            if n == _MOST_ROTATIONS or np.abs(product).max() > _LARGEST_ENTRY:
                return elements[:0]
            elements[n] = product
            n += 1
        done += 1
    return elements[:n]
