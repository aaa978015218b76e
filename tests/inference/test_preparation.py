# SPDX-License-Identifier: GPL-3.0-or-later
"""Masks, centre and the beam's path, from patterns to what is recorded."""

import math

import numpy as np
import pytest
import torch

from pyxem_symnet.descriptors import PatternGeometry, SpotFinder
from pyxem_symnet.descriptors.centre import locate_beam
from pyxem_symnet.descriptors.common_beam import locate_common_beam
from pyxem_symnet.inference import (
    Descan,
    ScanPreparation,
    prepare_pattern,
    prepare_scan,
)
from pyxem_symnet.inference.descan import fit_path
from pyxem_symnet.inference.preparation import sample_numbers
from pyxem_symnet.simulation import example_phases, make_scan, microscope

SIZE = 160
ROW, COLUMN = np.mgrid[:SIZE, :SIZE]


def crystal(centre, seed=0, dose=300.0, stop=False):
    """Return a zone-axis pattern of nearly equal Friedel pairs."""
    rng = np.random.default_rng(seed)
    r = np.hypot(COLUMN - centre[0], ROW - centre[1])
    image = 0.5 * np.exp(-r / 30) + 0.02 + 20 * np.exp(-(r**2) / 8)
    angle = rng.uniform(0, math.pi)
    for i in range(-9, 10):
        for j in range(0, 10):
            if j == 0 and i <= 0:
                continue
            a = 17 * i * np.array([math.cos(angle), math.sin(angle)])
            k = a + 14 * j * np.array([math.cos(angle + 1.4), math.sin(angle + 1.4)])
            height = rng.exponential()
            for sign in (-1, 1):
                x, y = centre + sign * k
                if -3 < x < SIZE + 3 and -3 < y < SIZE + 3:
                    spot = np.exp(-((COLUMN - x) ** 2 + (ROW - y) ** 2) / 3)
                    image += height * rng.uniform(0.7, 1.3) * spot
    if stop:
        at = tuple(np.add(centre, rng.normal(0, 2, 2)))
        hidden = microscope.beam_stop(
            (SIZE, SIZE), at, 9.0, 8.0, float(rng.uniform(0, 360))
        )
        image[hidden.numpy()] = 0.002
    return rng.poisson(dose * image).astype(np.uint16)


@pytest.mark.parametrize("stop", [False, True])
def test_centre_is_found_within_half_a_pixel(stop):
    errors = []
    for seed in range(24):
        rng = np.random.default_rng(100 + seed)
        offset = SIZE * [0, 0.1, 0.18, 0.25][seed % 4] * rng.choice([-1, 1], 2)
        centre = SIZE / 2 + offset * [1, 0.4] + rng.uniform(-0.5, 0.5, 2)
        prepared = prepare_pattern(
            crystal(centre, seed, stop=stop),
            PatternGeometry(0.015),
            finder=SpotFinder(max_spots=1),
        )
        assert prepared.centre_method == ("friedel" if stop else "beam")
        errors.append(math.dist(prepared.centre, centre))
    assert np.mean(np.array(errors) <= 0.5) >= 0.95


def test_no_spots_at_the_edge_of_a_beam_stop():
    for seed in range(4):
        image = crystal((80.0, 79.0), seed, stop=True)
        prepared = prepare_pattern(image, PatternGeometry(0.015, (80.0, 79.0)))
        assert len(prepared.pixels) > 20
        row, column = prepared.pixels[:, ::-1].round().astype(int).T
        assert not prepared.mask[row, column].any()
        # True spots are where the same pattern without a stop has some
        bare = prepare_pattern(
            crystal((80.0, 79.0), seed), PatternGeometry(0.015, (80.0, 79.0)), None
        )
        distance = np.linalg.norm(prepared.pixels[:, None] - bare.pixels, axis=-1)
        assert (distance.min(1) > 2).sum() <= 2


