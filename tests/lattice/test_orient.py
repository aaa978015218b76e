# SPDX-License-Identifier: GPL-3.0-or-later
"""The orientation of known lattices in views of them."""

import itertools

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from pyxem_symnet.lattice.electrons import electron_wavelength, on_ewald_sphere
from pyxem_symnet.lattice.matching import count_matches
from pyxem_symnet.lattice.metric import list_reflections
from pyxem_symnet.lattice.orient import orient_view, pair_rotations

from .cells import BRAVAIS, direct_basis, reduced_metric
from .patterns import views_of_lattice

TOLERANCE = 0.004
ERROR = 0.02
WAVELENGTH = electron_wavelength(200)


def vectors_of(view, n=40):
    view = view[np.argsort(np.hypot(view[:, 0], view[:, 1]))][:n]
    return on_ewald_sphere(view[:, :2], WAVELENGTH)


def orient(metric, vectors):
    basis = np.linalg.cholesky(metric)
    hkl, lengths = list_reflections(metric, 1.0, 20000)
    reach = np.full(len(vectors), TOLERANCE)
    return orient_view(
        basis, hkl @ basis, lengths, vectors, reach, TOLERANCE, ERROR, 600
    )


def brute_force(basis, rotation, vectors, reach):
    """Return how many spots have a reflection near them."""
    n = int(np.ceil(1.4 * np.linalg.norm(np.linalg.inv(basis), axis=0).max()))
    box = np.array([v for v in itertools.product(range(-n, n + 1), repeat=3) if any(v)])
    lattice = box @ basis @ rotation.T
    lattice = lattice[abs(lattice[:, 2]) < 0.1]
    off = abs(lattice[None] - vectors[:, None])
    near = np.hypot(off[..., 0], off[..., 1]) <= reach[:, None]
    return (near & (off[..., 2] <= 1.2 * ERROR)).any(1).sum()


def orientable_views(direct, n_views):
    """Return spots of views whose nearest ones are not all in one row."""
    views = [vectors_of(v) for v in views_of_lattice(direct, n_views=4 * n_views)]
    views = [v for v in views if len(v) >= 8]
    across = [np.linalg.svd(v[:8, :2])[1][1] for v in views]
    return [v for v, width in zip(views, across, strict=True) if width > 0.3][:n_views]


@pytest.mark.parametrize("bravais", ["aP", "mS", "tI", "hP"])
def test_spots_lie_where_the_orientation_says(bravais):
    _, cell = BRAVAIS[bravais]
    direct = 1.5 * direct_basis(cell, bravais[1])
    metric = reduced_metric(direct)
    shares = []
    for vectors in orientable_views(direct, 8):
        n, rotation, hkl, matched = orient(metric, vectors)
        assert n == matched.sum()
        shares.append(matched.mean())
        assert rotation @ rotation.T == pytest.approx(np.eye(3), abs=1e-9)
        assert np.linalg.det(rotation) == pytest.approx(1)
        placed = hkl @ np.linalg.cholesky(metric) @ rotation.T
        error = abs(placed - vectors)[matched]
        assert np.hypot(error[:, 0], error[:, 1]).max() < TOLERANCE
        assert np.median(error[:, :2]) < 1e-3
        assert error[:, 2].max() < 1.2 * ERROR
    assert len(shares) == 8
    assert np.median(shares) > 0.95


def test_false_spots_are_left_out():
    _, cell = BRAVAIS["mP"]
    direct = 2 * direct_basis(cell)
    metric = reduced_metric(direct)
    views = [view[:20] for view in orientable_views(direct, 8)]
    right = next(view for view in views if orient(metric, view)[0] == 20)
    false = on_ewald_sphere(right[-5:, :2] + [0.03, 0.02], WAVELENGTH)
    vectors = np.concatenate([right, false])
    order = np.argsort(np.linalg.norm(vectors, axis=1))
    n, _, hkl, matched = orient(metric, vectors[order])
    assert matched[order < 20].mean() >= 0.9
    assert n < len(vectors)
    assert not hkl[~matched].any()
    assert hkl[matched].any(1).all()


@pytest.mark.parametrize("bravais, size", [("aP", 1.5), ("oI", 1.5), ("mP", 2)])
def test_count_equals_brute_force(bravais, size):
    """In orientations that are a little wrong; also of large cells."""
    _, cell = BRAVAIS[bravais]
    direct = size * direct_basis(cell, bravais[1])
    metric = reduced_metric(direct)
    basis = np.linalg.cholesky(metric)
    views = orientable_views(direct, 4)
    wrong = Rotation.from_rotvec([0.01, -0.004, 0.015]).as_matrix()
    rotations = np.array([wrong @ orient(metric, view)[1] for view in views])
    starts = np.cumsum([0] + [len(view) for view in views])
    reach = np.random.default_rng(2).uniform(0.003, 0.012, starts[-1])
    expected = sum(
        brute_force(basis, rotation, view, reach[start : start + len(view)])
        for rotation, view, start in zip(rotations, views, starts[:-1], strict=True)
    )
    found = count_matches(basis, np.concatenate(views), starts, rotations, reach, ERROR)
    assert 0.1 < expected / len(reach) < 0.9
    # Along the beam, three places are looked at for each spot
    assert 0.97 * expected <= found <= expected


def test_pairs_lie_on_pairs():
    """All orientations of spots that are reflections, those of a pair among them."""
    _, cell = BRAVAIS["oP"]
    basis = np.linalg.cholesky(reduced_metric(direct_basis(cell)))
    hkl, lengths = list_reflections(basis @ basis.T, 0.6, 20000)
    reflections = hkl @ basis
    wrong_hand = np.diag([1.0, 1.0, -1.0])
    rotation = Rotation.random(random_state=5).as_matrix()
    first, second = reflections[4] @ rotation.T, -reflections[9] @ rotation.T
    # Into the plane of the detector
    normal = np.cross(first, second)
    turn = Rotation.align_vectors([[0, 0, 1]], [normal])[0].as_matrix()
    rotation = turn @ rotation
    vectors = np.array([first, second]) @ turn.T
    found = pair_rotations(reflections, lengths, vectors, 1e-6, 0.0, 1e-9, 1000)
    assert len(found) > 1
    for one in found:
        np.testing.assert_allclose(one @ one.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(one) == pytest.approx(1)
        indices = vectors @ one @ np.linalg.inv(basis)
        np.testing.assert_allclose(indices, indices.round(), atol=1e-4)
    assert min(abs(found - rotation).max((1, 2))) < 1e-9
    assert min(abs(found - wrong_hand @ rotation).max((1, 2))) > 0.1
    np.testing.assert_array_equal(
        pair_rotations(reflections, lengths, vectors, 1e-6, 0.0, 1e-9, 2), found[:2]
    )


def test_pairs_in_line_say_nothing():
    _, cell = BRAVAIS["oP"]
    basis = np.linalg.cholesky(reduced_metric(direct_basis(cell)))
    hkl, lengths = list_reflections(basis @ basis.T, 0.6, 20000)
    reflections = hkl @ basis
    length = lengths[0]
    vectors = np.array([[length, 0, 0], [2 * length, 0, 0]])
    assert not len(pair_rotations(reflections, lengths, vectors, 0.01, 0.01, 0.03, 9))
