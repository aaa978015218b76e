# SPDX-License-Identifier: GPL-3.0-or-later
"""Conventional cells along the axes of a lattice's rotations."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np

from pyxem_symnet.lattice.symmetry import LatticeGroup, checked_metric, small_vectors

_LATTICES = {1: "P", 2: "I", 4: "F"}
_ROWS = small_vectors()


@dataclasses.dataclass(frozen=True, eq=False)
class ConventionalSetting:
    """A conventional cell of a lattice.

    Parameters
    ----------
    bravais
        Bravais lattice, such as ``"tI"``; one-face-centred ones by the
        face, ``"mC"``, ``"oC"`` or ``"oA"``.
    basis
        Its vectors a, b and c as rows, integers in the reduced direct
        basis, of shape (3, 3), right-handed. The determinant is the
        number of lattice points in the cell. Reflections in the reduced
        basis are rows: ``hkl @ basis.T`` is the same one in this cell.
    """

    bravais: str
    basis: np.ndarray


def conventional_settings(
    group: LatticeGroup, metric: np.ndarray
) -> list[ConventionalSetting]:
    """Return the conventional cells of a lattice with a group of rotations.

    These are the cells in which the 230 space groups in their standard
    settings may be looked for (International Tables A, section 2.1.3.2):
    one cell, or several where the axes may be called by another name and
    the space group tells them apart.

    Parameters
    ----------
    group
        Rotations, of :func:`~pyxem_symnet.lattice.lattice_groups`.
    metric
        Metric tensor of the reduced primitive reciprocal basis in 1/Å²,
        of shape (3, 3). Its mean over the group is used.

    Returns
    -------
    list of ConventionalSetting
        Monoclinic cells have unique axis b, and three cell choices where
        primitive. Orthorhombic ones are in all orders of the axes but
        those with a centred B face, cubic ones in two that are not the
        same to *Pa*-3 and its like. Trigonal lattices are on
        hexagonal axes, obverse. Empty if there is none, as for the
        threefold axis of a hexagonal lattice.
    """
    metric = checked_metric(metric)
    turned = group.operations @ metric @ group.operations.transpose(0, 2, 1)
    direct = np.linalg.inv(turned.mean(0))
    settings = _BY_SYSTEM[group.system](_axes_by_order(group.operations), direct)
    return [ConventionalSetting(bravais, basis) for bravais, basis in settings]


def _axes_by_order(operations: np.ndarray) -> dict[int, list[np.ndarray]]:
    """Return the direct rows that rotations turn about, by order of rotation.

    A rotation's powers add up to a projection onto its axis, times its order.
    """
    axes: dict[int, set[tuple[int, ...]]] = {}
    for rotation in operations[1:]:
        power, projection, order = rotation, np.eye(3, dtype=np.int64), 1
        while not (power == operations[0]).all():
            projection, power, order = projection + power, rotation @ power, order + 1
        axis = projection[:, np.flatnonzero(projection.any(0))[0]]
        axis = axis // np.gcd.reduce(axis) * np.sign(axis[np.flatnonzero(axis)[0]])
        axes.setdefault(order, set()).add(tuple(axis.tolist()))
    return {order: [np.array(a) for a in sorted(rows)] for order, rows in axes.items()}


def _volume(basis: np.ndarray) -> int:
    """Return the number of lattice points in a cell, negative if left-handed."""
    return round(np.linalg.det(basis))


def _right_handed(basis: np.ndarray, row: int) -> np.ndarray:
    """Return the basis, with one vector reversed where it was left-handed."""
    if _volume(basis) < 0:
        basis[row] *= -1
    return basis


def _by_length(rows: list[np.ndarray], direct: np.ndarray) -> list[np.ndarray]:
    """Return rows from the shortest to the longest; equal ones keep their order."""
    squares = [row @ direct @ row for row in rows]
    unit = min(squares)
    return [
        rows[i]
        for i in sorted(range(len(rows)), key=lambda i: round(squares[i] / unit, 6))
    ]


def _across(axis: np.ndarray, rows: list[np.ndarray]) -> list[np.ndarray]:
    """Return the rows that are not along an axis."""
    return [row for row in rows if (row != axis).any()]


def _triclinic(axes, direct):
    return [("aP", np.eye(3, dtype=np.int64))]


def _monoclinic(axes, direct):
    """Return cells on the shortest rows perpendicular to the axis."""
    (b,) = axes[2]
    cosines = (
        _ROWS
        @ direct
        @ b
        / np.sqrt(np.einsum("ni,ij,nj->n", _ROWS, direct, _ROWS) * (b @ direct @ b))
    )
    net = _by_length(list(_ROWS[abs(cosines) < 1e-6]), direct)
    a = net[0]
    areas = [
        (a @ direct @ a) * (row @ direct @ row) - (a @ direct @ row) ** 2
        for row in net[1:]
    ]
    c = net[1 + next(i for i, area in enumerate(areas) if area < 1.01 * min(areas))]
    if a @ direct @ c > 0:
        c = -c
    n_points = abs(_volume(np.array([a, b, c])))
    if n_points == 1:
        choices = [(a, c), (c, a), (a, a + c)]
        return [
            ("mP", _right_handed(np.array([first, b, last]), 1))
            for first, last in choices
        ]
    centred = [
        np.array([first, b, last])
        for first, last in ((a, c), (c, a), (a + c, c))
        if n_points == 2 and not ((first + b) % 2).any()
    ]
    return [("mC", _right_handed(basis, 1)) for basis in centred[:1]]


def _orthorhombic(axes, direct):
    """Return cells along the three axes, in any order."""
    settings = []
    for order in itertools.permutations(axes[2]):
        basis = np.array(order)
        centring = _LATTICES.get(abs(_volume(basis)), "")
        if centring == "I" and (basis.sum(0) % 2).any():
            if not ((basis[0] + basis[1]) % 2).any():
                centring = "C"
            elif not ((basis[1] + basis[2]) % 2).any():
                centring = "A"
            else:
                continue
        settings.append((f"o{centring}", _right_handed(basis, 2)))
    return settings


def _tetragonal(axes, direct):
    """Return the cell on the shortest rows across the fourfold axis."""
    (c,) = axes[4]
    rows = _by_length(_across(c, axes[2]), direct)
    a = rows[0]
    b = next(row for row in rows[1:] if abs(_cosine(a, row, direct)) < 1e-3)
    basis = _right_handed(np.array([a, b, c]), 2)
    return [(f"t{_LATTICES[_volume(basis)]}", basis)]


def _hexagonal(axes, direct):
    """Return the cell on the shortest rows across the sixfold axis."""
    (c,) = axes[6]
    rows = _by_length(_across(c, axes[2]), direct)
    return [("hP", _hexagonal_basis(rows, c, direct))]


def _rhombohedral(axes, direct):
    """Return the obverse cell on hexagonal axes, (2/3, 1/3, 1/3) in the lattice."""
    (c,) = axes[3]
    obverse = _hexagonal_basis(axes[2], c, direct)
    reverse = obverse * [[-1], [-1], [1]]
    # neither, if the lattice is hexagonal
    return [
        ("hR", basis)
        for basis in (obverse, reverse)
        if _volume(basis) == 3 and not ((2 * basis[0] + basis[1] + basis[2]) % 3).any()
    ]


def _hexagonal_basis(rows, c, direct):
    """Return a cell whose vectors a and b make 120 degrees."""
    a = rows[0]
    b = next(row for row in rows[1:] if abs(abs(_cosine(a, row, direct)) - 0.5) < 1e-3)
    if _cosine(a, b, direct) > 0:
        b = -b
    return _right_handed(np.array([a, b, c]), 2)


def _cubic(axes, direct):
    """Return two cells along the fourfold axes, one with a and b exchanged."""
    basis = np.array(axes[4])
    bravais = f"c{_LATTICES[abs(_volume(basis))]}"
    return [
        (bravais, _right_handed(rows, 2)) for rows in (basis.copy(), basis[[1, 0, 2]])
    ]


def _cosine(a, b, direct):
    return a @ direct @ b / np.sqrt((a @ direct @ a) * (b @ direct @ b))


_BY_SYSTEM = {
    "a": _triclinic,
    "m": _monoclinic,
    "o": _orthorhombic,
    "r": _rhombohedral,
    "t": _tetragonal,
    "h": _hexagonal,
    "c": _cubic,
}
