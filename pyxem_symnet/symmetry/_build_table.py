# SPDX-License-Identifier: GPL-3.0-or-later
"""Compute the table of space groups from spglib's symmetry operations.

``python -m pyxem_symnet.symmetry._build_table`` rewrites
``_data/space_groups.csv``, the only thing that is read at run time, so spglib
is needed here and in a test that compares the two.
"""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from dataclasses import astuple, fields
from pathlib import Path

import spglib

from pyxem_symnet.symmetry._symbols import EXTINCTION_SYMBOLS, absent_by_symbol
from pyxem_symnet.symmetry.absences import (
    AbsenceKey,
    absence_key,
    absence_keys_of_axis_orders,
    absent_reflections,
    reflection_box,
)
from pyxem_symnet.symmetry.groups import SpaceGroup
from pyxem_symnet.symmetry.operations import (
    N_SETTINGS,
    operations,
    standard_operations,
    standard_settings,
)

TABLE = Path(__file__).parent / "_data" / "space_groups.csv"

LAUE_CLASSES = {
    "-1": ("1", "-1"),
    "2/m": ("2", "m", "2/m"),
    "mmm": ("222", "mm2", "mmm"),
    "4/m": ("4", "-4", "4/m"),
    "4/mmm": ("422", "4mm", "-42m", "4/mmm"),
    "-3": ("3", "-3"),
    "-3m": ("32", "3m", "-3m"),
    "6/m": ("6", "-6", "6/m"),
    "6/mmm": ("622", "6mm", "-6m2", "6/mmm"),
    "m-3": ("23", "m-3"),
    "m-3m": ("432", "-43m", "m-3m"),
}
CRYSTAL_SYSTEMS = {
    "triclinic": ("-1",),
    "monoclinic": ("2/m",),
    "orthorhombic": ("mmm",),
    "tetragonal": ("4/m", "4/mmm"),
    "trigonal": ("-3", "-3m"),
    "hexagonal": ("6/m", "6/mmm"),
    "cubic": ("m-3", "m-3m"),
}
LATTICE_LETTERS = {
    "triclinic": "a",
    "monoclinic": "m",
    "orthorhombic": "o",
    "tetragonal": "t",
    "trigonal": "h",
    "hexagonal": "h",
    "cubic": "c",
}
# A symmorphic space group in whose standard setting the symbols are written
SETTING_OF_SYMBOLS = {
    "-1": 2,
    "2/m": 10,
    "mmm": 47,
    "4/m": 83,
    "4/mmm": 123,
    "-3": 147,
    "-3m1": 164,
    "-31m": 162,
    "-3m": 166,
    "6/m": 175,
    "6/mmm": 191,
    "m-3": 200,
    "m-3m": 221,
}


def keys_of_space_groups(limit: int = 6) -> dict[int, set[AbsenceKey]]:
    """Return, by space group, what its absences look like in any setting."""
    hkl = reflection_box(limit)
    keys = defaultdict(set)
    for hall_number in range(1, N_SETTINGS + 1):
        number = spglib.get_spacegroup_type(hall_number).number
        rotations, translations = operations(hall_number)
        absent = absent_reflections(rotations, translations, hkl)
        keys[number] |= absence_keys_of_axis_orders(rotations, absent)
    return dict(keys)


def keys_of_symbols(limit: int = 6) -> dict[str, AbsenceKey]:
    """Return what each diffraction symbol says of the absences."""
    hkl = reflection_box(limit)
    keys = {}
    for laue_class, extinction_symbols in EXTINCTION_SYMBOLS.items():
        rotations, _ = standard_operations(SETTING_OF_SYMBOLS[laue_class])
        for symbol in extinction_symbols:
            absent = absent_by_symbol(laue_class, symbol, rotations, hkl)
            keys[f"{laue_class} {symbol}"] = absence_key(rotations, absent)
    return keys


def group_by_absences(keys: dict[int, set[AbsenceKey]]) -> list[tuple[int, ...]]:
    """Return the sets of space groups that diffraction cannot tell apart.

    Two space groups belong together if they look the same in some setting
    of the one and some setting of the other.
    """
    groups: list[tuple[set[int], set[AbsenceKey]]] = []
    for number, own in keys.items():
        same = [group for group in groups if group[1] & own]
        groups = [group for group in groups if not group[1] & own]
        numbers = {number}.union(*(group[0] for group in same))
        groups.append((numbers, own.union(*(group[1] for group in same))))
    return sorted(tuple(sorted(numbers)) for numbers, _ in groups)


def diffraction_symbols() -> dict[int, str]:
    """Return the diffraction symbol by space group.

    Raises
    ------
    RuntimeError
        If a symbol fits no set of space groups, or a set has not exactly
        one symbol.
    """
    keys = keys_of_space_groups()
    named: dict[int, str] = {}
    sets = group_by_absences(keys)
    for symbol, key in keys_of_symbols().items():
        fitting = [s for s in sets if any(key in keys[number] for number in s)]
        if len(fitting) != 1 or fitting[0][0] in named:
            raise RuntimeError(
                f"{symbol!r} is not the only symbol of one set: {fitting}"
            )
        named.update(dict.fromkeys(fitting[0], symbol))
    if len(named) != 230:
        raise RuntimeError(f"No symbol for {sorted(set(keys) - set(named))}.")
    return named


def build() -> list[SpaceGroup]:
    """Return the 230 space groups."""
    laue_of = {p: laue for laue, points in LAUE_CLASSES.items() for p in points}
    system_of = {laue: s for s, classes in CRYSTAL_SYSTEMS.items() for laue in classes}
    symbols = diffraction_symbols()
    groups = []
    for number, hall_number in standard_settings().items():
        spglib_type = spglib.get_spacegroup_type(hall_number)
        point_group = spglib_type.pointgroup_international
        laue_class = laue_of[point_group]
        crystal_system = system_of[laue_class]
        centring = spglib_type.international_short[0]
        lattice = "S" if centring in "AC" else centring
        groups.append(
            SpaceGroup(
                number=number,
                symbol=spglib_type.international_short,
                crystal_system=crystal_system,
                laue_class=laue_class,
                point_group=point_group,
                bravais_lattice=LATTICE_LETTERS[crystal_system] + lattice,
                centring=centring,
                diffraction_symbol=symbols[number],
            )
        )
    return groups


def to_csv(groups: list[SpaceGroup]) -> str:
    """Return the text of the table."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(field.name for field in fields(SpaceGroup))
    writer.writerows(astuple(group) for group in groups)
    return text.getvalue()


if __name__ == "__main__":
    TABLE.parent.mkdir(exist_ok=True)
    TABLE.write_text(to_csv(build()), encoding="utf-8")
