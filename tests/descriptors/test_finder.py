# SPDX-License-Identifier: GPL-3.0-or-later
"""Spots in simulated detector data, where the truth is known."""

import dataclasses
import json

import pytest
import torch
import torch.nn.functional as F

from pyxem_symnet.descriptors import PatternGeometry, SpotFinder

CENTRED = PatternGeometry(0.01, (127.5, 127.5))


def lattice(seed=0, n=8, radius=1.0, spacing=0.2):
    """Return the positions of about 40 Friedel pairs in 1/Å."""
    generator = torch.Generator().manual_seed(seed)
    steps = torch.arange(-n, n + 1)
    index = torch.cartesian_prod(steps, steps).float()
    angle = torch.rand(1, generator=generator) * 6.28
    a = spacing * 0.95 * torch.cat((angle.cos(), angle.sin()))
    b = spacing * 1.15 * torch.cat(((angle + 1.7).cos(), (angle + 1.7).sin()))
    k = index[:, :1] * a + index[:, 1:] * b
    distance = k.norm(dim=1)
    return k[(distance > 0.5 * spacing) & (distance < radius)]


def detect(
    spots,
    shape=(256, 256),
    pixel=0.01,
    centre=None,
    radius=0.02,
    dose=100.0,
    halo=0.3,
    beam=100.0,
    seed=0,
):
    """Return counts: discs of *radius* in 1/Å, halo, beam, Poisson noise.

    *dose* is the counts of a spot on a 0.01 1/Å pixel at the height 1.
    """
    centre = centre or ((shape[1] - 1) / 2, (shape[0] - 1) / 2)
    y = (torch.arange(shape[0])[:, None] - centre[1]) * pixel
    x = (torch.arange(shape[1]) - centre[0]) * pixel
    k = (x**2 + y**2).sqrt()
    image = halo * torch.exp(-k / 0.3)
    blur = max(0.7 * pixel, radius / 4)

    def profile(distance):
        return torch.sigmoid((radius - distance) / blur * 1.5)

    image = image + beam * profile(k)
    for kx, ky in spots.tolist():
        height = 1.0 / (1 + (kx**2 + ky**2) / 0.25)
        image = image + height * profile(((x - kx) ** 2 + (y - ky) ** 2).sqrt())
    generator = torch.Generator().manual_seed(seed)
    return torch.poisson(image * dose * (pixel / 0.01) ** 2, generator=generator)


def match(found, truth, tolerance):
    """Return distances of the true spots that were found, and false ones."""
    positions = found.positions[0][found.intensities[0] > 0]
    assert len(positions), "nothing was found"
    distance = torch.cdist(positions, truth)
    recovered = distance.amin(0)
    return recovered[recovered < tolerance], int((distance.amin(1) > tolerance).sum())


@pytest.mark.parametrize("radius", [0.008, 0.02, 0.045, 0.06])
def test_finds_spots_of_any_size(radius):
    truth = lattice()
    image = detect(truth, radius=radius)
    found = SpotFinder()(image[None], CENTRED)
    errors, n_false = match(found, truth, 0.02)
    assert len(errors) >= 0.95 * len(truth)
    assert n_false <= 1
    # Spots are as weak as 20 counts a pixel, pixels are 0.01
    assert errors.square().mean().sqrt() < max(0.0025, 0.055 * radius)


def test_positions_are_exact_without_noise():
    truth = lattice(2)
    errors, _ = match(SpotFinder()(detect(truth, dose=1e6)[None], CENTRED), truth, 0.02)
    assert len(errors) == len(truth)
    assert errors.square().mean().sqrt() < 0.0003


@pytest.mark.parametrize(("dose", "least"), [(2.0, 0.1), (10.0, 0.9), (100.0, 0.97)])
def test_recall_grows_with_dose_and_nothing_is_invented(dose, least):
    truth = lattice(3)
    images = torch.stack([detect(truth, dose=dose, seed=i) for i in range(4)])
    found = SpotFinder()(images, CENTRED)
    for i in range(4):
        one = type(found)(*(t[i : i + 1] for t in found))
        errors, n_false = match(one, truth, 0.02)
        assert len(errors) >= least * len(truth)
        assert n_false <= 2


def test_intensities_are_proportional_to_counts():
    truth = torch.tensor([[0.4, 0.1], [-0.3, 0.35], [0.1, -0.6]])
    image = detect(truth, dose=2000.0, radius=0.015, halo=0.1, beam=5)
    found = SpotFinder()(image[None], CENTRED)
    strength = 1 / (1 + truth.square().sum(1) / 0.25)
    order = torch.cdist(truth, found.positions[0]).argmin(1)
    ratio = found.intensities[0, order] / strength
    assert ratio.std() / ratio.mean() < 0.06
    assert (found.intensities[0].diff() <= 0).all()


