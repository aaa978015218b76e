# SPDX-License-Identifier: GPL-3.0-or-later
"""Defects of simulated detectors, where it is known what is hidden."""

import numpy as np
import pytest

from pyxem_symnet.descriptors import find_masks

SIZE = 192
ROW, COLUMN = np.mgrid[:SIZE, :SIZE]


def crystal(centre=(95.0, 97.0), dose=400.0, halo=1.0, n=1, seed=0):
    """Return patterns of a beam, a halo and a lattice of spots, (n, ky, kx)."""
    rng = np.random.default_rng(seed)
    r = np.hypot(COLUMN - centre[0], ROW - centre[1])
    image = halo * np.exp(-r / 40) + 0.05 + 30 * np.exp(-(r**2) / 12)
    for i in range(-6, 7):
        for j in range(-6, 7):
            x, y = centre[0] + 17 * i + 4 * j, centre[1] - 3 * i + 15 * j
            spot = np.exp(-((COLUMN - x) ** 2 + (ROW - y) ** 2) / 4)
            image += rng.uniform(0.2, 2) * spot
    return rng.poisson(np.broadcast_to(image * dose, (n, SIZE, SIZE)))


def arm(half_width=7, tip=105, centre=95):
    """Return what a beam stop from the upper edge hides."""
    return (abs(COLUMN - centre) <= half_width) & (ROW <= tip)


@pytest.mark.parametrize("dose", [0.5, 5.0, 400.0])
@pytest.mark.parametrize("n", [1, 12])
def test_a_clean_detector_stays_as_it_is(dose, n):
    masks = find_masks(crystal(dose=dose, n=n))
    assert masks.combined.mean() < 0.005
    assert not masks.shadow.any()


def test_gaps_between_the_spots_of_many_crystals_are_not_dead():
    """Where none of the patterns has a spot, others may have one."""
    rng = np.random.default_rng(0)
    images = np.zeros((36, SIZE, SIZE))
    for image in images:
        for x, y in rng.uniform(0, SIZE, (12, 2)):
            image += 100 * np.exp(-((COLUMN - x) ** 2 + (ROW - y) ** 2) / 6)
        r = np.hypot(COLUMN - 95, ROW - 97)
        image += 300 * np.exp(-(r**2) / 8) + 0.5 * np.exp(-r / 30)
    masks = find_masks(rng.poisson(images))
    assert masks.combined.mean() < 0.005


@pytest.mark.parametrize("n", [1, 12, 60])
def test_counts_that_fall_to_nothing_leave_no_dead_pixels(n):
    """Far from the beam of a weak pattern there is simply no electron."""
    r = np.hypot(COLUMN - 95, ROW - 97)
    image = 200 * np.exp(-r / 6) + 3 * np.exp(-(((r - 30) / 4) ** 2))
    images = np.random.default_rng(0).poisson(np.broadcast_to(image, (n, SIZE, SIZE)))
    assert (images == 0).all(0).mean() > 0.5
    assert find_masks(images).combined.mean() < 0.01


@pytest.mark.parametrize("stopped", [False, True])
def test_dark_place_with_reflections_is_no_shadow(stopped):
    """A detector of single electrons is dark where the halo ends; spots go on."""
    rng = np.random.default_rng(3)
    r = np.hypot(COLUMN - 95, ROW - 97)
    halo = 0.8 * np.exp(-((r / 45) ** 2))
    images = np.broadcast_to(halo, (24, SIZE, SIZE)).copy()
    for image in images:
        for x, y in rng.uniform(0, SIZE, (4, 2)):
            image += 40 * np.exp(-((COLUMN - x) ** 2 + (ROW - y) ** 2) / 3)
    hidden = arm() if stopped else np.zeros((SIZE, SIZE), bool)
    masks = find_masks(rng.poisson(images * ~hidden))
    assert masks.combined[~hidden].mean() < 0.02
    # What lies in front of the halo is found; beyond it there is nothing to tell
    inner = hidden & (r < 40)
    assert not stopped or masks.combined[inner].mean() > 0.8


def test_large_discs_and_their_gaps_are_no_shadow():
    distance = np.hypot((COLUMN + 13) % 27 - 13, (ROW + 13) % 27 - 13)
    image = np.random.default_rng(0).poisson(2 + 300.0 * (distance < 9))
    masks = find_masks(image[None])
    assert not masks.shadow.any() and not masks.hot.any()
    # Empty pixels in the corners between discs, at most
    assert masks.dead.mean() < 0.005


