# SPDX-License-Identifier: GPL-3.0-or-later
"""Batches are a function of the seed and their number."""

import dataclasses

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from pyxem_symnet.descriptors.spots import Spots
from pyxem_symnet.models import ViewSetMSDN
from pyxem_symnet.training.config import ConfigError
from pyxem_symnet.training.data import (
    _VIEWS_AT_ONCE,
    TILT_RANGE,
    TrainingBatches,
    accumulate_views,
    draw_rotations,
    repeat_grains,
)
from pyxem_symnet.training.run import choose_classes


@pytest.fixture
def batches(crystals, config):
    classes = choose_classes(crystals.space_group, config)
    model = ViewSetMSDN(classes, **config.model).eval()
    return TrainingBatches(crystals, classes, model.accumulate, config)


def assert_same(first, second):
    torch.testing.assert_close(first[1], second[1], rtol=0, atol=0)
    for name, value in first[0].items():
        torch.testing.assert_close(value, second[0][name], rtol=0, atol=0)


def test_variants_are_other_samples_of_the_same_classes(crystals, config):
    plain = dataclasses.replace(config, no_crystal=0.0)
    varied = dataclasses.replace(plain, variants=1.0)
    classes = choose_classes(crystals.space_group, plain)
    model = ViewSetMSDN(classes, **config.model).eval()
    drawn = [
        TrainingBatches(crystals, classes, model.training_features, each)[1]
        for each in (plain, varied, varied)
    ]
    assert all(torch.equal(target, drawn[0][1]) for _, target in drawn)
    radial = [features["radial"] for features, _ in drawn]
    assert torch.equal(radial[1], radial[2])
    assert not torch.allclose(radial[0], radial[1], atol=0.1)


@pytest.mark.parametrize("share", [-0.1, 1.1])
def test_share_of_variants_is_checked(config, share):
    with pytest.raises(ConfigError, match="variants must be between 0 and 1"):
        dataclasses.replace(config, variants=share)


def test_samples_of_a_crystal_are_its_views_divided(crystals, config):
    """Together they are as many views, and those that one sample has."""
    fixed = dataclasses.replace(config, views=(6, 6), no_crystal=0.0, batch_size=4)
    divided = dataclasses.replace(
        fixed, views=(2, 2), samples_a_crystal=3, batch_size=12
    )
    classes = choose_classes(crystals.space_group, fixed)
    model = ViewSetMSDN(classes, **config.model).eval()
    (whole, target), (parts, targets) = (
        TrainingBatches(crystals, classes, model.accumulate, each)[1]
        for each in (fixed, divided)
    )
    assert torch.equal(targets, target.repeat_interleave(3))
    assert (parts["n_views"] == 2).all()
    for name, value in whole.items():
        together = parts[name].unflatten(0, (4, 3)).sum(1)
        torch.testing.assert_close(together, value, msg=name)


def test_a_batch_is_of_whole_crystals(config):
    with pytest.raises(ConfigError, match="multiple of samples_a_crystal"):
        dataclasses.replace(config, batch_size=8, samples_a_crystal=3)
    with pytest.raises(ConfigError, match="samples_a_crystal must be at least 1"):
        dataclasses.replace(config, samples_a_crystal=0)


def test_a_batch_does_not_depend_on_those_before(batches):
    in_order = [batches[number] for number in range(3)]
    assert_same(batches[2], in_order[2])
    assert not torch.equal(in_order[0][0]["pairs"], in_order[1][0]["pairs"])


def test_many_workers_draw_what_one_draws(batches):
    parallel = DataLoader(
        batches, batch_size=None, num_workers=2, multiprocessing_context="fork"
    )
    for number, batch in enumerate(parallel):
        assert_same(batch, batches[number])


