# SPDX-License-Identifier: GPL-3.0-or-later
"""Lattices of views that are each distorted and shifted in their own way."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from pyxem_symnet.lattice import find, lattice_groups
from pyxem_symnet.lattice.best_distorted import DistortedFits
from pyxem_symnet.lattice.distorted import (
    _step,
    _View,
    polish_distorted,
    share_distortion,
)
from pyxem_symnet.lattice.distortion import turned_distortion
from pyxem_symnet.lattice.indexing import STRAINS, SpotList, index_views
from pyxem_symnet.lattice.metric import list_reflections, reduce_metric
from pyxem_symnet.lattice.orient_distorted import orient_distorted
from pyxem_symnet.lattice.search import COARSE, PRECISE
from pyxem_symnet.lattice.strain import strain_information
from pyxem_symnet.lattice.view_fit import (
    N_ALL,
    N_OWN,
    fit_view,
    normal_equations,
    undistorted,
)
from pyxem_symnet.simulation import example_phases
from pyxem_symnet.simulation.rotations import random_rotations

from .fits import known_fit

# How spots are displaced at random, in 1/Å
NOISE = 0.002
# Of all views alike
DISTORTION = np.array([0.014, -0.008])
SYSTEMS = {"baddeleyite": "m", "calcite": "r"}


def distorted(vectors, own):
    """Return where spots are seen: the literal rule, of which the inverse is used."""
    a, b, x, y = own
    seen = vectors.copy()
    seen[:, :2] = vectors[:, :2] @ np.array([[1 + a, b], [b, 1 - a]]) + [x, y]
    before, after = (vectors[:, :2] ** 2).sum(1), (seen[:, :2] ** 2).sum(1)
    seen[:, 2] = vectors[:, 2] * after / before
    return seen


def draw_own(random):
    size, angle = 0.012, random.uniform(0, 2 * math.pi)
    a, b = size * math.cos(angle), size * math.sin(angle)
    return np.array([a, b, *random.normal(0, 0.0015, 2)])


def orthogonal(random):
    """Return a matrix that turns a pattern, and mirrors it or not."""
    angle = random.uniform(0, 2 * math.pi)
    cosine, sine = math.cos(angle), math.sin(angle)
    hand = random.choice([-1, 1])
    return np.array([[cosine, -sine], [hand * sine, hand * cosine]])


def small_rotation(vector):
    return torch.linalg.matrix_exp(torch.tensor(np.cross(np.eye(3), vector))).numpy()


@pytest.fixture(scope="module", params=SYSTEMS)
def known(request):
    return known_fit(example_phases()[request.param], 10)


@pytest.fixture(scope="module")
def seen(known):
    """Views as a badly calibrated detector shows them, and how each is distorted."""
    random = np.random.default_rng(3)
    owns = [draw_own(random) for _ in known.views]
    views = []
    for view, own in zip(known.views, owns, strict=True):
        spots = distorted(view.vectors, own)
        spots[:, :2] += random.normal(0, NOISE, (len(spots), 2))
        order = np.argsort((spots[:, :2] ** 2).sum(1), kind="stable")
        views.append(SpotList(spots[order], view.intensities[order]))
    return views, owns


def test_a_distortion_is_undone():
    random = np.random.default_rng(0)
    vectors = random.normal(0, 0.5, (30, 3))
    own = draw_own(random)
    found = np.empty_like(vectors)
    undistorted(distorted(vectors, own), own, found)
    np.testing.assert_allclose(found, vectors, atol=1e-12)


def test_normal_equations_are_of_the_derivatives(known):
    """Least squares of a linear model whose slopes come from differences."""
    view = known.views[0]
    basis = known.reciprocal_basis
    own = np.zeros(4)
    matched = view.matched.copy()
    hkl = view.hkl.astype(float)
    error, excitation = 1e3, 2e3

    def residuals(step):
        rotation = small_rotation(step[:3]) @ view.rotation
        strained = basis @ (np.eye(3) + np.tensordot(step[7:], STRAINS, 1))
        a, b, x, y = step[3:7]
        ideal = hkl[matched] @ strained @ rotation.T
        there = ideal.copy()
        there[:, :2] = ideal[:, :2] @ np.array([[1 + a, b], [b, 1 - a]]) + [x, y]
        return (view.vectors[matched] - there).ravel()

    h = 1e-6
    slopes = np.stack(
        [(residuals(-h * e) - residuals(h * e)) / (2 * h) for e in np.eye(13)], -1
    )
    limits = error, excitation, N_ALL
    normal, right = normal_equations(
        basis, view.rotation, own, view.vectors, hkl, matched, *limits
    )
    empty, none = normal_equations(
        basis, view.rotation, own, view.vectors, hkl, 0 * matched > 1, *limits
    )
    weight = error**-2
    np.testing.assert_allclose(
        (normal - empty) / weight, slopes.T @ slopes, rtol=1e-4, atol=1e-5
    )
    np.testing.assert_allclose(
        (right - none) / weight,
        slopes.T @ residuals(np.zeros(13)),
        rtol=1e-3,
        atol=1e-6,
    )
    of_view, own_right = normal_equations(
        basis, view.rotation, own, view.vectors, hkl, matched, error, excitation, N_OWN
    )
    np.testing.assert_array_equal(of_view, normal[:N_OWN, :N_OWN])
    np.testing.assert_array_equal(own_right, right[:N_OWN])


@pytest.mark.parametrize("shared", [False, True], ids=["own", "shared"])
def test_views_put_aside_one_by_one_or_all_at_once(known, seen, shared):
    """What all have in common is that of one large least-squares problem."""
    basis = known.reciprocal_basis
    random = np.random.default_rng(4)
    views = []
    for spots, view in zip(seen[0], known.views, strict=True):
        frame = turned_distortion(orthogonal(random))
        fitted = _View(spots, view.rotation[None], frame, shared)
        fitted.rotation[:] = view.rotation
        fitted.match(basis, 0.03)
        views.append(fitted)
    n = 8 + N_OWN * len(views)
    normal, right = np.zeros((n, n)), np.zeros(n)
    normal[2:8, 2:8] = 1e3 * np.eye(6)
    # Nothing refers to the common distortion, or else to those of the views
    unused = [0, 1] if not shared else []
    for index, view in enumerate(views):
        own = 8 + N_OWN * index + np.arange(N_OWN)
        found = normal_equations(
            basis, view.rotation, view.own, view.vectors, view.hkl, view.matched, 0.006,
            0.05, N_ALL,
        )  # fmt: skip
        place = np.zeros((N_ALL, n))
        place[np.arange(N_ALL), np.r_[own, 2:8]] = 1
        if shared:
            place[3:5] = 0
            place[3:5, :2] = view.frame
            unused += own[3:5].tolist()
        normal += place.T @ found[0] @ place
        right += place.T @ found[1]
    normal[unused, unused] = 1
    solution = np.linalg.solve(normal, right)
    strained = basis @ (np.eye(3) + np.tensordot(solution[2:8], STRAINS, 1))
    np.testing.assert_allclose(_step(basis, views, 0.006), strained, atol=1e-9)
    for index, view in enumerate(views):
        own = solution[8 + N_OWN * index :][3:N_OWN]
        if shared:
            own[:2] = view.frame @ solution[:2]
        np.testing.assert_allclose(view.own, own, atol=1e-9)


def test_distortion_and_shift_are_found(known):
    """Exactly, without errors, from an orientation that is a little off."""
    random = np.random.default_rng(1)
    for view in known.views[:5]:
        own = draw_own(random)
        spots = distorted(view.vectors, own)
        rotation = small_rotation(random.normal(0, 0.002, 3)) @ view.rotation
        found = np.zeros(4)
        vectors, hkl = np.empty_like(spots), np.empty_like(spots)
        n_matched, matched = fit_view(
            known.reciprocal_basis, spots, rotation, found, 0.002, 0.05, 0.003,
            vectors, hkl,
        )  # fmt: skip
        assert n_matched == matched.sum() >= 0.95 * view.matched.sum()
        # Distortions and shifts of typical size are preferred
        np.testing.assert_allclose(found, own, atol=1.5e-3)


def test_distorted_views_are_oriented(known, seen):
    basis = known.reciprocal_basis
    hkl, lengths = list_reflections(known.metric, 1.0, 20000)
    none = np.empty((0, 3, 3))
    n_right = 0
    for spots, view in zip(seen[0], known.views, strict=True):
        n_matched, _, _ = orient_distorted(
            basis, hkl @ basis, lengths, spots.vectors, none, 0.003, 0.03, 0.008
        )
        n_right += n_matched >= 0.8 * view.matched.sum()
    assert n_right >= 0.8 * len(known.views)


class TestPolish:
    def test_symmetry_of_the_lattice_comes_out(self, known, seen, request):
        """Though spots of distorted views are far from where they belong."""
        name = request.node.callspec.params["known"]
        random = np.random.default_rng(2)
        strain = 0.006 * random.normal(size=(3, 3))
        basis = known.reciprocal_basis @ (np.eye(3) + (strain + strain.T) / 2)
        start = dataclasses.replace(known, metric=basis @ basis.T)
        # Orientations found with a better lattice are better
        found = polish_distorted(polish_distorted(start, seen[0]), seen[0])
        assert found.n_matched >= 0.9 * found.n_spots
        assert found.volume == pytest.approx(known.volume, rel=0.02)

        def deviation(metric):
            groups = lattice_groups(reduce_metric(metric))
            return min(g.deviation for g in groups if g.system == SYSTEMS[name])

        assert deviation(found.metric) < 0.7 * deviation(start.metric)

    def test_orientations_need_not_be_known(self, known, seen):
        turns = random_rotations(3, torch.Generator().manual_seed(5)).double().numpy()
        views = tuple(
            dataclasses.replace(view, rotation=turn)
            for view, turn in zip(known.views, turns, strict=False)
        )
        found = polish_distorted(dataclasses.replace(known, views=views), seen[0])
        assert found.n_matched >= 0.85 * found.n_spots

    def test_what_it_is_given_stays_as_it_is(self, known, seen):
        before = [view.vectors.copy() for view in seen[0]]
        rotations = [view.rotation.copy() for view in known.views]
        polish_distorted(known, seen[0])
        for view, vectors in zip(seen[0], before, strict=True):
            np.testing.assert_array_equal(view.vectors, vectors)
        for view, rotation in zip(known.views, rotations, strict=True):
            np.testing.assert_array_equal(view.rotation, rotation)

    def test_a_wrong_lattice_is_less_likely(self, known, seen):
        right = polish_distorted(known, seen[0])
        basis = known.reciprocal_basis @ np.diag([1.0, 1.3, 0.9])
        wrong = dataclasses.replace(known, metric=reduce_metric(basis @ basis.T))
        wrong = polish_distorted(wrong, seen[0])
        assert right.log_likelihood > wrong.log_likelihood + 100


@pytest.fixture(scope="module")
def turned(known):
    """Views of one camera, each turned and mirrored after it was recorded."""
    random = np.random.default_rng(6)
    views, turns = [], []
    for view in known.views:
        spots = distorted(view.vectors, [*DISTORTION, *random.normal(0, 0.0015, 2)])
        spots[:, :2] += random.normal(0, NOISE, (len(spots), 2))
        turns.append(orthogonal(random))
        spots[:, :2] = spots[:, :2] @ turns[-1].T
        order = np.argsort((spots[:, :2] ** 2).sum(1), kind="stable")
        views.append(SpotList(spots[order], view.intensities[order]))
    return views, [turned_distortion(turn) for turn in turns]


@pytest.fixture(scope="module")
def own(known, turned):
    return polish_distorted(known, *turned)


@pytest.fixture(scope="module")
def shared(own, turned):
    return share_distortion(own, *turned)


class TestShare:
    def test_the_distortion_is_found(self, shared):
        np.testing.assert_allclose(shared.distortion, DISTORTION, atol=1e-3)

    def test_it_is_likelier(self, own, shared):
        assert shared.log_likelihood > own.log_likelihood
        assert all(view.frame is None for view in own.views)
        assert all(view.frame is not None for view in shared.views)

    def test_the_lattice_is_known_better(self, known, own, shared, request):
        system = SYSTEMS[request.node.callspec.params["known"]]

        def deviation(fit):
            groups = lattice_groups(reduce_metric(fit.metric))
            return min(g.deviation for g in groups if g.system == system)

        assert deviation(shared) < max(deviation(own), 0.05)
        strains = [strain_information(fit).typical_strain for fit in (own, shared)]
        assert strains[1] < 0.7 * strains[0]
        assert shared.volume == pytest.approx(known.volume, rel=0.01)

    def test_distortions_that_differ_are_not_shared(self, known, seen):
        frames = [np.eye(2)] * len(seen[0])
        own = polish_distorted(known, seen[0], frames)
        shared = share_distortion(own, seen[0], frames)
        assert shared.log_likelihood < own.log_likelihood


class TestBest:
    @pytest.fixture
    def fits(self, turned):
        return DistortedFits(*turned)

    def add(self, fits, known, views, change):
        """Add a lattice whose reciprocal vectors are multiples of the right ones."""
        basis = np.diag(change) @ known.reciprocal_basis
        start = index_views(reduce_metric(basis @ basis.T), views, COARSE[0])
        fits.add([start], COARSE[0], 0.02)

    @pytest.mark.parametrize("change", [(1, 1, 2), (1, 0.5, 1), (1, 1, 0.5)])
    def test_a_finer_or_coarser_lattice_is_found(self, fits, known, turned, change):
        self.add(fits, known, turned[0], change)
        found = fits.best()
        assert found.volume == pytest.approx(known.volume, rel=0.02)
        np.testing.assert_allclose(found.distortion, DISTORTION, atol=1e-3)

    def test_the_right_lattice_is_certain(self, fits, known, turned):
        self.add(fits, known, turned[0], (1, 1, 1))
        assert fits.is_certain()

    def test_a_wrong_lattice_is_not_certain(self, fits, known, turned):
        self.add(fits, known, turned[0], (1, 1.3, 0.9))
        assert not fits.is_certain()

    def test_of_several_the_likeliest_is_taken(self, fits, known, turned):
        for change in ((1, 1.3, 0.9), (1, 1, 1), (1.2, 1, 1)):
            self.add(fits, known, turned[0], change)
        assert fits.best().volume == pytest.approx(known.volume, rel=0.02)

    def test_before_any_there_is_none(self, fits):
        assert fits.best() is None
        assert not fits.is_certain()

    def test_without_a_common_distortion_none_is_certain(self, known, turned):
        fits = DistortedFits(turned[0], None)
        self.add(fits, known, turned[0], (1, 1, 1))
        assert fits.best().volume == pytest.approx(known.volume, rel=0.02)
        assert not fits.is_certain()


@pytest.fixture
def tolerances(monkeypatch):
    """Tolerances that lattices are looked for with, as they are."""
    used = []

    def record(views, search, *known):
        used.append(search.tolerance)
        return literal(views, search, *known)

    literal = find._search
    monkeypatch.setattr(find, "_search", record)
    return used


@pytest.mark.parametrize("known", ["calcite"], indirect=True)
def test_the_search_ends_with_a_lattice_that_is_certain(known, tolerances, monkeypatch):
    random = np.random.default_rng(8)
    views = []
    for view in known.views:
        spots = distorted(view.vectors, [*DISTORTION, 0, 0])
        spots[:, :2] += random.normal(0, NOISE, (len(spots), 2))
        views.append(np.column_stack([spots[:, :2], view.intensities]))
    soon = find.find_lattice(views)
    assert tolerances == [PRECISE.tolerance, COARSE[0].tolerance]
    monkeypatch.setattr(DistortedFits, "is_certain", lambda self: False)
    late = find.find_lattice(views)
    assert len(tolerances) == 2 + 1 + len(COARSE)
    for fit in (soon, late):
        assert fit.volume == pytest.approx(known.volume, rel=0.02)
        np.testing.assert_allclose(fit.distortion, DISTORTION, atol=1.5e-3)
