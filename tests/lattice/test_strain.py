# SPDX-License-Identifier: GPL-3.0-or-later
"""How exactly spots tell the shape of a lattice, against lattices fitted to noise."""

import dataclasses

import numpy as np
import pytest

from pyxem_symnet.lattice import find_lattice, lattice_groups
from pyxem_symnet.lattice.distorted import polish_distorted
from pyxem_symnet.lattice.indexing import STRAINS, SpotList
from pyxem_symnet.lattice.strain import (
    shape_evidence,
    strain_information,
    symmetrised,
    symmetry_evidence,
)
from pyxem_symnet.simulation import example_phases

from .cells import direct_basis
from .fits import known_fit
from .zone_views import zone_view

NOISE = 0.002
# Rutile is tetragonal: strains of its lattice that keep the symmetry are two of six
N_LOST = 4


@pytest.fixture(scope="module")
def known():
    return known_fit(example_phases()["rutile"], 10)


def group_of(fit, system):
    return min(
        (group for group in lattice_groups(fit.metric) if group.system == system),
        key=lambda group: group.deviation,
    )


def strained(fit, strain):
    """Return the lattice strained, with spots where they were."""
    basis = fit.reciprocal_basis @ (np.eye(3) + np.tensordot(strain, STRAINS, 1))
    metric = basis @ basis.T
    back = np.linalg.solve(np.linalg.cholesky(metric), basis).T
    views = [
        dataclasses.replace(view, rotation=view.rotation @ back) for view in fit.views
    ]
    return dataclasses.replace(fit, metric=metric, views=tuple(views), coarse=True)


def noisy_fit(fit, seed):
    """Return what is found if spots are displaced at random."""
    random = np.random.default_rng(seed)
    views = []
    for view in fit.views:
        vectors = view.vectors.copy()
        vectors[:, :2] += random.normal(0, NOISE, (len(vectors), 2))
        order = np.argsort((vectors[:, :2] ** 2).sum(1), kind="stable")
        views.append(SpotList(vectors[order], view.intensities[order]))
    start = dataclasses.replace(fit, coarse=True)
    return polish_distorted(start, views)


class TestInformation:
    def test_the_error_of_positions_is_found(self, known):
        errors = [strain_information(noisy_fit(known, seed)).error for seed in range(4)]
        assert np.mean(errors) == pytest.approx(NOISE, rel=0.25)

    def test_more_views_tell_more(self, known):
        fit = noisy_fit(known, 0)
        few = dataclasses.replace(fit, views=fit.views[:4])
        assert (
            strain_information(few).typical_strain
            > strain_information(fit).typical_strain
        )

    def test_distortions_of_views_take_information_away(self, known):
        fit = noisy_fit(known, 0)
        exact = strain_information(dataclasses.replace(fit, coarse=False))
        free = strain_information(dataclasses.replace(fit, coarse=True))
        assert free.typical_strain > exact.typical_strain

    def test_a_lattice_without_spots_is_known_not_at_all(self, known):
        views = [
            dataclasses.replace(view, matched=np.zeros_like(view.matched))
            for view in known.views
        ]
        nothing = strain_information(dataclasses.replace(known, views=tuple(views)))
        assert nothing.typical_strain > 0.05


@pytest.fixture(scope="module")
def tilted():
    """Rutile along three zone axes, each tilted a little, which shortens its net."""
    direct = direct_basis((4.594, 4.594, 2.959, 90, 90, 90))
    views = []
    for n, zone in enumerate(((0, 0, 1), (1, 0, 0), (1, 0, 1))):
        view = zone_view(direct, zone, angle=0.9 * n)
        view[:, 0] *= np.cos(np.radians(0.5))
        views.append(view)
    return find_lattice(views)


class TestTilts:
    def test_the_symmetry_is_not_missed(self, tilted):
        known = strain_information(tilted)
        group = group_of(tilted, "t")
        chi_square, evidence = symmetry_evidence(tilted.metric, group.operations, known)
        assert group.deviation > 5e-4
        assert chi_square < 2 * N_LOST
        assert evidence > 10

    def test_many_planes_tell_the_tilt(self, known):
        """The strains of views at any orientation are known as well as before."""
        exact = dataclasses.replace(known, coarse=False)
        information = strain_information(exact)
        assert information.error == pytest.approx(1e-5)
        assert information.typical_strain < 1e-5


