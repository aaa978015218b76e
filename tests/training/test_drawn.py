# SPDX-License-Identifier: GPL-3.0-or-later
"""Samples are drawn once, and looked at again in every epoch."""

import dataclasses

import numpy as np
import pytest
import torch

from pyxem_symnet.models import ViewSetMSDN, load_checkpoint
from pyxem_symnet.training import run
from pyxem_symnet.training.data import TrainingBatches
from pyxem_symnet.training.drawn import DrawnBatches, draw_batches
from pyxem_symnet.training.parts import write_parts

OPTIONS = {"n_workers": 0, "show_progressbar": False}


@pytest.fixture
def reader(config):
    """A configuration of the stream that reads single nets, alone."""
    settings = config.model | {"radial": None, "pairs": None, "image": None}
    return dataclasses.replace(
        config, model=settings, views=(1, 1), drawn=15, no_crystal=0.0
    )


@pytest.fixture
def batches(crystals, reader):
    model = ViewSetMSDN(range(1, 231), **reader.model).eval()
    return TrainingBatches(crystals, model.classes, model.training_features, reader)


def test_drawn_samples_are_those_of_fresh_batches(batches, reader, tmp_path):
    drawn = DrawnBatches(draw_batches(batches, tmp_path), reader)
    # Rounded up to whole files
    assert len(drawn.samples) == 20 * reader.batch_size
    rows = slice(3 * reader.batch_size, 4 * reader.batch_size)
    features, target = batches[3]
    assert torch.equal(torch.from_numpy(drawn.arrays["target"][rows]), target)
    for name, value in features.items():
        kept = torch.from_numpy(drawn.arrays[name][rows]).to(value.dtype)
        torch.testing.assert_close(kept, value, rtol=1e-3, atol=1e-3, msg=name)


def test_all_samples_come_before_any_comes_twice(batches, reader, tmp_path):
    drawn = DrawnBatches(draw_batches(batches, tmp_path), reader)
    drawn.arrays["n_spots"] = drawn.samples[:, None].astype(float)
    numbers = [drawn[n][0]["n_spots"].flatten().tolist() for n in range(40)]
    first, second = sum(numbers[:20], []), sum(numbers[20:], [])
    assert sorted(first) == sorted(second) == drawn.samples.tolist()
    assert first != second
    assert drawn[7][0]["n_spots"].flatten().tolist() == numbers[7]


def test_training_on_drawn_samples_is_repeatable(store, reader, tmp_path):
    path = run.train(reader, store, tmp_path / "first", **OPTIONS)
    model = load_checkpoint(path)
    assert list(model.streams) == ["net"]
    again = run.train(reader, store, tmp_path / "again", **OPTIONS)
    expected = model.state_dict()
    for name, value in load_checkpoint(again).state_dict().items():
        torch.testing.assert_close(value, expected[name], rtol=0, atol=0, msg=name)


def test_only_how_frozen_streams_are_joined_is_learnt(store, config, tmp_path):
    first = run.train(config, store, tmp_path / "first", **OPTIONS)
    frozen = dataclasses.replace(
        config, frozen=tuple(load_checkpoint(first).streams), drawn=10, seed=1
    )
    second = run.train(frozen, store, tmp_path / "second", start_from=first, **OPTIONS)
    before, after = (load_checkpoint(path).state_dict() for path in (first, second))
    changed = {k for k, value in before.items() if not torch.equal(value, after[k])}
    assert changed and all(name.startswith("join") for name in changed)


def test_files_that_are_there_are_not_made_again(tmp_path):
    files = [tmp_path / f"{n}.npz" for n in range(3)]
    made, told = [], []

    def make(part):
        if part == 2 and len(made) == 2:
            raise KeyboardInterrupt
        made.append(part)
        return {"value": np.array([part])}

    with pytest.raises(KeyboardInterrupt):
        write_parts(make, files)
    assert [file.exists() for file in files] == [True, True, False]
    made.append("again")
    write_parts(make, files, progress=lambda *at: told.append(at))
    assert made == [0, 1, "again", 2] and told == [(3, 3)]
    assert sorted(tmp_path.iterdir()) == files
    assert [int(np.load(file)["value"][0]) for file in files] == [0, 1, 2]
