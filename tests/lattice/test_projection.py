# SPDX-License-Identifier: GPL-3.0-or-later
"""Indices of the spots of one view, from their positions alone."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pyxem_symnet.lattice.projection import index_projection
from pyxem_symnet.simulation.rotations import random_rotations, zone_rotations

from .cells import BRAVAIS, direct_basis
from .patterns import views_of_lattice


def cell_of(bravais, factor=1.6):
    """Return primitive direct vectors of a cell that shows enough spots."""
    _, (a, b, c, *angles) = BRAVAIS[bravais]
    return direct_basis((factor * a, factor * b, factor * c, *angles), bravais[1])


def positions_of(direct, seed):
    """Return spots, nearest to the beam first, and the orientation."""
    rotations = random_rotations(1, torch.Generator().manual_seed(seed))
    (view,) = views_of_lattice(direct, seed=seed, rotations=rotations)
    xy = view[np.argsort(np.hypot(*view[:, :2].T)), :2]
    return xy, rotations[0].double().numpy()


def is_basis_of(projection, direct, rotation):
    """Return whether the vectors are a basis of the reciprocal lattice's projection."""
    truth = (np.linalg.inv(direct).T @ rotation.T)[:, :2]
    # Three vectors in a plane depend on each other: only the spots tell the integers
    points = projection.hkl[projection.matched] @ projection.basis
    tried = np.stack(np.meshgrid(*[np.arange(-15, 16)] * 3), -1).reshape(-1, 3)
    places = tried @ truth
    errors = np.linalg.norm(points[:, None] - places, axis=-1)
    assert errors.min(1).max() < 1e-4
    known = tried[errors.argmin(1)]
    change, *_ = np.linalg.lstsq(
        projection.hkl[projection.matched].astype(float), known, rcond=None
    )
    whole = np.rint(change)
    return np.allclose(change, whole, atol=1e-3) and abs(
        np.linalg.det(whole)
    ) == pytest.approx(1)


@pytest.mark.parametrize("bravais", BRAVAIS)
def test_vectors_are_a_basis_of_the_lattice(bravais):
    direct = cell_of(bravais)
    found = 0
    for seed in range(4):
        xy, rotation = positions_of(direct, seed)
        projection = index_projection(xy)
        if projection is not None:
            found += 1
            assert projection.matched.all()
            assert is_basis_of(projection, direct, rotation)
    # In the others all spots are in one plane
    assert found >= 2


@settings(max_examples=15, deadline=None)
@given(
    st.floats(-0.2, 0.2), st.floats(-0.2, 0.2), st.floats(0, 2 * np.pi), st.booleans()
)
def test_any_linear_distortion_leaves_the_indices(a, b, angle, mirrored):
    xy, _ = positions_of(cell_of("mP"), 1)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = (
        turn @ np.array([[1 + a, b], [b, 1 - a]]) @ np.diag([1, -1 if mirrored else 1])
    )
    projection = index_projection(xy)
    moved = index_projection(xy @ matrix.T)
    # The same module, in perhaps another basis
    rows = projection.matched & moved.matched
    change, *_ = np.linalg.lstsq(
        projection.hkl[rows].astype(float), moved.hkl[rows], rcond=None
    )
    np.testing.assert_allclose(change, np.rint(change), atol=1e-6)
    assert abs(np.linalg.det(change)) == pytest.approx(1)


def test_small_errors_do_not_matter_and_large_ones_are_noticed():
    direct = cell_of("oP")
    xy, rotation = positions_of(direct, 2)
    random = np.random.default_rng(0)
    exact = index_projection(xy)
    near = index_projection(xy + random.normal(scale=3e-4, size=xy.shape))
    np.testing.assert_allclose(
        near.hkl @ near.basis, exact.hkl @ exact.basis, atol=2e-3
    )
    assert is_basis_of(exact, direct, rotation)
    assert index_projection(xy + random.normal(scale=4e-3, size=xy.shape)) is None


def test_false_spots_are_left_out():
    xy, _ = positions_of(cell_of("mP", 1.2), 3)
    false = np.array([[0.3137, 0.2719], [-0.511, 0.4013]])
    both = np.concatenate([xy, false])
    order = np.argsort(np.hypot(*both.T))
    projection = index_projection(both[order])
    looked_at = order[: len(projection.matched)]
    assert set(looked_at[~projection.matched]) == {len(xy), len(xy) + 1}


def test_what_has_no_three_dimensions_has_no_indices():
    direct = cell_of("oP")
    conventional = torch.from_numpy(direct)
    rotations = zone_rotations(conventional, 1, 0.1, torch.Generator().manual_seed(0))
    (view,) = views_of_lattice(direct, rotations=rotations)
    xy = view[np.argsort(np.hypot(*view[:, :2].T)), :2]
    assert len(xy) > 20
    assert index_projection(xy) is None
    assert index_projection(xy[:5]) is None
    assert index_projection(np.empty((0, 2))) is None
    random = np.random.default_rng(1).uniform(-1, 1, (30, 2))
    assert index_projection(random[np.argsort(np.hypot(*random.T))]) is None
