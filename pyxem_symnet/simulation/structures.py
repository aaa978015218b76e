# SPDX-License-Identifier: GPL-3.0-or-later
"""Crystal structures from a table, CIF files or orix phases."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

#: Columns a structure table must have
TABLE_COLUMNS = (
    "material_id",
    "space_group",
    "space_group_tight",
    "structure_type",
    "lattice",
    "numbers",
    "positions",
)

#: Tolerances with which space groups are named, as the Materials Project does
SYMPREC = 0.1
SYMPREC_TIGHT = 0.01
ANGLE_TOLERANCE = 5.0


class StructureError(ValueError):
    """A structure, or a table of structures, cannot be used."""


@dataclasses.dataclass(frozen=True)
class Crystal:
    """A crystal structure and its symmetry labels.

    Parameters
    ----------
    material_id
        Name of the crystal.
    lattice
        Lattice vectors as rows in Å, of shape (3, 3).
    numbers
        Atomic numbers of shape (atoms,).
    positions
        Fractional coordinates of shape (atoms, 3).
    occupancies
        Site occupancies of shape (atoms,). Fully occupied if not given.
    space_group
        Space-group number, the label to learn. 0 if unknown.
    space_group_tight
        Space-group number found with the tight tolerance. Crystals in
        which the two differ are pseudo-symmetric. 0 if unknown.
    structure_type
        Key of the structure-type split.
    """

    material_id: str
    lattice: np.ndarray
    numbers: np.ndarray
    positions: np.ndarray
    occupancies: np.ndarray | None = None
    space_group: int = 0
    space_group_tight: int = 0
    structure_type: str = ""

    def __post_init__(self) -> None:
        lattice = np.asarray(self.lattice, dtype=float).reshape(3, 3)
        numbers = np.asarray(self.numbers, dtype=np.int64).ravel()
        positions = np.asarray(self.positions, dtype=float).reshape(-1, 3)
        occupancies = self.occupancies
        if occupancies is None:
            occupancies = np.ones(numbers.size)
        occupancies = np.asarray(occupancies, dtype=float).ravel()
        problem = None
        if numbers.size == 0:
            problem = "it has no atoms"
        elif len(positions) != numbers.size or occupancies.size != numbers.size:
            problem = (
                f"{numbers.size} atomic numbers, {len(positions)} positions and "
                f"{occupancies.size} occupancies do not belong together"
            )
        elif not (np.isfinite(lattice).all() and np.isfinite(positions).all()):
            problem = "the lattice or a position is not finite"
        elif abs(np.linalg.det(lattice)) < 1e-3:
            problem = "the lattice vectors span no volume"
        if problem is not None:
            raise StructureError(f"Crystal {self.material_id!r}: {problem}.")
        if np.linalg.det(lattice) < 0:
            # Inversion of the axes: a right-handed cell of the enantiomorph,
            # whose kinematic intensities are the same (Friedel's law)
            lattice = -lattice
        for name, value in (
            ("lattice", lattice),
            ("numbers", numbers),
            ("positions", positions),
            ("occupancies", occupancies),
        ):
            object.__setattr__(self, name, value)

    @property
    def reciprocal_lattice(self) -> np.ndarray:
        """Reciprocal lattice vectors as rows in 1/Å, of shape (3, 3)."""
        return np.linalg.inv(self.lattice).T


def read_table(path: str | Path, batch_size: int = 1024) -> Iterator[Crystal]:
    """Yield the crystals of a Parquet structure table, in order.

    Parameters
    ----------
    path
        Table with the columns of :data:`TABLE_COLUMNS`.
    batch_size
        Number of rows decoded at once.

    Yields
    ------
    Crystal
        One crystal a row.

    Raises
    ------
    StructureError
        If the file is no Parquet table of these columns, or a row
        describes no crystal.
    """
    for rows in _open_table(path).iter_batches(batch_size, columns=TABLE_COLUMNS):
        for row in rows.to_pylist():
            yield Crystal(**row)


def count_table(path: str | Path) -> int:
    """Return the number of crystals of a Parquet structure table."""
    return _open_table(path).metadata.num_rows


def read_table_rows(path: str | Path, start: int, stop: int) -> list[dict]:
    """Return rows of a Parquet structure table, not yet made crystals.

    A row that describes no crystal is then the caller's to report.
    """
    import pyarrow as pa

    table = _open_table(path)
    first = 0
    pieces = []
    for group in range(table.num_row_groups):
        last = first + table.metadata.row_group(group).num_rows
        if first < stop and last > start:
            rows = table.read_row_group(group, columns=list(TABLE_COLUMNS))
            lower = max(start - first, 0)
            pieces.append(rows.slice(lower, min(stop, last) - first - lower))
        first = last
    return pa.concat_tables(pieces).to_pylist() if pieces else []


def _open_table(path: str | Path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = Path(path)
    if not path.is_file():
        raise StructureError(f"There is no structure table {str(path)!r}.")
    try:
        table = pq.ParquetFile(path)
    except pa.ArrowException as error:
        raise StructureError(f"{path.name} is not a Parquet file: {error}") from error
    missing = [name for name in TABLE_COLUMNS if name not in table.schema_arrow.names]
    if missing:
        raise StructureError(
            f"{path.name} is not a structure table: the columns {', '.join(missing)} "
            f"are missing. It needs {', '.join(TABLE_COLUMNS)}."
        )
    return table


def read_cif(path: str | Path) -> Crystal:
    """Return the crystal of a CIF file, with its symmetry found by spglib.

    Parameters
    ----------
    path
        CIF file.

    Raises
    ------
    StructureError
        If the file cannot be read or parsed.
    """
    from diffpy.structure import loadStructure

    path = Path(path)
    try:
        structure = loadStructure(str(path), fmt="cif")
    except Exception as error:
        # diffpy.structure raises what its parser's parts raise, of many types
        raise StructureError(f"{path.name} cannot be read as CIF: {error}") from error
    if not structure:
        raise StructureError(f"{path.name} cannot be read as CIF: it lists no atoms.")
    return label(_read_diffpy(structure, path.stem))


def from_phase(phase) -> Crystal:
    """Return the crystal of an orix phase.

    Parameters
    ----------
    phase : orix.crystal_map.Phase
        Phase whose ``structure`` has atoms. If its space group is set, a
        structure that lists one atom of each orbit only is completed.

    Raises
    ------
    StructureError
        If the structure has no atoms.
    """
    structure = phase.structure
    if len(structure) == 0:
        raise StructureError(
            f"Phase {phase.name!r} has no atoms. Set `phase.structure`, for example "
            "with `orix.crystal_map.Phase.from_cif()`."
        )
    expanded = phase.expand_asymmetric_unit() if phase.space_group else phase
    return label(_without_copies(_read_diffpy(expanded.structure, phase.name)))


def _without_copies(crystal: Crystal) -> Crystal:
    """Return the crystal without atoms that lie on one of their kind.

    orix lists an atom at 0 and one at 0.99999 as two.
    """
    kept: list[int] = []
    for atom, position in enumerate(crystal.positions):
        apart = crystal.positions[kept] - position
        apart = (apart - apart.round()) @ crystal.lattice
        same = crystal.numbers[kept] == crystal.numbers[atom]
        if not (same & (np.linalg.norm(apart, axis=1) < 1e-2)).any():
            kept.append(atom)
    return dataclasses.replace(
        crystal,
        numbers=crystal.numbers[kept],
        positions=crystal.positions[kept],
        occupancies=crystal.occupancies[kept],
    )


def _read_diffpy(structure, name: str) -> Crystal:
    numbers = [_atomic_number(atom.element, name) for atom in structure]
    lattice = structure.lattice
    # orix turns a phase's lattice to its own alignment and leaves the atoms
    # where they were: the coordinates are fractional in diffpy's alignment
    # only, which is what diffsims undoes too.
    to_fractional = np.linalg.inv(lattice.stdbase @ lattice.recbase)
    return Crystal(
        material_id=name,
        lattice=lattice.base,
        numbers=numbers,
        positions=structure.xyz @ to_fractional,
        occupancies=structure.occupancy,
    )


def _atomic_number(element: str, name: str) -> int:
    from diffsims.utils.lobato_scattering_params import (
        ATOMIC_SCATTERING_PARAMS_LOBATO,
    )

    symbol = "".join(filter(str.isalpha, element)).capitalize()
    # Deuterium scatters electrons as hydrogen does
    symbol = {"D": "H", "T": "H"}.get(symbol, symbol)
    try:
        # The table lists the elements in order of atomic number
        return list(ATOMIC_SCATTERING_PARAMS_LOBATO).index(symbol) + 1
    except ValueError:
        raise StructureError(
            f"Crystal {name!r}: {element!r} is no element whose electron scattering "
            "factor is known."
        ) from None


def symmetry_dataset(crystal: Crystal, symprec: float = SYMPREC):
    """Return spglib's symmetry dataset of a crystal.

    Parameters
    ----------
    crystal
        Crystal.
    symprec
        Distance tolerance in Å.

    Raises
    ------
    StructureError
        If spglib finds no symmetry, as for atoms on top of each other.
    """
    import spglib

    # Sites that differ in element or occupancy are different to spglib
    _, kinds = np.unique(
        np.column_stack([crystal.numbers, crystal.occupancies.round(3)]),
        axis=0,
        return_inverse=True,
    )
    cell = (crystal.lattice, crystal.positions, kinds.ravel())
    try:
        dataset = spglib.get_symmetry_dataset(
            cell, symprec=symprec, angle_tolerance=ANGLE_TOLERANCE
        )
    except spglib.error.SpglibError as error:
        raise StructureError(
            f"Crystal {crystal.material_id!r}: spglib finds no symmetry ({error})."
        ) from error
    if dataset is None:
        raise StructureError(
            f"Crystal {crystal.material_id!r}: spglib finds no symmetry; atoms may "
            "lie on top of each other."
        )
    return dataset


def label(crystal: Crystal) -> Crystal:
    """Return the crystal with the space groups and type spglib finds.

    The structure type is written as the structure table writes it:
    space group | atoms in the standardised cell | Wyckoff letters and
    atom counts by anonymous element.
    """
    dataset = symmetry_dataset(crystal)
    tight = symmetry_dataset(crystal, SYMPREC_TIGHT)
    letters: dict[int, Counter] = {}
    for letter, number in zip(dataset.wyckoffs, crystal.numbers, strict=True):
        letters.setdefault(int(number), Counter())[letter] += 1
    elements = "_".join(
        sorted(
            "".join(f"{letter}{count}" for letter, count in sorted(kind.items()))
            for kind in letters.values()
        )
    )
    n_atoms = len(dataset.std_types)
    return dataclasses.replace(
        crystal,
        space_group=int(dataset.number),
        space_group_tight=int(tight.number),
        structure_type=f"{dataset.number}|{n_atoms}|{elements}",
    )
