# SPDX-License-Identifier: GPL-3.0-or-later
import pytest

from pyxem_symnet.models.calibration import TemperatureTable
from pyxem_symnet.models.card import model_card
from pyxem_symnet.models.checkpoint import save_checkpoint


@pytest.fixture
def path(tmp_path, small_model):
    small_model.calibration = TemperatureTable((1, 16), (1.5, 0.75))
    record = {
        "summary": "Reads five space groups.",
        "data": {"table": "structures", "crystals": 120},
        "split": "By a hash of the id.",
        "seed": 11,
        "hardware": "2 CPU cores",
        "limits": ["Kinematic.", "No overlap."],
        "figures": [
            {
                "protocol": "random",
                "views": 16,
                "noise": "clean",
                "split": "test",
                "n_crystals": 6000,
                "top1": {
                    "crystal_system": {"micro": 0.849, "macro": 0.7},
                    "space_group": {"micro": 0.574, "macro": 0.4},
                },
                "top5": {"space_group": {"micro": 0.865}},
                "ece": {"space_group": 0.021},
            }
        ],
    }
    save_checkpoint(tmp_path / "five.safetensors", small_model, record)
    return tmp_path / "five.safetensors"


def test_says_what_the_record_says(path):
    card = model_card(path)
    assert card.startswith("# five\n\nReads five space groups.\n")
    assert '- Classes: 4 space groups and "not crystalline"' in card
    for line in (
        "- Seed: 11",
        "- Hardware: 2 CPU cores",
        "- crystals: 120",
        "By a hash of the id.",
        "- No overlap.",
        "| 16 | 0.750 |",
    ):
        assert f"\n{line}\n" in card


def test_figures_are_in_percent_by_level(path):
    rows = [line for line in model_card(path).splitlines() if line.startswith("| ")]
    cells = dict(zip(rows[0].split(" | "), rows[2].split(" | "), strict=True))
    assert cells["crystal system"] == "84.9"
    assert cells["space group"] == "57.4"
    assert cells["laue class"] == "–"
    assert cells["space group in top 5"] == "86.5"
    assert cells["crystals"] == "6000"


def test_what_is_not_recorded_is_said(tmp_path, small_model):
    save_checkpoint(tmp_path / "bare.safetensors", small_model)
    card = model_card(tmp_path / "bare.safetensors")
    assert "## Limits\n\nNot recorded." in card
    assert "## Figures\n\nNone recorded." in card
    assert "- Seed: not recorded" in card
