# SPDX-License-Identifier: GPL-3.0-or-later
"""Spots drawn as images."""

import json

import pytest
import torch

from pyxem_symnet.descriptors import (
    SpotRenderer,
    Spots,
    grid_coordinates,
    render_for_shaping,
    render_spots,
)


@pytest.fixture
def spots():
    generator = torch.Generator().manual_seed(5)
    positions = torch.rand(3, 7, 2, generator=generator) * 1.4 - 0.7
    intensities = torch.rand(3, 7, generator=generator) + 0.1
    intensities[:, 5:] = 0
    return Spots(positions, intensities)


def test_position_and_height_of_a_spot():
    line = grid_coordinates(64, 0.8)
    position = torch.tensor([[[line[40], line[10]]]])
    image = render_spots(Spots(position, torch.tensor([[3.0]])), 64, 0.8, 1.2)
    assert image.shape == (1, 64, 64)
    # Rows are ky, the second coordinate
    assert image[0].argmax() == 10 * 64 + 40
    assert image.max() == pytest.approx(3.0)
    # The sum of a Gaussian of unit height
    assert image.sum() == pytest.approx(3 * 2 * torch.pi * 1.2**2, rel=1e-3)


def test_subpixel_position_is_kept():
    position = torch.tensor([[[0.2034, -0.1117]]])
    image = render_spots(Spots(position, torch.ones(1, 1)), 128, 0.8, 1.5)[0]
    line = grid_coordinates(128, 0.8)
    kx = (image.sum(0) * line).sum() / image.sum()
    ky = (image.sum(1) * line).sum() / image.sum()
    torch.testing.assert_close(torch.stack((kx, ky)), position[0, 0], atol=1e-5, rtol=0)


def test_empty_slots_and_spots_outside_draw_nothing():
    positions = torch.tensor([[[0.0, 0.0], [5.0, 0.0]]])
    image = render_spots(Spots(positions, torch.tensor([[0.0, 1.0]])), 32, 0.8)
    assert image.sum() == 0


@pytest.mark.parametrize("power", [0.25, 1.0])
def test_spots_turn_with_their_image(spots, power):
    renderer = SpotRenderer(size=48, radius=1.0, power=power)
    image = renderer(spots)
    quarter = torch.stack((-spots.positions[..., 1], spots.positions[..., 0]), -1)
    turned = renderer(Spots(quarter, spots.intensities))
    torch.testing.assert_close(turned, image.rot90(-1, (1, 2)), atol=1e-5, rtol=1e-5)
    mirrored = renderer(
        Spots(spots.positions * torch.tensor([-1.0, 1.0]), spots.intensities)
    )
    torch.testing.assert_close(mirrored, image.flip(2), atol=1e-5, rtol=1e-5)


def test_scale_of_intensities_does_not_matter_to_the_layer(spots):
    renderer = SpotRenderer()
    scaled = Spots(spots.positions, spots.intensities * 1e5)
    torch.testing.assert_close(renderer(scaled), renderer(spots))
    blank = renderer(Spots(spots.positions, torch.zeros_like(spots.intensities)))
    assert torch.equal(blank, torch.zeros(3, 96, 96))
    assert SpotRenderer(**json.loads(json.dumps(renderer.settings))).settings == (
        renderer.settings
    )


def test_eight_bit_images(spots):
    images = render_for_shaping(spots, radius=1.0)
    assert images.shape == (3, 256, 256)
    assert images.dtype == torch.uint8
    assert images[0, 127:129, 127:129].min() > 100  # the direct beam
    outside = images.clone()
    outside[:, 116:138, 116:138] = 0
    assert (outside.flatten(1).amax(1) > 200).all()
    # Five spots of about nine pixels at most, less where they overlap
    assert (5 <= (outside[0] >= 50).sum()) & ((outside[0] >= 50).sum() <= 60)


def test_impossible_settings_are_refused(spots):
    with pytest.raises(ValueError, match="must be > 0"):
        SpotRenderer(radius=0)
    with pytest.raises(ValueError, match="must be > 0"):
        render_spots(spots, 64, 0.8, sigma_px=0)
