# SPDX-License-Identifier: GPL-3.0-or-later
"""Evaluation on any table, reproducible crystal by crystal."""

import json
import sys

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from pyxem_symnet.commands.evaluate import evaluate
from pyxem_symnet.models import ViewSetMSDN, load_checkpoint, save_checkpoint
from pyxem_symnet.symmetry import LEVELS
from pyxem_symnet.training.evaluate import compute_logits, load_crystals, predict
from pyxem_symnet.training.finish import Measurement, finish, measure
from tests.training.conftest import TINY


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return ViewSetMSDN([0, 2, 14, 62, 136, 167, 221], **TINY).eval()


def test_table_and_store_hold_the_same_reflections(table, store):
    # The store holds reflections to 1.0 1/Å, the table's are to 1.3
    from_table = load_crystals(table, "all")
    from_store = load_crystals(store, "all")
    assert from_table.material_id.tolist() == from_store.material_id.tolist()
    for index in range(0, 56, 8):
        computed, stored = from_table[index], from_store[index]
        within = torch.linalg.vector_norm(computed.g, dim=1) <= 1.0
        torch.testing.assert_close(computed.g[within], stored.g)
        torch.testing.assert_close(computed.intensity[within], stored.intensity)


@pytest.mark.parametrize("noise", ["clean", "noisy"])
def test_answers_do_not_depend_on_company(store, model, noise):
    crystals = load_crystals(store, "all")
    options = {"protocol": "random", "views": 2, "noise": noise}
    together, _ = compute_logits(model, crystals, batch_size=16, **options)
    some = np.array([4, 30, 17])
    apart, _ = compute_logits(model, crystals.take(some), batch_size=1, **options)
    parallel, _ = compute_logits(model, crystals, n_workers=2, **options)
    # Batches of other sizes are rounded differently
    torch.testing.assert_close(apart, together[some], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(parallel, together, rtol=1e-4, atol=1e-4)


def test_other_seeds_are_other_views(store, model):
    crystals = load_crystals(store, "all")
    first, second = (
        compute_logits(model, crystals, "random", 1, "clean", seed=seed)[0]
        for seed in (0, 1)
    )
    assert not torch.allclose(first, second)


def test_crystals_of_other_groups_are_counted_not_scored(store, model):
    crystals = load_crystals(store, "all")
    predictions, n_outside = predict(model, crystals, "random", 1, "clean")
    assert n_outside == 8  # those of 186
    assert len(predictions.material_id) == 48
    assert 186 not in predictions.space_group
    np.testing.assert_allclose(predictions.probabilities.sum(1), 1, rtol=1e-6)


def test_limit_is_a_fixed_choice(store):
    some = load_crystals(store, "all", limit=9, seed=2)
    again = load_crystals(store, "all", limit=9, seed=2)
    fewer = load_crystals(store, "all", limit=4, seed=2)
    assert some.material_id.tolist() == again.material_id.tolist()
    assert set(fewer.material_id) < set(some.material_id)


def test_a_measurement_on_fewer_crystals_is_on_the_same_ones(store, model):
    every, some = (
        measure(model, store, [item], name="any", limit=limit, seed=1)
        for item, limit in (
            (Measurement("random", 1, "clean", "train", limit=5), 9),
            (Measurement("random", 1, "clean", "train"), 5),
        )
    )
    assert every == some
    assert some[0]["n_crystals"] + some[0]["n_outside"] == 5


def test_command_writes_the_documented_json(table, model, tmp_path):
    save_checkpoint(tmp_path / "m.safetensors", model)
    result = CliRunner().invoke(
        evaluate,
        [
            str(tmp_path / "m.safetensors"),
            *("--structures", str(table), "--protocol", "random", "--views", "2"),
            *("--noise", "noisy", "--split", "all", "--seed", "1"),
            *("--json", str(tmp_path / "out.json")),
            *("--figures", str(tmp_path / "figures")),
        ],
    )
    assert result.exit_code == 0, result.output
    figures = json.loads((tmp_path / "out.json").read_text())
    assert figures["n_crystals"] == 48 and figures["n_outside"] == 8
    assert (figures["protocol"], figures["views"], figures["noise"]) == (
        "random",
        2,
        "noisy",
    )
    for part in (figures, figures["agreeing"]):
        assert set(part["top1"]) == set(part["top5"]) == set(part["ece"]) == set(LEVELS)
    drawn = {path.name for path in (tmp_path / "figures").iterdir()}
    assert "reliability.png" in drawn and "confusion_crystal_system.png" in drawn


def test_command_says_what_is_wrong(model, tmp_path):
    save_checkpoint(tmp_path / "m.safetensors", model)
    (tmp_path / "bad.parquet").write_text("no")
    arguments = [str(tmp_path / "m.safetensors"), "--structures"]
    result = CliRunner().invoke(evaluate, [*arguments, str(tmp_path / "bad.parquet")])
    assert result.exit_code == 2
    assert "bad.parquet is not a Parquet file" in result.output


def test_finish_calibrates_and_records(store, model, tmp_path):
    record = {"training": {"protocols": {"clean-2": 0.5, "noisy-2": 0.5}}}
    save_checkpoint(tmp_path / "trained.safetensors", model, record)
    figures = finish(
        tmp_path / "trained.safetensors",
        store,
        tmp_path / "m.safetensors",
        record={"summary": "A test."},
        limit=20,
    )
    shipped = load_checkpoint(tmp_path / "m.safetensors")
    assert shipped.record["figures"] == json.loads(json.dumps(figures))
    assert shipped.calibration.views == (1, 2, 4, 8, 16, 32)
    expected = {"beam_energy": [60, 300], "reciprocal_radius": [0.6, 1.28]}
    assert shipped.record["trained_range"] == expected
    assert {item["noise"] for item in figures} == {"clean", "noisy"}
    # Too few structure types here for any to be held out
    assert {item["split"] for item in figures} == {"test"}


def test_finish_teaches_to_weigh_lattices(store, tmp_path, monkeypatch):
    monkeypatch.setattr("pyxem_symnet.training.finish._LATTICE_SAMPLES", 6)
    monkeypatch.setattr("pyxem_symnet.training.weigh._PART", 6)
    # Of precise patterns lattices are found fast
    monkeypatch.setattr("pyxem_symnet.lattice.find.COARSE", ())
    torch.manual_seed(0)
    classes = [0, 2, 14, 62, 136, 167, 221]
    model = ViewSetMSDN(classes, **TINY, lattice={"n_views": 6}).eval()
    record = {"training": {"protocols": {"clean-2": 1.0}}}
    save_checkpoint(tmp_path / "trained.safetensors", model, record)
    lines = []
    figures = finish(
        tmp_path / "trained.safetensors",
        store,
        tmp_path / "m.safetensors",
        record={"summary": "A test."},
        limit=20,
        progress=lines.append,
    )
    assert any("with lattices" in line for line in lines)
    shipped = load_checkpoint(tmp_path / "m.safetensors")
    assert shipped.evidence.weigh[-1].weight.any()
    assert len(list((tmp_path / "evidence").glob("*.npz"))) == 1
    assert shipped.record["figures"] == json.loads(json.dumps(figures))


def test_command_says_which_extra_is_missing(table, model, tmp_path, monkeypatch):
    save_checkpoint(tmp_path / "m.safetensors", model)
    # As if torchmetrics were not installed
    monkeypatch.setitem(sys.modules, "pyxem_symnet.training.evaluate", None)
    arguments = [str(tmp_path / "m.safetensors"), "--structures", str(table)]
    result = CliRunner().invoke(evaluate, arguments)
    assert result.exit_code == 2
    assert "pip install 'pyxem-symnet[train]'" in result.output
