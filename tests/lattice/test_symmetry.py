# SPDX-License-Identifier: GPL-3.0-or-later
"""Rotations of lattices, exact ones and strained ones."""

import numpy as np
import pytest

from pyxem_symnet.lattice import lattice_groups
from pyxem_symnet.lattice.symmetry import SYSTEMS

from .cells import BRAVAIS, direct_basis, random_unimodular, reduced_metric

ORDERS = {"a": 1, "m": 2, "o": 4, "r": 6, "t": 8, "h": 12, "c": 24}


def groups_of(direct, **kwargs):
    return lattice_groups(reduced_metric(direct), **kwargs)


def exact(groups):
    return [group for group in groups if group.deviation < 1e-3]


def reciprocal_deviation(group, metric):
    """Return how far the group is from leaving the metric as it is."""
    turned = group.operations @ metric @ group.operations.transpose(0, 2, 1)
    return abs(turned - metric).max() / abs(metric).max()


@pytest.mark.parametrize("bravais", BRAVAIS)
class TestBravaisLattices:
    def test_highest_system(self, bravais):
        system, cell = BRAVAIS[bravais]
        groups = exact(groups_of(direct_basis(cell, bravais[1])))
        assert groups[-1].system == system
        assert len([group for group in groups if group.system == system]) == 1

    def test_any_basis_gives_the_same_systems(self, bravais, rng):
        _, cell = BRAVAIS[bravais]
        direct = direct_basis(cell, bravais[1])
        expected = [(g.system, round(g.deviation, 4)) for g in groups_of(direct)]
        for _ in range(5):
            groups = groups_of(random_unimodular(rng) @ direct)
            assert [(g.system, round(g.deviation, 4)) for g in groups] == expected

    def test_exact_groups_leave_the_metric(self, bravais):
        _, cell = BRAVAIS[bravais]
        metric = reduced_metric(direct_basis(cell, bravais[1]))
        for group in exact(lattice_groups(metric)):
            assert reciprocal_deviation(group, metric) < 1e-9

    def test_groups_are_groups(self, bravais):
        _, cell = BRAVAIS[bravais]
        groups = groups_of(direct_basis(cell, bravais[1]))
        assert [g.system for g in groups] == sorted(
            (g.system for g in groups), key=SYSTEMS.index
        )
        for group in groups:
            assert group.operations.dtype.kind == "i"
            assert len(group.operations) == ORDERS[group.system]
            assert (group.operations[0] == np.eye(3)).all()
            elements = {operation.tobytes() for operation in group.operations}
            assert len(elements) == len(group.operations)
            products = np.einsum("aij,bjk->abik", group.operations, group.operations)
            assert {p.tobytes() for row in products for p in row} == elements
            assert (np.linalg.det(group.operations).round() == 1).all()

    def test_small_strain_is_the_deviation(self, bravais, rng):
        system, cell = BRAVAIS[bravais]
        if system == "a":
            pytest.skip("a triclinic lattice has no axis to lose")
        direct = direct_basis(cell, bravais[1])
        strain = rng.normal(scale=0.003, size=(3, 3))
        once, twice = (
            next(
                g.deviation for g in groups_of(direct @ strained) if g.system == system
            )
            for strained in (np.eye(3) + strain, np.eye(3) + 2 * strain)
        )
        # a strain of 0.003 tilts directions by about as many radians
        assert 0.01 < once < 1.5
        assert twice == pytest.approx(2 * once, rel=0.15)


@pytest.fixture
def rng():
    return np.random.default_rng(8)


class TestTolerance:
    def test_nearly_orthorhombic(self):
        metric = reduced_metric(direct_basis((4, 5.5, 7, 90, 91.5, 90)))
        assert [g.system for g in lattice_groups(metric)][-1] == "o"
        assert lattice_groups(metric)[-1].deviation == pytest.approx(1.5)
        assert [g.system for g in lattice_groups(metric, tolerance=1.0)] == ["a", "m"]

    def test_fewer_than_listed_are_kept_by_deviation(self):
        """A cube has nine twofold axes; four groups of one axis are kept."""
        metric = reduced_metric(direct_basis((4, 4.02, 4.05, 90, 90, 90)))
        groups = [g for g in lattice_groups(metric) if g.system == "m"]
        assert len(groups) == 4
        assert [g.deviation for g in groups] == sorted(g.deviation for g in groups)
        assert [g.deviation for g in groups[:3]] == pytest.approx([0] * 3, abs=1e-4)


def test_input_is_left_alone():
    metric = np.diag([0.04, 0.05, 0.06])
    before = metric.copy()
    lattice_groups(metric)
    assert (metric == before).all()


@pytest.mark.parametrize(
    "metric",
    [
        np.eye(2),
        -np.eye(3),
        np.eye(3) + np.triu(np.ones((3, 3)), 1),
        np.full((3, 3), np.nan),
    ],
    ids=["shape", "negative", "asymmetric", "nan"],
)
def test_what_is_no_metric_is_refused(metric):
    with pytest.raises(ValueError, match="symmetric, positive definite"):
        lattice_groups(metric)
