# SPDX-License-Identifier: GPL-3.0-or-later
"""Structures from tables, CIF files and orix phases."""

import dataclasses

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from diffpy.structure import Atom, Lattice, Structure
from orix.crystal_map import Phase

from pyxem_symnet.simulation.structures import (
    Crystal,
    StructureError,
    from_phase,
    label,
    read_cif,
    read_table,
    read_table_rows,
)
from tests.simulation.crystals import CELLS, make_phase
from tests.simulation.tables import make_crystals, write_cif, write_table


@pytest.mark.parametrize("system", CELLS)
def test_phase_has_its_space_group(system):
    # Wrong in most oblique cells if orix's alignment is not undone
    crystal = from_phase(make_phase(system))
    expected = CELLS[system][1]
    assert crystal.space_group == crystal.space_group_tight == expected


def test_asymmetric_unit_is_completed():
    parameters, space_group, sites = CELLS["trigonal"]
    atoms = [Atom(element, xyz) for element, *xyz in sites]
    unit = Phase(
        space_group=space_group, structure=Structure(atoms, Lattice(*parameters))
    )
    crystal = from_phase(unit)
    assert np.bincount(crystal.numbers)[[8, 13]].tolist() == [18, 12]
    assert crystal.space_group == 167


def test_phase_without_atoms_is_an_error():
    with pytest.raises(StructureError, match=r"has no atoms. Set `phase.structure`"):
        from_phase(Phase(name="iron", space_group=229))


@pytest.mark.parametrize("system", ["monoclinic", "hexagonal", "cubic"])
def test_cif_is_the_phase(system, tmp_path):
    phase = make_phase(system)
    crystal = from_phase(phase)
    path = tmp_path / f"{system}.cif"
    write_cif(path, crystal, CELLS[system][0])
    read = read_cif(path)
    assert read.material_id == system
    assert read.space_group == crystal.space_group
    assert read.structure_type == crystal.structure_type
    np.testing.assert_array_equal(np.sort(read.numbers), np.sort(crystal.numbers))


def test_broken_cif_is_one_error(tmp_path):
    path = tmp_path / "broken.cif"
    path.write_text("data_x\n_cell_length_a banana\n")
    with pytest.raises(StructureError, match="broken.cif cannot be read as CIF"):
        read_cif(path)


def test_table_round_trip(tmp_path):
    crystals = make_crystals(2)
    write_table(tmp_path / "t.parquet", crystals)
    read = list(read_table(tmp_path / "t.parquet"))
    assert [c.material_id for c in read] == [c.material_id for c in crystals]
    for ours, theirs in zip(read, crystals, strict=True):
        assert ours.space_group == theirs.space_group
        np.testing.assert_allclose(ours.positions, theirs.positions, atol=1e-6)
        np.testing.assert_allclose(ours.lattice, theirs.lattice, rtol=1e-6)
    rows = read_table_rows(tmp_path / "t.parquet", 3, 9)
    assert [row["material_id"] for row in rows] == [
        c.material_id for c in crystals[3:9]
    ]


def test_other_files_are_no_table(tmp_path):
    with pytest.raises(StructureError, match="There is no structure table"):
        next(read_table(tmp_path / "missing.parquet"))
    (tmp_path / "text.parquet").write_text("no")
    with pytest.raises(StructureError, match="is not a Parquet file"):
        next(read_table(tmp_path / "text.parquet"))
    pq.write_table(pa.table({"material_id": ["a"]}), tmp_path / "other.parquet")
    with pytest.raises(StructureError, match="columns space_group, space_group_tight"):
        next(read_table(tmp_path / "other.parquet"))


@pytest.mark.parametrize(
    "change, message",
    [
        ({"numbers": []}, "has no atoms"),
        ({"positions": [[0, 0, 0]]}, "do not belong together"),
        ({"lattice": np.zeros((3, 3))}, "span no volume"),
        ({"lattice": np.full((3, 3), np.nan)}, "not finite"),
    ],
)
def test_impossible_crystals_are_errors(change, message):
    crystal = Crystal("x", np.eye(3) * 4, [6, 6], [[0, 0, 0], [0.5, 0.5, 0.5]])
    with pytest.raises(StructureError, match=message):
        dataclasses.replace(crystal, **change)


def test_label_sees_occupancy():
    lattice = np.eye(3) * 4
    positions = [[0, 0, 0], [0.5, 0.5, 0.5]]
    full = label(Crystal("x", lattice, [26, 26], positions))
    part = label(Crystal("x", lattice, [26, 26], positions, [1.0, 0.5]))
    assert (full.space_group, part.space_group) == (229, 221)


def test_left_handed_cells_are_turned_over():
    crystal = Crystal("x", -np.eye(3), [6], [[0.1, 0.2, 0.3]])
    np.testing.assert_array_equal(crystal.lattice, np.eye(3))
