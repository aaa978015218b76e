# SPDX-License-Identifier: GPL-3.0-or-later
import math

import pytest
import torch

from pyxem_symnet.simulation import microscope as effects
from pyxem_symnet.simulation.imaging import draw_discs


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def images():
    """Two patterns of a few discs, 64 columns and 48 rows."""
    centres = torch.tensor([[[32.0, 24.0], [44.0, 30.0]], [[32.0, 24.0], [20.0, 12.5]]])
    return draw_discs(
        centres, torch.tensor([[5.0, 2.0], [5.0, 1.0]]), (48, 64), 2.0, 0.7
    )


def centroid(image):
    rows = torch.arange(image.shape[-2])[:, None]
    columns = torch.arange(image.shape[-1])
    total = image.sum((-2, -1))
    return torch.stack(
        [(image * index).sum((-2, -1)) / total for index in (columns, rows)], -1
    )


# -----------------------------------------------------------------------------
# Discs
# -----------------------------------------------------------------------------
@pytest.mark.parametrize("radius", [0.0, 3.3])
def test_discs_have_their_place_and_intensity(radius):
    centres = torch.tensor([[[30.3, 20.6]]])
    image = draw_discs(centres, torch.tensor([[7.0]]), (48, 64), radius, 0.5)
    assert image.shape == (1, 48, 64)
    assert image.sum() == pytest.approx(7, rel=1e-4)
    assert torch.allclose(centroid(image), centres[0], atol=0.05)
    if radius:
        # Flat, and half as high at the edge: the area is that of the disc
        area = 7 / image[0, 21, 30]
        assert area == pytest.approx(math.pi * radius**2, rel=0.05)


def test_discs_at_the_edge_are_cut_and_far_ones_left_out():
    centres = torch.tensor([[[0.0, 24.0], [500.0, -300.0], [63.0, 47.0]]])
    image = draw_discs(centres, torch.ones(1, 3), (48, 64), 4.0, 0.3)
    assert torch.isfinite(image).all()
    # Pixels reach half a pixel beyond the centre of the first and the last disc
    half = 0.5 + 0.5 * 8 / (math.pi * 16)
    assert image.sum() == pytest.approx(half + half**2, abs=0.02)
    assert image[0, 24, 0] > 0
    assert image[0, :, 20:50].max() == 0


# -----------------------------------------------------------------------------
# Electrons
# -----------------------------------------------------------------------------
def test_dose(images):
    scaled = effects.scale_to_dose(images, torch.tensor([100.0, 3000.0]))
    assert torch.allclose(scaled.sum((-2, -1)), torch.tensor([100.0, 3000.0]))
    assert torch.allclose(
        scaled / scaled.amax((1, 2), True), images / images.amax((1, 2), True)
    )


def test_counting_noise_is_of_poisson():
    expected = torch.full((50, 40, 40), 3.0)
    counted = effects.counting_noise(expected, generator())
    assert counted.mean() == pytest.approx(3, abs=0.03)
    assert counted.var() == pytest.approx(3, abs=0.05)
    assert torch.equal(counted, counted.round())
    assert torch.equal(counted, effects.counting_noise(expected, generator()))


def test_saturation(images):
    limited = effects.saturate(images, 0.1)
    assert limited.max() == pytest.approx(0.1)
    assert torch.equal(limited[images < 0.1], images[images < 0.1])


# -----------------------------------------------------------------------------
# Diffuse scattering
# -----------------------------------------------------------------------------
def test_radius_map():
    radius = effects.radius_map((5, 7), 0.1, torch.tensor([[3.0, 2.0], [0.0, 0.0]]))
    assert radius.shape == (2, 5, 7)
    assert radius[0, 2, 3] == 0
    assert radius[1, 4, 3] == pytest.approx(0.5)


def test_diffuse_scattering_adds_up_and_peaks():
    radius = effects.radius_map((200, 200), 0.01, (100.0, 100.0))
    halo = effects.halo(radius, 0.1)
    rings = effects.amorphous_rings(radius, 0.3, 0.04)
    assert halo.sum() == pytest.approx(1, rel=1e-5)
    assert rings.sum() == pytest.approx(1, rel=1e-5)
    assert radius[0].flatten()[halo.argmax()] == 0
    assert radius[0].flatten()[rings.argmax()] == pytest.approx(0.3, abs=0.01)
    assert halo[0, 100, 110] / halo[0, 100, 120] == pytest.approx(math.e, rel=1e-4)
    # The second ring stands out from between the rings
    assert rings[0, 100, 100 + 52] > 1.5 * rings[0, 100, 100 + 42]


