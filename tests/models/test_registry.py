# SPDX-License-Identifier: GPL-3.0-or-later
import subprocess
import sys

import pytest
import torch

from pyxem_symnet.models import registry
from pyxem_symnet.models.checkpoint import save_checkpoint
from pyxem_symnet.models.registry import available_models, load_model, model_path


@pytest.fixture
def shipped(tmp_path, small_model, monkeypatch):
    """A folder of weights with one model, msdn-any."""
    folder = tmp_path / "weights"
    folder.mkdir()
    record = {"summary": "For tests.", "date": "2020-07-06"}
    save_checkpoint(folder / "msdn-any.safetensors", small_model, record)
    monkeypatch.setattr(registry, "_WEIGHTS", folder)
    return folder


def test_cards(shipped):
    assert list(available_models()) == ["msdn-any"]
    card = available_models()["msdn-any"]
    assert card["summary"] == "For tests."
    assert card["architecture"] == "ViewSetMSDN"
    assert card["n_classes"] == 5
    assert card["date"] == "2020-07-06"


def test_default_model(shipped, small_model, views):
    loaded = load_model()
    features = small_model.accumulate(views)
    assert torch.equal(loaded(features), small_model(features))


def test_by_path(shipped, tmp_path, monkeypatch):
    copy = tmp_path / "mine.safetensors"
    copy.write_bytes((shipped / "msdn-any.safetensors").read_bytes())
    for path in (copy, str(copy)):
        assert load_model(path).classes == (0, 1, 14, 62, 225)
    monkeypatch.chdir(tmp_path)
    assert model_path("mine.safetensors").is_file()


def test_shipped_name_comes_before_a_file(shipped, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "msdn-any").write_text("another")
    assert model_path("msdn-any") == shipped / "msdn-any.safetensors"
    assert model_path("./msdn-any").read_text() == "another"


@pytest.mark.parametrize("name", ["msdn-nay", "no/such/file.safetensors"])
def test_unknown(shipped, name):
    with pytest.raises(ValueError, match=f"{name}.*Shipped models are: msdn-any"):
        load_model(name)


def test_all_shipped_models_load():
    """Whatever the package holds can be read and says what it is."""
    for name in available_models():
        model = load_model(name)
        n_classes = len(model.classes)
        assert n_classes == len(set(model.classes)) >= 72
        assert model.record["summary"]


def test_listing_does_not_load_torch():
    code = (
        "import sys; from pyxem_symnet.models import available_models; "
        "available_models(); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