@pytest.mark.parametrize("mean", [0.02, 0.5, 20.0, 5000.0])
@pytest.mark.parametrize("gain", [1.0, 16.0])
def test_noise_holds_no_spots(mean, gain):
    noise = torch.poisson(torch.full((12, 256, 256), mean)) * gain
    counts = SpotFinder()(noise, CENTRED).counts
    assert counts.float().mean() < 1
    assert counts.max() <= 3


def test_halo_and_rings_hold_no_spots():
    line = torch.arange(256) - 127.5
    r = (line[:, None] ** 2 + line**2).sqrt()
    shape = 300 * torch.exp(-((r / 5) ** 2)) + torch.exp(-r / 30)
    shape = shape + 0.3 * torch.exp(-(((r - 60) / 8) ** 2))
    for dose in (1.0, 100.0, 1e4):
        image = torch.poisson((dose * shape).expand(8, 256, 256))
        assert SpotFinder()(image, CENTRED).counts.float().mean() < 1


def test_correlated_noise_holds_few_spots():
    kernel = torch.tensor([1.0, 2.0, 1.0])
    kernel = (kernel[:, None] * kernel / 16)[None, None]
    electrons = torch.poisson(torch.full((8, 1, 256, 256), 2.0))
    image = F.conv2d(electrons * 100, kernel, padding=1)[:, 0]
    image = image + 5 * torch.randn(image.shape)
    assert SpotFinder()(image, CENTRED).counts.float().mean() < 3


def test_hot_pixels_are_not_spots():
    truth = lattice(1)
    image = detect(truth)
    generator = torch.Generator().manual_seed(2)
    y, x = torch.randint(256, (2, 60), generator=generator)
    image[y, x] = 60000.0
    errors, n_false = match(SpotFinder()(image[None], CENTRED), truth, 0.02)
    assert len(errors) >= 0.9 * len(truth)
    assert n_false <= 4


@pytest.mark.parametrize("shape", [(64, 64), (128, 128), (512, 512), (250, 300)])
def test_detector_does_not_matter(shape):
    truth = lattice(4, spacing=0.4)
    reference = SpotFinder()(detect(truth, radius=0.03)[None], CENTRED)
    pixel = 2.56 / max(shape)
    image = detect(truth, shape, pixel, radius=0.03)
    found = SpotFinder()(
        image[None],
        PatternGeometry(pixel, ((shape[1] - 1) / 2, (shape[0] - 1) / 2)),
    )
    inside = truth.abs() < pixel * (torch.tensor(shape).flip(0) / 2 - 4)
    inside = truth[inside.all(1)]
    errors, n_false = match(found, inside, 0.02)
    assert len(errors) >= 0.95 * len(inside)
    assert n_false <= 1
    assert errors.square().mean().sqrt() < 0.05 * pixel + 0.0015
    assert len(match(reference, inside, 0.02)[0]) >= 0.95 * len(inside)


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_spots_turn_with_the_pattern(turns):
    image = detect(lattice(5))
    finder = SpotFinder()
    found = finder(image[None], CENTRED)
    turned = finder(image.rot90(-turns)[None], CENTRED)
    expected = found.positions
    for _ in range(turns):
        expected = torch.stack((-expected[..., 1], expected[..., 0]), -1)
    assert turned.counts == found.counts
    n = int(found.counts)
    torch.testing.assert_close(
        turned.positions[:, :n], expected[:, :n], atol=1e-4, rtol=0
    )


def test_spots_are_mirrored_with_the_pattern():
    image = detect(lattice(5))
    found = SpotFinder()(image[None], CENTRED)
    mirrored = SpotFinder()(image.flip(1)[None], CENTRED)
    n = int(found.counts)
    assert mirrored.counts == n
    torch.testing.assert_close(
        mirrored.positions[:, :n],
        found.positions[:, :n] * torch.tensor([-1.0, 1.0]),
        atol=1e-4,
        rtol=0,
    )


def test_positions_are_relative_to_the_beam_wherever_it_is():
    truth = lattice(6, radius=0.7)
    image = detect(truth, centre=(117.2, 139.6))
    known = SpotFinder()(image[None], PatternGeometry(0.01, (117.2, 139.6)))
    searched = SpotFinder()(image[None], PatternGeometry(0.01))
    for found in (known, searched):
        errors, n_false = match(found, truth, 0.02)
        assert len(errors) >= 0.97 * len(truth)
        assert n_false == 0
        assert errors.square().mean().sqrt() < 0.0025


