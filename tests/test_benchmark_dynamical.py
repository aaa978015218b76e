# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests of the dynamical benchmark; those that simulate need abTEM."""

import dataclasses
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from pyxem_symnet.simulation.reflections import compute_reflections
from pyxem_symnet.simulation.rotations import random_rotations
from pyxem_symnet.simulation.sampler import Reflections, sample_patterns
from pyxem_symnet.simulation.structures import from_phase
from pyxem_symnet.training.splits import split_of
from tests.simulation.crystals import make_phase
from tests.simulation.tables import make_crystals, write_table

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
if not BENCHMARKS.is_dir():
    pytest.skip("the benchmarks are not here", allow_module_level=True)
sys.path.insert(0, str(BENCHMARKS))
import _dynamical_intensities  # noqa: E402
import _dynamical_report  # noqa: E402
import dynamical  # noqa: E402
import dynamical_set  # noqa: E402

sys.path.remove(str(BENCHMARKS))


@pytest.fixture
def rutile():
    return from_phase(make_phase("tetragonal"))


def kinematic_beams(crystal, rotations) -> dynamical_set.Beams:
    """Return the beams near the Ewald sphere, without multiple scattering."""
    half = compute_reflections(crystal, 1.28, standardise=False)
    g = half.hkl.astype(float) @ half.reciprocal_basis
    g = np.concatenate([g, -g])
    squared = np.tile(half.intensity, 2)
    turned = g @ rotations.transpose(0, 2, 1)
    # Wavelength at 200 kV: the sphere touches the origin, its centre at +z
    radius = 1 / 0.025079340
    rho_squared = (turned[..., :2] ** 2).sum(-1)
    error = radius - np.sqrt(radius**2 - rho_squared) - turned[..., 2]
    view, beam = np.nonzero(np.abs(error) < 0.05)
    counts = np.bincount(view, minlength=len(rotations))
    return dynamical_set.Beams(
        first=np.concatenate([[0], counts.cumsum()]),
        positions=turned[view, beam, :2].astype(np.float32),
        excitation_error=error[view, beam][None].astype(np.float32),
        structure_factor=squared[beam].astype(np.float32),
        intensity=np.stack([squared[beam], squared[beam] ** 0.5]).astype(np.float32),
        direct=np.ones((2, len(rotations)), dtype=np.float32),
    )


@pytest.fixture
def rotations():
    generator = torch.Generator().manual_seed(3)
    return random_rotations(4, generator).double().numpy()


def test_kinematic_spots_are_those_of_training(rutile, rotations):
    beams = kinematic_beams(rutile, rotations)
    spots = dynamical.find_spots(beams, dynamical.trained(beams))

    half = compute_reflections(rutile, 1.28, standardise=False)
    g = torch.from_numpy((half.hkl @ half.reciprocal_basis).astype(np.float32))
    reflections = Reflections.from_half(
        g, torch.from_numpy(half.intensity.astype(np.float32))
    )
    expected = sample_patterns(reflections, torch.from_numpy(rotations).float())
    expected = expected.strongest(spots.intensities.shape[1])
    strongest = expected.intensities[:, :1]
    found = expected.intensities > strongest * 10**-dynamical.DECADES
    assert found.any(1).all()
    assert torch.equal(spots.intensities > 0, found)
    assert torch.allclose(
        spots.intensities[found], expected.intensities[found], rtol=2e-3
    )
    assert torch.allclose(
        spots.positions[found].norm(dim=-1),
        expected.positions[found].norm(dim=-1),
        atol=1e-4,
    )


def test_azimuths_are_averaged(rutile, rotations):
    beams = kinematic_beams(rutile, rotations)
    error = np.concatenate([beams.excitation_error, beams.excitation_error + 0.004])
    both = dataclasses.replace(beams, excitation_error=error)
    apart = [dataclasses.replace(beams, excitation_error=e[None]) for e in error]
    for intensities in (dynamical.trained, dynamical.slab(100.0)):
        expected = (intensities(apart[0]) + intensities(apart[1])) / 2
        assert np.allclose(intensities(both), expected)
    assert np.allclose(dynamical.slab(1e-3)(beams), beams.structure_factor)


def test_spots_are_limited_in_range_and_view_by_view():
    beams = dynamical_set.Beams(
        first=np.array([0, 3, 3, 5]),
        positions=np.arange(10, dtype=np.float32).reshape(5, 2),
        excitation_error=np.zeros((1, 5), dtype=np.float32),
        structure_factor=np.ones(5, dtype=np.float32),
        intensity=np.ones((1, 5), dtype=np.float32),
        direct=np.ones((1, 3), dtype=np.float32),
    )
    spots = dynamical.find_spots(beams, np.array([1.0, 5.0, 1e-3, 2e-9, 1e-9]))
    assert (spots.intensities > 0).sum(1).tolist() == [2, 0, 2]
    assert spots.positions[0, 0].tolist() == [2.0, 3.0]


def test_loss_is_in_points_of_the_same_crystals():
    results = [
        {"intensities": "kinematic", "views": 1, "right": [1.0, 1.0, 0.5, 0.0]},
        {"intensities": "kinematic", "views": 16, "right": [0.0, 0.0, 0.0, 0.0]},
        {"intensities": "dynamical", "views": 1, "right": [0.0, 1.0, 0.5, 0.0]},
    ]
    assert _dynamical_report.loss(results[0], results) == (0.0, 0.0)
    assert _dynamical_report.loss(results[2], results) == pytest.approx((25.0, 25.0))


