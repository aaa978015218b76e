# SPDX-License-Identifier: GPL-3.0-or-later
"""Diffraction symbols and the reflection conditions that they state.

Only the spelling is kept here. Which space groups have a symbol is computed
(``_build_table``): from the operations of the groups on one side, from the
conditions that a symbol states on the other.
"""

from __future__ import annotations

from math import gcd

import numpy as np

from pyxem_symnet.symmetry.absences import laue_rotations

# Extinction symbols by Laue class as in Table 3.1.4.1 of International Tables
# A (2002), in one setting each; trigonal P lattices distinguish -3m1 and -31m.
EXTINCTION_SYMBOLS = {
    "-1": ["P -"],
    "2/m": [
        "P 1 - 1",
        "P 1 2_1 1",
        "C 1 - 1",
        "P 1 c 1",
        "C 1 c 1",
        "P 1 2_1/c 1",
    ],
    "mmm": [
        "P - - -",
        "P - - 2_1",
        "P 2_1 2_1 -",
        "P 2_1 2_1 2_1",
        "C - - 2_1",
        "C - - -",
        "F - - -",
        "I - - -",
        "P - - a",
        "P c c -",
        "P b c -",
        "P - n a",
        "P - - n",
        "P b a -",
        "P n - a",
        "P n n -",
        "C - c -",
        "C c c -",
        "C - - e",
        "C - c e",
        "F d d -",
        "I b a -",
        "I - - (ab)",
        "P n n n",
        "P b a n",
        "P n n a",
        "P c c a",
        "P c c n",
        "P b c n",
        "P b c a",
        "C c c e",
        "F d d d",
        "I b c a",
    ],
    "4/m": [
        "P - - -",
        "P 4_1 - -",
        "P 4_2 - -",
        "I - - -",
        "I 4_1 - -",
        "P n - -",
        "P 4_2/n - -",
        "I 4_1/a - -",
    ],
    "4/mmm": [
        "P - - -",
        "P - 2_1 -",
        "P 4_1 - -",
        "P 4_1 2_1 -",
        "P 4_2 - -",
        "P 4_2 2_1 -",
        "I - - -",
        "I 4_1 - -",
        "P - b -",
        "P - c -",
        "P - n -",
        "P - c c",
        "P - n c",
        "P - - c",
        "P - b c",
        "I - c -",
        "I - - d",
        "I - c d",
        "P - 2_1 c",
        "P n b -",
        "P n n c",
        "P n - -",
        "P n c c",
        "P n b c",
        "P n n -",
        "P n - c",
        "P n c -",
        "I a - d",
        "I a c d",
    ],
    "-3": ["P - - -", "P 3_1 - -", "R - -"],
    "-3m1": ["P - - -", "P 3_1 - -", "P - c -"],
    "-31m": ["P - - -", "P 3_1 - -", "P - - c"],
    "-3m": ["R - -", "R - c"],
    "6/m": ["P - - -", "P 6_1 - -", "P 6_2 - -", "P 6_3 - -"],
    "6/mmm": [
        "P - - -",
        "P 6_1 - -",
        "P 6_2 - -",
        "P 6_3 - -",
        "P - c c",
        "P - c -",
        "P - - c",
    ],
    "m-3": [
        "P - - -",
        "F - - -",
        "I - - -",
        "P 2_1 - -",
        "P n - -",
        "F d - -",
        "P a - -",
        "I a - -",
    ],
    "m-3m": [
        "P - - -",
        "P 4_2 - -",
        "F - - -",
        "F 4_1 - -",
        "I - - -",
        "P 4_1 - -",
        "I 4_1 - -",
        "P - - n",
        "F - - c",
        "I - - d",
        "P n - n",
        "P n - -",
        "F d - -",
        "F d - c",
        "I a - d",
    ],
}

# One symmetry direction for each position of a symbol; the Laue class gives
# the equivalent ones. "[001]" comes first in cubic symbols because it is the
# one to which the letter a of Pa-3 refers.
_BASIS = ("[100]", "[010]", "[001]")
_DIAGONAL = ("[001]", "[100]", "[1-10]")
_DIRECTIONS = {
    "-1": _BASIS[:1],
    "2/m": _BASIS,
    "mmm": _BASIS,
    "m-3": ("[001]", "[111]", None),
    "m-3m": ("[001]", "[111]", "[1-10]"),
}


def absent_by_symbol(
    laue_class: str, extinction_symbol: str, rotations: np.ndarray, hkl: np.ndarray
) -> np.ndarray:
    """Return the reflections that an extinction symbol says are absent.

    Parameters
    ----------
    laue_class
        A key of ``EXTINCTION_SYMBOLS``.
    extinction_symbol
        Centring letter and one symbol for each symmetry direction.
    rotations
        Rotations of the Laue class, integer array of shape (n, 3, 3).
    hkl
        Integer array of shape (m, 3).

    Returns
    -------
    ndarray of bool
        True where absent, shape (m,).
    """
    centring, *symbols = extinction_symbol.split()
    directions = _DIRECTIONS.get(laue_class, _DIAGONAL)
    absent = np.zeros(len(hkl), dtype=bool)
    for rotation in laue_rotations(rotations):
        h, k, l = (hkl @ rotation).T  # noqa: E741
        absent |= ~_allowed_by_centring(centring, h, k, l)
        # R has no third direction
        for direction, symbol in zip(directions, symbols, strict=False):
            for element in symbol.split("/"):
                if element not in ("-", "1"):
                    absent |= ~_allowed_by_element(direction, element, h, k, l)
    return absent


def _allowed_by_centring(centring, h, k, l):  # noqa: E741
    """Return which reflections a centred cell allows (R: obverse)."""
    conditions = {
        "P": [],
        "C": [(h + k, 2)],
        "I": [(h + k + l, 2)],
        "F": [(h + k, 2), (k + l, 2)],
        "R": [(-h + k + l, 3)],
    }
    return _all_divisible(conditions[centring], h)


def _allowed_by_element(direction, element, h, k, l):  # noqa: E741
    """Return which reflections a screw axis or a glide plane allows."""
    if "_" in element:
        order, step = map(int, element.split("_"))
        period = order // gcd(order, step)
        along, others = {
            "[100]": (h, (k, l)),
            "[010]": (k, (h, l)),
            "[001]": (l, (h, k)),
        }[direction]
        on_axis = (others[0] == 0) & (others[1] == 0)
        return ~on_axis | (along % period == 0)
    plane, conditions = {
        "[100]": (h == 0, _glides("bc", k, l)),
        "[010]": (k == 0, _glides("ac", h, l)),
        "[001]": (l == 0, _glides("ab", h, k)),
        "[1-10]": (
            h == k,
            {"c": [(l, 2)], "n": [(h + k + l, 2)], "d": [(h + k + l, 4)]},
        ),
    }[direction]
    return ~plane | _all_divisible(conditions[element], h)


def _glides(letters, first, second):
    """Return the conditions of glide planes parallel to two cell axes."""
    both = [(first, 2), (second, 2)]
    return {
        letters[0]: both[:1],
        letters[1]: both[1:],
        "n": [(first + second, 2)],
        "d": [(first + second, 4)],
        "e": both,
        f"({letters})": both,
    }


def _all_divisible(conditions, like):
    """Return where every sum of indices is a multiple of its divisor."""
    allowed = np.ones(like.shape, dtype=bool)
    for index_sum, divisor in conditions:
        allowed &= index_sum % divisor == 0
    return allowed