def test_everything_that_was_done_is_returned():
    image = crystal((80.0, 79.0))
    given = np.zeros((SIZE, SIZE), bool)
    given[:20] = True
    geometry = PatternGeometry(0.015, None, (1.03, 20.0))
    prepared = prepare_pattern(image, geometry, given)
    assert list(prepared.masks) == ["given"]
    np.testing.assert_array_equal(prepared.mask, given)
    np.testing.assert_array_equal(prepared.image, image)
    assert prepared.ellipticity == (1.03, 20.0)
    assert len(prepared.pixels) == len(prepared.vectors) == len(prepared.intensities)
    back = geometry.to_reciprocal(
        torch.from_numpy(prepared.pixels)[None], torch.tensor([prepared.centre])
    )
    np.testing.assert_allclose(back[0], prepared.vectors, atol=1e-5)
    off = prepare_pattern(image, geometry, None)
    assert not off.mask.any() and not off.masks


def test_a_beam_that_wanders_is_followed():
    shape, numbers = (5, 4), np.arange(20)
    row, column = np.unravel_index(numbers, shape)
    true = np.column_stack((78 + 0.5 * column - 0.2 * row, 81 - 0.3 * column + row))
    images = np.stack([crystal(c, i) for i, c in enumerate(true)])
    images[7] = crystal((60.0, 100.0), 7)  # one that is wrong
    scan = prepare_scan(images, PatternGeometry(0.015), "auto", numbers, shape)
    assert scan.centre_method == "descan"
    np.testing.assert_allclose(scan.descan.centres(numbers), true, atol=0.15)
    record = scan.to_metadata()
    again = ScanPreparation.from_metadata(record, scan.geometry)
    assert again.descan == scan.descan
    one = prepare_pattern(images[3], scan, number=3)
    assert one.centre_method == "descan"
    np.testing.assert_allclose(one.centre, true[3], atol=0.15)


def test_size_of_spots_is_that_of_the_scan():
    images = np.stack([crystal((80.0, 79.0), i) for i in range(12)])
    geometry = PatternGeometry(0.015, (80.0, 79.0))
    finder = SpotFinder()
    scan = prepare_scan(images, geometry, None, finder=finder)
    assert scan.geometry.disc_radius == finder.measure_disc_radius(
        torch.from_numpy(images.astype(np.float32)), geometry
    )
    again = ScanPreparation.from_metadata(scan.to_metadata(), geometry)
    assert again.geometry == scan.geometry
    few = prepare_scan(images[:5], geometry, None, finder=finder)
    assert few.geometry.disc_radius is None


def test_ellipse_of_many_orientations_is_measured():
    scan = make_scan(
        [example_phases()["rutile"]],
        (6, 6),
        grains=36,
        detector=(SIZE, SIZE),
        pixel_size=0.015,
        ellipticity=1.04,
        ellipse_angle=25.0,
    )
    images = scan.signal.data.reshape(-1, SIZE, SIZE)
    geometry, finder = PatternGeometry(0.015), SpotFinder()
    options = {"numbers": np.arange(36), "shape": (6, 6), "finder": finder}
    found = prepare_scan(images, geometry, None, ellipticity="auto", **options)
    assert found.ellipse_method == "measured"
    ratio, angle = found.ellipse
    assert ratio == pytest.approx(1.04, abs=0.005)
    assert angle == pytest.approx(25, abs=5)
    again = ScanPreparation.from_metadata(found.to_metadata(), geometry)
    assert again.geometry == found.geometry
    prepared = prepare_pattern(images[0], found, number=0)
    assert prepared.ellipse_method == "measured"

    off = prepare_scan(images, geometry, None, **options)
    assert off.geometry.ellipticity is None and off.ellipse_method == "none"
    given = prepare_scan(images, geometry, None, ellipticity=(1.02, 80.0), **options)
    assert given.geometry.ellipticity == pytest.approx((1.02, 80.0))
    assert given.ellipse_method == "given"
    # Of one orientation it is not
    one = images[:1].repeat(36, 0)
    same = prepare_scan(one, geometry, None, ellipticity="auto", **options)
    assert same.ellipse is None


def test_few_patterns_share_their_beam():
    true = (83.0, 78.5)
    images = np.stack([crystal(true, i) for i in range(7)])
    images[0] = 0  # a blank first frame
    images[3, 20:24, 130:134] += 60000  # a reflection brighter than the beam
    numbers = np.arange(7)
    scan = prepare_scan(images, PatternGeometry(0.015), None, numbers, (7,))
    assert scan.centre_method == "descan"
    assert scan.descan.slopes == ((0.0, 0.0),)
    np.testing.assert_allclose(scan.descan.centres(numbers), [true] * 7, atol=0.15)