def test_diffuse_scattering_takes_from_the_rest(images):
    halo = effects.halo(effects.radius_map((48, 64), 0.02, (32.0, 24.0)))
    assert torch.equal(effects.add_diffuse(images, halo, 0.0), images)
    total = images.sum((-2, -1))
    mixed = effects.add_diffuse(images, halo, 0.3)
    assert torch.allclose(mixed.sum((-2, -1)), total)
    only = effects.add_diffuse(images, halo, 1.0)
    assert torch.allclose(only, total[:, None, None] * halo)


# -----------------------------------------------------------------------------
# Optics
# -----------------------------------------------------------------------------
def test_blur_adds_variance():
    point = torch.zeros(1, 41, 41)
    point[0, 20, 20] = 2.0
    assert torch.equal(effects.blur(point, 0.0), point)
    spread = effects.blur(point, 1.7)
    assert spread.sum() == pytest.approx(2, rel=1e-4)
    columns = torch.arange(41) - 20.0
    variance = (spread[0] * columns**2).sum() / spread.sum()
    assert variance == pytest.approx(1.7**2, rel=0.01)


def test_distortion_without_strength_is_none(images):
    assert torch.allclose(effects.distort(images), images, atol=1e-5)


def test_shifts_move_images(images):
    shift = torch.tensor([[3.0, -2.0], [0.5, 1.25]])
    moved = effects.distort(images, shift=shift)
    assert torch.allclose(moved[0, :-2, 3:], images[0, 2:, :-3], atol=1e-5)
    assert torch.allclose(centroid(moved), centroid(images) + shift, atol=0.01)


def test_distortion_moves_discs_as_it_does_spots():
    from pyxem_symnet.descriptors.spots import Spots
    from pyxem_symnet.simulation import spot_defects

    position = torch.tensor([[[14.0, 5.0]]])
    image = draw_discs(position + 32, torch.ones(1, 1), (64, 64), 2.0, 0.8)
    moved = effects.distort(image, scale=1.1, ratio=1.2, angle=25.0)
    spots = spot_defects.stretch_positions(Spots(position, torch.ones(1, 1)), 1.2, 25.0)
    spots = spot_defects.scale_positions(spots, 1.1)
    assert torch.allclose(centroid(moved), spots.positions[0] + 32, atol=0.03)
    assert moved.sum() == pytest.approx(1, rel=0.01)


def test_descan_is_linear():
    shifts = effects.descan_shifts((9, 5), 3.0, generator())
    assert shifts.shape == (9, 5, 2)
    assert shifts.norm(dim=-1).max() == pytest.approx(3)
    assert torch.allclose(shifts[4, 2], torch.zeros(2), atol=1e-6)
    assert torch.allclose(shifts.diff(n=2, dim=0), torch.zeros(7, 5, 2), atol=1e-5)
    assert torch.equal(shifts, effects.descan_shifts((9, 5), 3.0, generator()))
    assert effects.descan_shifts((9, 5), 0.0, generator()).abs().max() == 0


# -----------------------------------------------------------------------------
# Detector
# -----------------------------------------------------------------------------
def test_masked_pixels(images):
    mask = effects.random_pixels((48, 64), 0.1, generator())
    assert mask.float().mean() == pytest.approx(0.1, abs=0.02)
    hidden = effects.hide(images, mask)
    assert (hidden[:, mask] == 0).all()
    assert torch.equal(hidden[:, ~mask], images[:, ~mask])
    lit = effects.light_up(images, mask, 9.0)
    assert (lit[:, mask] == 9).all()
    assert torch.equal(lit[:, ~mask], images[:, ~mask])


def test_cross():
    assert not effects.detector_cross((48, 64), 0).any()
    cross = effects.detector_cross((48, 64), 4, (3, -5))
    assert cross.sum() == 4 * 64 + 4 * 48 - 16
    assert cross[0].nonzero()[:, 0].float().mean() + 0.5 == 32 + 3
    assert cross[:, 0].nonzero()[:, 0].float().mean() + 0.5 == 24 - 5


def test_beam_stop():
    stop = effects.beam_stop((64, 64), (30.0, 32.0), 6.0, arm_width=4.0, arm_angle=0.0)
    assert stop[32, 30]
    assert stop[32, 63]
    assert not stop[32, 20]
    assert not stop[50, 50]
    disc = effects.beam_stop((64, 64), (30.0, 32.0), 6.0)
    assert disc.sum() == pytest.approx(math.pi * 36, rel=0.05)
