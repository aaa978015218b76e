# SPDX-License-Identifier: GPL-3.0-or-later
"""Reflections against diffsims, and the physics they must obey."""

import dataclasses

import numpy as np
import pytest
import spglib
from diffsims.utils.sim_utils import get_kinematical_intensities

from pyxem_symnet.simulation.reflections import compute_reflections
from pyxem_symnet.simulation.structures import StructureError, from_phase
from tests.simulation.crystals import CELLS, make_phase


@pytest.mark.parametrize("system", CELLS)
@pytest.mark.parametrize("scattering_params", ["lobato", "xtables"])
def test_intensities_equal_diffsims(system, scattering_params):
    phase = make_phase(system)
    debye_waller_factors = {"O": 0.7, "Zr": 0.3}
    ours = compute_reflections(
        from_phase(phase),
        1.2,
        0,
        standardise=False,
        scattering_params=scattering_params,
        debye_waller_factors=debye_waller_factors,
    )
    length = np.linalg.norm(ours.hkl @ ours.reciprocal_basis, axis=1)
    theirs = get_kinematical_intensities(
        phase.structure,
        ours.hkl,
        length,
        debye_waller_factors=debye_waller_factors,
        scattering_params=scattering_params,
    )
    np.testing.assert_allclose(
        ours.intensity, theirs, rtol=1e-9, atol=1e-12 * theirs.max()
    )


@pytest.mark.parametrize("system", CELLS)
def test_every_lattice_point_in_the_sphere_once(system):
    crystal = from_phase(make_phase(system))
    hkl = compute_reflections(crystal, 0.7, 0, standardise=False).hkl
    span = np.arange(-15, 16)
    every = np.stack(np.meshgrid(span, span, span), -1).reshape(-1, 3)
    length = np.linalg.norm(every @ crystal.reciprocal_lattice, axis=1)
    expected = every[(length <= 0.7) & (length > 0)]
    assert {tuple(x) for x in np.concatenate([hkl, -hkl])} == {
        tuple(x) for x in expected
    }
    assert 2 * len(hkl) == len(expected)


@pytest.mark.parametrize("system", CELLS)
def test_intensities_are_those_of_the_point_group(system):
    crystal = from_phase(make_phase(system))
    half = compute_reflections(crystal, 0.8, 0, standardise=False)
    intensity = dict(zip(map(tuple, half.hkl), half.intensity, strict=True))
    intensity |= {tuple(-np.array(hkl)): value for hkl, value in intensity.items()}
    dataset = spglib.get_symmetry_dataset(
        (crystal.lattice, crystal.positions, crystal.numbers), symprec=1e-3
    )
    for operation in {op.tobytes(): op for op in dataset.rotations}.values():
        # hkl is a row vector: it is turned by the matrix on its right
        turned = [intensity[tuple(hkl)] for hkl in half.hkl @ operation]
        np.testing.assert_allclose(
            turned, half.intensity, rtol=1e-6, atol=1e-9 * half.intensity.max()
        )


def test_standard_setting_turns_only():
    crystal = from_phase(make_phase("monoclinic"))
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    turn *= np.sign(np.linalg.det(turn))
    turned = dataclasses.replace(crystal, lattice=crystal.lattice @ turn)
    first, second = (compute_reflections(c, 0.9) for c in (crystal, turned))
    np.testing.assert_array_equal(first.hkl, second.hkl)
    np.testing.assert_allclose(
        first.reciprocal_basis, second.reciprocal_basis, atol=1e-9
    )
    a, b, c = first.conventional_lattice
    assert a[0] > 0
    np.testing.assert_allclose(a[1:], 0, atol=1e-9)
    assert abs(b[2]) < 1e-9 < b[1]
    # The conventional cell of P2_1/c: the unique axis is b
    angles = [np.dot(a, b), np.dot(b, c)]
    np.testing.assert_allclose(angles, 0, atol=1e-6)


def test_weak_reflections_are_cut():
    crystal = from_phase(make_phase("orthorhombic"))
    every = compute_reflections(crystal, 1.0, 0)
    strong = compute_reflections(crystal, 1.0, 1e-2)
    limit = 1e-2 * every.intensity.max()
    assert 0 < len(strong.hkl) == (every.intensity > limit).sum() < len(every.hkl)


def test_unknown_elements_and_huge_cells_are_errors():
    crystal = from_phase(make_phase("cubic"))
    strange = dataclasses.replace(crystal, numbers=[110] * len(crystal.numbers))
    with pytest.raises(StructureError, match="Z = 110"):
        compute_reflections(strange)
    huge = dataclasses.replace(crystal, lattice=crystal.lattice * 1e4)
    with pytest.raises(StructureError, match="too long for a reciprocal radius"):
        compute_reflections(huge)
