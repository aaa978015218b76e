# SPDX-License-Identifier: GPL-3.0-or-later
"""Lattices that views along zone axes do not tell apart."""

import itertools

import numpy as np
import pytest

from pyxem_symnet.lattice import find_lattice, space_group_evidence
from pyxem_symnet.lattice.electrons import on_ewald_sphere

from .cells import direct_basis
from .zone_views import WAVELENGTH, axes_across, zone_view

A = 8.2
DIRECT = direct_basis((A, A, A, 90, 90, 90))
# In planes across these, all reflections of a face-centred lattice have even indices
EVEN = ((1, 0, 0), (0, 1, 0), (0, 2, 1))
# The primitive cell of the face-centred lattice, and of that of all even reflections
CENTRED, HALF = A**3 / 4, A**3 / 8


def not_centred(hkl):
    return (hkl % 2).any(1) & (hkl % 2 == 0).any(1)


def views_of(zones, angles=(0.0, 0.4, 0.8)):
    """Return views of the face-centred lattice along zone axes."""
    return [
        zone_view(DIRECT, zone, angle=angle, absent=not_centred)
        for zone, angle in zip(zones, angles, strict=True)
    ]


def with_odd_spots(view, zone):
    """Return the view with spots of odd indices that are near the Ewald sphere."""
    numbers = range(-9, 10, 2)
    odd = np.array(list(itertools.product(numbers, repeat=3)))
    vectors = odd / A @ axes_across(zone).T
    sphere = on_ewald_sphere(vectors[:, :2], WAVELENGTH)
    seen = abs(vectors[:, 2] - sphere[:, 2]) < 0.018
    xy = vectors[seen & (np.hypot(*vectors[:, :2].T) < 1), :2]
    return np.concatenate([view, np.column_stack([xy, np.ones(len(xy))])])


@pytest.fixture(scope="module")
def even():
    return find_lattice(views_of(EVEN))


class TestAlternatives:
    def test_a_centred_lattice_is_among_them(self, even):
        assert even.n_matched == even.n_spots
        assert even.volume == pytest.approx(HALF, rel=1e-3)
        volumes = [other.volume for other in even.alternatives]
        # What planes do not tell of it stays as it was found
        assert any(volume == pytest.approx(CENTRED, rel=5e-3) for volume in volumes)

    def test_the_likeliest_are_first(self, even):
        behind = [other.behind for other in even.alternatives]
        assert even.behind == 0
        assert behind == sorted(behind)
        assert behind[0] >= 0
        assert not any(other.alternatives for other in even.alternatives)

    def test_all_explain_the_views(self, even):
        for other in even.alternatives:
            assert other.n_matched == even.n_matched

    def test_few_spots_beside_the_planes_tell(self):
        zones = ((1, 0, 0), (0, 1, 0), (3, 2, 2))
        views = views_of(zones, angles=(0.0, 0.4, 0.0))
        assert find_lattice(views).volume == pytest.approx(HALF, rel=1e-2)
        n_before = len(views[2])
        views[2] = with_odd_spots(views[2], zones[2])
        assert 0 < len(views[2]) - n_before < n_before
        assert find_lattice(views).volume == pytest.approx(CENTRED, rel=1e-2)

    def test_none_where_views_tell(self):
        """Planes across [110] and [111] show odd indices, too."""
        fit = find_lattice(views_of(((1, 0, 0), (1, 1, 0), (1, 1, 1))))
        assert fit.volume == pytest.approx(CENTRED, rel=1e-3)
        volumes = [other.volume for other in fit.alternatives]
        assert not any(volume == pytest.approx(HALF, rel=1e-3) for volume in volumes)


class TestEvidence:
    def test_space_groups_of_all_of_them_are_possible(self, even):
        """P m -3 m of the half, F m -3 m of the centred lattice."""
        evidence = space_group_evidence(even)
        found = dict(zip((221, 225), evidence.table[[220, 224], -2:], strict=True))
        assert found[221].tolist() == [1, 0]
        behind = [other.behind for other in even.alternatives]
        assert found[225].tolist() == pytest.approx([1, min(behind)])

    def test_the_lattice_alone_is_described(self, even):
        evidence = space_group_evidence(even)
        assert evidence.summary["deviation_c"] == pytest.approx(0, abs=1e-3)
        assert evidence.summary["nv"] == len(even.views)
