# SPDX-License-Identifier: GPL-3.0-or-later
import subprocess
import sys
from dataclasses import FrozenInstanceError
from itertools import pairwise

import numpy as np
import pytest
from orix.quaternion.symmetry import get_point_group

from pyxem_symnet.symmetry import (
    LEVELS,
    PAPER_SPACE_GROUPS,
    level_labels,
    level_of,
    members,
    space_group,
)

ALL = range(1, 231)


def implies(fine, coarse):
    """Whether the label at one level fixes that at the other."""
    return all(
        len({level_of(coarse, n) for n in members(fine, label)}) == 1
        for label in level_labels(fine)
    )


class TestCounts:
    @pytest.mark.parametrize(
        "level, count",
        [
            ("crystal_system", 7),
            ("laue_class", 11),
            ("point_group", 32),
            ("bravais_lattice", 14),
            ("diffraction_symbol", 122),
            ("space_group", 230),
        ],
    )
    def test_number_of_labels(self, level, count):
        labels = level_labels(level)
        assert len(labels) == len(set(labels)) == count

    def test_every_level_is_counted(self):
        assert LEVELS == (
            "crystal_system",
            "laue_class",
            "point_group",
            "bravais_lattice",
            "diffraction_symbol",
            "space_group",
        )

    @pytest.mark.parametrize("level", LEVELS)
    def test_labels_partition_the_space_groups(self, level):
        sets = [members(level, label) for label in level_labels(level)]
        assert sorted(n for numbers in sets for n in numbers) == list(ALL)
        assert all(a[0] < b[0] for a, b in pairwise(sets))
        assert all(list(numbers) == sorted(numbers) for numbers in sets)

    @pytest.mark.parametrize("level", LEVELS)
    def test_members_and_level_of_agree(self, level):
        assert all(n in members(level, level_of(level, n)) for n in ALL)

    def test_space_groups_by_crystal_system(self):
        counts = {s: len(members("crystal_system", s)) for s in level_labels(LEVELS[0])}
        assert counts == {
            "triclinic": 2,
            "monoclinic": 13,
            "orthorhombic": 59,
            "tetragonal": 68,
            "trigonal": 25,
            "hexagonal": 27,
            "cubic": 36,
        }

    def test_space_groups_by_bravais_lattice(self):
        # R lattices: 146, 148, 155, 160, 161, 166, 167
        lattice = "bravais_lattice"
        assert len(members(lattice, "hR")) == 7
        assert members(lattice, "oF") == (22, 42, 43, 69, 70)
        assert members(lattice, "mS") == (5, 8, 9, 12, 15)
        assert set(level_labels(lattice)) == set(
            "aP mP mS oP oS oI oF tP tI hP hR cP cI cF".split()
        )