def hidden_series(true, n=12):
    """Return patterns of a lattice that turns, behind a beam stop.

    All spots are about as strong, so that a pattern by itself is nearly its own
    inverse about many of them.
    """
    rng = np.random.default_rng(5)
    x, y = COLUMN - true[0], ROW - true[1]
    r = np.hypot(x, y)
    hidden = (r < 9) | ((y > 0) & (abs(x) < 4))
    images = []
    for k in range(n):
        turn = np.deg2rad(3.0 * k)
        image = 3 * np.exp(-r / 25)
        for i in range(-9, 10):
            for j in range(-9, 10):
                u, v = 9 * i + 2 * j, 8 * j
                px = np.cos(turn) * u - np.sin(turn) * v
                py = np.sin(turn) * u + np.cos(turn) * v
                strength = rng.lognormal(2.5, 0.5) * (rng.uniform() < 0.8)
                image += strength * np.exp(-((x - px) ** 2 + (y - py) ** 2) / 2)
        images.append(rng.poisson(image * ~hidden))
    return np.stack(images)


def test_a_hidden_beam_is_what_all_patterns_have_in_common():
    true = (85.0, 74.0)
    images = hidden_series(true)
    numbers = np.arange(len(images))
    alone, seen = locate_beam(torch.from_numpy(images).float())
    away = np.linalg.norm(alone.numpy() - true, axis=1)
    assert not seen.all()
    assert (away > 2).mean() > 0.3
    scan = prepare_scan(images, PatternGeometry(0.015), None, numbers, (len(images),))
    assert scan.centre_method == "descan"
    found = scan.descan.centres(numbers)
    np.testing.assert_allclose(found, [true] * len(images), atol=0.5)


def test_a_hidden_beam_is_in_the_middle_of_what_is_between_the_spots():
    """Patterns of few spots are symmetric about many points, and about none of them."""
    true = (85.0, 74.0)
    rng = np.random.default_rng(2)
    r = np.hypot(COLUMN - true[0], ROW - true[1])
    images = []
    for _ in range(24):
        image = 5 + 2 * np.exp(-r / 15) * (r > 8)
        for x, y in rng.uniform(5, 155, (9, 2)):
            spot = np.exp(-((COLUMN - x) ** 2 + (ROW - y) ** 2) / 2)
            image += rng.lognormal(4, 0.7) * spot
        images.append(rng.poisson(image))
    images = np.stack(images)
    numbers = np.arange(len(images))
    counts = torch.from_numpy(images).float()
    alone, _ = locate_beam(counts)
    assert (np.linalg.norm(alone.numpy() - true, axis=1) > 5).mean() > 0.9
    assert locate_common_beam(counts, alone).better.float().mean() < 0.6
    scan = prepare_scan(images, PatternGeometry(0.015), None, numbers, (len(images),))
    assert scan.centre_method == "descan"
    assert scan.descan.centres(numbers) == pytest.approx(
        np.array([true] * len(images)), abs=1.0
    )


def test_no_path_is_made_up():
    rng = np.random.default_rng(0)
    shape, numbers = (6, 6), np.arange(36)
    assert fit_path(rng.uniform(60, 100, (36, 2)), numbers, shape) is None
    still = 80 + rng.normal(0, 0.05, (36, 2))
    assert isinstance(fit_path(still, numbers, shape), Descan)
    images = np.stack([crystal((80.0, 80.0), i) for i in range(3)])
    few = prepare_scan(images, PatternGeometry(0.015), None, np.arange(3), (3,))
    assert few.descan is None and few.centre_method == "each pattern"


@pytest.mark.parametrize("shape", [(), (3,), (200,), (50, 60), (1, 90), (2, 500)])
def test_samples_are_spread_over_what_is_not_excluded(shape):
    selection = np.arange(int(np.prod(shape))).reshape(shape)
    numbers = sample_numbers(selection)
    assert 1 <= len(numbers) <= 36
    assert len(numbers) >= min(selection.size, 16)
    assert np.all(np.diff(numbers) > 0)
    excluded = np.where(selection % 3 == 1, -1, selection)
    chosen = sample_numbers(excluded)
    assert not (chosen % 3 == 1).any()
