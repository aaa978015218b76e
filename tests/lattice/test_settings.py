# SPDX-License-Identifier: GPL-3.0-or-later
"""Conventional cells of the Bravais lattices."""

import numpy as np
import pytest
from diffpy.structure import Lattice

from pyxem_symnet.lattice import conventional_settings, lattice_groups

from .cells import BRAVAIS, PRIMITIVE, direct_basis, random_unimodular, reduced_metric

POINTS = {"P": 1, "A": 2, "C": 2, "I": 2, "F": 4, "R": 3}
# How many cells of a lattice there are, by Bravais lattice
CELLS = {
    "aP": 1, "mP": 3, "mC": 1, "oP": 6, "oC": 2, "oA": 2, "oI": 6, "oF": 6, "tP": 1,
    "tI": 1, "hR": 1, "hP": 1, "cP": 2, "cI": 2, "cF": 2,
}  # fmt: skip


def settings_of(metric, system):
    groups = [g for g in lattice_groups(metric, tolerance=0.01) if g.system == system]
    return conventional_settings(groups[0], metric)


def parameters(setting, metric):
    """Return the lengths and angles of a cell."""
    vectors = setting.basis @ np.linalg.cholesky(np.linalg.inv(metric))
    return np.array(Lattice(base=vectors).abcABG())


@pytest.fixture(params=BRAVAIS)
def lattice(request):
    """Return a Bravais lattice, its system and cell, and a reduced metric of it."""
    system, cell = BRAVAIS[request.param]
    rng = np.random.default_rng(len(request.param) + sum(map(ord, request.param)))
    direct = random_unimodular(rng) @ direct_basis(cell, request.param[1])
    return request.param, system, np.array(cell, float), reduced_metric(direct)


def test_bravais_lattice_and_number_of_cells(lattice):
    name, system, _, metric = lattice
    settings = settings_of(metric, system)
    found = sorted(setting.bravais for setting in settings)
    names = {"oS": ["oA", "oC"], "mS": ["mC"]}.get(name, [name])
    assert found == [n for n in names for _ in range(CELLS[n])]
    for setting in settings:
        assert round(np.linalg.det(setting.basis)) == POINTS[setting.bravais[1]]


def test_cell_has_the_lengths_and_angles(lattice):
    name, system, cell, metric = lattice
    for setting in settings_of(metric, system):
        found = parameters(setting, metric)
        # the axes may come in another order where they may be renamed
        if name in ("tP", "tI", "hP", "hR", "cP", "cI", "cF"):
            assert found == pytest.approx(cell)
        if name[0] == "o":
            assert sorted(found[:3]) == pytest.approx(sorted(cell[:3]))
            assert found[3:] == pytest.approx(cell[3:])
        if name[0] == "m":
            assert found[1] == pytest.approx(cell[1])
            assert found[[3, 5]] == pytest.approx([90, 90])
        assert np.prod(found[:3]) > 0


def test_primitive_vectors_of_the_cell_are_the_lattice(lattice):
    """The centring, obverse for R, is where the lattice has its points."""
    _, system, _, metric = lattice
    for setting in settings_of(metric, system):
        vectors = PRIMITIVE[setting.bravais[1]] @ setting.basis
        assert vectors == pytest.approx(vectors.round())
        assert np.linalg.det(vectors) == pytest.approx(1)


def test_rotations_are_those_of_the_cell(lattice):
    """In the cell's basis a rotation permutes and reverses the axes."""
    _, system, _, metric = lattice
    (group,) = [g for g in lattice_groups(metric, tolerance=0.01) if g.system == system]
    for setting in conventional_settings(group, metric):
        basis = setting.basis
        turned = np.linalg.inv(basis.T) @ group.operations @ basis.T
        assert turned == pytest.approx(turned.round())
        assert abs(turned.round()).max() == 1


def test_monoclinic_cells():
    cell = (4, 5.5, 7, 90, 103, 90)
    metric = reduced_metric(direct_basis(cell))
    first, second, third = (parameters(s, metric) for s in settings_of(metric, "m"))
    assert first == pytest.approx(cell)
    assert second == pytest.approx((7, 5.5, 4, 90, 103, 90))
    diagonal = np.sqrt(16 + 49 + 2 * 28 * np.cos(np.radians(103)))
    assert third[:3] == pytest.approx((4, 5.5, diagonal))


def test_threefold_axis_of_a_hexagonal_lattice_has_no_cell():
    metric = reduced_metric(direct_basis(BRAVAIS["hP"][1]))
    groups = [g for g in lattice_groups(metric) if g.system == "r"]
    assert groups
    assert not [s for g in groups for s in conventional_settings(g, metric)]


def test_one_cell_for_every_nearly_symmetric_lattice():
    """Within the tolerance no group is left without a cell or fails."""
    rng = np.random.default_rng(3)
    systems = set()
    for name in list(BRAVAIS) * 4:
        _, cell = BRAVAIS[name]
        strain = np.eye(3) + rng.normal(scale=0.02, size=(3, 3))
        metric = reduced_metric(direct_basis(cell, name[1]) @ strain)
        for group in lattice_groups(metric):
            settings = conventional_settings(group, metric)
            assert settings or group.system == "r"
            assert all(s.basis.dtype.kind == "i" for s in settings)
            assert all(np.linalg.det(s.basis) > 0 for s in settings)
            systems.add(group.system)
    assert systems == set("amorthc")
