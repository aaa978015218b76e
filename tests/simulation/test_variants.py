# SPDX-License-Identifier: GPL-3.0-or-later
"""Variants of a crystal have its symmetry, and neither its cell nor intensities."""

import numpy as np
import pytest
import torch

from pyxem_symnet.simulation.packed import PackedReflections
from pyxem_symnet.simulation.store import StoreSettings, compute_row
from pyxem_symnet.simulation.variants import draw_variant
from pyxem_symnet.symmetry.operations import standard_operations
from tests.simulation.tables import make_crystals


@pytest.fixture(scope="module")
def crystals():
    rows = [
        compute_row({}, lambda crystal=crystal: crystal, StoreSettings())
        for crystal in make_crystals(1)
    ]
    return PackedReflections.from_rows(rows, {})


def halves(crystals, index, generator):
    """Return conventional indices, intensities before and after, and the lattice."""
    reflections, lattice = draw_variant(crystals, index, generator)
    half = len(reflections.g) // 2
    hkl = reflections.g[:half].double().numpy() @ lattice.T
    before = crystals[index].intensity[:half].numpy()
    return hkl.round(3), before, reflections.intensity[:half].numpy(), lattice


@pytest.mark.parametrize("seed", [0, 1])
def test_equivalent_reflections_stay_equal(crystals, seed):
    for index in range(len(crystals)):
        generator = torch.Generator().manual_seed(seed)
        hkl, before, after, _ = halves(crystals, index, generator)
        np.testing.assert_allclose(hkl, hkl.round(), atol=2e-3)
        change = np.log(after / before)
        indices = hkl.round().astype(int)
        of = {
            tuple(sign * h): c
            for h, c in zip(indices, change, strict=True)
            for sign in (1, -1)
        }
        for rotation in standard_operations(int(crystals.space_group[index]))[0]:
            moved = [of.get(tuple(h), np.nan) for h in indices @ rotation]
            difference = np.abs(np.array(moved) - change)
            assert np.isfinite(difference).mean() > 0.95
            assert np.nanmax(difference) < 1e-2
        # Not a factor common to all
        assert change.std() > 0.02


def test_no_reflection_comes_or_goes(crystals):
    generator = torch.Generator().manual_seed(0)
    for index in range(len(crystals)):
        hkl, before, after, _ = halves(crystals, index, generator)
        lattice = crystals.conventional_lattice[index]
        half = len(hkl)
        own = crystals[index].g[:half].double().numpy() @ lattice.T
        np.testing.assert_allclose(hkl, own, atol=2e-3)
        assert ((after > 0) == (before > 0)).all()


def test_lattice_keeps_its_symmetry_and_changes(crystals):
    generator = torch.Generator().manual_seed(0)
    for index in range(len(crystals)):
        lattice = draw_variant(crystals, index, generator)[1]
        metric = lattice @ lattice.T
        for rotation in standard_operations(int(crystals.space_group[index]))[0]:
            np.testing.assert_allclose(
                rotation.T @ metric @ rotation, metric, atol=0.02 * metric.max()
            )
        original = crystals.conventional_lattice[index]
        volumes = np.linalg.det(lattice) / np.linalg.det(original)
        assert 0.6 < volumes < 1.6 and abs(volumes - 1) > 1e-3


def test_variant_follows_from_the_generator(crystals):
    first, again, other = (
        draw_variant(crystals, 0, torch.Generator().manual_seed(seed))
        for seed in (3, 3, 4)
    )
    assert torch.equal(first[0].g, again[0].g)
    assert torch.equal(first[0].intensity, again[0].intensity)
    assert not torch.allclose(first[0].g, other[0].g, rtol=1e-3)
