# SPDX-License-Identifier: GPL-3.0-or-later
"""Compiled code gives what PyTorch's functions give, whatever the patterns."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pyxem_symnet.descriptors import PatternGeometry, SpotFinder, _compiled, find_masks
from pyxem_symnet.descriptors.centre import locate_beam
from pyxem_symnet.descriptors.noise import electron_gain, remove_pedestal

PIXEL = 0.01


def reference(function, *args, **kwargs):
    """Return what the function gives with PyTorch alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_compiled, "_load", lambda name: None)
        return function(*args, **kwargs)


@st.composite
def patterns(draw, least=16, largest=140):
    """Return patterns of a beam, a halo and spots, as detectors record them."""
    shape = [draw(st.integers(least, largest)) for _ in range(2)]
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    n = draw(st.integers(1, 3))
    row, column = np.mgrid[: shape[0], : shape[1]]
    middle = [(side - 1) / 2 + rng.uniform(-0.1, 0.1) * side for side in shape]
    distance = np.hypot(row - middle[0], column - middle[1])
    radius = draw(st.sampled_from([0.8, 1.5, 3.0, 6.0]))
    image = draw(st.sampled_from([0.0, 0.01, 0.3])) * np.exp(-distance / 30)
    image += draw(st.sampled_from([0, 1, 50])) * np.exp(-((distance / radius) ** 2))
    for _ in range(draw(st.sampled_from([0, 3, 40]))):
        y, x = rng.uniform(0, shape[0]), rng.uniform(0, shape[1])
        spot = np.exp(-((row - y) ** 2 + (column - x) ** 2) / radius**2)
        image += rng.uniform(0.1, 2) * spot
    image += draw(st.sampled_from([0.0, 0.1]))
    counts = rng.poisson(
        draw(st.sampled_from([0.3, 10.0, 1e4])) * image, (n, *shape)
    ).astype(float)
    kind = draw(st.sampled_from(["counts", "gain", "camera", "negative", "saturated"]))
    if kind == "gain":
        counts *= 37.5
    elif kind == "camera":
        counts = 20 * counts + rng.normal(
            draw(st.sampled_from([0, 300])), 6, counts.shape
        )
        counts = counts.round()
    elif kind == "negative":
        counts += rng.normal(0, 2, counts.shape)
    elif kind == "saturated":
        counts = counts.clip(max=0.2 * counts.max())
    if draw(st.booleans()):
        hot = rng.random(counts.shape) < 0.001
        counts[hot] = 60000
    if draw(st.booleans()):
        counts[0] = counts[0].mean()
    dtype = draw(st.sampled_from(["float32", "float64", "uint16", "int32", "uint8"]))
    if dtype.startswith(("u", "i")):
        info = np.iinfo(dtype)
        counts = counts.clip(info.min, info.max)
    images = torch.from_numpy(counts.astype(dtype))
    return images, draw(masks(shape, rng)), (middle[1], middle[0])


