# SPDX-License-Identifier: GPL-3.0-or-later
import dataclasses
import hashlib
import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from pyxem_symnet.simulation.protocols import PROTOCOLS
from pyxem_symnet.simulation.rotations import random_rotations
from pyxem_symnet.simulation.sampler import Reflections, sample_patterns
from pyxem_symnet.simulation.spot_protocol import Protocol


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def reflections():
    """An orthorhombic crystal with intensities that fall with angle."""
    span = torch.arange(-12, 13)
    hkl = torch.cartesian_prod(span, span, span)
    hkl = hkl[hkl.any(-1)].float()
    g = hkl / torch.tensor([6.0, 8.0, 9.0])
    g = g[g.norm(dim=-1) < 1.4]
    hkl = g * torch.tensor([6.0, 8.0, 9.0])
    texture = 1.1 + torch.cos(hkl.abs() @ torch.tensor([1.3, 2.9, 0.7]))
    return Reflections(g, texture * torch.exp(-4 * (g**2).sum(-1)))


@pytest.mark.parametrize("name", PROTOCOLS)
def test_protocols_survive_json(name):
    protocol = PROTOCOLS[name]
    assert protocol.name == name or protocol.name.startswith(f"{name}-")
    settings = json.loads(json.dumps(protocol.to_dict(), allow_nan=False))
    assert Protocol.from_dict(settings) == protocol


def test_numbers_change_with_the_version_only():
    # Settings that came later change nothing where they are at their default
    default = Protocol("default").to_dict()
    digests = {
        protocol.name: hashlib.sha256(
            json.dumps(
                {k: v for k, v in protocol.to_dict().items() if v != default[k]},
                sort_keys=True,
            ).encode()
        ).hexdigest()[:12]
        for protocol in PROTOCOLS.values()
    }
    assert digests == {
        "clean-1": "25f753e18a18",
        "clean-2": "572e67dec72f",
        "noisy-1": "6f619fcb9a2c",
        "noisy-2": "47d2f8b51217",
        "harsh-1": "0e94173ba54c",
        "thick-1": "02c62f354fd4",
        "thick-clean-1": "bdd24a81e7c5",
    }


def test_names_mean_the_latest_version():
    latest = {
        "clean": "clean-2",
        "noisy": "noisy-2",
        "harsh": "harsh-1",
        "thick": "thick-1",
        "thick-clean": "thick-clean-1",
    }
    for name, version in latest.items():
        assert PROTOCOLS[name] is PROTOCOLS[version]
    assert PROTOCOLS["noisy-1"] != PROTOCOLS["noisy-2"]


def test_noisy_2_contains_what_was_measured():
    noisy = PROTOCOLS["noisy-2"]
    path = Path(__file__).parents[2] / "benchmarks" / "real_ranges.json"
    sets = {s["name"]: s for s in json.loads(path.read_text("utf-8"))["sets"]}
    fits = {name: one["fit"] for name, one in sets.items() if one["fit"]}
    assert fits.keys() == {"moo3", "cinchonine"}

    def contains(field, value):
        low, high = getattr(noisy, field)
        return low <= value <= high

    for name, fit in fits.items():
        assert contains("decades", sets[name]["decades"][2])
        assert contains("scale", fit["scale"])
        assert contains("ellipticity", fit["ellipticity"])
        assert contains("position_jitter", fit["position_scatter"])
        # Offset and scatter of the centre, in each coordinate
        x, y = fit["centre"]
        error = math.sqrt((x**2 + y**2) / 2 + fit.get("centre_scatter", 0) ** 2)
        assert contains("centre_shift", error)
        displaced = fit["spots"] - fit["within_wide"]
        assert contains("spurious", displaced / sets[name]["n_patterns"])
    assert fits["cinchonine"]["excitation_error_95"] < noisy.excitation_error[0]
    moo3 = fits["moo3"]
    assert contains("gamma", moo3["gamma"])
    assert contains("intensity_jitter", moo3["intensity_scatter"])
    assert contains("missed", moo3["strong_missed"] / moo3["strong"])
    assert contains("double_strength", moo3["forbidden_strongest"])
    gamma_b = (
        noisy.gamma[0] * noisy.b_factor[0],
        noisy.gamma[1] * noisy.b_factor[1],
    )
    assert gamma_b[0] <= moo3["gamma_b"] <= gamma_b[1]


def test_protocols_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        PROTOCOLS["clean"].max_spots = 3


@pytest.mark.parametrize("name", PROTOCOLS)
def test_draws_follow_the_seed(reflections, name):
    rotations = random_rotations(8, generator())
    one, again, other = (
        PROTOCOLS[name].draw(reflections, rotations, generator(seed))
        for seed in (1, 1, 2)
    )
    assert all(torch.equal(a, b) for a, b in zip(one, again, strict=True))
    same = one.intensities.shape == other.intensities.shape and torch.equal(
        one.intensities, other.intensities
    )
    assert same == name.startswith("clean")


