# SPDX-License-Identifier: GPL-3.0-or-later
import numpy as np
import pytest
import spglib

from pyxem_symnet.simulation.generate import (
    generate_crystal,
    generate_crystals,
    random_lattice,
    special_position,
)
from pyxem_symnet.simulation.reflections import compute_reflections
from pyxem_symnet.simulation.structures import StructureError
from pyxem_symnet.simulation.wyckoff import orbit
from pyxem_symnet.symmetry.operations import operations, standard_hall_number

EVERY_GROUP = range(1, 231)


def absent(hkl, rotations, translations):
    """Reflections that a screw axis, glide plane or centring forbids."""
    forbidden = np.zeros(len(hkl), dtype=bool)
    for rotation, translation in zip(rotations, translations, strict=True):
        fixed = (hkl @ rotation == hkl).all(-1)
        phase = hkl @ translation
        forbidden |= fixed & (abs(phase - phase.round()) > 1e-6)
    return forbidden


@pytest.mark.parametrize("space_group", EVERY_GROUP)
def test_general_positions_in_every_group(space_group):
    """Generated crystals have the group, its absences and its Laue symmetry."""
    random = np.random.default_rng(space_group)
    crystal = generate_crystal(
        space_group, random, n_sites=(1, 2), special_fraction=0.0
    )
    hall_number = standard_hall_number(space_group)
    rotations, translations = operations(hall_number)
    assert crystal.space_group == crystal.space_group_tight == space_group
    assert crystal.numbers.size % len(rotations) == 0
    # The distance of the farthest corner of a few cells, whatever their size
    edge = np.linalg.norm(crystal.lattice, axis=1).max()
    reflections = compute_reflections(
        crystal, 6.5 / edge, intensity_cut=0, standardise=False
    )
    hkl = reflections.hkl.astype(int)
    intensity = reflections.intensity
    forbidden = absent(hkl, rotations, translations)
    assert intensity[forbidden].max(initial=0) < 1e-22 * intensity.max()
    # None of the others is absent, however weak by chance
    assert intensity[~forbidden].min() > 1e-14 * intensity.max()
    # Equivalent reflections, of which one of each Friedel pair is listed
    by_index = {
        tuple(index): value for index, value in zip(hkl, intensity, strict=True)
    }
    by_index |= {tuple(-index): by_index[tuple(index)] for index in hkl}
    for rotation in rotations[:: max(1, len(rotations) // 6)]:
        partner = np.array([by_index[tuple(index)] for index in hkl @ rotation])
        assert np.allclose(partner, intensity, rtol=1e-8, atol=1e-12 * intensity.max())


@pytest.mark.parametrize(
    "space_group", [1, 2, 14, 62, 88, 141, 148, 166, 194, 205, 225]
)
def test_special_positions(space_group):
    crystals = list(generate_crystals(space_group, 6, seed=4))
    order = len(operations(standard_hall_number(space_group))[0])
    names = {crystal.material_id for crystal in crystals}
    assert names == {f"generated-{space_group}-4-{i}" for i in range(6)}
    assert len({crystal.structure_type for crystal in crystals}) > 1
    multiplicities = set()
    for crystal in crystals:
        assert crystal.space_group == space_group
        cells = np.indices((3, 3, 3)).reshape(3, -1).T - 1
        images = (crystal.positions[:, None] + cells).reshape(-1, 3) @ crystal.lattice
        atoms = crystal.positions @ crystal.lattice
        distance = np.linalg.norm(atoms[:, None] - images, axis=-1)
        assert distance[distance > 1e-9].min() >= 1.6 - 1e-9
        assert (distance < 1e-9).sum() == len(atoms)
        volume = abs(np.linalg.det(crystal.lattice)) / len(atoms)
        assert 5 < volume < 400
        dataset = spglib.get_symmetry_dataset(
            (crystal.lattice, crystal.positions, crystal.numbers)
        )
        orbits = np.unique(dataset.crystallographic_orbits, return_counts=True)[1]
        multiplicities |= set(orbits)
    if space_group > 1:
        assert min(multiplicities) < order


def test_crystals_follow_the_seed():
    one, again = (next(generate_crystals(62, 1, seed=1)) for _ in range(2))
    other = next(generate_crystals(62, 1, seed=2))
    assert np.array_equal(one.positions, again.positions)
    assert not np.array_equal(one.lattice, other.lattice)
    third = list(generate_crystals(62, 3, seed=1))[0]
    assert np.array_equal(one.positions, third.positions)


def test_lattices_keep_the_metric():
    for hall_number in (1, 81, 292, 419, 430, 460, 488, 523):
        lattice = random_lattice(hall_number, 123.0, np.random.default_rng(0))
        assert np.linalg.det(lattice) == pytest.approx(123)
        assert np.allclose(np.triu(lattice, 1), 0)
        metric = lattice @ lattice.T
        for rotation in operations(hall_number)[0]:
            assert np.allclose(rotation.T @ metric @ rotation, metric)


def test_special_positions_are_often_special():
    random = np.random.default_rng(0)
    hall_number = standard_hall_number(225)
    sizes = [
        len(orbit(special_position(hall_number, random), hall_number))
        for _ in range(200)
    ]
    assert (np.array(sizes) < 192).mean() > 0.5
    assert min(sizes) == 4


def test_impossible_crystals_are_refused():
    with pytest.raises(StructureError, match="No crystal of space group 229"):
        generate_crystal(
            229, np.random.default_rng(0), special_fraction=0.0, min_distance=5.0
        )
    with pytest.raises(ValueError, match="1 to 230"):
        generate_crystal(231, np.random.default_rng(0))


def test_hall_numbers_are_those_of_the_group():
    for number in EVERY_GROUP:
        hall_number = standard_hall_number(number)
        assert spglib.get_spacegroup_type(hall_number).number == number
