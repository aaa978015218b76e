# SPDX-License-Identifier: GPL-3.0-or-later
"""Lattices and orientations, brought to what spots without errors say."""

import dataclasses

import numpy as np
import pytest
import torch

from pyxem_symnet.lattice import find_lattice, lattice_groups
from pyxem_symnet.lattice.indexing import STRAINS, SpotList
from pyxem_symnet.lattice.polish import polish_fit, tilted_as_bright
from pyxem_symnet.lattice.pseudosymmetry import choose_indexing
from pyxem_symnet.lattice.search import PRECISE
from pyxem_symnet.simulation import example_phases
from pyxem_symnet.simulation.rotations import random_rotations

from .cells import direct_basis
from .fits import known_fit
from .patterns import views_of_lattice

# A crystal without symmetry to speak of, and one with many equal orientations
NAMES = ("baddeleyite", "calcite")


def small_rotation(vector):
    return torch.linalg.matrix_exp(torch.tensor(np.cross(np.eye(3), vector))).numpy()


def spots_of(fit):
    return [SpotList(view.vectors, view.intensities) for view in fit.views]


def in_plane_errors(fit):
    return np.concatenate(
        [
            (view.hkl @ fit.reciprocal_basis @ view.rotation.T - view.vectors)[
                view.matched, :2
            ]
            for view in fit.views
        ]
    )


@pytest.fixture(scope="module", params=NAMES)
def known(request):
    return known_fit(example_phases()[request.param], 8)


class TestPolish:
    def test_tilted_views_and_a_strained_lattice_become_exact(self, known):
        random = np.random.default_rng(0)
        strain = 0.002 * random.normal(size=(3, 3))
        basis = known.reciprocal_basis @ (np.eye(3) + (strain + strain.T) / 2)
        metric = basis @ basis.T
        views = tuple(
            dataclasses.replace(
                view,
                rotation=small_rotation(random.normal(0, 0.005, 3)) @ view.rotation,
            )
            for view in known.views
        )
        worse = dataclasses.replace(known, metric=metric, views=views)
        found = polish_fit(worse, spots_of(known), PRECISE)
        assert found.metric == pytest.approx(known.metric, rel=1e-4, abs=1e-7)
        assert np.abs(in_plane_errors(found)).max() < 5e-5
        assert found.n_matched >= 0.97 * found.n_spots
        # What it was given stays as it was
        assert worse.views is views

    def test_excitation_errors_become_exact(self, known):
        """Though a tilt hardly moves a spot."""
        random = np.random.default_rng(1)
        views = tuple(
            dataclasses.replace(
                view, rotation=small_rotation(random.normal(0, 0.01, 3)) @ view.rotation
            )
            for view in known.views
        )
        worse = dataclasses.replace(known, views=views)
        found = polish_fit(worse, spots_of(known), PRECISE)
        heights = {}
        for fit in (known, found):
            for view in fit.views:
                error = view.hkl @ fit.reciprocal_basis @ view.rotation.T - view.vectors
                for spot, seen, height in zip(
                    view.vectors, view.matched, error[:, 2], strict=True
                ):
                    if seen:
                        heights.setdefault(spot.tobytes(), []).append(height)
        pairs = np.array([pair for pair in heights.values() if len(pair) == 2])
        assert len(pairs) > 0.9 * known.n_matched
        assert np.quantile(np.abs(pairs[:, 0] - pairs[:, 1]), 0.9) < 1e-3

    def test_views_that_are_wrongly_oriented_are_oriented_anew(self, known):
        turns = random_rotations(3, torch.Generator().manual_seed(5)).double().numpy()
        views = list(known.views)
        for index, turn in enumerate(turns):
            view = views[index]
            few = np.arange(len(view.matched)) < 3
            views[index] = dataclasses.replace(view, rotation=turn, matched=few)
        worse = dataclasses.replace(known, views=tuple(views))
        found = polish_fit(worse, spots_of(known), PRECISE)
        assert len(found.views) == len(known.views)
        assert found.n_matched >= 0.97 * found.n_spots
        assert np.abs(in_plane_errors(found)).max() < 5e-5

    def test_the_tilt_that_only_bright_spots_tell(self, known):
        """Near the direct beam both are within reach of the Ewald sphere."""
        basis = known.reciprocal_basis
        half_turn = np.diag([-1.0, -1.0, 1.0])
        n_right = n_views = 0
        for view in known.views:
            near = np.linalg.norm(view.vectors, axis=1) < 0.85
            view = dataclasses.replace(view, matched=view.matched & near)
            if view.matched.sum() < 4:
                continue
            n_views += 1
            other = dataclasses.replace(
                view, rotation=half_turn @ view.rotation, hkl=-view.hkl
            )
            mirrored = other.hkl @ basis @ other.rotation.T
            turned = view.hkl @ basis @ view.rotation.T
            assert mirrored == pytest.approx(turned * [1, 1, -1])
            n_right += tilted_as_bright(basis, other).rotation is not other.rotation
        assert n_views >= 4
        assert n_right >= 0.8 * n_views

    def test_without_views_nothing_changes(self, known):
        empty = dataclasses.replace(known, views=())
        assert polish_fit(empty, spots_of(known), PRECISE) is empty


class TestPseudosymmetry:
    """An orthorhombic lattice whose three lengths differ by half a percent."""

    cell = (6.00, 6.03, 6.06, 90, 90, 90)

    @pytest.fixture(scope="class")
    @classmethod
    def fit(cls):
        views = views_of_lattice(direct_basis(cls.cell), n_views=12, seed=3)
        return find_lattice(views)

    def test_lengths_are_told_apart(self, fit):
        assert sorted(fit.cell[:3]) == pytest.approx(self.cell[:3], rel=1e-4)
        systems = {group.system for group in lattice_groups(fit.metric, 0.02)}
        assert systems == {"a", "m", "o"}

    def test_views_in_any_of_the_ways_come_to_agree(self, fit):
        cubic = np.eye(3) * np.trace(fit.metric) / 3
        operations = lattice_groups(cubic)[-1].operations
        assert len(operations) == 24
        random = np.random.default_rng(0)
        views = []
        for view in fit.views:
            operation = operations[random.integers(24)]
            views.append(
                dataclasses.replace(
                    view,
                    hkl=view.hkl @ operation,
                    # Of the cubic lattice: the same matrix in its frame
                    rotation=view.rotation @ operation,
                )
            )
        precision = np.array([1e-4, 1e-4, 1e-2]) ** -2.0
        settled = choose_indexing(cubic, views, STRAINS, precision)
        for view, before in zip(settled, views, strict=True):
            assert np.abs(view.vectors - before.vectors).max() == 0
        # In one way for all: the lengths by index are those of one lattice
        lengths = [[], [], []]
        for view in settled:
            alone = np.count_nonzero(view.hkl, axis=1) == 1
            for hkl, vector in zip(
                view.hkl[alone & view.matched],
                view.vectors[alone & view.matched],
                strict=True,
            ):
                axis = np.flatnonzero(hkl)[0]
                lengths[axis].append(np.linalg.norm(vector) / abs(hkl[axis]))
        spread = [np.ptp(of_axis) for of_axis in lengths if len(of_axis) > 1]
        assert len(spread) >= 2
        assert max(spread) < 0.0005

    def test_what_is_not_symmetric_stays(self):
        views = views_of_lattice(direct_basis((5.1, 7.3, 9.2, 81, 97, 104)), n_views=6)
        fit = find_lattice(views)
        same = choose_indexing(fit.metric, list(fit.views), STRAINS, np.ones(3))
        assert all(a is b for a, b in zip(same, fit.views, strict=True))
