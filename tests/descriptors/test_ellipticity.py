# SPDX-License-Identifier: GPL-3.0-or-later
"""The camera's ellipse is told by many orientations, and by nothing else."""

import math

import numpy as np
import pytest
import torch

from pyxem_symnet.descriptors import PatternGeometry, measure_ellipticity
from pyxem_symnet.descriptors.ellipticity import MIN_VIEWS
from pyxem_symnet.simulation import random_rotations

#: Reciprocal vectors of a tetragonal cell as rows, in 1/Å
TETRAGONAL = np.diag([0.25, 0.25, 0.17])
#: A net that is square but for one part in fifty
NEARLY_SQUARE = np.array([[0.2, 0.0], [0.0, 0.204]])


def polycrystal(n_views=30, seed=0, jitter=0.002):
    """Return views of a tetragonal crystal in random orientations."""
    rng = np.random.default_rng(seed)
    hkl = np.stack(np.meshgrid(*[np.arange(-5, 6)] * 3, indexing="ij"), -1)
    vectors = hkl.reshape(-1, 3)[hkl.reshape(-1, 3).any(1)] @ TETRAGONAL
    generator = torch.Generator().manual_seed(seed)
    views = []
    for rotation in random_rotations(n_views, generator).numpy():
        turned = vectors @ rotation.T
        seen = (np.abs(turned[:, 2]) < 0.02) & (np.hypot(*turned.T[:2]) < 1.1)
        spots = turned[seen, :2]
        views.append(spots + rng.normal(0, jitter, spots.shape))
    return views


def net(turns, jitter=0.002, seed=0):
    """Return views of one net, turned in the plane."""
    rng = np.random.default_rng(seed)
    indices = np.stack(np.meshgrid(*[np.arange(-3, 4)] * 2, indexing="ij"), -1)
    indices = indices.reshape(-1, 2)[indices.reshape(-1, 2).any(1)]
    spots = indices @ NEARLY_SQUARE
    views = []
    for turn in turns:
        c, s = math.cos(turn), math.sin(turn)
        turned = spots @ np.array([[c, s], [-s, c]])
        views.append(turned + rng.normal(0, jitter, turned.shape))
    return views


def distorted(views, ratio, angle):
    """Return what a camera makes of views."""
    geometry = PatternGeometry(1.0).with_ellipse(ratio, angle)
    nought = torch.zeros(1, 2, dtype=torch.float64)
    return [geometry.to_pixels(torch.tensor(v[None]), nought)[0].numpy() for v in views]


def components(ratio, angle):
    double = 2 * math.radians(angle)
    return np.log(ratio) / 2 * np.array([math.cos(double), math.sin(double)])


@pytest.mark.parametrize("ratio, angle", [(1.02, 30.0), (1.05, 140.0)])
def test_of_a_polycrystal(ratio, angle):
    found = measure_ellipticity(distorted(polycrystal(), ratio, angle))
    error = components(*found) - components(ratio, angle)
    assert np.linalg.norm(error) < 0.002


@pytest.mark.parametrize("seed", range(3))
def test_round_rings_are_left_alone(seed):
    assert measure_ellipticity(polycrystal(seed=seed)) is None


@pytest.mark.parametrize("ratio", [1.09, 1.12, 1.3])
def test_larger_ones_than_cameras_have_are_not_told(ratio):
    assert measure_ellipticity(distorted(polycrystal(), ratio, 20.0)) is None


@pytest.mark.parametrize("seed", range(4))
def test_turns_with_the_patterns(seed):
    turn = 45.0 * seed + 10.0
    found = measure_ellipticity(distorted(polycrystal(seed=seed), 1.03, turn))
    error = components(*found) - components(1.03, turn)
    assert np.linalg.norm(error) < 0.004


def test_friedel_mates_say_the_same():
    views = distorted(polycrystal(), 1.03, 60.0)
    expected = measure_ellipticity(views)
    np.testing.assert_allclose(measure_ellipticity([-v for v in views]), expected)


def test_one_orientation_does_not_tell():
    # However often it was recorded: it would be made square
    assert measure_ellipticity(net(np.zeros(40))) is None


@pytest.mark.parametrize("visible", [0.15, 0.4, 0.8])
def test_a_bent_crystal_does_not_tell(visible):
    # Other spots of one net in each pattern
    rng = np.random.default_rng(0)
    views = [rng.permutation(v)[rng.random(len(v)) < visible] for v in net([0] * 60)]
    assert measure_ellipticity(views) is None


def test_one_net_in_many_azimuths_does():
    turns = np.linspace(0, math.pi, 25, endpoint=False) + 0.05
    found = measure_ellipticity(distorted(net(turns), 1.04, 70.0))
    error = components(*found) - components(1.04, 70.0)
    assert np.linalg.norm(error) < 0.002


@pytest.mark.parametrize(
    "views",
    [
        [],
        [np.empty((0, 2))] * 50,
        polycrystal(MIN_VIEWS - 1),
        # Spots anywhere
        list(np.random.default_rng(0).uniform(-1, 1, (30, 12, 2))),
    ],
    ids=["none", "empty", "few", "random"],
)
def test_too_little_does_not_tell(views):
    assert measure_ellipticity(views) is None
