# SPDX-License-Identifier: GPL-3.0-or-later
"""Lattices found in views of them, without knowing anything."""

import dataclasses

import numpy as np
import pytest

from pyxem_symnet.lattice import LatticeFit, Search, find_lattice
from pyxem_symnet.lattice.metric import reduce_metric
from pyxem_symnet.lattice.polish import MOST_SPOTS
from pyxem_symnet.lattice.search import COARSE, PRECISE

from .cells import BRAVAIS, direct_basis
from .patterns import views_of_lattice


def lengths_of(direct_metric):
    """Return the three shortest translations."""
    return np.sort(np.sqrt(np.diag(reduce_metric(direct_metric))))


def assert_found(fit, direct, rel=0.005):
    assert fit.volume == pytest.approx(abs(np.linalg.det(direct)), rel=rel)
    found = lengths_of(np.linalg.inv(fit.metric))
    assert found == pytest.approx(lengths_of(direct @ direct.T), rel=rel)


@pytest.fixture(scope="module")
def monoclinic():
    direct = direct_basis((5.1, 8.2, 9.7, 90, 103, 90))
    return direct, views_of_lattice(direct, n_views=10)


@pytest.fixture(scope="module")
def fit(monoclinic):
    return find_lattice(monoclinic[1])


@pytest.mark.parametrize("bravais", BRAVAIS)
def test_bravais_lattices(bravais):
    _, cell = BRAVAIS[bravais]
    direct = direct_basis(cell, bravais[1])
    fit = find_lattice(views_of_lattice(direct))
    assert_found(fit, direct)
    # Views whose spots nearest to the beam are in one row are not oriented
    assert fit.n_matched > 0.75 * fit.n_spots


def test_large_triclinic_cell():
    direct = direct_basis((7.2, 9.1, 12.3, 84, 97, 106))
    assert_found(find_lattice(views_of_lattice(direct)), direct)


def test_distorted_patterns_are_searched_coarsely(monoclinic):
    direct, views = monoclinic
    random = np.random.default_rng(5)
    distorted = []
    for view in views:
        false = np.column_stack([random.uniform(-1, 1, (4, 2)), np.ones(4)])
        view = np.concatenate([view, false])
        view[:, :2] *= (1.012, 0.995)
        view[:, :2] += random.normal(scale=0.002, size=(len(view), 2))
        distorted.append(view)
    fit = find_lattice(distorted)
    assert fit.coarse
    assert_found(fit, direct, rel=0.03)
    assert fit.log_likelihood > 2 * fit.n_spots


@pytest.mark.filterwarnings("error")
def test_spots_may_lie_in_one_place(monoclinic):
    direct, views = monoclinic
    # As where a finder splits a disc
    twice = [np.concatenate([view, view[:1]]) for view in views]
    assert_found(find_lattice(twice), direct)


class TestFit:
    def test_spots_lie_where_it_says(self, fit):
        for view in fit.views:
            placed = view.hkl @ fit.reciprocal_basis @ view.rotation.T
            error = (placed - view.vectors)[view.matched]
            assert np.hypot(error[:, 0], error[:, 1]).max() <= PRECISE.tolerance
            assert abs(error[:, 2]).max() < 2 * PRECISE.excitation_error
            assert view.hkl.dtype.kind == "i"
            assert view.rotation @ view.rotation.T == pytest.approx(np.eye(3), abs=1e-9)

    def test_views_hold_the_spots_given(self, monoclinic, fit):
        _, views = monoclinic
        # One may be oriented wrongly, and is left out
        assert len(fit.views) >= len(views) - 1
        assert fit.n_spots == sum(min(len(view), MOST_SPOTS) for view in views)
        given = {np.hypot(*view[:, :2].T).min().round(9): view for view in views}
        for indexed in fit.views:
            view = given.pop(np.hypot(*indexed.vectors[0, :2]).round(9))
            distance = np.hypot(view[:, 0], view[:, 1])
            nearest = np.sort(distance)[:MOST_SPOTS]
            found = np.hypot(indexed.vectors[:, 0], indexed.vectors[:, 1])
            assert found == pytest.approx(nearest)
            of_spot = dict(zip(map(tuple, view[:, :2]), view[:, 2], strict=True))
            assert [of_spot[tuple(v)] for v in indexed.vectors[:, :2]] == list(
                indexed.intensities
            )

    def test_cell(self, monoclinic, fit):
        direct, _ = monoclinic
        assert_found(fit, direct)
        assert sorted(fit.cell[:3]) == pytest.approx([5.1, 8.2, 9.7], rel=0.005)


