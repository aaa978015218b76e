# SPDX-License-Identifier: GPL-3.0-or-later
"""The 230 space groups and the levels they are reported at."""

from __future__ import annotations

import csv
import difflib
import operator
from dataclasses import dataclass, fields
from functools import cache
from importlib.resources import files

LEVELS = (
    "crystal_system",
    "laue_class",
    "point_group",
    "bravais_lattice",
    "diffraction_symbol",
    "space_group",
)
"""Levels of symmetry, from the coarsest to the space group itself."""

# fmt: off
PAPER_SPACE_GROUPS = (
    1, 2, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 19, 25, 29, 31, 33, 36, 38,
    44, 47, 55, 57, 58, 59, 60, 61, 62, 63, 64, 65, 70, 71, 74, 82, 87, 88, 107,
    115, 122, 123, 127, 129, 136, 139, 140, 141, 146, 148, 156, 160, 164, 166,
    173, 176, 186, 187, 189, 191, 193, 194, 198, 205, 216, 221, 223, 225, 227,
    229, 230,
)
# fmt: on
"""The 72 space groups of Tiong *et al.*, npj Comput. Mater. 6, 196 (2020)."""


@dataclass(frozen=True, slots=True)
class SpaceGroup:
    """A space group and what it is called at each level.

    Obtain one with :func:`space_group`.

    Parameters
    ----------
    number
        Number in International Tables, 1 to 230.
    symbol
        Short Hermann-Mauguin symbol of the standard setting, such as
        ``"P2_1/c"``.
    crystal_system
        One of the 7 crystal systems, such as ``"monoclinic"``.
    laue_class
        One of the 11 Laue classes, such as ``"2/m"``.
    point_group
        One of the 32 crystallographic point groups, whatever its
        orientation to the lattice: ``"-42m"`` stands for *-4m2* too.
    bravais_lattice
        One of the 14 Bravais lattices, such as ``"mP"``; ``"S"`` stands
        for any one-face-centred lattice (A or C here).
    centring
        Letter that opens the symbol: P, A, C, I, F or R.
    diffraction_symbol
        One of the 122 diffraction symbols, such as
        ``"2/m P 1 2_1/c 1"``: the Laue class, the centring and the
        reflection conditions by symmetry direction, a dash where there
        are none. It is written for one setting, that of the
        centrosymmetric space groups it contains where there are any:
        *Pna2_1* has ``"mmm P n - a"`` because *Pnma* does.
    """

    number: int
    symbol: str
    crystal_system: str
    laue_class: str
    point_group: str
    bravais_lattice: str
    centring: str
    diffraction_symbol: str


def space_group(number: int) -> SpaceGroup:
    """Return the space group of a number.

    Parameters
    ----------
    number
        Number in International Tables, 1 to 230.

    Returns
    -------
    SpaceGroup
        The space group.

    Raises
    ------
    ValueError
        If there is no space group of this number.

    Examples
    --------
    >>> from pyxem_symnet.symmetry import space_group
    >>> space_group(62).diffraction_symbol
    'mmm P n - a'
    """
    index = operator.index(number)
    if not 1 <= index <= 230:
        raise ValueError(f"Space group numbers go from 1 to 230, got {number}.")
    return _table()[index - 1]


def level_labels(level: str) -> tuple[str, ...]:
    """Return all the labels of a level.

    Parameters
    ----------
    level
        One of :data:`LEVELS`.

    Returns
    -------
    tuple of str
        Every label once, in order of the first space group it holds.

    Raises
    ------
    ValueError
        If the level is unknown.
    """
    return tuple(_members(level))


def level_of(level: str, number: int) -> str:
    """Return the label of a space group at a level.

    Parameters
    ----------
    level
        One of :data:`LEVELS`; at ``"space_group"`` the label is the short
        Hermann-Mauguin symbol.
    number
        Number of the space group, 1 to 230.

    Returns
    -------
    str
        The label.

    Raises
    ------
    ValueError
        If the level or the number is unknown.

    Examples
    --------
    >>> from pyxem_symnet.symmetry import level_of
    >>> level_of("laue_class", 33)
    'mmm'
    """
    return getattr(space_group(number), _field(level))


def members(level: str, label: str) -> tuple[int, ...]:
    """Return the space groups that share a label.

    Parameters
    ----------
    level
        One of :data:`LEVELS`.
    label
        One of :func:`level_labels` of this level.

    Returns
    -------
    tuple of int
        Numbers of the space groups, ascending.

    Raises
    ------
    ValueError
        If the level or the label is unknown.

    Examples
    --------
    >>> from pyxem_symnet.symmetry import members
    >>> members("diffraction_symbol", "mmm P n - a")
    (33, 62)
    """
    by_label = _members(level)
    try:
        return by_label[label]
    except KeyError:
        near = difflib.get_close_matches(str(label), by_label, n=3, cutoff=0.3)
        hint = f" Did you mean one of {near}?" if near else ""
        raise ValueError(
            f"{label!r} is not a {level} label; level_labels({level!r}) lists "
            f"all of them.{hint}"
        ) from None


def _field(level: str) -> str:
    """Return the field of SpaceGroup that holds the labels of a level."""
    if level not in LEVELS:
        raise ValueError(f"Unknown level {level!r}, use one of {', '.join(LEVELS)}.")
    return "symbol" if level == "space_group" else level


def _members(level: str) -> dict[str, tuple[int, ...]]:
    """Return the space groups by label of a level, in table order."""
    return _grouped_by(_field(level))


@cache
def _grouped_by(field: str) -> dict[str, tuple[int, ...]]:
    """Return the space groups by value of a field, in table order."""
    grouped: dict[str, tuple[int, ...]] = {}
    for group in _table():
        label = getattr(group, field)
        grouped[label] = grouped.get(label, ()) + (group.number,)
    return grouped


@cache
def _table() -> tuple[SpaceGroup, ...]:
    """Read the table that ``_build_table`` has written."""
    path = files(__package__).joinpath("_data", "space_groups.csv")
    names = [field.name for field in fields(SpaceGroup)]
    groups = []
    for row in csv.DictReader(path.read_text(encoding="utf-8").splitlines()):
        number = int(row.pop("number"))
        groups.append(SpaceGroup(number, *(row[name] for name in names[1:])))
    return tuple(groups)