def test_clean_is_the_sampler(reflections):
    rotations = random_rotations(6, generator())
    drawn = PROTOCOLS["clean"].draw(reflections, rotations, generator())
    sampled = sample_patterns(
        reflections,
        rotations,
        beam_energy=200,
        reciprocal_radius=1.28,
        max_excitation_error=0.02,
        max_spots=96,
    )
    assert torch.allclose(drawn.positions, sampled.positions)
    assert torch.allclose(drawn.intensities, sampled.intensities)


def test_noisy_keeps_the_contract_and_its_ranges(reflections):
    random = generator()
    counts, radii, inner = [], [], []
    for _ in range(60):
        rotations = random_rotations(4, random)
        spots = PROTOCOLS["noisy"].draw(reflections, rotations, random)
        assert spots.intensities.shape[1] <= PROTOCOLS["noisy"].max_spots
        assert (spots.intensities.diff(dim=-1) <= 0).all()
        assert torch.isfinite(spots.positions).all()
        there = spots.intensities > 0
        counts += spots.counts.tolist()
        length = spots.positions.norm(dim=-1)[there]
        if len(length):
            radii.append(float(length.max()))
            inner.append(float(length.min()))
    assert max(radii) <= 1.28
    assert min(inner) >= 0.03
    # Dynamic range and detector differ between experiments
    assert min(counts) < 30
    assert max(counts) > 60
    assert torch.tensor(radii).std() > 0.05


def test_noisy_misplaces_spots_as_it_says(reflections):
    """Two views of one orientation share calibration, not jitter."""
    protocol = dataclasses.replace(
        PROTOCOLS["noisy"],
        spurious=(0, 0),
        overlap_probability=0,
        double_probability=0,
    )
    rotation = random_rotations(1, generator()).expand(2, 3, 3)
    distances = []
    for seed in range(40):
        spots = protocol.draw(reflections, rotation, generator(seed))
        there = spots.intensities > 0
        distance = torch.cdist(
            spots.positions[0][there[0]], spots.positions[1][there[1]]
        )
        if distance.numel():
            distances.append(distance.amin(-1))
    # Two spots with jitter up to 0.009 and centres up to 0.006 in each coordinate
    assert 0.002 < torch.cat(distances).median() < 0.015


def test_overlap_needs_no_second_view(reflections):
    protocol = Protocol("test-1", overlap_probability=1.0, overlap=(0.5, 0.5))
    rotation = random_rotations(1, generator())
    alone = PROTOCOLS["clean"].draw(reflections, rotation)
    both = protocol.draw(reflections, rotation, generator())
    distance = torch.cdist(alone.positions[0], both.positions[0]).amin(-1)
    kept = distance[alone.intensities[0] > 0.1 * alone.intensities.max()]
    assert kept.max() < 1e-6
    assert both.counts > alone.counts


def test_protocols_need_torch_only():
    """A training node has neither pyxem nor what it is built on."""
    code = (
        "import sys; import pyxem_symnet.simulation.protocols;"
        "print([m for m in ('hyperspy', 'pyxem', 'orix', 'diffsims', 'spglib')"
        " if m in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    assert found.stdout.strip() == "[]"


def test_harsh_finds_less_than_noisy(reflections):
    random = generator()
    rotations = random_rotations(200, random)
    n_spots = {
        name: dataclasses.replace(protocol, spurious=(0, 0))
        .draw(reflections, rotations, generator(3))
        .counts.float()
        .mean()
        for name, protocol in PROTOCOLS.items()
    }
    assert n_spots["harsh"] < n_spots["noisy"] < n_spots["clean"]


def test_slabs_have_their_rocking_curve(reflections):
    """A slab's spots are those of its squared sinc, others as before."""
    thickness = 200.0
    slab = Protocol("test-1", slab_probability=1.0, thickness=(thickness, thickness))
    rotations = random_rotations(5, generator())
    drawn = slab.draw(reflections, rotations, generator())
    expected = sample_patterns(
        reflections,
        rotations,
        reciprocal_radius=1.28,
        max_excitation_error=0.05,
        shape_factor="sin2c",
        shape_factor_width=5 / thickness,
        max_spots=96,
    )
    torch.testing.assert_close(drawn.intensities, expected.intensities)
    # With a probability of nought nothing else is drawn differently
    never = dataclasses.replace(PROTOCOLS["noisy-2"], thickness=(50.0, 60.0))
    for seed in range(4):
        first = never.draw(reflections, rotations, generator(seed))
        second = PROTOCOLS["noisy-2"].draw(reflections, rotations, generator(seed))
        assert torch.equal(first.intensities, second.intensities)
