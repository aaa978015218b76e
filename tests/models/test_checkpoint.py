# SPDX-License-Identifier: GPL-3.0-or-later
import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import pyxem_symnet
from pyxem_symnet.models import checkpoint as checkpoint_module
from pyxem_symnet.models.calibration import TemperatureTable
from pyxem_symnet.models.checkpoint import load_checkpoint, save_checkpoint
from pyxem_symnet.models.header import CheckpointError, read_header
from pyxem_symnet.models.msdn import MSDN

RECORD = {"data": "made up", "seed": 7, "figures": [{"top1": {}}]}


@pytest.fixture
def path(tmp_path, small_model):
    small_model.calibration = TemperatureTable((1, 16), (1.5, 0.75))
    save_checkpoint(tmp_path / "model.safetensors", small_model, RECORD)
    return tmp_path / "model.safetensors"


def rewrite(path, metadata=None, tensors=None):
    """Save the file again with some metadata or tensors changed."""
    with safe_open(path, "pt") as file:
        old = file.metadata()
    contents = load_file(path) | (tensors or {})
    contents = {name: value for name, value in contents.items() if value is not None}
    metadata = {k: v for k, v in (old | (metadata or {})).items() if v is not None}
    save_file(contents, path, metadata)


def test_same_outputs_to_the_bit(path, small_model, views):
    loaded = load_checkpoint(path)
    assert not loaded.training
    features = small_model.accumulate(views)
    again = loaded.accumulate(views)
    assert torch.equal(small_model(features), loaded(again))
    assert torch.equal(small_model.probabilities(features), loaded.probabilities(again))


def test_everything_comes_back(path, small_model):
    loaded = load_checkpoint(path)
    assert loaded.classes == small_model.classes
    assert loaded.settings == small_model.settings
    assert loaded.calibration == TemperatureTable((1, 16), (1.5, 0.75))
    assert {key: loaded.record[key] for key in RECORD} == RECORD
    assert loaded.record["pyxem_symnet"] == pyxem_symnet.__version__
    assert set(loaded.record) >= {"date", "hardware", "torch"}


def test_msdn(tmp_path):
    model = MSDN((1, 2, 14), preprocessing={"shaped": True}).eval()
    save_checkpoint(tmp_path / "msdn.safetensors", model)
    loaded = load_checkpoint(tmp_path / "msdn.safetensors")
    assert loaded.settings["preprocessing"] == {"shaped": True}
    images = torch.rand(1, 3, 3, 32, 32)
    assert torch.equal(model(images), loaded(images))


def test_given_record_is_not_overwritten(tmp_path, small_model):
    path = tmp_path / "m.safetensors"
    save_checkpoint(path, small_model, {"date": "2020-07-06", "hardware": "abacus"})
    record = read_header(path).record
    assert (record["date"], record["hardware"]) == ("2020-07-06", "abacus")


def test_saved_whole_or_not_at_all(path, small_model, monkeypatch):
    before = path.read_bytes()

    def killed(tensors, part, metadata):
        part.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint_module, "save_file", killed)
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(path, small_model)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_header_of_the_file(path, small_model):
    header = read_header(path)
    assert header.architecture == "ViewSetMSDN"
    assert header.shapes == {
        name: tuple(value.shape) for name, value in small_model.state_dict().items()
    }


def test_record_must_be_json(tmp_path, small_model):
    for value in (torch.ones(1), float("nan")):
        with pytest.raises(TypeError, match="The record must hold JSON values only"):
            save_checkpoint(tmp_path / "m.safetensors", small_model, {"loss": value})
    assert list(tmp_path.iterdir()) == []


def test_only_known_architectures_are_saved(tmp_path):
    with pytest.raises(TypeError, match="Linear is not one of .* MSDN, ViewSetMSDN"):
        save_checkpoint(tmp_path / "m.safetensors", torch.nn.Linear(1, 1))


def test_extension(tmp_path, small_model):
    with pytest.raises(ValueError, match="Name the file m.safetensors, not m.pt"):
        save_checkpoint(tmp_path / "m.pt", small_model)