def test_crystals_with_many_views_are_summed_like_others(config):
    """However views are bundled, each crystal has the sums it has alone."""
    model = ViewSetMSDN([1, 2], **config.model).eval()
    generator = torch.Generator().manual_seed(0)
    numbers = [1, _VIEWS_AT_ONCE - 1, 1, 2 * _VIEWS_AT_ONCE + 3, 5]
    views = [
        Spots(
            torch.rand(n, 7 + n % 3, 2, generator=generator) - 0.5,
            torch.rand(n, 7 + n % 3, generator=generator),
        )
        for n in numbers
    ]
    together = accumulate_views(model.accumulate, views)
    assert together["n_views"].flatten().tolist() == numbers
    for index, spots in enumerate(views):
        alone = model.accumulate(spots, torch.zeros(len(spots[1]), dtype=int), 1)
        for name, value in alone.items():
            torch.testing.assert_close(together[name][index], value[0], msg=name)


def test_each_crystal_once_an_epoch(batches, crystals):
    n_batches = len(crystals) // 8
    drawn = np.concatenate([batches.crystals_of(n) for n in range(n_batches)])
    assert len(drawn) == len(crystals) == 56
    assert sorted(drawn) == list(range(56))
    later = np.concatenate(
        [batches.crystals_of(n) for n in range(n_batches, 2 * n_batches)]
    )
    assert sorted(later) == list(range(56))
    assert not np.array_equal(drawn, later)


def test_views_are_within_their_limits(batches):
    generator = torch.Generator().manual_seed(0)
    counts = [batches._draw_count(generator) for _ in range(4000)]
    assert set(counts) == {1, 2, 3, 4}
    # Log-uniform: few views are drawn more often than many
    assert np.all(np.diff(np.bincount(counts)[1:]) < 0)


def test_no_crystal_is_its_own_class(crystals, config):
    always = dataclasses.replace(config, no_crystal=0.999999)
    classes = choose_classes(crystals.space_group, always)
    model = ViewSetMSDN(classes, **config.model)
    _, target = TrainingBatches(crystals, classes, model.accumulate, always)[0]
    assert classes[0] == 0
    assert (target == 0).all()
    with pytest.raises(ValueError, match="needs the class 0"):
        TrainingBatches(crystals, classes[1:], model.accumulate, always)


def test_repeated_grains_are_few_and_near():
    generator = torch.Generator().manual_seed(0)
    rotations = draw_rotations("random", np.eye(3), 32, generator)
    repeated = repeat_grains(rotations, generator)
    identity = repeated @ repeated.mT
    torch.testing.assert_close(identity, torch.eye(3).expand(32, 3, 3))
    trace = torch.einsum("aij,bij->ab", repeated, rotations)
    angle = torch.rad2deg(torch.acos(((trace - 1) / 2).clamp(-1, 1)))
    nearest, grain = angle.min(1)
    assert nearest.max() < 4
    assert len(grain.unique()) < 20


def test_axes_are_views_along_a_b_and_c():
    lattice = np.array([[4.0, 0, 0], [-2.0, 5, 0], [0.5, 0.3, 6]])
    rotations = draw_rotations("axes", lattice, 5, torch.Generator())
    for index, rotation in enumerate(rotations.numpy()):
        along = rotation @ lattice[index % 3]
        np.testing.assert_allclose(along[:2], 0, atol=1e-5)
        assert along[2] > 0


def test_tilt_series_turn_about_one_axis_of_the_stage():
    """Steps are equal, about one direction across the beam, within range."""
    for seed in range(20):
        generator = torch.Generator().manual_seed(seed)
        rotations = draw_rotations("tilt", np.eye(3), 9, generator).double()
        steps = rotations[1:] @ rotations[:-1].mT
        torch.testing.assert_close(steps, steps[:1].expand(8, 3, 3), rtol=0, atol=1e-5)
        # The beam's row and column of a turn about an axis across it
        skew = steps[0] - steps[0].T
        assert abs(skew[0, 1]) < 1e-5
        trace = rotations[-1] @ rotations[0].T
        width = torch.rad2deg(torch.acos((trace.trace() - 1) / 2))
        assert TILT_RANGE[0] - 0.1 < width < TILT_RANGE[1] + 0.1


def test_unknown_orientation():
    with pytest.raises(ValueError, match="'random', 'zone', 'axes' or 'tilt'"):
        draw_rotations("powder", np.eye(3), 1, torch.Generator())
