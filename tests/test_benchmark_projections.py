# SPDX-License-Identifier: GPL-3.0-or-later
"""Plane groups of projections, against International Tables A."""

import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
if not BENCHMARKS.is_dir():
    pytest.skip("the benchmarks are not here", allow_module_level=True)
sys.path.insert(0, str(BENCHMARKS))
from projections import plane_group, right_shares  # noqa: E402

sys.path.remove(str(BENCHMARKS))


@pytest.mark.parametrize(
    ("number", "zone", "expected"),
    [
        (2, (1, 0, 0), "p2"),
        (14, (0, 1, 0), "p2"),
        (14, (0, 0, 1), "p2mg"),
        (14, (1, 0, 0), "p2gg"),
        (19, (1, 0, 0), "p2gg"),
        (62, (0, 0, 1), "p2mg"),
        (62, (1, 0, 0), "c2mm"),
        (62, (0, 1, 0), "p2gg"),
        (87, (0, 0, 1), "p4"),
        (136, (0, 0, 1), "p4gm"),
        (141, (0, 0, 1), "p4mm"),
        (148, (0, 0, 1), "p6"),
        (166, (0, 0, 1), "p6mm"),
        (194, (1, 0, 0), "p2mg"),
        (198, (1, 1, 1), "p6"),
        (225, (0, 0, 1), "p4mm"),
        (225, (1, 1, 1), "p6mm"),
        (225, (1, 1, 0), "c2mm"),
        (225, (1, 2, 0), "p2mm"),
        (225, (2, 1, 1), "p2mm"),
        # Off all planes of symmetry there is Friedel's law only
        (14, (1, 1, 0), "p2"),
    ],
)
def test_of_known_projections(number, zone, expected):
    assert plane_group(number, zone) == expected


def test_what_is_common_is_right_where_plane_groups_are_alike():
    """Two triclinic groups always show p2: the commoner one is named."""
    shares = right_shares({1: 1, 2: 3}, {1: 4, 2: 6}, (1, 2))
    assert shares["space_group"] == pytest.approx(0.6)
    assert shares["crystal_system"] == pytest.approx(1)


def test_cubic_and_triclinic_are_always_told_apart():
    """All axes of indices up to two lie in a mirror plane of m-3m."""
    shares = right_shares({2: 1, 225: 1}, {2: 1, 225: 1}, (2, 225))
    assert shares["crystal_system"] == pytest.approx(1)