def test_no_such_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_checkpoint(tmp_path / "none.safetensors")


@pytest.mark.parametrize(
    "contents", [b"", b"short", b"PK\x03\x04" + bytes(200), b"<html>" * 50]
)
def test_not_safetensors(tmp_path, contents):
    path = tmp_path / "model.safetensors"
    path.write_bytes(contents)
    with pytest.raises(CheckpointError, match="is not a safetensors file"):
        load_checkpoint(path)


def test_foreign_safetensors(tmp_path):
    path = tmp_path / "other.safetensors"
    save_file({"weight": torch.ones(2)}, path)
    with pytest.raises(CheckpointError, match="but not a pyxem_symnet checkpoint"):
        load_checkpoint(path)


@pytest.mark.parametrize("kept", [0.001, 0.5, 0.999])
def test_cut_off(path, kept):
    contents = path.read_bytes()
    path.write_bytes(contents[: max(20, int(kept * len(contents)))])
    with pytest.raises(CheckpointError, match="is cut off after .* download it again"):
        load_checkpoint(path)


def test_newer_format(path):
    rewrite(path, {"format_version": "2"})
    with pytest.raises(CheckpointError, match="version 2; .* up to 1. Upgrade"):
        load_checkpoint(path)


@pytest.mark.parametrize("version", [None, "0", "one"])
def test_impossible_format_version(path, version):
    rewrite(path, {"format_version": version})
    with pytest.raises(CheckpointError, match="which never existed"):
        load_checkpoint(path)


def test_unknown_architecture(path):
    rewrite(path, {"architecture": "Oracle"})
    known = "known are AxesMSDN, MSDN, ViewSetMSDN"
    with pytest.raises(CheckpointError, match=f"'Oracle'; {known}"):
        load_checkpoint(path)


@pytest.mark.parametrize("text", [None, "{", "3"])
@pytest.mark.parametrize("field", ["settings", "classes", "calibration", "record"])
def test_unreadable_metadata(path, field, text):
    rewrite(path, {field: text})
    with pytest.raises(CheckpointError, match=f"'{field}'"):
        load_checkpoint(path)


@pytest.mark.parametrize(
    "field, value",
    [
        ("settings", {"unheard_of": 1}),
        ("settings", {"network": {"unheard_of": 1}}),
        ("calibration", {"views": [1]}),
        ("calibration", {"views": [1], "temperatures": [-1]}),
    ],
)
def test_settings_that_make_no_model(path, field, value):
    rewrite(path, {field: json.dumps(value)})
    with pytest.raises(CheckpointError, match="do not make a ViewSetMSDN"):
        load_checkpoint(path)


@pytest.mark.parametrize(
    "tensors, message",
    [
        ({"join.5.bias": None}, r"join.5.bias is missing"),
        ({"more": torch.ones(1)}, "more does not belong to it"),
        (
            {"join.5.bias": torch.ones(6)},
            r"join.5.bias has the shape \(6,\) instead of \(5,\)",
        ),
    ],
)
def test_tensors_that_do_not_fit(path, tensors, message):
    rewrite(path, tensors=tensors)
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(path)


def test_altered_weights(path):
    rewrite(path, tensors={"join.5.bias": torch.ones(5)})
    with pytest.raises(CheckpointError, match="their SHA-256 differs"):
        load_checkpoint(path)


def test_weights_of_half_precision_take_half_the_space(tmp_path, small_model):
    """And what is not of half precision loses nothing."""
    path = tmp_path / "small.safetensors"
    save_checkpoint(path, small_model)
    before = path.stat().st_size
    stream = small_model.streams["net"].enter
    stream.weight.data = stream.weight.data.half().float()
    save_checkpoint(path, small_model)
    assert before - path.stat().st_size == pytest.approx(
        2 * stream.weight.numel(), abs=256
    )
    expected = small_model.state_dict()
    for name, value in load_checkpoint(path).state_dict().items():
        assert value.dtype == expected[name].dtype
        assert torch.equal(value, expected[name]), name
