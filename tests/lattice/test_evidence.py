# SPDX-License-Identifier: GPL-3.0-or-later
"""What lattices of known crystals say of their space groups."""

import copy
import dataclasses
import functools

import numpy as np
import pytest

from pyxem_symnet.lattice import COLUMNS, lattice_groups, space_group_evidence
from pyxem_symnet.lattice.evidence import UNLIKE, _candidates
from pyxem_symnet.simulation import example_phases
from pyxem_symnet.simulation.generate import generate_crystals
from pyxem_symnet.symmetry import level_labels, members, space_group

from .fits import WAVELENGTH, known_fit

# Laue classes of one lattice, by turns: 4/m and 4/mmm, the trigonal and hexagonal
# ones, -3 and -3m on R, m-3 and m-3m; the monoclinic ones differ in absences
SPACE_GROUPS = (2, 10, 14, 15, 62, 87, 123, 147, 162, 164, 148, 166, 176, 191, 205, 225)
FOUND = COLUMNS.index("found")
EXAMPLES = ("quartz", "calcite", "rutile", "anatase", "molybdite", "baddeleyite")


@functools.cache
def crystal_of(name):
    if isinstance(name, str):
        return example_phases()[name]
    return next(iter(generate_crystals(name, 1)))


@functools.cache
def fit_of(name):
    return known_fit(crystal_of(name))


@functools.cache
def evidence_of(name):
    return space_group_evidence(fit_of(name), WAVELENGTH)


def row(evidence, number):
    values = evidence.table[number - 1].tolist()
    return dict(zip(COLUMNS, values, strict=True))


def gains_by_class(evidence):
    """Return the largest gain of each Laue class with the right shape of lattice."""
    gains = {}
    for laue_class in level_labels("laue_class"):
        rows = evidence.table[[n - 1 for n in members("laue_class", laue_class)]]
        rows = rows[(rows[:, 0] < 0.1) & (rows[:, FOUND] == 1)]
        if len(rows):
            gains[laue_class] = rows[:, 5].max()
    return gains


@pytest.mark.parametrize("name", EXAMPLES + SPACE_GROUPS)
class TestKnownCrystals:
    def test_its_own_laue_class_explains_the_intensities(self, name):
        number = crystal_of(name).space_group
        gain = row(evidence_of(name), number)["likelihood"]
        gains = gains_by_class(evidence_of(name))
        assert gain == gains.pop(space_group(number).laue_class)
        # no other, and those that are too high by far
        assert all(gain >= other for other in gains.values())

    def test_no_forbidden_reflection_is_seen(self, name):
        found = row(evidence_of(name), crystal_of(name).space_group)
        assert found["found"] == 1
        assert found["deviation"] == pytest.approx(0, abs=1e-3)
        assert found["forbidden_seen"] == found["forbidden_strong"] == 0

    def test_more_absences_than_there_are_would_be_seen(self, name):
        """No space group of its Laue class with more absences is free of spots."""
        number = crystal_of(name).space_group
        own = row(evidence_of(name), number)
        others = members("laue_class", space_group(number).laue_class)
        for other in others:
            found = row(evidence_of(name), other)
            if found["found"] and found["deviation"] < 0.1:
                more = found["forbidden_unseen"] > own["forbidden_unseen"]
                assert not more or found["forbidden_seen"]

    def test_rows_of_what_is_not_possible(self, name):
        table = evidence_of(name).table
        assert table.shape == (230, len(COLUMNS))
        assert table.dtype == np.float32
        assert np.isfinite(table).all()
        missing = table[table[:, FOUND] == 0]
        assert (missing == [5, 0, 0, 0, 0, 0, 0, -2 * UNLIKE, UNLIKE, 0, 0]).all()
        # a triclinic crystal is always possible, and the base of comparison
        assert table[0].tolist() == table[1].tolist()
        assert table[0, 5] == 0


class TestAbsences:
    def test_screw_axis_and_glide_plane(self):
        """P 2_1/c is told from P 2/m in both of them."""
        with_absences = row(evidence_of(14), 14)
        assert with_absences["forbidden_unseen"] > 10
        assert with_absences["absence"] > 10
        assert row(evidence_of(14), 10)["forbidden_unseen"] == 0
        without = row(evidence_of(10), 14)
        assert without["forbidden_seen"] > 10
        assert without["forbidden_strong"] <= without["forbidden_seen"]

    def test_groups_with_equal_absences_are_equal(self):
        """P 222, P mm2 and P mmm; and P 4, P -4 and P 4/m."""
        table = evidence_of("rutile").table
        assert table[46, FOUND] == table[82, FOUND] == 1
        assert table[15].tolist() == table[24].tolist() == table[46].tolist()
        assert table[74].tolist() == table[80].tolist() == table[82].tolist()
        # Pna2_1 and Pnma, whose standard settings name the axes differently
        table = evidence_of("molybdite").table
        assert table[32] == pytest.approx(table[61])

    def test_centring_shows_in_the_lattice(self):
        """I-centred anatase is in no primitive tetragonal cell, and F is."""
        table = evidence_of("anatase").table
        assert table[members("bravais_lattice", "tP")[0] - 1, FOUND] == 0
        assert table[members("bravais_lattice", "tI")[0] - 1, FOUND] == 1