def test_ellipticity_is_undone():
    truth = lattice(7, radius=0.8)
    geometry = PatternGeometry(0.01, (127.5, 127.5), (1.06, 25.0))
    stretched = geometry.to_pixels(truth[None], torch.zeros(1, 2))[0] * 0.01
    found = SpotFinder()(detect(stretched)[None], geometry)
    errors, _ = match(found, truth, 0.02)
    assert errors.square().mean().sqrt() < 0.0025


def test_mask_is_respected():
    truth = lattice(8)
    image = detect(truth)
    mask = torch.zeros(256, 256, dtype=torch.bool)
    mask[:150, 110:146] = True  # beam stop
    mask[180:183] = True  # dead rows
    image[mask] = 0
    spoilt = image.clone()
    spoilt[mask] = 1e6 * torch.rand(int(mask.sum()))
    clean = SpotFinder()(image[None], CENTRED, mask)
    for found in (clean, SpotFinder()(spoilt[None], CENTRED, mask)):
        torch.testing.assert_close(found.positions, clean.positions)
        k = found.positions[0][found.intensities[0] > 0]
        pixels = (k / 0.01 + 127.5).round().long()
        assert not mask[pixels[:, 1], pixels[:, 0]].any()
    _, n_false = match(clean, truth, 0.02)
    assert n_false <= 2
    assert clean.counts > 40


def test_beam_stop_without_a_mask():
    truth = lattice(9)
    image = detect(truth)
    image[:150, 115:140] = 0
    found = SpotFinder()(image[None], CENTRED)
    _, n_false = match(found, truth, 0.02)
    assert n_false <= 3
    assert found.counts > 40


@pytest.mark.parametrize(
    "dtype", [torch.uint8, torch.uint16, torch.int32, torch.float64]
)
def test_data_types(dtype):
    image = detect(lattice(10), dose=30, beam=5).clamp(max=255)
    finder = SpotFinder()
    expected = finder(image[None], CENTRED)
    found = finder(image[None].to(dtype), CENTRED)
    torch.testing.assert_close(found.positions, expected.positions)
    torch.testing.assert_close(found.intensities, expected.intensities)
    assert found.positions.dtype == torch.float32


def test_batch_is_as_one_by_one_and_input_is_kept():
    images = torch.stack(
        [
            detect(lattice(i), radius=0.01 * (1 + i % 5), dose=10 + 10 * i, seed=i)
            for i in range(18)  # more than a chunk
        ]
    )
    before = images.clone()
    finder = SpotFinder(max_spots=40)
    together = finder(images, PatternGeometry(0.01))
    assert torch.equal(images, before)
    assert together.positions.shape == (18, 40, 2)
    for i, image in enumerate(images):
        single = finder(image[None], PatternGeometry(0.01))
        torch.testing.assert_close(
            together.positions[i], single.positions[0], atol=1e-5, rtol=0
        )


def test_strongest_spots_are_kept():
    image = detect(lattice(11), dose=500)
    many = SpotFinder()(image[None], CENTRED)
    few = SpotFinder(max_spots=5)(image[None], CENTRED)
    assert few.counts == 5
    # Near equals may change places: contrast chooses, flux orders.
    assert (few.intensities[0] >= many.intensities[0, 9]).all()


def test_disc_radius_can_be_given():
    truth = lattice(12)
    image = detect(truth, radius=0.045)
    found = SpotFinder(disc_radius=4.5)(image[None], CENTRED)
    errors, n_false = match(found, truth, 0.02)
    assert len(errors) >= 0.95 * len(truth)
    assert n_false <= 1


@pytest.mark.parametrize(("radius", "expected"), [(0.012, 2.0), (0.045, 4.0)])
def test_disc_radius_of_a_scan_is_measured(radius, expected):
    """And patterns that choose it themselves are found the same spots in."""
    images = torch.stack([detect(lattice(seed), radius=radius) for seed in range(4)])
    images[3] = images[3].mean()  # nothing to be seen
    finder = SpotFinder()
    measured = finder.measure_disc_radius(images, CENTRED)
    assert measured == expected
    known = dataclasses.replace(CENTRED, disc_radius=measured)
    for found, given in zip(
        finder(images[:3], known), finder(images[:3], CENTRED), strict=True
    ):
        torch.testing.assert_close(found, given)
    assert finder.measure_disc_radius(torch.zeros(3, 64, 64), CENTRED) is None
    # What the finder was told comes first
    own = SpotFinder(disc_radius=8)
    torch.testing.assert_close(own(images, known), own(images, CENTRED))


def test_settings_make_the_same_finder():
    finder = SpotFinder(max_spots=30, threshold=6, disc_radius=3.5)
    again = SpotFinder(**json.loads(json.dumps(finder.settings)))
    assert again.settings == finder.settings
    assert "threshold=6.0" in repr(finder)


