# SPDX-License-Identifier: GPL-3.0-or-later
"""Lattices put together from views along zone axes."""

import itertools

import numpy as np
import pytest

from pyxem_symnet.lattice import find_lattice
from pyxem_symnet.lattice.assembly import common_rows, generated, join_three
from pyxem_symnet.lattice.indexing import index_views
from pyxem_symnet.lattice.metric import reduce_metric
from pyxem_symnet.lattice.nets import find_net
from pyxem_symnet.lattice.ranking import likelihood
from pyxem_symnet.lattice.reorient import fitted_to_nets, index_nets, orient_by_net
from pyxem_symnet.lattice.search import COARSE, PRECISE
from pyxem_symnet.lattice.sheaves import join_at_angles, join_on_row
from pyxem_symnet.lattice.zones import metrics_of_nets

from .cells import direct_basis, reduced_metric
from .zone_views import WAVELENGTH, spot_list, zone_view

LIMITS = 0.04, 3000.0
TRICLINIC = (5.3, 6.9, 8.2, 83, 97, 108)
# Of three zones no two planes have a row in common with the third
GENERAL = ((1, 0, 0), (0, 1, 0), (1, 1, 1))
SHEAF = ((1, 0, 0), (0, 1, 0), (1, 1, 0))


def minima(metric):
    """Return the shortest vectors of a lattice and of its reciprocal one."""
    both = (reduce_metric(metric), reduce_metric(np.linalg.inv(metric)))
    return np.concatenate([np.sort(np.sqrt(np.diag(m))) for m in both])


def is_same(metric, direct, rel=1e-3):
    return minima(metric) == pytest.approx(minima(reduced_metric(direct)), rel=rel)


def view_of(direct, zone, **options):
    return spot_list(zone_view(direct, zone, **options))


def net_of(direct, zone, search=PRECISE, **options):
    return find_net(view_of(direct, zone, **options).vectors[: search.n_spots], search)


@pytest.fixture(scope="module")
def triclinic():
    return direct_basis(TRICLINIC)


class TestNet:
    def test_metric(self, triclinic):
        """The net across [001] is that of the vectors a* and b*."""
        net = net_of(triclinic, (0, 0, 1), angle=0.7)
        reciprocal = np.linalg.inv(triclinic).T[:2]
        assert np.linalg.det(net.metric) == pytest.approx(
            np.linalg.det(reciprocal @ reciprocal.T), rel=1e-4
        )
        lengths, errors = net.lengths(np.array([(1, 0), (0, 1)]))
        assert lengths == pytest.approx(
            np.sort(np.linalg.norm(reciprocal, axis=1)), rel=1e-4
        )
        assert (errors < 1e-3 * lengths).all()

    def test_noise_is_averaged(self, triclinic):
        random = np.random.default_rng(0)
        view = zone_view(triclinic, (0, 0, 1))
        view[:, :2] += random.normal(scale=0.003, size=(len(view), 2))
        net = find_net(spot_list(view).vectors[: COARSE[-1].n_spots], COARSE[-1])
        exact = net_of(triclinic, (0, 0, 1))
        difference = abs(net.lengths(np.eye(2))[0] - exact.lengths(np.eye(2))[0])
        assert difference.max() < 0.001
        assert (difference < net.lengths(np.eye(2))[1]).all()

    def test_nearest_spots_in_one_row(self):
        direct = direct_basis((3.1, 4.0, 21.0, 90, 90, 90))
        net = net_of(direct, (0, 1, 0))
        assert np.sqrt(np.diag(net.metric)) == pytest.approx(
            [1 / 21, 1 / 3.1], rel=1e-3
        )

    def test_false_spots(self, triclinic):
        false = np.random.default_rng(1).uniform(-0.6, 0.6, (4, 2))
        view = np.concatenate(
            [zone_view(triclinic, (0, 0, 1)), np.column_stack([false, np.ones(4)])]
        )
        net = find_net(spot_list(view).vectors[:40], PRECISE)
        exact = net_of(triclinic, (0, 0, 1))
        # The sign of the second vector is open
        assert abs(net.metric) == pytest.approx(abs(exact.metric), rel=2e-3)

    def test_chance_is_no_net(self):
        random = np.random.default_rng(2)
        for _ in range(5):
            view = np.column_stack([random.uniform(-1, 1, (30, 2)), np.ones(30)])
            assert find_net(spot_list(view).vectors, PRECISE) is None

    def test_one_row_is_no_net(self):
        row = np.linspace(-0.8, 0.8, 9)
        view = np.column_stack([row, np.zeros(9), np.ones(9)])[abs(row) > 0.1]
        assert find_net(spot_list(view).vectors, PRECISE) is None

    def test_few_spots_are_no_net(self, triclinic):
        vectors = view_of(triclinic, (0, 0, 1)).vectors[:5]
        assert find_net(vectors, PRECISE) is None


