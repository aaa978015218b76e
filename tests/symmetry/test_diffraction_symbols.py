# SPDX-License-Identifier: GPL-3.0-or-later
"""The committed table against spglib, International Tables and a second method."""

from itertools import product

import numpy as np
import pytest
import spglib

from pyxem_symnet.symmetry import (
    PAPER_SPACE_GROUPS,
    level_labels,
    level_of,
    members,
    space_group,
)
from pyxem_symnet.symmetry import _build_table as build_table
from pyxem_symnet.symmetry.absences import (
    absent_reflections,
    laue_rotations,
    reflection_box,
)
from pyxem_symnet.symmetry.operations import standard_operations, standard_settings

pytestmark = pytest.mark.filterwarnings("ignore:Set OLD_ERROR_HANDLING")

LEVEL = "diffraction_symbol"


def is_absent(number, *hkl):
    return absent_reflections(*standard_operations(number), np.array([hkl]))[0]


def sets_of_table():
    return sorted(members(LEVEL, label) for label in level_labels(LEVEL))


class TestTable:
    def test_regenerated_table_is_the_committed_one(self):
        committed = build_table.TABLE.read_text(encoding="utf-8")
        assert build_table.to_csv(build_table.build()) == committed

    def test_point_groups_and_symbols_are_those_of_spglib(self):
        for number, hall_number in standard_settings().items():
            theirs = spglib.get_spacegroup_type(hall_number)
            ours = space_group(number)
            assert ours.point_group == theirs.pointgroup_international
            assert ours.symbol == theirs.international_short

    def test_stated_conditions_are_the_absences_of_every_member(self):
        keys = build_table.keys_of_space_groups()
        for symbol, key in build_table.keys_of_symbols().items():
            with_these_absences = {n for n, own in keys.items() if key in own}
            assert with_these_absences == set(members(LEVEL, symbol)), symbol

    def test_larger_box_of_reflections_separates_no_more(self):
        keys = build_table.keys_of_space_groups(limit=8)
        assert build_table.group_by_absences(keys) == sets_of_table()

    def test_second_symbol_of_a_set_is_an_error(self, monkeypatch):
        # P2/n is P2/c with another cell, which has a symbol already
        symbols = {**build_table.EXTINCTION_SYMBOLS}
        symbols["2/m"] = [*symbols["2/m"], "P 1 n 1"]
        monkeypatch.setattr(build_table, "EXTINCTION_SYMBOLS", symbols)
        with pytest.raises(RuntimeError, match="P 1 n 1"):
            build_table.diffraction_symbols()


class TestPublishedFigures:
    def test_50_symbols_hold_one_space_group(self):
        sizes = [len(numbers) for numbers in sets_of_table()]
        assert len(sizes) == 122
        assert sizes.count(1) == 50

    def test_paper_groups_collapse_into_47_symbols(self):
        labels = {}
        for number in PAPER_SPACE_GROUPS:
            labels.setdefault(level_of(LEVEL, number), []).append(number)
        assert len(labels) == 47
        # fmt: off
        assert sorted(s for s in labels.values() if len(s) > 1) == [
            [1, 2], [4, 11], [5, 8, 12], [6, 10], [7, 13], [9, 15], [25, 47],
            [29, 57], [31, 59], [33, 62], [36, 63], [38, 65], [44, 71], [82, 87],
            [107, 139], [115, 123], [146, 148], [156, 164], [160, 166],
            [173, 176], [186, 194], [187, 189, 191], [216, 225],
        ]
        # fmt: on

    @pytest.mark.parametrize(
        "symbol, numbers",
        [
            ("-1 P -", (1, 2)),
            ("2/m P 1 2_1/c 1", (14,)),
            ("2/m C 1 c 1", (9, 15)),
            ("mmm P - - a", (26, 28, 51)),
            ("mmm P n - a", (33, 62)),
            ("mmm P 2_1 2_1 2_1", (19,)),
            ("mmm C - - -", (21, 35, 38, 65)),
            ("mmm C - - e", (39, 67)),
            ("mmm I - - -", (23, 24, 44, 71)),
            ("mmm F d d -", (43,)),
            ("4/m P 4_1 - -", (76, 78)),
            ("4/mmm P - - -", (89, 99, 111, 115, 123)),
            ("4/mmm I a - d", (141,)),
            ("-3m1 P - - -", (150, 156, 164)),
            ("-31m P - - -", (149, 157, 162)),
            ("-31m P 3_1 - -", (151, 153)),
            ("-3m R - c", (161, 167)),
            ("6/mmm P 6_2 - -", (180, 181)),
            ("6/mmm P - - c", (186, 190, 194)),
            ("m-3 P a - -", (205,)),
            ("m-3 I - - -", (197, 199, 204)),
            ("m-3m P 4_1 - -", (212, 213)),
            ("m-3m F - - -", (209, 216, 225)),
            ("m-3m F d - -", (227,)),
        ],
    )
    def test_table_3_1_4_1_of_international_tables(self, symbol, numbers):
        assert members(LEVEL, symbol) == numbers

    def test_enantiomorphs_share_their_symbol(self):
        pairs = [(76, 78), (91, 95), (92, 96), (144, 145), (151, 153), (152, 154)]
        pairs += [(169, 170), (171, 172), (178, 179), (180, 181), (212, 213)]
        assert all(level_of(LEVEL, a) == level_of(LEVEL, b) for a, b in pairs)


