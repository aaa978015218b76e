# SPDX-License-Identifier: GPL-3.0-or-later
"""Single views are drawn once, and looked at again in every epoch."""

import dataclasses

import numpy as np
import pytest
import torch

from pyxem_symnet.models import ViewSetMSDN, load_checkpoint
from pyxem_symnet.training import run
from pyxem_symnet.training.drawn import DrawnBatches, draw_samples
from pyxem_symnet.training.parts import write_parts

CLASSES = (2, 14, 62, 225)


@pytest.fixture
def reader(config):
    settings = config.model | {"radial": None, "pairs": None, "image": None}
    return dataclasses.replace(
        config,
        model=settings,
        views=(1, 1),
        passes=2,
        views_a_pass=3,
        no_crystal=0.0,
        protocols={"clean": 1.0},
    )


@pytest.fixture
def drawn(crystals, reader, tmp_path):
    model = ViewSetMSDN(CLASSES, **reader.model)
    targets = np.array(
        [CLASSES.index(n) if n in CLASSES else -1 for n in crystals.space_group]
    )
    files = draw_samples(
        crystals, targets, model.training_features, reader, tmp_path / "drawn"
    )
    return model, targets, files


def test_each_crystal_is_drawn_in_every_pass(drawn, reader):
    model, targets, files = drawn
    batches = DrawnBatches(files, dataclasses.replace(reader, batch_size=10**6))
    batches.config = dataclasses.replace(
        reader, batch_size=len(batches.arrays["target"])
    )
    features, target = batches[0]
    expected = np.bincount(targets[targets >= 0], minlength=len(CLASSES))
    counts = torch.bincount(target, minlength=len(CLASSES)).numpy()
    # Rounded up to whole files
    assert (counts >= 6 * expected - 3 * expected.max()).all()
    assert len(target) == len(batches.arrays["target"])
    assert features["net_drawn"].shape == (len(target), model.net.n_values)
    assert features["net_drawn"].dtype == torch.float32
    assert model(features).shape == (len(target), len(CLASSES))


def test_batches_go_through_all_samples_before_any_comes_twice(drawn, reader):
    files = drawn[2]
    batches = DrawnBatches(files, reader)
    n_samples = len(batches.arrays["target"])
    batches.arrays["n_spots"] = np.arange(n_samples, dtype=np.float64)[:, None]
    size = reader.batch_size
    seen = [int(n) for b in range(n_samples // size) for n in batches[b][0]["n_spots"]]
    assert len(set(seen)) == len(seen)
    again = batches[0]
    torch.testing.assert_close(again, batches[0], rtol=0, atol=0)


def test_training_on_drawn_samples(store, reader, tmp_path):
    path = run.train(reader, store, tmp_path, n_workers=0, show_progressbar=False)
    model = load_checkpoint(path)
    assert list(model.streams) == ["net"]
    again = run.train(
        reader, store, tmp_path / "again", n_workers=0, show_progressbar=False
    )
    expected = model.state_dict()
    for name, value in load_checkpoint(again).state_dict().items():
        torch.testing.assert_close(value, expected[name], rtol=0, atol=0)


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