def test_a_power_law_is_found(rutile, rotations):
    beams = kinematic_beams(rutile, rotations)
    near = np.abs(beams.excitation_error[0]) < 0.005
    part = slice(0, len(near))
    intensity = 3 * beams.structure_factor**0.4
    rank, gamma, scatter, *_ = _dynamical_intensities._figures(
        intensity, beams, part, 3.0
    )
    assert (rank, gamma) == pytest.approx((1.0, 0.4), abs=1e-4)
    assert scatter < 1e-4
    # One that is as good as forbidden is counted, and not compared
    beams.structure_factor[near.argmax()] = 1e-9 * beams.structure_factor.max()
    intensity[:] = 0
    intensity[near] = np.linspace(0.5, 1.0, near.sum())
    intensity[near.argmax()] = 0.1
    figures = _dynamical_intensities._figures(intensity, beams, part, 3.0)
    assert figures[4] == pytest.approx(1 / near.sum())
    assert figures[5] == pytest.approx(-1.0)


def test_a_set_is_read_as_written_and_goes_on(tmp_path, monkeypatch, rotations):
    crystals = [
        dataclasses.replace(crystal, material_id=f"{crystal.material_id}-{number}")
        for crystal in make_crystals(1)
        for number in range(20)
    ]
    write_table(tmp_path / "table.parquet", crystals)
    in_test = {
        c.material_id
        for c in crystals
        if split_of(c.material_id, c.structure_type) == "test"
    }
    assert len(in_test) > 3
    simulated = []

    def simulate(crystal, rotations, settings):
        simulated.append(crystal.material_id)
        if len(simulated) == 4:
            raise KeyboardInterrupt
        beams = kinematic_beams(crystal, rotations)
        return dataclasses.replace(beams, direct=beams.direct * len(simulated))

    monkeypatch.setattr(dynamical_set, "simulate", simulate)
    monkeypatch.setattr(dynamical_set, "_WRITE_EVERY", 2)
    settings = dynamical_set.SetSettings(n_views=4, thicknesses=(50.0, 100.0))
    path = tmp_path / "set.parquet"
    with pytest.raises(KeyboardInterrupt):
        dynamical_set.write_set(tmp_path / "table.parquet", path, settings)
    assert len(list(dynamical_set.read_set(path))) == 2
    dynamical_set.write_set(tmp_path / "table.parquet", path, settings)

    assert dynamical_set.read_settings(path) == settings
    read = {
        labels["material_id"]: beams for labels, beams in dynamical_set.read_set(path)
    }
    assert set(read) == in_test
    # The third was lost, the fourth broke off: only they were tried twice
    assert len(simulated) == len(in_test) + 2
    name = simulated[0]
    crystal = next(c for c in crystals if c.material_id == name)
    expected = kinematic_beams(crystal, dynamical_set.views_of(crystal, settings))
    for field in dataclasses.fields(expected):
        value = getattr(expected, field.name)
        assert np.allclose(getattr(read[name], field.name), value, atol=1e-4)
    with pytest.raises(SystemExit, match="other settings"):
        dynamical_set.write_set(
            tmp_path / "table.parquet", path, dataclasses.replace(settings, seed=1)
        )


def strongest_at(beams, thickness, view=0):
    part = slice(beams.first[view], beams.first[view + 1])
    return beams.positions[part], beams.intensity[thickness, part]


def test_thin_crystals_scatter_kinematically(rutile, rotations):
    pytest.importorskip("abtem")
    settings = dynamical_set.SetSettings(thicknesses=(2.0, 500.0))
    beams = dynamical_set.simulate(rutile, rotations, settings)
    thin = dynamical.slab(2.0)(beams)
    expected = kinematic_beams(rutile, rotations)
    for view in range(len(rotations)):
        part = slice(beams.first[view], beams.first[view + 1])
        ratio = beams.intensity[0, part] / thin[part]
        strong = thin[part] > 0.1 * thin[part].max()
        assert ratio[strong].std() < 0.05 * ratio[strong].mean()
        # What the package's sampler puts near its sphere is near abTEM's too
        others = slice(expected.first[view], expected.first[view + 1])
        near = np.abs(expected.excitation_error[0, others]) < 0.02
        apart = expected.positions[others][near][:, None] - beams.positions[part][None]
        distance = np.linalg.norm(apart, axis=-1)
        assert distance.min(1).max() < 1e-4
        error = beams.excitation_error[0, part][distance.argmin(1)]
        assert np.allclose(
            np.abs(error),
            np.abs(expected.excitation_error[0, others][near]),
            atol=1e-4,
        )
    # Nothing is absorbed
    total = beams.direct + np.add.reduceat(beams.intensity, beams.first[:-1], axis=1)
    assert np.allclose(total, 1, atol=1e-3)


@pytest.mark.parametrize("azimuths", [1, 4])
def test_forbidden_spots_appear_off_the_axis_only(rutile, azimuths):
    # The n glide of rutile forbids 010 and the beam along c lies in its plane:
    # it stays dark there (Gjønnes and Moodie, 1965), and lights up off the axis
    pytest.importorskip("abtem")
    settings = dynamical_set.SetSettings(
        thicknesses=(200.0,),
        precession_angle=0.0 if azimuths == 1 else 1.0,
        n_azimuths=azimuths,
    )
    tilt = dynamical_set.Rotation.from_rotvec([1.2, 0.5, 0], degrees=True).as_matrix()
    beams = dynamical_set.simulate(rutile, np.stack([np.eye(3), tilt]), settings)
    relative = []
    for view in range(2):
        positions, intensity = strongest_at(beams, 0, view)
        distance = np.linalg.norm(positions - [0, 1 / 4.594], axis=1)
        forbidden = intensity[distance < 1e-3]
        relative.append(float(forbidden.sum() / intensity.max()))
    on_axis, off_axis = relative
    assert off_axis > 1e-4
    assert (on_axis < 1e-6) == (azimuths == 1)
