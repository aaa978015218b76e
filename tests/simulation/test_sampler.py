# SPDX-License-Identifier: GPL-3.0-or-later
"""The batched sampler against diffsims, spot for spot."""

import numpy as np
import pytest
import torch
from diffsims.crystallography._diffracting_vector import DiffractingVector
from diffsims.generators.simulation_generator import SimulationGenerator
from diffsims.utils.sim_utils import get_electron_wavelength
from orix.quaternion import Rotation

from pyxem_symnet.simulation.reflections import compute_reflections
from pyxem_symnet.simulation.rotations import random_rotations
from pyxem_symnet.simulation.sampler import (
    SHAPE_FACTORS,
    Reflections,
    electron_wavelength,
    sample_patterns,
)
from pyxem_symnet.simulation.structures import from_phase
from tests.simulation.crystals import CELLS, make_phase

N_ROTATIONS = 4


def reflections_of(phase, radius=1.0):
    """Return the reflections that diffsims lists, in the frame of the phase."""
    half = compute_reflections(from_phase(phase), radius, 0, standardise=False)
    g = torch.from_numpy(half.hkl @ half.reciprocal_basis)
    # diffsims 0.7 bounds each index by the length of g over that of a*, not
    # by its product with that of a: it misses a few of an oblique cell.
    listed = DiffractingVector.from_min_dspacing(phase, 1 / radius).hkl
    inside = (np.abs(half.hkl) <= np.abs(listed).max(0).round()).all(1)
    return Reflections.from_half(g[inside], torch.from_numpy(half.intensity[inside]))


def assert_same_spots(spots, simulation):
    # Absent reflections are rounding errors there, of no fixed value
    strong = 1e-12 * spots.intensities.max().item()
    n_spots = 0
    for pattern, expected in enumerate(simulation.coordinates):
        present = spots.intensities[pattern] > 0
        ours = torch.cat(
            [
                spots.positions[pattern][present],
                spots.intensities[pattern][present, None],
            ],
            dim=1,
        ).numpy()
        theirs = np.column_stack([expected.data[:, :2], expected.intensity])
        ours = ours[ours[:, 2] > strong]
        theirs = theirs[theirs[:, 2] > strong]
        assert len(ours) == len(theirs)
        n_spots += len(ours)
        order_ours, order_theirs = (
            np.lexsort((a[:, 1].round(6), a[:, 0].round(6))) for a in (ours, theirs)
        )
        ours, theirs = ours[order_ours], theirs[order_theirs]
        np.testing.assert_allclose(ours[:, :2], theirs[:, :2], atol=1e-9)
        np.testing.assert_allclose(
            ours[:, 2], theirs[:, 2], rtol=1e-6, atol=1e4 * strong
        )
    assert n_spots > 10


def draw(seed, n=N_ROTATIONS):
    """Return random rotations that are the same in every run."""
    generator = torch.Generator().manual_seed(seed)
    return Rotation.from_matrix(random_rotations(n, generator).double().numpy())


def simulate_both(system, generator_options, sampler_options, **pattern_options):
    phase = make_phase(system)
    rotations = draw(1)
    generator = SimulationGenerator(**generator_options)
    simulation = generator.calculate_diffraction2d(
        phase,
        rotations,
        reciprocal_radius=1.0,
        with_direct_beam=False,
        max_excitation_error=pattern_options.get("max_excitation_error", 0.02),
        shape_factor_width=pattern_options.get("shape_factor_width"),
    )
    spots = sample_patterns(
        reflections_of(phase),
        torch.from_numpy((~rotations).to_matrix()),
        reciprocal_radius=1.0,
        **sampler_options,
        **pattern_options,
    )
    return spots, simulation


@pytest.mark.parametrize("system", CELLS)
@pytest.mark.parametrize("beam_energy", [80, 200])
def test_equals_diffsims(system, beam_energy):
    spots, simulation = simulate_both(
        system,
        {"accelerating_voltage": beam_energy},
        {"beam_energy": beam_energy},
    )
    assert_same_spots(spots, simulation)


@pytest.mark.parametrize("shape_factor", SHAPE_FACTORS)
def test_equals_diffsims_for_each_shape_factor(shape_factor):
    spots, simulation = simulate_both(
        "monoclinic",
        {"shape_factor_model": shape_factor},
        {"shape_factor": shape_factor},
        max_excitation_error=0.03,
        shape_factor_width=0.04,
    )
    assert_same_spots(spots, simulation)


@pytest.mark.parametrize("approximate", [True, False])
def test_equals_diffsims_with_precession(approximate):
    spots, simulation = simulate_both(
        "tetragonal",
        {"precession_angle": 0.7, "approximate_precession": approximate},
        {"precession_angle": 0.7, "approximate_precession": approximate},
    )
    assert_same_spots(spots, simulation)


def test_equals_diffsims_at_the_default_voltage_wavelength():
    for beam_energy in (60, 80, 120, 200, 300):
        assert electron_wavelength(beam_energy) == pytest.approx(
            get_electron_wavelength(beam_energy), rel=1e-7
        )


@pytest.mark.parametrize("beam_energy", [0.2, 200_000])
def test_refuses_energies_in_other_units(beam_energy):
    with pytest.raises(ValueError, match="Is it in kV"):
        electron_wavelength(beam_energy)


def test_refuses_unknown_shape_factor():
    reflections = reflections_of(make_phase("cubic"))
    with pytest.raises(ValueError, match="must be one of linear, sinc"):
        sample_patterns(
            reflections, torch.eye(3, dtype=torch.float64)[None], shape_factor="box"
        )


def test_batch_equals_one_by_one():
    reflections = reflections_of(make_phase("hexagonal"))
    rotations = torch.from_numpy(draw(2, 5).to_matrix())
    together = sample_patterns(reflections, rotations)
    for index in range(5):
        alone = sample_patterns(reflections, rotations[index : index + 1])
        n_spots = int(alone.counts)
        assert int(together.counts[index]) == n_spots
        torch.testing.assert_close(
            together.positions[index, :n_spots], alone.positions[0, :n_spots]
        )


def test_turning_about_the_beam_turns_the_pattern():
    reflections = reflections_of(make_phase("trigonal"))
    rotation = torch.from_numpy(draw(3, 1).to_matrix())
    cosine, sine = np.cos(0.4), np.sin(0.4)
    turn = torch.tensor([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1.0]]).double()
    before = sample_patterns(reflections, rotation)
    after = sample_patterns(reflections, turn @ rotation)
    torch.testing.assert_close(after.intensities, before.intensities)
    # The strong spots only: the order of absent ones is that of rounding
    strong = before.intensities > 1e-9 * before.intensities.max()
    turned = before.positions @ turn[:2, :2].T
    torch.testing.assert_close(after.positions[strong], turned[strong])


def test_keeps_the_strongest_spots():
    reflections = reflections_of(make_phase("monoclinic"))
    rotations = torch.from_numpy(draw(4, 3).to_matrix())
    every = sample_patterns(reflections, rotations)
    few = sample_patterns(reflections, rotations, max_spots=5)
    assert few.intensities.shape == (3, 5)
    expected = every.intensities.sort(dim=1, descending=True).values[:, :5]
    torch.testing.assert_close(few.intensities, expected)