class TestNothingChanges:
    def test_when_patterns_are_turned(self, monoclinic, fit):
        _, views = monoclinic
        turned = []
        for view, angle in zip(views, np.linspace(0, 6, len(views)), strict=True):
            c, s = np.cos(angle), np.sin(angle)
            xy = view[:, :2] @ np.array([[c, s], [-s, c]])
            turned.append(np.column_stack([xy, view[:, 2]]))
        self.check(find_lattice(turned), fit)

    def test_when_views_and_spots_are_permuted(self, monoclinic, fit):
        random = np.random.default_rng(4)
        views = [random.permutation(view) for view in monoclinic[1]]
        random.shuffle(views)
        self.check(find_lattice(views), fit)

    def test_the_second_time(self, monoclinic, fit):
        again = find_lattice(monoclinic[1])
        assert (again.metric == fit.metric).all()
        assert again.log_likelihood == fit.log_likelihood
        for one, other in zip(again.views, fit.views, strict=True):
            assert (one.hkl == other.hkl).all()

    def test_in_the_input(self, monoclinic):
        views = [view.copy() for view in monoclinic[1]]
        find_lattice(views)
        assert all(
            (one == other).all()
            for one, other in zip(views, monoclinic[1], strict=True)
        )

    @staticmethod
    def check(found, expected):
        assert found.volume == pytest.approx(expected.volume, rel=1e-3)
        cell = lengths_of(np.linalg.inv(found.metric))
        assert cell == pytest.approx(lengths_of(np.linalg.inv(expected.metric)), 1e-3)
        assert found.n_matched == pytest.approx(expected.n_matched, rel=0.01)


def test_weak_spots_make_a_superlattice():
    direct = direct_basis((4.1, 5.2, 12.6, 90, 90, 90))
    views = views_of_lattice(direct, seed=1, weak=lambda hkl: hkl[:, 2] % 2 == 1)
    assert_found(find_lattice(views), direct)
    # Without them it is not there
    strong = [view[view[:, 2] > 0.02 * view[:, 2].max()] for view in views]
    assert_found(find_lattice(strong), direct / [[1], [1], [2]])


def test_chance_explains_few_spots():
    random = np.random.default_rng(0)
    views = []
    for _ in range(8):
        xy = random.uniform(-1, 1, (25, 2))
        views.append(np.column_stack([xy, np.ones(25)]))
    fit = find_lattice(views)
    # With wide tolerances some lattice explains most of them, but is not likely
    assert fit is None or fit.log_likelihood < 1.5 * fit.n_spots


class TestInput:
    def test_views_of_few_spots_are_left_out(self, monoclinic, fit):
        _, views = monoclinic
        few = [views[0][:2], *views, np.empty((0, 3))]
        assert (find_lattice(few).metric == fit.metric).all()

    @pytest.mark.parametrize(
        "views",
        [
            [],
            [np.empty((0, 3))],
            [np.ones((2, 3))],
            [np.column_stack([np.linspace(0.1, 0.5, 5), np.zeros(5), np.ones(5)])] * 3,
        ],
        ids=["no view", "empty", "two spots", "one row"],
    )
    def test_nothing_is_found_in_nothing(self, views):
        assert find_lattice(views) is None

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    @pytest.mark.parametrize("column", [0, 2])
    def test_what_is_not_finite_is_refused(self, value, column):
        view = np.ones((5, 3))
        view[2, column] = value
        with pytest.raises(ValueError, match="must be finite"):
            find_lattice([view])

    def test_shape(self):
        with pytest.raises(ValueError, match=r"shape \(spots, 3\).*\(5, 2\)"):
            find_lattice([np.ones((5, 2))])

    def test_units(self):
        with pytest.raises(ValueError, match="Are their positions in 1/Å"):
            find_lattice([np.full((5, 3), 60.0)])
        with pytest.raises(ValueError, match="Is it in kV"):
            find_lattice([np.ones((5, 3))], beam_energy=200_000)

    def test_beam_energy_matters(self):
        """Slow electrons see a more curved sphere."""
        direct = direct_basis((5.1, 8.2, 9.7, 90, 103, 90))
        views = views_of_lattice(direct, n_views=6)
        right, wrong = (find_lattice(views, beam_energy=e) for e in (200, 20))
        assert_found(right, direct)
        assert wrong is None or wrong.log_likelihood < 0.8 * right.log_likelihood


def test_settings():
    with pytest.raises(dataclasses.FrozenInstanceError):
        PRECISE.tolerance = 1.0
    assert all(isinstance(search, Search) for search in COARSE)
    assert min(search.tolerance for search in COARSE) > PRECISE.tolerance


def test_result_is_a_fit(fit):
    assert isinstance(fit, LatticeFit)
