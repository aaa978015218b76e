# SPDX-License-Identifier: GPL-3.0-or-later
import math

import pytest
import torch

from pyxem_symnet.descriptors.spots import Spots
from pyxem_symnet.simulation import spot_defects as defects


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def spots():
    """512 patterns of 20 Friedel pairs, with 8 empty slots."""
    random = generator(7)
    half = torch.randn(512, 20, 2, generator=random) * 0.4
    intensity = 10 ** (-4 * torch.rand(512, 20, generator=random))
    empty = torch.zeros(512, 8)
    return Spots(
        torch.cat([half, -half, torch.zeros(512, 8, 2)], 1),
        torch.cat([intensity, intensity, empty], 1),
    )


#: Each effect with no strength
IDENTITIES = {
    "scale": lambda s: defects.scale_positions(s, 1.0),
    "stretch": lambda s: defects.stretch_positions(s, 1.0, 33.0),
    "shift": lambda s: defects.shift_positions(s, 0.0, generator()),
    "position jitter": lambda s: defects.jitter_positions(s, 0.0, generator()),
    "intensity jitter": lambda s: defects.jitter_intensities(s, 0.0, generator()),
    "damp": lambda s: defects.damp_intensities(s, 0.0),
    "compress": lambda s: defects.compress_intensities(s, 1.0),
    "saturate": lambda s: defects.saturate_intensities(s, 1.0),
    "drop weak": lambda s: defects.drop_weak(s, math.inf, generator=generator()),
    "drop random": lambda s: defects.drop_random(s, 0.0, generator()),
    "radius": lambda s: defects.limit_radius(s),
    "cross": lambda s: defects.hide_cross(s, 0.0),
    "spurious": lambda s: defects.add_spurious(s, 0, generator=generator()),
    "overlap": lambda s: defects.overlap(s, s, 0.0),
    "double": lambda s: defects.double_diffraction(s, 0.0),
}

#: Each effect with some strength
EFFECTS = {
    "scale": lambda s, r: defects.scale_positions(s, 1.02),
    "stretch": lambda s, r: defects.stretch_positions(s, 1.05, 33.0),
    "shift": lambda s, r: defects.shift_positions(s, 0.01, r),
    "position jitter": lambda s, r: defects.jitter_positions(s, 0.01, r),
    "intensity jitter": lambda s, r: defects.jitter_intensities(s, 0.3, r),
    "damp": lambda s, r: defects.damp_intensities(s, 1.0),
    "compress": lambda s, r: defects.compress_intensities(s, 0.5),
    "saturate": lambda s, r: defects.saturate_intensities(s, 0.5),
    "drop weak": lambda s, r: defects.drop_weak(s, 2.0, generator=r),
    "drop random": lambda s, r: defects.drop_random(s, 0.2, r),
    "radius": lambda s, r: defects.limit_radius(s, 0.1, 0.9),
    "cross": lambda s, r: defects.hide_cross(s, 0.05),
    "spurious": lambda s, r: defects.add_spurious(s, 4, generator=r),
    "overlap": lambda s, r: defects.overlap(s, Spots(*(t.flip(0) for t in s)), 0.5),
    "double": lambda s, r: defects.double_diffraction(s, 0.2),
}
#: Effects that leave g and -g equally strong
FRIEDEL = ("scale", "stretch", "damp", "compress", "saturate", "radius", "cross")


@pytest.mark.parametrize("name", IDENTITIES)
def test_nothing_happens_without_strength(spots, name):
    same = IDENTITIES[name](spots)
    n_slots = spots.intensities.shape[1]
    assert torch.allclose(same.positions[:, :n_slots], spots.positions, atol=1e-6)
    assert torch.allclose(same.intensities[:, :n_slots], spots.intensities, rtol=1e-5)
    assert (same.intensities[:, n_slots:] == 0).all()