class TestSpaceGroup:
    def test_pnma(self):
        group = space_group(62)
        assert group.number == 62
        assert group.symbol == "Pnma"
        assert group.crystal_system == "orthorhombic"
        assert group.laue_class == "mmm"
        assert group.point_group == "mmm"
        assert group.bravais_lattice == "oP"
        assert group.centring == "P"
        assert group.diffraction_symbol == "mmm P n - a"

    @pytest.mark.parametrize(
        "number, symbol, point_group, lattice, centring",
        [
            (1, "P1", "1", "aP", "P"),
            (14, "P2_1/c", "2/m", "mP", "P"),
            (38, "Amm2", "mm2", "oS", "A"),
            (64, "Cmce", "mmm", "oS", "C"),
            (115, "P-4m2", "-42m", "tP", "P"),
            (141, "I4_1/amd", "4/mmm", "tI", "I"),
            (167, "R-3c", "-3m", "hR", "R"),
            (189, "P-62m", "-6m2", "hP", "P"),
            (227, "Fd-3m", "m-3m", "cF", "F"),
        ],
    )
    def test_known_groups(self, number, symbol, point_group, lattice, centring):
        group = space_group(number)
        assert group.symbol == symbol
        assert group.point_group == point_group
        assert group.bravais_lattice == lattice
        assert group.centring == centring

    def test_point_groups_agree_with_orix(self):
        # orix tells settings of a point group apart
        settings = {
            "211": "2",
            "121": "2",
            "112": "2",
            "m11": "m",
            "1m1": "m",
            "11m": "m",
            "-4m2": "-42m",
            "-62m": "-6m2",
            "312": "32",
            "321": "32",
        }
        for number in ALL:
            theirs = get_point_group(number).name
            assert space_group(number).point_group == settings.get(theirs, theirs)

    def test_order_of_laue_classes_agrees_with_orix(self):
        orders = dict(
            zip(
                level_labels("laue_class"),
                (2, 4, 8, 8, 16, 6, 12, 12, 24, 24, 48),
                strict=True,
            )
        )
        for number in ALL:
            laue_class = space_group(number).laue_class
            assert get_point_group(number).laue.size == orders[laue_class]

    def test_is_frozen_and_hashable(self):
        group = space_group(225)
        with pytest.raises(FrozenInstanceError):
            group.symbol = "X"
        assert hash(group) == hash(space_group(np.uint8(225)))

    @pytest.mark.parametrize("number", [0, -1, 231])
    def test_unknown_number(self, number):
        with pytest.raises(ValueError, match=f"from 1 to 230, got {number}"):
            space_group(number)

    def test_fraction_is_not_rounded(self):
        with pytest.raises(TypeError):
            space_group(62.5)

    def test_unknown_level(self):
        with pytest.raises(ValueError, match="crystal_system, laue_class, point_group"):
            level_of("laue", 62)
        with pytest.raises(ValueError, match="Unknown level 'laue'"):
            level_labels("laue")

    def test_unknown_label(self):
        with pytest.raises(ValueError, match="not a laue_class label") as error:
            members("laue_class", "mmmm")
        assert "'mmm'" in str(error.value)


class TestNesting:
    @pytest.mark.parametrize(
        "fine, coarse",
        [
            ("diffraction_symbol", "laue_class"),
            ("diffraction_symbol", "bravais_lattice"),
            ("point_group", "laue_class"),
            ("laue_class", "crystal_system"),
        ],
    )
    def test_nested(self, fine, coarse):
        assert implies(fine, coarse)

    @pytest.mark.parametrize(
        "one, other",
        [
            ("point_group", "diffraction_symbol"),
            ("bravais_lattice", "point_group"),
            ("bravais_lattice", "laue_class"),
            ("bravais_lattice", "crystal_system"),
        ],
    )
    def test_not_nested_either_way(self, one, other):
        assert not implies(one, other)
        assert not implies(other, one)

    def test_diffraction_symbol_says_laue_class_and_centring(self):
        for number in ALL:
            group = space_group(number)
            prefix, letter, *_ = group.diffraction_symbol.split()
            assert {"-3m1": "-3m", "-31m": "-3m"}.get(
                prefix, prefix
            ) == group.laue_class
            # An A cell is a C cell in another order of the axes
            assert letter == group.centring.replace("A", "C")


def test_paper_space_groups():
    assert len(PAPER_SPACE_GROUPS) == len(set(PAPER_SPACE_GROUPS)) == 72
    assert list(PAPER_SPACE_GROUPS) == sorted(PAPER_SPACE_GROUPS)
    assert PAPER_SPACE_GROUPS[2:14] == (4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)


def test_needs_neither_spglib_nor_orix():
    """A training node has neither of them."""
    code = (
        "import sys; from pyxem_symnet.symmetry import aggregate, space_group;"
        "aggregate([[1.0]], [62], 'laue_class'); space_group(1);"
        "print([m for m in ('spglib', 'orix', 'torch', 'dask') if m in sys.modules])"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "[]"