@st.composite
def masks(draw, shape, rng):
    """Return excluded pixels of shape (H, W), or None."""
    kind = draw(st.sampled_from([None, "stop", "rows", "pixels", "edge"]))
    if kind is None:
        return None
    mask = torch.zeros(shape, dtype=torch.bool)
    height, width = shape
    if kind == "stop":
        mask[: height // 2 + 2, width // 2 - 3 : width // 2 + 3] = True
    elif kind == "rows":
        mask[height // 3 : height // 3 + 2] = True
        mask[:, width // 4] = True
    elif kind == "pixels":
        mask[torch.from_numpy(rng.random(shape) < 0.02)] = True
    else:
        mask[:, : width // 4] = True
    return mask


def assert_same_spots(found, expected):
    """Compare spots, which need the same order only where they differ."""
    assert torch.equal(found.counts, expected.counts)
    torch.testing.assert_close(
        found.intensities, expected.intensities, rtol=1e-4, atol=1e-6
    )
    for i, n in enumerate(expected.counts.tolist()):
        mine, other = found.positions[i, :n], expected.positions[i, :n]
        apart = (mine[:, None] - other).norm(dim=-1)
        # Spots of equal counts may change places
        near = (
            found.intensities[i, :n, None] / expected.intensities[i, :n] - 1
        ).abs() < 1e-3
        assert ((apart < 1e-4 * PIXEL) & near).any(1).all()
        assert ((apart < 1e-4 * PIXEL) & near).any(0).all()


@settings(derandomize=True, max_examples=60)
@given(
    patterns(),
    st.booleans(),
    st.sampled_from([4, 96]),
    st.sampled_from([3.0, 4.5]),
    st.sampled_from(["auto", 2.0, 5.0]),
)
def test_spots_are_the_same(drawn, known, max_spots, threshold, radius):
    images, mask, centre = drawn
    geometry = PatternGeometry(PIXEL, centre if known else None)
    finder = SpotFinder(max_spots, threshold, disc_radius=radius)
    if max_spots == 4:
        # Which of equal ones are kept says nothing, so that there are none
        generator = torch.Generator().manual_seed(0)
        images = images * (1 + 0.01 * torch.rand(images.shape, generator=generator))
    before = images.clone()
    found = finder(images, geometry, mask)
    assert torch.equal(images, before)
    assert_same_spots(found, reference(finder, images, geometry, mask))
    measure = finder.measure_disc_radius
    expected = reference(measure, images, geometry, mask)
    assert measure(images, geometry, mask) == expected


@pytest.mark.parametrize("shape", [(512, 512), (400, 900)])
def test_spots_of_large_detectors_are_the_same(shape):
    rng = np.random.default_rng(3)
    row, column = np.mgrid[: shape[0], : shape[1]]
    image = np.full(shape, 0.5)
    for y, x in rng.uniform(20, min(shape) - 20, (60, 2)):
        image += 5 * np.exp(-((row - y) ** 2 + (column - x) ** 2) / 8)
    images = torch.from_numpy(rng.poisson(image, (3, *shape)).astype(np.uint16))
    geometry = PatternGeometry(PIXEL, (shape[1] / 2, shape[0] / 2))
    found = SpotFinder()(images, geometry)
    assert (found.counts > 40).all()
    assert_same_spots(found, reference(SpotFinder(), images, geometry))


@given(patterns(least=20), st.sampled_from(["auto", "beam"]))
def test_centres_are_the_same(drawn, method):
    images, mask, _ = drawn
    centres, seen = locate_beam(images, mask, method=method)
    expected, by_beam = reference(locate_beam, images, mask, method=method)
    assert torch.equal(seen, by_beam)
    torch.testing.assert_close(centres, expected, atol=1e-4, rtol=0)


@given(patterns())
def test_noise_is_the_same(drawn):
    images, mask, _ = drawn
    counts = images.to(torch.float32)
    weights = torch.ones(1, *counts.shape[1:])
    if mask is not None:
        counts, weights = counts.masked_fill(mask, 0), (~mask).float()[None]
    found = remove_pedestal(counts, weights)
    for mine, other in zip(
        found, reference(remove_pedestal, counts, weights), strict=True
    ):
        torch.testing.assert_close(mine, other, rtol=1e-5, atol=1e-6)
    gain = electron_gain(counts.clamp(min=0))
    expected = reference(electron_gain, counts.clamp(min=0))
    torch.testing.assert_close(gain, expected, rtol=1e-5, atol=0)


def test_patterns_that_need_a_gradient_are_left_to_pytorch():
    counts = torch.rand(1, 32, 32, requires_grad=True)
    assert _compiled.kernels("_kernels", counts) is None
    assert _compiled.kernels("_kernels", counts.detach().double()) is None
    assert _compiled.kernels("_kernels", counts.detach()) is not None
    electron_gain(counts).sum().backward()
    assert counts.grad.abs().sum() > 0


def test_spots_are_found_without_numba():
    script = """
import sys
sys.modules["numba"] = None
import torch
from pyxem_symnet.descriptors import PatternGeometry, SpotFinder, _compiled
image = torch.ones(1, 64, 64)
image[0, 20:23, 30:33] += 100
spots = SpotFinder()(image, PatternGeometry(0.1, (31.5, 31.5)))
assert spots.counts.tolist() == [1], spots.counts
assert _compiled.kernels("_kernels", image) is None
"""
    subprocess.run([sys.executable, "-c", script], check=True)


def test_masks_are_the_same():
    rng = np.random.default_rng(0)
    images = rng.poisson(20, (6, 96, 96)) + 100
    images[:, 40, 50] = 0
    expected = reference(find_masks, images).combined
    assert expected[40, 50]
    assert np.array_equal(find_masks(images).combined, expected)