@pytest.mark.parametrize("name", EFFECTS)
def test_effects_follow_the_seed_and_keep_the_contract(spots, name):
    before = Spots(*(tensor.clone() for tensor in spots))
    one = EFFECTS[name](spots, generator(1))
    again = EFFECTS[name](spots, generator(1))
    assert all(torch.equal(a, b) for a, b in zip(one, again, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(spots, before, strict=True))
    assert one.positions.shape == (*one.intensities.shape, 2)
    assert one.intensities.min() >= 0
    assert torch.isfinite(one.positions).all()
    assert torch.isfinite(one.intensities).all()
    # Slots that were empty stay so
    assert (one.intensities[:, 40:48] == 0).all()
    n_slots = spots.intensities.shape[1]
    changed = not (
        one.intensities.shape[1] == n_slots
        and torch.equal(one.intensities, spots.intensities)
        and torch.equal(one.positions, spots.positions)
    )
    assert changed


@pytest.mark.parametrize("name", FRIEDEL)
def test_friedel_pairs_stay_equal(spots, name):
    changed = EFFECTS[name](spots, None)
    assert torch.allclose(changed.positions[:, :20], -changed.positions[:, 20:40])
    assert torch.equal(changed.intensities[:, :20], changed.intensities[:, 20:40])


@pytest.mark.parametrize("name", EFFECTS)
def test_effects_take_patterns_without_spots(name):
    empty = Spots(torch.zeros(3, 4, 2), torch.zeros(3, 4))
    changed = EFFECTS[name](empty, generator())
    assert (changed.intensities == 0).all()


def test_strengths_may_differ_by_pattern(spots):
    factor = torch.linspace(0.9, 1.1, 512)
    scaled = defects.scale_positions(spots, factor)
    expected = spots.positions * factor[:, None, None]
    assert torch.allclose(scaled.positions, expected)


def test_ring_becomes_an_ellipse():
    azimuth = torch.linspace(0, 2 * math.pi, 361)
    ring = torch.stack([azimuth.cos(), azimuth.sin()], -1)[None]
    ellipse = defects.stretch_positions(Spots(ring, torch.ones(1, 361)), 1.1, 30.0)
    radius = ellipse.positions.norm(dim=-1)[0]
    assert radius.max() / radius.min() == pytest.approx(1.1, abs=1e-5)
    assert radius.max() * radius.min() == pytest.approx(1.0, abs=1e-5)
    x, y = ellipse.positions[0, radius.argmax()]
    assert math.degrees(math.atan2(y, x)) % 180 == pytest.approx(30, abs=1e-3)


def test_moments_of_position_errors(spots):
    there = spots.intensities > 0
    jitter = (
        defects.jitter_positions(spots, 0.004, generator()).positions - spots.positions
    )[there]
    assert jitter.std() == pytest.approx(0.004, rel=0.03)
    assert jitter.mean() == pytest.approx(0, abs=1e-4)
    shift = (
        defects.shift_positions(spots, 0.004, generator()).positions - spots.positions
    )
    # All spots of a pattern move together
    assert shift.std(1).max() < 1e-6
    assert shift[:, 0].std() == pytest.approx(0.004, rel=0.1)


def test_moments_of_intensity_errors(spots):
    there = spots.intensities > 0
    jittered = defects.jitter_intensities(spots, 0.3, generator())
    logarithm = (jittered.intensities[there] / spots.intensities[there]).log()
    assert logarithm.std() == pytest.approx(0.3, rel=0.03)
    assert logarithm.mean() == pytest.approx(0, abs=0.01)


def test_damping_is_that_of_debye_and_waller(spots):
    damped = defects.damp_intensities(spots, 0.8)
    there = spots.intensities > 0
    g_squared = (spots.positions**2).sum(-1)[there]
    # As in a structure factor: f exp(-B s²) with s = g / 2, then squared
    factor = torch.exp(-0.8 * g_squared / 4) ** 2
    assert torch.allclose(damped.intensities[there], spots.intensities[there] * factor)


def test_compression_keeps_strongest_and_order(spots):
    flat = defects.compress_intensities(spots, 0.5)
    assert torch.allclose(flat.intensities.amax(-1), spots.intensities.amax(-1))
    relative = spots.relative_intensities().sqrt()
    assert torch.allclose(flat.relative_intensities(), relative, atol=1e-6)
    gone = defects.compress_intensities(spots, 0.0)
    assert torch.equal(gone.counts, spots.counts)


def test_saturation_clips(spots):
    clipped = defects.saturate_intensities(spots, 0.25)
    limit = 0.25 * spots.intensities.amax(-1, keepdim=True)
    assert (clipped.intensities <= limit).all()
    below = spots.intensities <= limit
    assert torch.equal(clipped.intensities[below], spots.intensities[below])


def test_weak_spots_are_missed():
    intensity = torch.full((4000, 3), 1e-2)
    intensity[:, 0], intensity[:, 2] = 1.0, 10**-2.3
    spots = Spots(torch.rand(4000, 3, 2), intensity)
    found = defects.drop_weak(spots, 2.0, 0.15, generator()).intensities > 0
    assert found[:, 0].all()
    rate = found.float().mean(0)
    assert rate[1] == pytest.approx(0.5, abs=0.03)
    # logistic(-0.3 / 0.15)
    assert rate[2] == pytest.approx(1 / (1 + math.exp(2)), abs=0.03)


def test_fraction_missed(spots):
    kept = defects.drop_random(spots, 0.2, generator())
    assert kept.counts.sum() / spots.counts.sum() == pytest.approx(0.8, abs=0.01)


def test_limits_of_the_detector(spots):
    radius = defects.limit_radius(spots, 0.2, 0.6)
    length = radius.positions.norm(dim=-1)[radius.intensities > 0]
    assert length.min() >= 0.2
    assert length.max() <= 0.6
    inside = (spots.positions.norm(dim=-1) - 0.4).abs() <= 0.2
    assert torch.equal(radius.counts, ((spots.intensities > 0) & inside).sum(-1))
    cross = defects.hide_cross(spots, 0.1, 0.03)
    distance = (cross.positions[cross.intensities > 0] - 0.03).abs()
    assert distance.min() >= 0.05


def test_spurious_spots(spots):
    count = torch.arange(512) % 7
    more = defects.add_spurious(
        spots, count, radius=1.0, decades=2.0, halo_fraction=0.0, generator=generator()
    )
    assert torch.equal(more.counts - spots.counts, count)
    added = more.intensities[:, 48:]
    there = added > 0
    radius = more.positions[:, 48:].norm(dim=-1)[there]
    # Evenly over a disc
    assert (radius**2).mean() == pytest.approx(0.5, abs=0.03)
    relative = (added / spots.intensities.amax(-1, keepdim=True))[there]
    assert relative.max() <= 1
    assert relative.log10().mean() == pytest.approx(-1, abs=0.06)
    halo = defects.add_spurious(
        spots, 6, halo_fraction=1.0, halo_radius=0.4, generator=generator()
    )
    radius = halo.positions[:, 48:].norm(dim=-1)
    assert radius.mean() == pytest.approx(0.4, abs=0.01)
    assert radius.std() == pytest.approx(0.08, abs=0.01)


def test_overlap_adds_the_other_grain(spots):
    other = Spots(*(tensor.flip(0) for tensor in spots))
    fraction = torch.rand(512, generator=generator())
    both = defects.overlap(spots, other, fraction)
    assert torch.equal(both.counts, spots.counts + other.counts)
    assert torch.equal(both.intensities[:, :48], spots.intensities)
    strongest = both.intensities[:, 48:].amax(-1) / spots.intensities.amax(-1)
    assert torch.allclose(strongest, fraction)


def test_double_diffraction_fills_forbidden_places():
    # A row h00 with h odd forbidden, lit by (1 1 0) + (2 -1 0) and the like
    h, k = torch.meshgrid(torch.arange(-3, 4), torch.arange(-2, 3), indexing="ij")
    indices = torch.stack([h, k], -1).reshape(-1, 2)
    forbidden = (indices[:, 1] == 0) & (indices[:, 0] % 2 == 1)
    allowed = indices[~forbidden & indices.any(-1)]
    intensity = torch.exp(-0.5 * (allowed**2).sum(-1).float())
    spots = Spots((allowed * 0.2)[None].float(), intensity[None])
    doubled = defects.double_diffraction(spots, 0.1, n_beams=8, radius=0.61)
    added = doubled.intensities[0, len(allowed) :] > 0
    places = (doubled.positions[0, len(allowed) :][added] / 0.2).round().long()
    found = {tuple(place.tolist()) for place in places}
    assert len(found) == len(places)
    assert {(1, 0), (-1, 0)} <= found
    # Nothing on the beam nor on reflections that are there
    assert found.isdisjoint({tuple(index.tolist()) for index in allowed} | {(0, 0)})
    assert torch.equal(doubled.intensities[0, : len(allowed)], spots.intensities[0])
    # c I1 I2 / Imax, from (1 1 0) + (0 -1 0)
    place = (places == torch.tensor([1, 0])).all(-1)
    expected = 0.1 * intensity.max() * math.exp(-1) * math.exp(-0.5) / intensity.max()
    relative = expected / intensity.max()
    strength = doubled.intensities[0, len(allowed) :][added][place]
    assert strength == pytest.approx(float(relative), rel=1e-4)


def test_amorphous_patterns_have_few_spots():
    patterns = defects.amorphous_spots(4000, 64, generator=generator())
    assert patterns.intensities.shape == (4000, 64)
    counts = patterns.counts.float()
    # Exponential: mean 8, rounded down and cut at 64
    assert counts.mean() == pytest.approx(7.4, abs=0.5)
    assert (counts == 0).float().mean() == pytest.approx(1 - math.exp(-1 / 8), abs=0.02)
    length = patterns.positions.norm(dim=-1)[patterns.intensities > 0]
    assert length.max() <= 1.28
    assert ((length > 0.1) & (length < 0.7)).float().mean() > 0.7
