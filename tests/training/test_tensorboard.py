# SPDX-License-Identifier: GPL-3.0-or-later
"""Logs for TensorBoard beside those in CSV."""

import sys

import pytest

from pyxem_symnet.training import run
from pyxem_symnet.training.config import ConfigError

OPTIONS = {"n_workers": 0, "show_progressbar": False, "tensorboard": True}


def installed() -> bool:
    return any(map(run.find_spec, ("tensorboard", "tensorboardX")))


def test_missing_tensorboard_is_told_before_anything_is_done(
    config, tmp_path, monkeypatch
):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(ConfigError, match="pip install tensorboard"):
        run.train(config, tmp_path / "no store", tmp_path / "out", **OPTIONS)
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(not installed(), reason="TensorBoard is not installed")
def test_both_logs_are_written(store, config, tmp_path):
    run.train(config, store, tmp_path, **OPTIONS)
    assert list(tmp_path.glob("tensorboard/version_0/events.out.tfevents.*"))
    assert (tmp_path / "logs" / "version_0" / "metrics.csv").stat().st_size > 0
