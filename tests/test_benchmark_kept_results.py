# SPDX-License-Identifier: GPL-3.0-or-later
"""Long benchmarks go on where they were interrupted."""

import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
if not BENCHMARKS.is_dir():
    pytest.skip("the benchmarks are not here", allow_module_level=True)
sys.path.insert(0, str(BENCHMARKS))
import _kept_results  # noqa: E402

sys.path.remove(str(BENCHMARKS))

RESULTS = [{"views": 1, "right": 0.5}, {"views": 2, "right": 0.75}]


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Stands for the code and the weights."""
    folder = tmp_path / "package"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"weights")
    monkeypatch.setattr(_kept_results, "PACKAGE", folder)
    return folder


@pytest.fixture
def path(tmp_path, package):
    path = tmp_path / "accuracy.partial.json"
    kept = _kept_results.KeptResults(path, limit=10)
    for result in RESULTS:
        kept.keep(result)
    return path


def test_results_are_there_again(path):
    assert _kept_results.KeptResults(path, limit=10).results == RESULTS
    assert sorted(path.parent.iterdir()) == [path, path.parent / "package"]


def test_other_settings_begin_anew(path):
    assert _kept_results.KeptResults(path, limit=20).results == []


def test_other_weights_begin_anew(path, package):
    (package / "model.safetensors").write_bytes(b"others")
    assert _kept_results.KeptResults(path, limit=10).results == []


def test_they_are_removed_once_done(path):
    _kept_results.KeptResults(path, limit=10).forget()
    assert not path.exists()