def test_halo_and_rings_are_no_shadow():
    r = np.hypot(COLUMN - 95, ROW - 95)
    image = 50 * np.exp(-r / 12) + np.exp(-(((r - 60) / 6) ** 2)) + 0.02
    image = np.random.default_rng(0).poisson(500 * image)
    assert find_masks(image[None]).combined.mean() < 0.01


@pytest.mark.parametrize("leak", [0.0, 0.02])
@pytest.mark.parametrize("dtype", [np.uint16, np.float32, np.int32])
def test_beam_stop(leak, dtype):
    image = crystal(dose=1000.0)[0]
    hidden = arm()
    image = np.where(hidden, (leak * image.mean()).round(), image).astype(dtype)
    found = find_masks(image[None]).combined
    assert found[hidden].mean() > 0.9
    # A blurred edge goes with it, not more
    assert (found & ~hidden).mean() < 0.03


def test_beam_stop_of_a_camera_with_a_pedestal():
    """Behind it there are the counts of no electron, not none."""
    hidden = np.hypot(COLUMN - 95, ROW - 97) < 16
    r = np.hypot(COLUMN - 95, ROW - 97)
    rng = np.random.default_rng(0)
    light = rng.poisson(np.where(hidden, 0, 20 * np.exp(-r / 40)))
    image = (5 * light + rng.normal(200, 4, light.shape)).round().astype(np.uint16)
    shadow = find_masks(image[None]).shadow
    assert shadow[hidden].mean() > 0.9
    assert (shadow & ~hidden).mean() < 0.03


@pytest.mark.parametrize("value", [0, 65535, np.nan, 37])
def test_dead_areas_of_any_value(value):
    images = crystal(n=6).astype(np.float32)
    hidden = (COLUMN < 8) | (abs(ROW - 60) <= 2) | (COLUMN == 150)
    images[:, hidden] = value
    masks = find_masks(images)
    assert masks.dead[hidden].mean() > 0.99
    assert (masks.combined & ~hidden).mean() < 0.005


def test_gap_of_the_detector_in_a_single_sparse_pattern():
    image = crystal(dose=3.0)[0]
    hidden = (abs(ROW - 80) <= 3) | (abs(COLUMN - 80) <= 3)
    image[hidden] = 0
    dead = find_masks(image[None]).dead
    # Near the beam, where counts are to be expected
    near = hidden & (np.hypot(COLUMN - 95, ROW - 97) < 30)
    assert dead[near].mean() > 0.8
    assert (dead & ~hidden).mean() < 0.01


def test_hot_pixels_but_no_sharp_spots():
    images = crystal(n=8, dose=50.0)
    rng = np.random.default_rng(1)
    place = tuple(rng.integers(5, SIZE - 5, (2, 25)))
    images[(slice(None), *place)] += 20000
    hot = find_masks(images).hot
    assert hot[place].all()
    assert hot.sum() <= 30


def test_saturated_beam_is_not_dead():
    image = np.minimum(crystal(dose=100.0), 500)
    found = find_masks(image).combined
    assert not found[90:104, 88:102].any()


def test_values_broken_in_few_patterns_are_no_defect():
    images = crystal(n=6).astype(np.float32)
    images[2, 50:60] = np.nan
    assert not find_masks(images).dead[50:60].any()


def test_no_patterns_are_refused():
    with pytest.raises(ValueError, match="without a pattern"):
        find_masks([])


def blob(x, y):
    """Return a disc that ends at a radius of 12 pixels, as simulations draw them."""
    square = (COLUMN - x) ** 2 + (ROW - y) ** 2
    return np.exp(-square / 30) * (square < 144)


@pytest.mark.parametrize("brightest", [1.0, 3.0])
@pytest.mark.parametrize("seed", range(4))
def test_the_beam_of_a_simulation_without_noise_is_seen(brightest, seed):
    """It is constant, and dark all around it, in all patterns."""
    rng = np.random.default_rng(seed)
    images = np.zeros((36, SIZE, SIZE), np.float32)
    for image in images:
        image += blob(95, 95)
        turn = np.exp(1j * rng.uniform(0, 2 * np.pi))
        for i, j in np.ndindex(7, 7):
            g = turn * (27 * (i - 3) + (27j + 6) * (j - 3))
            if g:
                image += rng.uniform(0, 0.1) ** 2 * blob(95 + g.real, 95 + g.imag)
    images[0] += brightest * blob(95, 130)
    masks = find_masks(images)
    assert not masks.shadow.any()
    assert not masks.combined[np.hypot(COLUMN - 95, ROW - 95) < 12].any()
