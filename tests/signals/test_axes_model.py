# SPDX-License-Identifier: GPL-3.0-or-later
"""Scans along a, b and c, classified by a model that needs all three."""

import numpy as np
import pytest
import torch

from pyxem_symnet import classify_space_group
from pyxem_symnet.descriptors.geometry import PatternGeometry
from pyxem_symnet.descriptors.spots import Spots
from pyxem_symnet.models import AxesMSDN, load_checkpoint, save_checkpoint

from .scans import PIXEL_SIZE, scan

_SMALL = {"blocks": [1], "growth": [4], "bottleneck": 4, "stem_channels": 4}
CLASSES = (1, 14, 62, 225)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    torch.manual_seed(3)
    network = AxesMSDN(
        CLASSES,
        finder={"working_size": 64},
        image={"size": 32},
        radial={"n_bins": 64},
        network={"image": _SMALL, "radial": _SMALL, "width": 16, "hidden": 16},
    )
    with torch.no_grad():
        network.join[-1].weight.mul_(20)
    path = tmp_path_factory.mktemp("model") / "axes.safetensors"
    save_checkpoint(path, network, {"summary": "Random weights"})
    return path


@pytest.fixture(scope="module")
def views():
    return [scan((2, 3), seed=seed) for seed in range(3)]


def classify(model, views, **options):
    options = {"signal_mask": False, "centre": (23.5, 23.5)} | options
    return classify_space_group(
        views[0], model=model, views=views[1:], show_progressbar=False, **options
    )


def test_answer_is_that_of_the_three_patterns_in_order(model, views):
    answer = classify(model, views)
    network = load_checkpoint(model).eval()
    geometry = PatternGeometry(PIXEL_SIZE, (23.5, 23.5))
    for index in np.ndindex(2, 3):
        images = np.stack([view.data[index] for view in views]).astype(np.float32)
        spots = network.prepare(torch.from_numpy(images), geometry)
        with torch.no_grad():
            expected = network.probabilities(network.accumulate(Spots(*spots)))
        np.testing.assert_allclose(answer.data[index], expected[0], atol=1e-5)
    swapped = classify(model, [views[1], views[0], views[2]])
    assert not np.allclose(swapped.data, answer.data, atol=1e-3)


def test_lazy_and_batches_change_nothing(model, views):
    expected = classify(model, views).data
    lazy = classify(model, [view.as_lazy() for view in views])
    assert lazy._lazy
    lazy.compute()
    np.testing.assert_allclose(lazy.data, expected, atol=1e-6)
    np.testing.assert_allclose(
        classify(model, views, batch_size=1).data, expected, atol=1e-6
    )


@pytest.mark.parametrize("n_views", [1, 2])
def test_fewer_views_are_refused(model, views, n_views):
    with pytest.raises(ValueError, match=r"views=\[along_b, along_c\]"):
        classify(model, views[:n_views])


def test_regions_are_refused(model, views):
    with pytest.raises(ValueError, match="without regions"):
        classify(model, views, regions=np.zeros((2, 3), int))
