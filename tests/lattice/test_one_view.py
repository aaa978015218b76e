# SPDX-License-Identifier: GPL-3.0-or-later
"""Lattices of single views, and of a few that suggest theirs to each other."""

import numpy as np
import pytest
import torch

from pyxem_symnet.lattice import (
    COLUMNS,
    find_lattice,
    lattice_groups,
    space_group_evidence,
)
from pyxem_symnet.lattice.electrons import electron_wavelength
from pyxem_symnet.lattice.find import spot_list
from pyxem_symnet.lattice.one_view import find_lattice_of_view
from pyxem_symnet.lattice.strain import strain_information, symmetry_evidence
from pyxem_symnet.lattice.suggested import suggested_by_views
from pyxem_symnet.simulation.rotations import random_rotations

from .cells import BRAVAIS, direct_basis
from .patterns import views_of_lattice

WAVELENGTH = electron_wavelength(200)
# Largest relative errors of the volume: two and more parameters are determined by
# what a view shows exactly, a monoclinic lattice nearly
_VOLUME = {"a": 0.5, "m": 0.03} | dict.fromkeys("ortch", 1e-3)


def cell_of(bravais, factor=1.6):
    _, (a, b, c, *angles) = BRAVAIS[bravais]
    return direct_basis((factor * a, factor * b, factor * c, *angles), bravais[1])


def view_of(direct, seed, protocol="clean"):
    (view,) = views_of_lattice(direct, 1, protocol, seed=seed)
    return view


def likeliest_system(fit):
    known = strain_information(fit)
    evidence = [
        (symmetry_evidence(fit.metric, group.operations, known)[1], group.system)
        for group in lattice_groups(fit.metric)
    ]
    return max(evidence)[1]


def first_found(direct, seeds=range(8)):
    """Return a view that is not a plane of the lattice, and what is found in it."""
    for seed in seeds:
        view = view_of(direct, seed)
        fit = find_lattice([view])
        if fit is not None:
            return view, fit
    pytest.fail("no lattice is found in any view")


@pytest.mark.parametrize("bravais", BRAVAIS)
def test_one_view_tells_lattice_and_system(bravais):
    direct = cell_of(bravais)
    system = BRAVAIS[bravais][0]
    _, fit = first_found(direct)
    assert fit.volume == pytest.approx(abs(np.linalg.det(direct)), rel=_VOLUME[system])
    if system != "a":
        found = likeliest_system(fit)
        # A hexagonal lattice has all of a rhombohedral one's symmetry
        assert found == system or {found, system} == {"r", "h"}
    behind = [other.behind for other in fit.alternatives]
    assert fit.behind == 0 and all(0 <= one <= 12 for one in behind)


def test_spots_are_where_the_lattice_says():
    _, fit = first_found(cell_of("mS"))
    for one in (fit, *fit.alternatives):
        (view,) = one.views
        errors = view.errors(one.reciprocal_basis)[view.matched]
        assert abs(errors[:, :2]).max() < 1e-4
        # Not all are equally likely to be seen, but none is far from the sphere
        assert abs(errors[:, 2]).max() < 0.05
        np.testing.assert_allclose(
            view.rotation @ view.rotation.T, np.eye(3), atol=1e-3
        )
        assert np.linalg.det(view.rotation) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("mirrored", [False, True])
def test_turned_and_mirrored_views_have_the_same_lattice(mirrored):
    view, fit = first_found(cell_of("tP"))
    turn = np.array([[0.6, -0.8], [0.8, 0.6]]) @ np.diag([1, -1 if mirrored else 1])
    other = find_lattice([np.column_stack([view[:, :2] @ turn.T, view[:, 2]])])
    assert other.volume == pytest.approx(fit.volume, rel=1e-3)
    assert other.is_like(fit, 1e-3)


def test_a_ten_thousandth_of_an_inverse_angstrom_does_not_matter():
    view, fit = first_found(cell_of("cP", 2.5))
    random = np.random.default_rng(0)
    view = view.copy()
    view[:, :2] += random.normal(scale=1e-4, size=(len(view), 2))
    moved = find_lattice([view])
    assert moved.volume == pytest.approx(fit.volume, rel=5e-3)
    assert likeliest_system(moved) == "c"


def test_displaced_spots_have_no_lattice():
    view, _ = first_found(cell_of("mP"))
    random = np.random.default_rng(0)
    view = view.copy()
    view[:, :2] += random.normal(scale=4e-3, size=(len(view), 2))
    assert find_lattice([view]) is None
    assert find_lattice_of_view(spot_list(view[:4], WAVELENGTH)) is None


def test_evidence_is_for_the_groups_that_the_lattice_allows():
    _, fit = first_found(cell_of("oP"))
    table = space_group_evidence(fit).table
    found, shape = (table[:, COLUMNS.index(name)] for name in ("found", "shape"))
    assert found[61] and not found[194:].any()
    # An orthorhombic group has more for it than a monoclinic or triclinic one
    assert shape[61] > shape[13] > shape[1] == 0


@pytest.mark.parametrize(("protocol", "seed"), [("clean-2", 3), ("thick-clean-1", 2)])
def test_two_views_make_a_triclinic_lattice_exact(protocol, seed):
    direct = direct_basis((7.2, 8.1, 9.3, 84, 97, 106))
    views = views_of_lattice(direct, 2, protocol, seed=seed)
    fit = find_lattice(views)
    assert fit.volume == pytest.approx(abs(np.linalg.det(direct)), rel=2e-3)
    found, _ = suggested_by_views([spot_list(view, WAVELENGTH) for view in views])
    assert len(found) >= 1


def test_views_of_one_orientation_leave_several_lattices():
    direct = direct_basis((7.2, 8.1, 9.3, 84, 97, 106))
    rotation = random_rotations(1, torch.Generator().manual_seed(3))
    views = views_of_lattice(direct, rotations=torch.cat([rotation, rotation]))
    found, _ = suggested_by_views([spot_list(view, WAVELENGTH) for view in views])
    volumes = [fit.volume for fit in found]
    assert len(found) > 1
    assert max(volumes) > 1.02 * min(volumes)


def test_distorted_views_suggest_nothing():
    direct = direct_basis((7.2, 8.1, 9.3, 84, 97, 106))
    random = np.random.default_rng(0)
    views = []
    for view in views_of_lattice(direct, 3):
        view = view.copy()
        view[:, :2] += random.normal(scale=4e-3, size=(len(view), 2))
        views.append(spot_list(view, WAVELENGTH))
    assert suggested_by_views(views)[0] == []