class TestSymmetry:
    def test_a_symmetric_lattice_misses_nothing(self, known):
        fit = strained(known, np.zeros(6))
        group = group_of(fit, "t")
        chi_square, evidence = symmetry_evidence(
            fit.metric, group.operations, strain_information(noisy_fit(known, 0))
        )
        assert chi_square == pytest.approx(0, abs=1e-6)
        assert evidence > 0

    def test_no_symmetry_is_the_base_of_comparison(self, known):
        identity = np.eye(3, dtype=np.int64)[None]
        information = strain_information(known)
        assert symmetry_evidence(known.metric, identity, information) == (0, 0)

    def test_noise_makes_as_much_of_it_as_a_chi_square(self, known):
        """Fits to displaced spots miss the symmetry by what their precision says."""
        squares = []
        for seed in range(12):
            fit = noisy_fit(known, seed)
            group = group_of(fit, "t")
            information = strain_information(fit)
            found = symmetry_evidence(fit.metric, group.operations, information)
            squares.append(found[0])
            assert found[1] > 0
        # The mean of twelve is of a standard deviation of 0.8
        assert N_LOST / 3 < np.mean(squares) < 2 * N_LOST

    def test_what_is_strained_by_more_is_another_lattice(self, known):
        information = strain_information(noisy_fit(known, 0))
        along = known.reciprocal_basis[0] / np.linalg.norm(known.reciprocal_basis[0])
        fit = strained(known, 0.02 * np.outer(along, along)[*_UPPER])
        group = group_of(fit, "t")
        chi_square, evidence = symmetry_evidence(
            fit.metric, group.operations, information
        )
        assert chi_square > 30
        assert evidence < 0

    def test_strains_that_keep_the_symmetry_are_free(self, known):
        """A lattice that is larger, or longer along c, is as tetragonal."""
        fit = strained(known, np.array([0.05, 0.05, 0.05, 0, 0, 0]))
        group = group_of(fit, "t")
        information = strain_information(noisy_fit(known, 0))
        assert symmetry_evidence(fit.metric, group.operations, information)[0] < 1e-6

    def test_the_nearest_symmetric_lattice_is_meant(self, known):
        """Where spots tell two strains together only, either may make up for it."""
        fit = noisy_fit(known, 1)
        group = group_of(fit, "t")
        information = strain_information(fit)
        basis = fit.reciprocal_basis
        turned = np.linalg.inv(basis) @ group.operations @ basis
        means = [
            (turned @ one @ turned.transpose(0, 2, 1)).mean(0)[*_UPPER]
            for one in STRAINS
        ]
        # By brute force: strains that are symmetric, and the least squares of them
        symmetric = np.array(means).T
        metric = group.operations @ fit.metric @ group.operations.transpose(0, 2, 1)
        inverse = np.linalg.inv(basis)
        missed = (0.5 * inverse @ (metric.mean(0) - fit.metric) @ inverse.T)[*_UPPER]
        root = np.linalg.cholesky(information.precision).T
        answer, *_ = np.linalg.lstsq(root @ symmetric, -root @ missed, rcond=1e-6)
        rest = root @ (missed + symmetric @ answer)
        found = symmetry_evidence(fit.metric, group.operations, information)[0]
        assert found == pytest.approx(rest @ rest, rel=1e-4)


@pytest.fixture(scope="module")
def bent(known):
    """Rutile with its axes out of square by about half a degree."""
    return strained(known, np.array([0.004, -0.003, 0, 0.003, -0.004, 0.002]))


class TestSymmetrised:
    def test_every_system_is_made_exact(self, bent):
        made = symmetrised(bent)
        systems = ["m", "o", "t"]
        assert len(made) == len(systems)
        for fit, system in zip(made, systems, strict=True):
            assert group_of(bent, system).deviation > 0.1
            assert group_of(fit, system).deviation == pytest.approx(0, abs=1e-4)

    def test_views_stay_as_they_are_indexed(self, known, bent):
        def largest(fit):
            return max(
                abs(view.vectors - view.hkl @ fit.reciprocal_basis @ view.rotation.T)[
                    view.matched
                ].max()
                for view in fit.views
            )

        right = strained(known, np.zeros(6))
        assert largest(symmetrised(bent)[-1]) < largest(bent)
        assert largest(symmetrised(right)[-1]) == pytest.approx(
            largest(right), abs=1e-6
        )

    def test_a_triclinic_lattice_is_left_alone(self, known):
        far = strained(known, np.array([0.05, -0.04, 0, 0.06, 0.05, -0.07]))
        assert symmetrised(far) == []

    def test_what_is_symmetric_has_more_evidence(self, known, bent):
        assert shape_evidence(strained(known, np.zeros(6))) > shape_evidence(bent)
        assert shape_evidence(bent) >= 0


# Rows and columns of the six strains
_UPPER = ((0, 1, 2, 0, 0, 1), (0, 1, 2, 1, 2, 2))
