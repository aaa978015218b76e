# SPDX-License-Identifier: GPL-3.0-or-later
import numpy as np
import pytest
import torch

from pyxem_symnet.simulation import crystal_defects as defects
from pyxem_symnet.simulation.example_phases import example_phases
from pyxem_symnet.simulation.reflections import compute_reflections
from pyxem_symnet.simulation.sampler import Reflections
from pyxem_symnet.simulation.structures import StructureError

KNOWN = example_phases()


def random(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# -----------------------------------------------------------------------------
# Structures
# -----------------------------------------------------------------------------
def test_supercells_scatter_alike():
    crystal = KNOWN["rutile"]
    large = defects.supercell(crystal, (2, 1, 3))
    assert large.numbers.size == 6 * crystal.numbers.size
    assert abs(np.linalg.det(large.lattice)) == pytest.approx(
        6 * abs(np.linalg.det(crystal.lattice))
    )
    one = compute_reflections(crystal, 0.8, 1e-9, standardise=False)
    six = compute_reflections(large, 0.8, 1e-9, standardise=False)
    by_index = {tuple(i): v for i, v in zip(one.hkl, one.intensity, strict=True)}
    assert len(six.hkl) == len(one.hkl)
    for index, value in zip(six.hkl // (2, 1, 3), six.intensity, strict=True):
        assert value == pytest.approx(36 * by_index[tuple(index)], rel=1e-9)


def test_vacancies():
    crystal = defects.supercell(KNOWN["rutile"], (3, 3, 3))
    assert np.array_equal(
        defects.vacancies(crystal, 0.0, random()).positions, crystal.positions
    )
    poorer = defects.vacancies(crystal, 0.1, random())
    assert poorer.numbers.size == round(0.9 * 162)
    kept = {tuple(x) for x in poorer.positions.round(6)}
    assert kept < {tuple(x) for x in crystal.positions.round(6)}
    again = defects.vacancies(crystal, 0.1, random())
    assert np.array_equal(poorer.positions, again.positions)
    with pytest.raises(StructureError, match="no atom is left"):
        defects.vacancies(crystal, 1.0, random())


def test_substitution():
    crystal = defects.supercell(KNOWN["ferrite"], (4, 4, 4))
    alloy = defects.substitute(crystal, 0.25, 24, random())
    assert (alloy.numbers == 24).sum() == 32
    assert (alloy.numbers == 26).sum() == 96
    assert np.array_equal(alloy.positions, crystal.positions)
    assert (crystal.numbers == 26).all()
    same = defects.substitute(crystal, 0.0, 24, random())
    assert np.array_equal(same.numbers, crystal.numbers)


def test_displacements_damp_as_debye_and_waller():
    crystal = defects.supercell(KNOWN["austenite"], (4, 4, 4))
    assert np.array_equal(
        defects.displace(crystal, 0.0, random()).positions, crystal.positions
    )
    sigma = 0.08
    moved = defects.displace(crystal, sigma, random())
    shift = (moved.positions - crystal.positions) @ crystal.lattice
    assert shift.std() == pytest.approx(sigma, rel=0.06)
    perfect = compute_reflections(crystal, 0.9, 0.0, standardise=False)
    bragg = perfect.intensity > 1e-6 * perfect.intensity.max()
    real = np.mean(
        [
            compute_reflections(
                defects.displace(crystal, sigma, random(seed)),
                0.9,
                0.0,
                standardise=False,
            ).intensity
            for seed in range(10)
        ],
        axis=0,
    )
    g = perfect.hkl[bragg] @ perfect.reciprocal_basis
    b_factor = 8 * np.pi**2 * sigma**2
    expected = np.exp(-b_factor * (g**2).sum(-1) / 2)
    assert np.allclose(real[bragg] / perfect.intensity[bragg], expected, atol=0.03)
    # What Bragg peaks lose is between them
    assert real[~bragg].mean() > 1e-5 * perfect.intensity.max()


def test_strain():
    crystal = KNOWN["rutile"]
    assert np.array_equal(defects.strain(crystal).lattice, crystal.lattice)
    larger = defects.strain(crystal, 0.02)
    assert np.allclose(larger.lattice, 1.02 * crystal.lattice)
    sheared = defects.strain(crystal, shear=(0, 0, 0.01))
    a, b, c = sheared.lattice
    angle = np.arccos(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
    assert np.pi / 2 - angle == pytest.approx(0.02, rel=1e-3)
    assert np.allclose(c, crystal.lattice[2])


# -----------------------------------------------------------------------------
# Shapes of reciprocal-lattice points
# -----------------------------------------------------------------------------
@pytest.fixture
def reflections():
    half = compute_reflections(KNOWN["austenite"], 1.0)
    return Reflections.from_half(
        torch.as_tensor(half.hkl @ half.reciprocal_basis),
        torch.as_tensor(half.intensity),
    )


def streaks(reflections, fraction=0.6):
    """Faults on (111) of the face-centred cubic lattice, R = a/6 [11-2]."""
    a = 3.591
    return defects.stacking_fault_streaks(
        reflections,
        torch.tensor([1.0, 1.0, 1.0]),
        torch.tensor([1.0, 1.0, -2.0]) * a / 6,
        fraction,
    )


SHAPES = {
    "size": lambda r: defects.finite_size(r, 80.0, generator=generator()),
    "mosaic": lambda r: defects.mosaic_spread(r, 1.0, generator=generator()),
    "faults": streaks,
}


@pytest.mark.parametrize("name", SHAPES)
def test_shapes_conserve_intensity_and_friedel_symmetry(reflections, name):
    spread = SHAPES[name](reflections)
    assert len(spread.g) > len(reflections.g)
    assert spread.intensity.sum() == pytest.approx(float(reflections.intensity.sum()))

    def sorted_points(sign):
        rows = torch.cat([sign * spread.g, spread.intensity[:, None]], 1)
        return np.unique(rows.numpy().round(5) + 0.0, axis=0)

    assert np.allclose(sorted_points(1), sorted_points(-1), atol=2e-5)


def test_shapes_without_strength(reflections):
    for same in (
        defects.finite_size(reflections, np.inf, 2, generator()),
        defects.mosaic_spread(reflections, 0.0, 2, generator()),
    ):
        assert torch.allclose(same.g.reshape(-1, 2, 3)[:, 0], reflections.g)
        assert torch.allclose(
            same.intensity.reshape(-1, 2).sum(-1), reflections.intensity
        )
    same = streaks(reflections, 0.0)
    assert torch.equal(same.g, reflections.g)
    assert torch.equal(same.intensity, reflections.intensity)


def test_size_broadens_as_scherrer_says(reflections):
    spread = defects.finite_size(reflections, 50.0, 400, generator())
    offset = spread.g.reshape(-1, 400, 3) - reflections.g[:, None]
    assert offset.std() * 2.3548 == pytest.approx(0.9 / 50, rel=0.06)
    assert torch.allclose(offset[0], offset[-1], atol=1e-9)


def test_blocks_turn(reflections):
    spread = defects.mosaic_spread(reflections, 0.5, 300, generator())
    blocks = spread.g.reshape(-1, 300, 3)
    assert torch.allclose(
        blocks.norm(dim=-1), reflections.g.norm(dim=-1, keepdim=True), atol=1e-6
    )
    shift = (blocks - reflections.g[:, None]).norm(dim=-1)
    # Two of three axes move a vector
    angle = torch.rad2deg(shift / reflections.g.norm(dim=-1, keepdim=True))
    assert (angle**2).mean().sqrt() == pytest.approx(0.5 * 2**0.5, rel=0.05)


def test_only_reflections_that_see_the_fault_get_streaks(reflections):
    faulted = streaks(reflections)
    a = 3.591
    h = (reflections.g * a).round()
    # g R = (h + k - 2 l) / 6: an integer multiple of 1 or not
    sharp = ((h[:, 0] + h[:, 1] - 2 * h[:, 2]) % 6) == 0
    assert sharp.any()
    assert not sharp.all()
    distance = torch.cdist(reflections.g, faulted.g)
    neighbours = ((distance > 1e-6) & (distance < 0.05)).any(-1)
    assert torch.equal(neighbours, ~sharp)
    # Streaks run along the normal
    near = (distance > 1e-6) & (distance < 0.05)
    row = int((~sharp).nonzero()[0])
    direction = faulted.g[near[row]] - reflections.g[row]
    cosine = direction @ torch.ones(3, dtype=torch.float64) / 3**0.5
    assert torch.allclose(cosine.abs(), direction.norm(dim=-1))
