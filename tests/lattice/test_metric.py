# SPDX-License-Identifier: GPL-3.0-or-later
"""Reduced bases and lists of reflections, against slow and plain ways."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyxem_symnet.lattice.metric import (
    determinant,
    fill_reflections,
    is_plausible,
    list_reflections,
    reduce_metric,
)

from .cells import BRAVAIS, direct_basis, random_unimodular, reduced_metric

lengths = st.floats(2.5, 15)
angles = st.floats(60, 120)
seeds = st.integers(0, 2**32 - 1)


@st.composite
def metrics(draw):
    """Return the reciprocal metric of a cell in a reduced basis."""
    cell = [draw(lengths) for _ in range(3)] + [draw(angles) for _ in range(3)]
    cosines = np.cos(np.radians(cell[3:]))
    if 1 - cosines @ cosines + 2 * cosines.prod() < 0.05:
        cell[3:] = (90, 90, 90)
    return reduced_metric(direct_basis(cell))


def sorted_lengths(metric):
    return np.sort(np.sqrt(np.diag(metric)))


class TestReduce:
    @given(metrics(), seeds)
    def test_any_basis_gives_the_shortest_vectors(self, metric, seed):
        change = random_unimodular(np.random.default_rng(seed))
        reduced = reduce_metric(change @ metric @ change.T)
        assert sorted_lengths(reduced) == pytest.approx(sorted_lengths(metric))
        assert determinant(reduced) == pytest.approx(np.linalg.det(metric))

    @given(metrics(), seeds)
    def test_lattice_is_the_same(self, metric, seed):
        change = random_unimodular(np.random.default_rng(seed))
        reduced = reduce_metric(change @ metric @ change.T)
        radius = 1.5 * np.sqrt(np.diag(metric).max())
        expected = list_reflections(metric, radius, 20000)[1]
        found = list_reflections(reduced, radius, 20000)[1]
        # Vectors at the very edge may round to either side
        inner = expected < radius * (1 - 1e-9)
        assert found[: inner.sum()] == pytest.approx(expected[inner])

    @pytest.mark.parametrize("bravais", BRAVAIS)
    def test_bravais_lattices(self, bravais):
        _, cell = BRAVAIS[bravais]
        direct = direct_basis(cell, bravais[1])
        basis = np.linalg.inv(direct).T
        expected = sorted_lengths(reduced_metric(direct))
        assert sorted_lengths(reduce_metric(basis @ basis.T)) == pytest.approx(expected)

    def test_input_is_left_alone(self):
        metric = np.array([[0.04, 0.1, 0], [0.1, 0.5, 0.0], [0, 0, 0.06]])
        before = metric.copy()
        assert (reduce_metric(metric) != before).any()
        assert (metric == before).all()


class TestReflections:
    @given(metrics(), st.floats(0.1, 0.9))
    def test_equal_those_of_a_box(self, metric, radius):
        basis = np.linalg.cholesky(metric)
        n = np.ceil(radius * np.linalg.norm(np.linalg.inv(basis), axis=0)).astype(int)
        box = np.array(
            list(itertools.product(*[range(-m, m + 1) for m in n])), dtype=float
        )
        distance = np.linalg.norm(box @ basis, axis=1)
        expected = {
            tuple(v) for v in box[(distance > 0) & (distance < radius * (1 - 1e-9))]
        }
        hkl, found = list_reflections(metric, radius, 20000)
        assert found == pytest.approx(np.linalg.norm(hkl @ basis, axis=1))
        assert (np.diff(found) >= 0).all()
        assert len({tuple(v) for v in hkl}) == len(hkl)
        both = {tuple(v) for v in hkl} | {tuple(-v) for v in hkl}
        assert len(both) == 2 * len(hkl)
        assert expected <= both
        assert (found <= radius).all()

    def test_none_if_there_are_too_many(self):
        metric = np.diag([0.01, 0.01, 0.01])
        n = len(list_reflections(metric, 0.5, 1000)[0])
        assert len(list_reflections(metric, 0.5, n)[0]) == n
        assert len(list_reflections(metric, 0.5, n - 1)[0]) == 0

    def test_none_of_what_is_no_lattice(self):
        metric = np.diag([0.01, 0.01, -0.01])
        assert fill_reflections(metric, 0.5, np.empty((9, 3)), np.empty(9)) == 0


@pytest.mark.parametrize("edge, plausible", [(1.9, False), (2.1, True)])
def test_no_translation_is_shorter_than_an_atom(edge, plausible):
    metric = reduced_metric(direct_basis((edge, 6, 7, 80, 95, 100)))
    assert is_plausible(metric, 0.1) == plausible
    assert not is_plausible(metric, 0.2)