class TestWhatChangesNothing:
    def test_order_of_views_that_cannot_be_indexed_otherwise(self):
        fit = fit_of("baddeleyite")
        turned = dataclasses.replace(fit, views=fit.views[::-1])
        self.assert_same(turned, "baddeleyite")

    @pytest.mark.parametrize("name", [87, 147, 205])
    def test_order_of_views_where_indexing_is_ambiguous(self, name):
        fit = fit_of(name)
        order = np.random.default_rng(1).permutation(len(fit.views))
        permuted = dataclasses.replace(fit, views=tuple(fit.views[i] for i in order))
        number = crystal_of(name).space_group
        found = space_group_evidence(permuted, WAVELENGTH)
        assert found.table[number - 1] == pytest.approx(
            evidence_of(name).table[number - 1], rel=1e-4
        )

    @pytest.mark.parametrize("name", ["quartz", "baddeleyite", 87])
    def test_turned_patterns(self, name):
        angles = np.random.default_rng(2).uniform(0, 2 * np.pi, 16)
        views = []
        for view, angle in zip(fit_of(name).views, angles, strict=True):
            c, s = np.cos(angle), np.sin(angle)
            turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
            views.append(
                dataclasses.replace(
                    view,
                    vectors=view.vectors @ turn.T,
                    rotation=turn @ view.rotation,
                )
            )
        self.assert_same(dataclasses.replace(fit_of(name), views=tuple(views)), name)

    @pytest.mark.parametrize("name", ["quartz", 87, 205])
    def test_other_but_equal_ways_of_indexing(self, name):
        """Each view in another of the ways that the lattice allows."""
        fit = fit_of(name)
        exact = [g for g in lattice_groups(fit.metric) if g.deviation < 1e-3]
        operations = exact[-1].operations
        random = np.random.default_rng(3)
        views = []
        basis = fit.reciprocal_basis
        for view in fit.views:
            w = operations[random.integers(len(operations))]
            # hkl W B R'^T is what hkl B R^T was
            back = np.linalg.inv(w @ basis) @ basis
            views.append(
                dataclasses.replace(
                    view, hkl=view.hkl @ w, rotation=view.rotation @ back.T
                )
            )
        found = space_group_evidence(
            dataclasses.replace(fit, views=tuple(views)), WAVELENGTH
        )
        number = crystal_of(name).space_group
        ours, theirs = row(found, number), row(evidence_of(name), number)
        for column in ("forbidden_seen", "forbidden_unseen", "noise"):
            assert ours[column] == theirs[column]
        # Which way is found first changes scales a little
        assert ours["likelihood"] == pytest.approx(theirs["likelihood"], abs=0.5)
        # P-1, too, which gains are counted from
        assert found.summary["base"] == pytest.approx(
            evidence_of(name).summary["base"], abs=0.5
        )

    def test_scaled_intensities(self):
        views = tuple(
            dataclasses.replace(view, intensities=view.intensities * (1 + i))
            for i, view in enumerate(fit_of("quartz").views)
        )
        self.assert_same(dataclasses.replace(fit_of("quartz"), views=views), "quartz")

    def test_inputs_stay_as_they_are(self):
        fit = fit_of(87)
        before = copy.deepcopy(fit.views)
        space_group_evidence(fit, WAVELENGTH)
        for view, other in zip(fit.views, before, strict=True):
            for field in dataclasses.fields(view):
                np.testing.assert_array_equal(
                    getattr(view, field.name), getattr(other, field.name)
                )

    def assert_same(self, fit, name):
        found = space_group_evidence(fit, WAVELENGTH)
        np.testing.assert_allclose(
            found.table, evidence_of(name).table, rtol=1e-4, atol=1e-3
        )
        for key, value in evidence_of(name).summary.items():
            assert found.summary[key] == pytest.approx(value, rel=1e-6, abs=1e-6)


def test_every_space_group_is_looked_for_in_one_bravais_lattice():
    lattices = "aP mP mC oP oC oA oI oF tP tI hR hP cP cI cF".split()
    rows = [
        row
        for bravais in lattices
        for _, sets in _candidates(bravais)
        for rows, *_ in sets
        for row in rows
    ]
    assert sorted(rows) == list(range(230))


def test_summary():
    fit = fit_of(14)
    summary = evidence_of(14).summary
    assert summary["nv"] == len(fit.views)
    assert summary["n"] * summary["seen"] == pytest.approx(fit.n_matched)
    assert 0 < summary["q"] <= 0.97
    assert summary["deviation_a"] == 0
    assert summary["deviation_m"] < 1e-3
    assert summary["deviation_c"] == 5
    assert all(isinstance(value, float) for value in summary.values())


def test_strain_shows_as_deviation():
    fit = known_fit(crystal_of("rutile"), strain=0.004)
    found = row(space_group_evidence(fit, WAVELENGTH), 136)
    assert 0.02 < found["deviation"] < 2
    assert found["forbidden_seen"] == 0


def test_too_few_spots_say_nothing():
    fit = fit_of("quartz")
    few = dataclasses.replace(
        fit.views[0], matched=np.arange(len(fit.views[0].hkl)) < 7
    )
    assert space_group_evidence(dataclasses.replace(fit, views=(few,))) is None
    assert space_group_evidence(dataclasses.replace(fit, views=())) is None