class TestThreeNets:
    def test_metric(self, triclinic):
        nets = [net_of(triclinic, zone, angle=n) for n, zone in enumerate(GENERAL)]
        assert any(is_same(metric, triclinic) for metric in join_three(nets, *LIMITS))
        found = metrics_of_nets(nets, PRECISE, LIMITS[0])
        assert is_same(found[0], triclinic)
        # The next cells are several times as large
        assert np.linalg.det(found[0]) > 25 * np.linalg.det(found[1:]).max(initial=0)
        for metric in found:
            assert fitted_to_nets(metric, nets) == pytest.approx(metric, abs=1e-9)

    def test_common_row(self, triclinic):
        """Planes across [100] and [010] have c* in common."""
        nets = [net_of(triclinic, zone) for zone in GENERAL[:2]]
        rows, others = common_rows(*nets)
        length = np.linalg.norm(np.linalg.inv(triclinic).T[2])
        for net, indices in zip(nets, (rows, others), strict=True):
            assert net.lengths(indices)[0][0] == pytest.approx(length, rel=1e-3)

    def test_glide_planes_leave_half_of_a_net(self):
        """An n glide across a doubles the spacing of both b* and c* there."""
        direct = direct_basis((5.3, 6.9, 8.2, 90, 90, 90))
        views = [
            view_of(direct, (1, 0, 0), absent=lambda hkl: hkl[:, 1:].sum(1) % 2 == 1),
            view_of(direct, (0, 1, 0)),
            view_of(direct, (0, 0, 1)),
        ]
        nets = [find_net(view.vectors[:40], PRECISE) for view in views]
        half = np.sqrt(np.linalg.det(nets[0].metric))
        assert half == pytest.approx(2 / 6.9 / 8.2, rel=1e-3)
        found = metrics_of_nets(nets, PRECISE, LIMITS[0])
        assert is_same(found[0], direct)

    def test_one_row_in_all(self, triclinic):
        nets = [net_of(triclinic, zone) for zone in SHEAF]
        closed = join_three(nets, *LIMITS)
        assert not any(is_same(metric, triclinic) for metric in closed)
        found = join_on_row(nets, *LIMITS)
        assert any(is_same(metric, triclinic) for metric in found)

    def test_common_row_that_is_a_large_sum(self, triclinic):
        """Planes across [01-1], [21-1] and [-12-2] have [011]* in common."""
        sheaf = (0, 1, -1), (2, 1, -1), (-1, 2, -2)
        for nets in itertools.permutations(net_of(triclinic, zone) for zone in sheaf):
            found = join_on_row(nets, *LIMITS)
            assert any(is_same(metric, triclinic) for metric in found)

    def test_fitted_to_nets(self, triclinic):
        """What long rows make of a lattice is mended by the nets as a whole."""
        zones = (1, 1, 0), (-2, -1, 2), (0, 2, 1)
        nets = [net_of(triclinic, zone) for zone in zones]
        metric = reduced_metric(triclinic)
        error = np.array([[3, -2, 1], [-2, 4, 2], [1, 2, -3]]) * 2e-6
        fitted = fitted_to_nets(metric + error, nets)
        assert abs(fitted - metric).max() < abs(error).max() / 10
        other = net_of(direct_basis((4.4, 5.9, 7.3, 90, 90, 90)), (1, 1, 0))
        assert fitted_to_nets(metric, [*nets, other]) is None

    def test_wrong_net(self, triclinic):
        nets = [net_of(triclinic, zone) for zone in GENERAL[:2]]
        other = net_of(direct_basis((4.4, 5.9, 7.3, 90, 90, 90)), (1, 1, 0))
        assert not metrics_of_nets([*nets, other], PRECISE, LIMITS[0])


class TestTwoNets:
    def test_right_angle(self):
        direct = direct_basis((5.3, 6.9, 8.2, 90, 90, 90))
        nets = [net_of(direct, zone) for zone in GENERAL[:2]]
        found = join_at_angles(nets, *LIMITS)
        assert any(is_same(metric, direct) for metric in found)
        assert is_same(metrics_of_nets(nets, PRECISE, LIMITS[0])[0], direct)

    def test_equivalent_planes(self):
        """A cubic lattice, of one plane {100} and one {110}."""
        direct = direct_basis((5.4, 5.4, 5.4, 90, 90, 90))
        nets = [net_of(direct, zone) for zone in ((0, 0, 1), (1, 1, 0))]
        found = metrics_of_nets(nets, PRECISE, LIMITS[0])
        assert any(is_same(metric, direct) for metric in found)

    def test_one_net_is_too_few(self, triclinic):
        assert metrics_of_nets([net_of(triclinic, (0, 0, 1))], PRECISE, 0.04) == []


def test_generated_lattice():
    random = np.random.default_rng(3)
    basis = np.array([[2, 1, 0], [0, 3, 1], [0, 0, 4]])
    vectors = (random.integers(-3, 4, (6, 3)) @ basis).astype(float)
    found = generated(np.concatenate([vectors, basis.astype(float)]))
    assert np.linalg.det(found) == pytest.approx(24)
    assert (np.tril(found, -1) == 0).all()
    # Each generates the other
    assert vectors @ np.linalg.inv(found) == pytest.approx(
        np.rint(vectors @ np.linalg.inv(found)), abs=1e-9
    )


