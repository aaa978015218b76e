# SPDX-License-Identifier: GPL-3.0-or-later
"""Lattices of precise spots that are far from the Ewald sphere."""

import numpy as np
import pytest

from pyxem_symnet.lattice import find_lattice
from pyxem_symnet.lattice.electrons import electron_wavelength
from pyxem_symnet.lattice.find import spot_list
from pyxem_symnet.lattice.fit import LatticeFit
from pyxem_symnet.lattice.indexing import SpotList
from pyxem_symnet.lattice.metric import reduce_metric
from pyxem_symnet.lattice.polish import MOST_SPOTS
from pyxem_symnet.lattice.sharpen import sharpen

from .cells import direct_basis
from .patterns import views_of_lattice

SHORTEST = 0.04


@pytest.fixture(scope="module")
def direct():
    return direct_basis((5.1, 6.3, 9.7, 90, 103, 90))


@pytest.fixture(scope="module")
def views(direct):
    return views_of_lattice(direct, n_views=10, protocol="thick-clean")


def placed(positions, intensities):
    table = np.column_stack([positions, intensities])
    return spot_list(table, electron_wavelength(200))


@pytest.fixture(scope="module")
def spots(views):
    return [placed(view[:, :2], view[:, 2]) for view in views]


def roughly(direct, strain=0.008):
    """Return a fit as the search in displaced spots leaves it."""
    random = np.random.default_rng(2)
    basis = np.linalg.inv(direct).T @ (np.eye(3) + strain * random.normal(size=(3, 3)))
    return LatticeFit(reduce_metric(basis @ basis.T), (), 0, 0.0, True)


def assert_exact(fit, direct):
    assert fit.volume == pytest.approx(abs(np.linalg.det(direct)), rel=1e-4)
    found, expected = (
        np.sort(np.diag(reduce_metric(metric)))
        for metric in (np.linalg.inv(fit.metric), direct @ direct.T)
    )
    assert found == pytest.approx(expected, rel=1e-4)


def test_a_rough_lattice_becomes_exact(direct, spots):
    fit = sharpen(roughly(direct), spots, SHORTEST)
    assert_exact(fit, direct)
    assert not fit.coarse
    assert fit.n_matched > 0.8 * sum(min(len(s.vectors), MOST_SPOTS) for s in spots)


def test_reflections_are_far_from_the_sphere(direct, spots):
    """As the search of precise positions does not allow."""
    fit = sharpen(roughly(direct), spots, SHORTEST)
    heights = [view.errors(fit.reciprocal_basis)[view.matched, 2] for view in fit.views]
    assert np.abs(np.concatenate(heights)).max() > 0.03


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("factor", [2, 0.5])
def test_finer_and_coarser_lattices_give_way(direct, spots, axis, factor):
    other = direct.copy()
    other[axis] *= factor
    fit = sharpen(roughly(other, 0.002), spots, SHORTEST)
    assert_exact(fit, direct)


def test_displaced_spots_are_not_precise(direct, spots):
    random = np.random.default_rng(3)
    displaced = [
        SpotList(
            view.vectors + random.normal(0, 0.003, view.vectors.shape) * [1, 1, 0],
            view.intensities,
        )
        for view in spots
    ]
    assert sharpen(roughly(direct), displaced, SHORTEST) is None


def test_nor_are_spots_that_lie_anywhere(direct, spots):
    random = np.random.default_rng(4)
    scattered = [
        placed(random.uniform(-0.8, 0.8, (len(view.vectors), 2)), view.intensities)
        for view in spots
    ]
    assert sharpen(roughly(direct), scattered, SHORTEST) is None


def test_thick_crystals_are_found_without_distortions(direct, views):
    fit = find_lattice(views)
    assert not fit.coarse
    assert_exact(fit, direct)
