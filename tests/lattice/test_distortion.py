# SPDX-License-Identifier: GPL-3.0-or-later
"""Elliptical distortion, undone and refined with the lattice."""

import numpy as np
import pytest

from pyxem_symnet.lattice import find_lattice
from pyxem_symnet.lattice.candidates import pairs_of_spots
from pyxem_symnet.lattice.distortion import (
    NONE,
    pair_slopes,
    turned_distortion,
    undistort,
)
from pyxem_symnet.lattice.electrons import electron_wavelength, on_ewald_sphere

from .cells import direct_basis
from .patterns import views_of_lattice

WAVELENGTH = electron_wavelength(200)
DISTORTION = (0.018, -0.011)


def distort(xy, distortion):
    """Return points of ideal patterns where an ellipse shows them."""
    a, b = distortion
    values, axes = np.linalg.eigh([[a, b], [b, -a]])
    return xy @ (axes * np.exp(values)) @ axes.T


@pytest.fixture(scope="module")
def points():
    return np.random.default_rng(0).uniform(-1, 1, (20, 2))


def test_undistorted_spots_are_on_the_sphere_where_they_were(points):
    distorted = on_ewald_sphere(distort(points, DISTORTION), WAVELENGTH)
    expected = on_ewald_sphere(points, WAVELENGTH)
    assert undistort(distorted, DISTORTION) == pytest.approx(expected, abs=3e-6)


def test_nothing_is_done_without_distortion(points):
    vectors = on_ewald_sphere(points, WAVELENGTH)
    assert undistort(vectors, NONE) is vectors


@pytest.mark.parametrize("hand", [1, -1])
def test_a_turned_pattern_is_distorted_along_other_axes(points, hand):
    turn = np.array([[0.8, -0.6], [hand * 0.6, hand * 0.8]])
    after = turned_distortion(turn) @ DISTORTION
    expected = distort(points, DISTORTION) @ turn.T
    assert distort(points @ turn.T, after) == pytest.approx(expected, abs=1e-12)


def test_slopes_are_derivatives(points):
    flat = np.column_stack([points, np.zeros(len(points))])
    step = 1e-5
    for k in range(2):
        change = step * np.eye(2)[k]
        up, down = (
            pairs_of_spots(np.pad(distort(points, s * change), ((0, 0), (0, 1))))
            for s in (1, -1)
        )
        slopes = pair_slopes(flat)[:, k::2]
        assert slopes == pytest.approx((up - down) / (2 * step), abs=1e-6)


@pytest.fixture(scope="module")
def cell():
    return direct_basis((5.1, 8.2, 9.7, 90, 103, 90))


@pytest.fixture(scope="module")
def views(cell):
    return views_of_lattice(cell, n_views=12)


class TestFit:
    def test_undistorted_views_are_left_alone(self, views):
        fit = find_lattice(views)
        assert not fit.coarse
        assert fit.distortion == NONE
