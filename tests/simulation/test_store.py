# SPDX-License-Identifier: GPL-3.0-or-later
"""The reflection store: the same whatever the workers, resumable, honest."""

import filecmp
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pyxem_symnet.simulation.packed import PackedReflections
from pyxem_symnet.simulation.reflections import compute_reflections
from pyxem_symnet.simulation.store import StoreError, StoreSettings, write_store
from pyxem_symnet.simulation.structures import from_phase, read_table
from tests.simulation.crystals import CELLS, make_phase
from tests.simulation.tables import make_crystals, write_cif, write_table

SETTINGS = StoreSettings(reciprocal_radius=0.8, crystals_per_part=4)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    path = tmp_path_factory.mktemp("table") / "structures.parquet"
    write_table(path, make_crystals())
    return path


@pytest.fixture(scope="module")
def store(table, tmp_path_factory):
    path = tmp_path_factory.mktemp("store") / "store"
    write_store(table, path, SETTINGS)
    return path


def assert_same_folder(first, second):
    names = sorted(path.name for path in first.iterdir())
    assert names == sorted(path.name for path in second.iterdir())
    same, different, errors = filecmp.cmpfiles(first, second, names, shallow=False)
    assert (len(same), different, errors) == (len(names), [], [])


def test_two_workers_write_the_same_bytes(table, store, tmp_path):
    write_store(table, tmp_path / "two", SETTINGS, n_workers=2)
    assert_same_folder(store, tmp_path / "two")


def test_interrupted_run_is_resumed_to_the_same_bytes(table, store, tmp_path):
    class Kill(Exception):
        pass

    def stop_halfway(done, total):
        if done > total // 2:
            raise Kill

    with pytest.raises(Kill):
        write_store(table, tmp_path / "s", SETTINGS, progress=stop_halfway)
    part = tmp_path / "s" / "part-00000.parquet"
    written = part.stat().st_mtime_ns
    assert not (tmp_path / "s" / "failures.csv").exists()
    with pytest.raises(StoreError, match="unfinished: 3 of 6 parts"):
        PackedReflections.from_store(tmp_path / "s")
    (tmp_path / "s" / "part-00004.4711.tmp").write_text("half a part")
    write_store(table, tmp_path / "s", SETTINGS)
    assert part.stat().st_mtime_ns == written
    assert_same_folder(store, tmp_path / "s")


def test_holds_what_was_computed(table, store):
    packed = PackedReflections.from_store(store)
    crystals = list(read_table(table))
    assert len(packed) == len(crystals) == 21
    for index in (0, 7, 20):
        expected = compute_reflections(crystals[index], 0.8)
        assert packed.material_id[index] == crystals[index].material_id
        assert packed.space_group[index] == crystals[index].space_group
        reflections = packed[index]
        n_half = len(expected.hkl)
        assert len(reflections.g) == 2 * n_half
        np.testing.assert_allclose(
            reflections.g[:n_half], expected.hkl @ expected.reciprocal_basis, atol=1e-6
        )
        np.testing.assert_allclose(
            reflections.intensity[n_half:], expected.intensity, rtol=1e-6
        )


def test_taking_some_is_reading_some(store):
    everything = PackedReflections.from_store(store)
    odd = everything.take(np.arange(1, 21, 2))
    read = PackedReflections.from_store(
        store,
        lambda names, types: np.flatnonzero(
            np.isin(names, everything.material_id[1::2])
        ),
    )
    for name in ("material_id", "first", "hkl", "intensity", "reciprocal_basis"):
        np.testing.assert_array_equal(getattr(odd, name), getattr(read, name))


def test_failures_are_listed_with_their_reason(table, tmp_path):
    rows = pq.read_table(table)
    numbers = rows["numbers"].to_pylist()
    numbers[5] = [200] * len(numbers[5])
    column = rows.schema.get_field_index("numbers")
    broken = tmp_path / "broken.parquet"
    field = rows.schema.field("numbers")
    numbers = pa.array(numbers, field.type)
    pq.write_table(rows.set_column(column, field, numbers), broken)
    assert write_store(broken, tmp_path / "s", SETTINGS) == {
        "crystals": 21,
        "failures": 1,
    }
    listed = (tmp_path / "s" / "failures.csv").read_text().splitlines()
    name = rows["material_id"][5].as_py()
    assert listed == [
        "material_id,failure",
        f"{name},No scattering factor is known for Z = 200.",
    ]
    packed = PackedReflections.from_store(tmp_path / "s")
    assert len(packed) == 20
    assert name not in packed.material_id


def test_folder_of_cifs(tmp_path):
    folder = tmp_path / "cifs"
    folder.mkdir()
    for system in ("monoclinic", "hexagonal"):
        crystal = from_phase(make_phase(system))
        write_cif(folder / f"{system}.cif", crystal, CELLS[system][0])
    (folder / "broken.cif").write_text("data_x\n_cell_length_a banana\n")
    summary = write_store(folder, tmp_path / "s", SETTINGS)
    assert summary == {"crystals": 3, "failures": 1}
    listed = (tmp_path / "s" / "failures.csv").read_text()
    assert "broken,broken.cif cannot be read as CIF" in listed
    packed = PackedReflections.from_store(tmp_path / "s")
    assert packed.material_id.tolist() == ["hexagonal", "monoclinic"]
    assert packed.space_group.tolist() == [186, 14]


def test_other_settings_are_refused(table, store):
    with pytest.raises(StoreError, match="differs in: settings. Choose another"):
        write_store(table, store, StoreSettings(reciprocal_radius=0.9))


def test_other_folders_are_left_alone(table, tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(StoreError, match="is not empty and holds no store"):
        write_store(table, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_foreign_and_newer_manifests_are_refused(tmp_path):
    with pytest.raises(StoreError, match="holds no reflection store"):
        PackedReflections.from_store(tmp_path)
    manifest = {"format": "pyxem-symnet reflection store", "format_version": 99}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(StoreError, match="format version 99"):
        PackedReflections.from_store(tmp_path)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"reciprocal_radius": 12}, "between 0.1 and 5 1/Å"),
        ({"intensity_cut": 1}, "below 1"),
        ({"crystals_per_part": 0}, "at least 1"),
    ],
)
def test_settings_are_checked(settings, message):
    with pytest.raises(StoreError, match=message):
        StoreSettings(**settings)