class TestAbsences:
    def test_p212121_has_axial_conditions_only(self):
        for hkl in [(1, 0, 0), (0, 3, 0), (0, 0, 5)]:
            assert is_absent(19, *hkl)
        for hkl in [(2, 0, 0), (0, 4, 0), (0, 1, 2), (1, 0, 1), (1, 2, 0), (1, 1, 1)]:
            assert not is_absent(19, *hkl)

    def test_pnma(self):
        # 0kl: k + l = 2n; hk0: h = 2n; h00, 0k0, 00l: even
        assert is_absent(62, 0, 1, 2) and not is_absent(62, 0, 1, 1)
        assert is_absent(62, 1, 2, 0) and not is_absent(62, 2, 1, 0)
        assert is_absent(62, 0, 0, 1) and not is_absent(62, 1, 0, 1)

    def test_diamond_glide(self):
        assert is_absent(227, 2, 0, 0) and not is_absent(225, 2, 0, 0)
        assert is_absent(227, 4, 2, 0) and not is_absent(227, 2, 2, 0)
        assert not is_absent(227, 2, 2, 2), "only special positions extinguish 222"

    def test_screw_axes(self):
        for number, period in [
            (76, 4),
            (77, 2),
            (144, 3),
            (169, 6),
            (171, 3),
            (173, 2),
        ]:
            present = [l for l in range(1, 13) if not is_absent(number, 0, 0, l)]  # noqa: E741
            assert present == list(range(period, 13, period))

    def test_rhombohedral_centring_is_obverse(self):
        assert is_absent(148, 1, 0, 2) and not is_absent(148, 0, 1, 2)

    def test_triclinic_has_none(self):
        assert not absent_reflections(*standard_operations(2), reflection_box()).any()


# Rows: primitive vectors in units of the conventional ones
PRIMITIVE = {
    "P": np.eye(3),
    "A": np.array([[2, 0, 0], [0, 1, -1], [0, 1, 1]]) / 2,
    "C": np.array([[1, -1, 0], [1, 1, 0], [0, 0, 2]]) / 2,
    "I": np.array([[-1, 1, 1], [1, -1, 1], [1, 1, -1]]) / 2,
    "F": np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]) / 2,
    "R": np.array([[2, 1, 1], [-1, 1, 1], [-1, -2, 1]]) / 3,
}


def unimodular_matrices():
    """All changes of a primitive cell with entries -1, 0, 1."""
    m = np.array(list(product((-1, 0, 1), repeat=9)), dtype=np.int8).reshape(-1, 3, 3)
    return m[np.abs(np.round(np.linalg.det(m))) == 1].astype(int)


def code(rotations):
    """One number for each integer 3 x 3 matrix with small entries."""
    return (rotations + 32).reshape(*rotations.shape[:-2], 9) @ 64 ** np.arange(9)


class TestSecondMethod:
    """Equivalence under every change of primitive cell, without spglib's settings.

    Conventional settings are a choice. What makes two space groups the same to
    diffraction is a change of basis of the *lattice* that brings the
    operations of the Laue class and the absences of one to those of the other.
    """

    def test_same_sets(self):
        changes = unimodular_matrices()
        inverses = np.round(np.linalg.inv(changes)).astype(int)
        hkl = reflection_box(6)
        references, sets = {}, {}
        for number in range(1, 231):
            group = space_group(number)
            rotations, translations = standard_operations(number)
            basis = PRIMITIVE[group.centring].T
            to_primitive = np.linalg.inv(basis)
            laue = np.round(to_primitive @ laue_rotations(rotations) @ basis)
            laue = laue.astype(int)
            # One form of every Laue class on every lattice: the smallest that
            # a change of cell reaches; all changes that reach it are then a
            # coset of its normalizer
            changed = inverses[:, None] @ laue[None] @ changes[:, None]
            codes = np.sort(code(changed), axis=1)
            order = np.lexsort(codes.T[::-1])
            form = codes[order[0]]
            reaching = changes[(codes == form).all(axis=1)]
            if not absent_reflections(rotations, translations, hkl).any():
                reaching = reaching[:1]
            patterns = set()
            for change in reaching:
                # hkl on the changed cell, in indices of the conventional one
                conventional = np.round(hkl @ np.linalg.inv(basis @ change)).astype(int)
                absent = absent_reflections(rotations, translations, conventional)
                patterns.add(absent.tobytes())
            references.setdefault(form.tobytes(), set()).add(group.laue_class)
            sets.setdefault((form.tobytes(), min(patterns)), []).append(number)
        assert all(len(classes) == 1 for classes in references.values())
        assert len(references) == 24, "Patterson symmetries"
        assert sorted(map(tuple, sets.values())) == sets_of_table()
