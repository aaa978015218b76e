# SPDX-License-Identifier: GPL-3.0-or-later
"""Precise lattices in patterns that are a little elliptical."""

import dataclasses
import math

import numpy as np
import pytest

from pyxem_symnet.lattice import find_lattice, lattice_groups
from pyxem_symnet.lattice.distortion import turned_distortion, undistort
from pyxem_symnet.lattice.electrons import electron_wavelength
from pyxem_symnet.lattice.ellipse import without_ellipse
from pyxem_symnet.lattice.find import spot_list
from pyxem_symnet.lattice.indexing import index_views
from pyxem_symnet.lattice.polish import polish_fit
from pyxem_symnet.lattice.search import PRECISE
from pyxem_symnet.lattice.strain import strain_information, symmetry_evidence

from .cells import direct_basis
from .patterns import views_of_lattice

ERROR = 0.001
# Axes in the ratio 1.008, less than a precise search tells from displaced spots
DISTORTION = np.array([0.003, -0.0025])
CELLS = {
    "monoclinic": (5.1, 6.3, 9.7, 90, 103, 90),
    "hexagonal": (5.8, 5.8, 9.1, 90, 90, 120),
    "cubic": (7.4, 7.4, 7.4, 90, 90, 90),
}
ORDERS = {"monoclinic": 2, "hexagonal": 12, "cubic": 24}


def recorded(direct, distortion, turns=None, n_views=10):
    """Return spots as a camera with errors and an ellipse records them."""
    random = np.random.default_rng(5)
    views = views_of_lattice(direct, n_views, seed=3)
    turns = [np.eye(2)] * len(views) if turns is None else turns
    for view, turn in zip(views, turns, strict=True):
        flat = np.column_stack([view[:, :2], np.zeros(len(view))])
        own = turned_distortion(turn) @ distortion
        moved = undistort(flat, tuple(-own))[:, :2]
        view[:, :2] = moved + random.normal(scale=ERROR, size=moved.shape)
    return views


def on_sphere(views):
    return [spot_list(view, electron_wavelength(200)) for view in views]


def precise_fit(direct, spots):
    fit = index_views(np.linalg.inv(direct @ direct.T), spots, PRECISE)
    return polish_fit(fit, spots, PRECISE)


def misses_symmetry(fit, order):
    """Return how far the lattice is from its symmetry, in standard deviations."""
    information = strain_information(fit)
    return min(
        math.sqrt(symmetry_evidence(fit.metric, group.operations, information)[0])
        for group in lattice_groups(fit.metric)
        if len(group.operations) == order
    )


@pytest.mark.parametrize("system", CELLS)
def test_the_ellipse_is_found_and_the_lattice_symmetric(system):
    direct = direct_basis(CELLS[system])
    spots = on_sphere(recorded(direct, DISTORTION))
    before = precise_fit(direct, spots)
    after = without_ellipse(before, spots, [np.eye(2)] * len(spots))
    assert after.distortion == pytest.approx(DISTORTION, abs=4e-4)
    assert not after.coarse
    assert after.n_matched >= before.n_matched
    assert strain_information(after).error == pytest.approx(ERROR, rel=0.1)
    assert strain_information(before).error > 1.15 * ERROR
    assert misses_symmetry(after, ORDERS[system]) < 4
    assert misses_symmetry(before, ORDERS[system]) > 4


def test_round_patterns_stay_as_they_are():
    direct = direct_basis(CELLS["hexagonal"])
    spots = on_sphere(recorded(direct, np.zeros(2)))
    fit = precise_fit(direct, spots)
    assert without_ellipse(fit, spots, [np.eye(2)] * len(spots)) is None


@pytest.mark.parametrize("seed", range(4))
def test_perfect_patterns_are_round(seed):
    """However exact they are: what is left of the sphere's shape is no ellipse."""
    direct = direct_basis((7.25, 7.25, 4.87, 90, 90, 90))
    spots = on_sphere(views_of_lattice(direct, 4, seed=seed))
    fit = precise_fit(direct, spots)
    assert without_ellipse(fit, spots, [np.eye(2)] * len(spots)) is None


def test_few_views_do_not_tell_an_ellipse_from_a_strain():
    direct = direct_basis(CELLS["monoclinic"])
    spots = on_sphere(recorded(direct, DISTORTION, n_views=3))
    fit = precise_fit(direct, spots)
    assert without_ellipse(fit, spots, [np.eye(2)] * len(spots)) is None


def test_turned_patterns_have_the_ellipse_in_their_own_way():
    direct = direct_basis(CELLS["monoclinic"])
    angles = np.radians(np.arange(10) * 37.0)
    turns = [
        np.array([[math.cos(a), -math.sin(a)], [math.sin(a), math.cos(a)]])
        for a in angles
    ]
    views = recorded(direct, DISTORTION, turns)
    spots = on_sphere(views)
    frames = [turned_distortion(turn) for turn in turns]
    fit = precise_fit(direct, spots)
    found = without_ellipse(fit, spots, frames)
    assert found.distortion == pytest.approx(DISTORTION, abs=4e-4)
    # Taken to be all alike, they have nothing in common
    alike = without_ellipse(fit, spots, [np.eye(2)] * len(spots))
    assert alike is None or np.hypot(*alike.distortion) < 0.5 * np.hypot(*DISTORTION)


def test_displaced_spots_are_not_precise():
    direct = direct_basis(CELLS["monoclinic"])
    views = recorded(direct, DISTORTION)
    random = np.random.default_rng(8)
    for view in views:
        view[:, :2] += random.normal(scale=0.006, size=(len(view), 2))
    spots = on_sphere(views)
    fit = dataclasses.replace(precise_fit(direct, spots), coarse=True)
    assert without_ellipse(fit, spots, [np.eye(2)] * len(spots)) is None


@pytest.mark.parametrize("size", [1, 5])
def test_a_search_ends_with_the_precise_lattice(size):
    """Whether it began precisely, or in displaced spots."""
    direct = direct_basis(CELLS["hexagonal"])
    fit = find_lattice(recorded(direct, size * DISTORTION))
    assert not fit.coarse
    assert fit.distortion == pytest.approx(size * DISTORTION, abs=4e-4)
    assert misses_symmetry(fit, 12) < 4


def test_without_a_common_distortion_none_is_undone():
    direct = direct_basis(CELLS["hexagonal"])
    fit = find_lattice(recorded(direct, DISTORTION), common_distortion=False)
    assert fit.distortion == (0.0, 0.0)
