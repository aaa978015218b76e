# SPDX-License-Identifier: GPL-3.0-or-later
"""Calibration, direct beam, resampling."""

import pytest
import torch

from pyxem_symnet.descriptors import PatternGeometry, find_centre, resample


def gaussian(shape, centre, sigma, height=1.0):
    y = torch.arange(shape[0])[:, None] - centre[1]
    x = torch.arange(shape[1]) - centre[0]
    return height * torch.exp(-(x**2 + y**2) / (2 * sigma**2))


def disc(shape, centre, radius, height=1.0):
    y = torch.arange(shape[0])[:, None] - centre[1]
    x = torch.arange(shape[1]) - centre[0]
    return height * (radius + 0.5 - (x**2 + y**2).sqrt()).clamp(0, 1)


def crystal(shape, centre, dose=200.0, beam=20.0, halo=1.0, seed=0):
    """A pattern with Friedel pairs of spots, a halo and Poisson noise."""
    generator = torch.Generator().manual_seed(seed)
    image = gaussian(shape, centre, 30.0, halo) + disc(shape, centre, 3.0, beam)
    for i in (-2, -1, 0, 1, 2):
        for j in (-2, -1, 0, 1, 2):
            if (i, j) == (0, 0):
                continue
            spot = (centre[0] + 17 * i + 4 * j, centre[1] - 3 * i + 15 * j)
            # The pairs are not quite equal, as in real life.
            height = 0.3 + 0.7 * torch.rand(1, generator=generator).item()
            image = image + disc(shape, spot, 2.5, height)
    return torch.poisson(image * dose, generator=generator)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"pixel_size": 0}, "pixel_size"),
        ({"pixel_size": float("nan")}, "pixel_size"),
        ({"pixel_size": 0.01, "centre": (1.0, float("inf"))}, "centre"),
        ({"pixel_size": 0.01, "centre": (1.0, 2.0, 3.0)}, "centre"),
        ({"pixel_size": 0.01, "ellipticity": (0.0, 10.0)}, "ellipticity"),
    ],
)
def test_impossible_geometry_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        PatternGeometry(**settings)


@pytest.mark.parametrize("ellipticity", [None, (1.05, 30.0)])
def test_positions_there_and_back(ellipticity):
    geometry = PatternGeometry(0.01, (60, 70), ellipticity)
    pixels = torch.rand(3, 5, 2) * 100
    centres = geometry.centres(torch.zeros(3, 128, 128))
    k = geometry.to_reciprocal(pixels, centres)
    torch.testing.assert_close(geometry.to_pixels(k, centres), pixels)
    if ellipticity is None:
        torch.testing.assert_close(k[0, 0], (pixels[0, 0] - centres[0]) * 0.01)


def test_ellipticity_stretches_along_its_angle():
    geometry = PatternGeometry(0.01, (0, 0), (1.1, 90.0))
    pixels = geometry.to_pixels(
        torch.tensor([[[1.0, 0.0], [0.0, 1.0]]]), torch.zeros(1, 2)
    )
    expected = torch.tensor([[[100.0, 0.0], [0.0, 110.0]]])
    torch.testing.assert_close(pixels, expected, atol=1e-3, rtol=0)


@pytest.mark.parametrize("before", [None, (0.9, 0.0), (1.3, 0.0)])
def test_further_ellipse_is_undone_but_for_a_turn(before):
    pixels_of = PatternGeometry(0.01, (60, 70), before)
    ellipse = PatternGeometry(1.0).with_ellipse(1.06, 35.0)
    true = torch.rand(1, 9, 2, dtype=torch.float64) - 0.5
    nought = torch.zeros(1, 2, dtype=torch.float64)
    centre = torch.tensor([[60.0, 70.0]], dtype=torch.float64)
    pixels = pixels_of.to_pixels(ellipse.to_pixels(true, nought), centre)
    geometry = pixels_of.with_ellipse(1.06, 35.0)
    found = geometry.to_reciprocal(pixels, centre)[0]
    torch.testing.assert_close(found @ found.T, true[0] @ true[0].T)
    if before is None:
        torch.testing.assert_close(found, true[0])


def test_ellipse_keeps_the_area():
    geometry = PatternGeometry(0.01).with_ellipse(1.06, 35.0)
    like = torch.zeros(1, dtype=torch.float64)
    area = torch.linalg.det(geometry.distortion(like)) / geometry.pixel_size**2
    assert float(area) == pytest.approx(1e4)


@pytest.mark.parametrize("shape", [(64, 64), (128, 160), (256, 256), (515, 512)])
@pytest.mark.parametrize("beam", [0.6, 4.0])
def test_beam_is_found_to_a_part_of_a_pixel(shape, beam):
    middle = torch.tensor([shape[1] / 2, shape[0] / 2])
    centres = middle + torch.tensor([[0.0, 0.0], [3.3, -4.7], [-5.45, 2.1]])
    draw = gaussian if beam < 1 else disc
    images = torch.stack(
        [
            draw(shape, c.tolist(), beam, 500.0)
            + gaussian(shape, c.tolist(), min(shape) / 6, 2.0)
            for c in centres
        ]
    )
    found = find_centre(torch.poisson(images, torch.Generator().manual_seed(1)))
    assert (found - centres).abs().max() < (0.15 if min(shape) < 500 else 0.3)