class TestOrientation:
    def test_nearest_spots_in_one_row(self):
        direct = direct_basis((3.1, 4.0, 21.0, 90, 90, 90))
        metric = reduced_metric(direct)
        view = view_of(direct, (0, 1, 0), angle=0.3)
        assert not index_views(metric, [view], PRECISE).n_matched
        net = find_net(view.vectors[:40], PRECISE)
        fit = index_nets(metric, [view], [net], PRECISE)
        assert fit.n_matched == fit.n_spots == min(len(view.vectors), 40)

    @pytest.mark.parametrize("flip", [False, True])
    def test_spots_lie_where_it_says(self, triclinic, flip):
        metric = reduced_metric(triclinic)
        basis = np.linalg.cholesky(metric)
        view = view_of(triclinic, (1, 1, 1), angle=2.0, flip=flip)
        net = find_net(view.vectors[:40], PRECISE)
        turned = orient_by_net(metric, basis, view, net, PRECISE)
        rotation = turned.rotation
        assert rotation @ rotation.T == pytest.approx(np.eye(3), abs=1e-9)
        assert np.linalg.det(rotation) == pytest.approx(1)
        assert turned.matched.all()
        error = (turned.hkl @ basis @ rotation.T - turned.vectors)[:, :2]
        assert abs(error).max() < 2e-4

    def test_other_lattice(self, triclinic):
        metric = reduced_metric(direct_basis((4.4, 5.9, 7.3, 90, 90, 90)))
        view = view_of(triclinic, (0, 0, 1))
        net = find_net(view.vectors[:40], PRECISE)
        basis = np.linalg.cholesky(metric)
        assert orient_by_net(metric, basis, view, net, PRECISE) is None


class TestLikelihood:
    @staticmethod
    def of(direct, views):
        nets = [find_net(view.vectors[:40], PRECISE) for view in views]
        fit = index_nets(reduced_metric(direct), views, nets, PRECISE)
        assert fit.n_matched == fit.n_spots
        return likelihood(fit, PRECISE, WAVELENGTH)

    def test_spots_beside_reflections_cost(self, triclinic):
        views = [view_of(triclinic, zone) for zone in GENERAL]
        right = self.of(triclinic, views)
        assert self.of(triclinic * 1.002, views) < right - 10

    def test_reflections_that_are_not_seen_cost(self, triclinic):
        views = [view_of(triclinic, zone) for zone in GENERAL]
        right = self.of(triclinic, views)
        assert self.of(triclinic * [[1], [1], [3]], views) < right - 40

    def test_half_may_be_absent(self):
        """A view without half of its reflections costs less than its spots do."""
        direct = direct_basis((5.3, 6.9, 8.2, 90, 90, 90))
        glide = view_of(
            direct, (1, 0, 0), absent=lambda hkl: hkl[:, 1:].sum(1) % 2 == 1
        )
        n = min(len(glide.vectors), PRECISE.n_spots)
        # A lattice in which all reflections of that view are there
        centred = np.array([[1, 0, 0], [0, 0.5, 0.5], [0, -0.5, 0.5]]) @ direct
        difference = self.of(centred, [glide]) - self.of(direct, [glide])
        assert 0 < difference < 0.25 * n * np.log(2)

    def test_symmetry(self, triclinic):
        """Lattices that show the same: the one of fewer parameters is taken."""
        direct = direct_basis((5.3, 6.9, 8.2, 90, 90, 90))
        oblique = direct_basis((5.3, 6.9, 8.2, 90, 90, 84))
        oblique[0] *= 5.3 / np.linalg.norm(oblique[0])
        views = [view_of(direct, (0, 1, 0))]
        net = [find_net(views[0].vectors[:40], PRECISE)]
        other = np.linalg.inv(direct).T
        other[1] += (
            0.02 * np.linalg.norm(other[1]) * other[0] / np.linalg.norm(other[0])
        )
        fits = [
            index_nets(reduce_metric(m), views, net, PRECISE)
            for m in (reduced_metric(direct), other @ other.T)
        ]
        right, less = (likelihood(fit, PRECISE, WAVELENGTH) for fit in fits)
        assert fits[0].n_matched == fits[1].n_matched
        assert right - less == pytest.approx(5, abs=0.1)


class TestSearch:
    def test_lattice_is_found(self, triclinic):
        fit = find_lattice([zone_view(triclinic, zone) for zone in GENERAL])
        assert is_same(fit.metric, triclinic)
        assert fit.n_matched == fit.n_spots
        assert not fit.coarse

    def test_order_and_rotation_do_not_matter(self, triclinic):
        for n, zones in enumerate(itertools.permutations(GENERAL)):
            views = [
                zone_view(triclinic, zone, angle=n + 1.3 * k, flip=(n + k) % 2 == 0)
                for k, zone in enumerate(zones)
            ]
            assert is_same(find_lattice(views).metric, triclinic)

    def test_all_planes_through_one_row(self):
        direct = direct_basis((5.3, 6.9, 8.2, 90, 101, 90))
        views = [zone_view(direct, zone, angle=n) for n, zone in enumerate(SHEAF)]
        assert is_same(find_lattice(views).metric, direct)