def test_empty_and_blank_patterns():
    finder = SpotFinder(max_spots=7)
    blank = finder(torch.zeros(2, 64, 64), PatternGeometry(0.01))
    assert blank.counts.tolist() == [0, 0]
    assert torch.equal(blank.positions, torch.zeros(2, 7, 2))
    nothing = finder(torch.zeros(0, 64, 64), PatternGeometry(0.01))
    assert nothing.positions.shape == (0, 7, 2)


def test_tiny_detector():
    image = torch.poisson(torch.ones(3, 16, 16))
    assert SpotFinder()(image, PatternGeometry(0.1)).counts.max() <= 1


@pytest.mark.parametrize("shape", [(33, 40), (64, 300)])
def test_small_and_odd_detectors(shape):
    truth = torch.tensor([[0.6, 0.1], [-0.6, -0.2]])
    image = detect(truth, shape, pixel=0.06, radius=0.06, dose=20.0)
    geometry = PatternGeometry(0.06, ((shape[1] - 1) / 2, (shape[0] - 1) / 2))
    found = SpotFinder()(image[None], geometry)
    errors, n_false = match(found, truth, 0.04)
    assert len(errors) == 2
    assert n_false == 0


def test_nan_is_refused_unless_excluded():
    image = detect(lattice(13))
    image[5, 6] = torch.nan
    with pytest.raises(ValueError, match="NaN"):
        SpotFinder()(image[None], CENTRED)
    assert SpotFinder()(image[None], CENTRED, image.isnan()).counts > 40


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_spots": 0}, "max_spots"),
        ({"threshold": -1}, "threshold"),
        ({"disc_radius": "large"}, "disc_radius"),
        ({"disc_radius": -2}, "disc_radius"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        SpotFinder(**settings)


def test_impossible_patterns_are_refused():
    finder = SpotFinder()
    with pytest.raises(ValueError, match="leading axis"):
        finder(torch.zeros(64, 64), CENTRED)
    with pytest.raises(ValueError, match="too small"):
        finder(torch.zeros(1, 8, 64), CENTRED)
    with pytest.raises(ValueError, match="mask"):
        finder(torch.zeros(1, 64, 64), CENTRED, torch.zeros(8, 8, dtype=torch.bool))


def recorded(image, pedestal, noise=6.0, gain=20.0, spread=1.0):
    """Return what a camera makes of electrons: light, noise and a pedestal."""
    reach = torch.arange(-4, 5)
    kernel = torch.exp(-0.5 * (reach / spread) ** 2)
    kernel = (kernel[:, None] * kernel / kernel.sum() ** 2)[None, None]
    light = gain * F.conv2d(image[None, None], kernel, padding=4)[0, 0]
    generator = torch.Generator().manual_seed(1)
    read = noise * torch.randn(image.shape, generator=generator)
    return (light + read + pedestal).round()


@pytest.mark.parametrize("pedestal", [0.0, 100.0, 1000.0])
def test_pedestal_and_readout_noise_hide_no_spots(pedestal):
    # Spots are a few counts above the pedestal, a part of it only
    truth = lattice(14)
    electrons = detect(truth, radius=0.01, dose=10.0, halo=0.05)
    image = recorded(electrons, pedestal)
    found = SpotFinder()(image[None], CENTRED)
    errors, n_false = match(found, truth, 0.03)
    assert len(errors) >= 0.6 * len(truth)
    assert n_false <= 3


def test_camera_noise_holds_no_spots():
    radius = torch.hypot(*torch.meshgrid(*[torch.arange(256) - 127.5] * 2))
    halo = 300 * torch.exp(-((radius / 5) ** 2)) + 10 * torch.exp(-radius / 30)
    for pedestal in (0.0, 100.0):
        counts = []
        for seed in range(6):
            generator = torch.Generator().manual_seed(seed)
            image = recorded(torch.poisson(halo, generator=generator), pedestal)
            counts.append(SpotFinder()(image[None], CENTRED).counts)
        assert torch.stack(counts).float().mean() <= 2


def test_spots_of_a_large_detector_may_be_sharp():
    truth = lattice(15, radius=0.3, spacing=0.03)
    shape, pixel = (1024, 1024), 0.0006
    image = detect(truth, shape, pixel, radius=0.0009, dose=20000.0, halo=0.05)
    geometry = PatternGeometry(pixel, (511.5, 511.5))
    found = SpotFinder(max_spots=300, central_radius=0.01)(image[None], geometry)
    inside = truth[(truth.abs() < 500 * pixel).all(1)]
    errors, n_false = match(found, inside, 0.002)
    assert len(errors) >= 0.95 * len(inside)
    assert n_false <= 1
    assert errors.square().mean().sqrt() < 0.3 * pixel