def test_hot_pixel_is_not_the_beam():
    image = crystal((128, 128), (60.3, 66.8))
    image[80, 45] = 1e7
    found = find_centre(image[None])[0]
    assert (found - torch.tensor([60.3, 66.8])).abs().max() < 0.2


@pytest.mark.parametrize("shape", [(128, 128), (256, 240)])
def test_centre_behind_a_beam_stop(shape):
    centre = (shape[1] / 2 + 2.4, shape[0] / 2 - 3.2)
    mask = torch.zeros(shape, dtype=torch.bool)
    mask[: shape[0] // 2 + 6, shape[1] // 2 - 6 : shape[1] // 2 + 9] = True
    images = torch.stack([crystal(shape, centre, seed=i) for i in range(4)])
    images[:, mask] = 0
    found = find_centre(images, mask)
    assert (found - torch.tensor(centre)).abs().max() < 0.5


def test_friedel_agrees_with_the_beam():
    images = torch.stack([crystal((128, 128), (66.2, 61.7), seed=i) for i in range(3)])
    by_beam = find_centre(images, method="beam")
    by_symmetry = find_centre(images, method="friedel")
    assert (by_beam - by_symmetry).abs().max() < 0.4


def test_batch_is_as_one_by_one_and_input_is_kept():
    images = torch.stack(
        [crystal((96, 96), (48 + i, 47 - i / 2), beam=20 * (i % 2)) for i in range(4)]
    )
    before = images.clone()
    together = find_centre(images)
    single = torch.cat([find_centre(image[None]) for image in images])
    torch.testing.assert_close(together, single, atol=1e-4, rtol=0)
    assert torch.equal(images, before)


def test_errors_of_centring():
    with pytest.raises(ValueError, match="leading axis"):
        find_centre(torch.zeros(64, 64))
    with pytest.raises(ValueError, match="mask"):
        find_centre(torch.zeros(1, 64, 64), torch.zeros(32, 64, dtype=torch.bool))
    with pytest.raises(ValueError, match="method"):
        find_centre(torch.zeros(1, 64, 64), method="mass")
    image = torch.ones(1, 64, 64)
    image[0, 3, 4] = torch.nan
    with pytest.raises(ValueError, match="NaN"):
        find_centre(image)
    find_centre(image, image[0].isnan())  # excluded: no error


@pytest.mark.parametrize("ellipticity", [None, (1.08, 35.0)])
@pytest.mark.parametrize(
    ("shape", "pixel"),
    [((64, 64), 0.04), ((256, 200), 0.012), ((512, 512), 0.006)],
)
def test_any_detector_gives_the_same_grid(shape, pixel, ellipticity):
    centre = (shape[1] / 2 - 2.3, shape[0] / 2 + 1.6)
    geometry = PatternGeometry(pixel, centre, ellipticity)
    y, x = torch.meshgrid(*(torch.arange(n) for n in shape), indexing="ij")
    k = geometry.to_reciprocal(
        torch.stack((x, y), -1).float()[None], torch.tensor([centre])
    )[0]
    # A smooth function of reciprocal space, seen by any detector
    image = torch.cos(3 * k[..., 0]) + torch.sin(2 * k[..., 1])
    result = resample(image[None], geometry, size=32, radius=0.8)[0]
    line = (torch.arange(32) - 15.5) * 0.05
    expected = torch.cos(3 * line) + torch.sin(2 * line)[:, None]
    torch.testing.assert_close(result, expected, atol=0.02, rtol=0)


def test_downscaling_does_not_alias():
    stripes = torch.zeros(1, 256, 256)
    stripes[:, :, ::2] = 1.0
    result = resample(stripes, PatternGeometry(0.01, (127.5, 127.5)), 32, 1.2)
    # Averages of seven pixels: three or four of them bright
    torch.testing.assert_close(result, torch.full_like(result, 0.5), atol=0.08, rtol=0)


def test_excluded_pixels_do_not_count():
    image = torch.full((1, 64, 64), 3, dtype=torch.uint16)
    mask = torch.zeros(64, 64, dtype=torch.bool)
    mask[10:20, 40:] = True
    dirty = image.float()
    dirty[0, mask] = 1e6
    geometry = PatternGeometry(0.01, (31.5, 31.5))
    clean = resample(dirty, geometry, 64, 0.32, mask)
    assert clean[~mask[None]].min() == 3
    assert clean.max() == 3
    assert clean[0, 15, 50] == 0
    outside = resample(image, geometry, 64, 0.64)
    assert outside[0, 0, 0] == 0
    assert outside[0, 32, 32] == 3
