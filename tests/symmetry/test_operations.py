# SPDX-License-Identifier: GPL-3.0-or-later
"""Symmetry operations by space group and setting."""

import subprocess
import sys

import numpy as np
import pytest

from pyxem_symnet.symmetry.operations import (
    operations,
    standard_hall_number,
    standard_operations,
    standard_settings,
)


def test_every_group_has_a_standard_setting():
    settings = standard_settings()
    assert set(settings) == set(range(1, 231))
    assert settings[1] == 1
    assert settings[230] == 530


@pytest.mark.parametrize(
    "number, hkl, absent",
    [
        (14, (1, 0, 1), True),  # P 1 2_1/c 1: unique axis b, cell choice 1
        (14, (1, 1, 0), False),
        (38, (0, 1, 0), True),  # A m m 2
        (148, (1, 0, 0), True),  # R -3 on hexagonal axes, obverse
        (148, (-1, 1, 1), False),
    ],
)
def test_standard_settings_are_those_of_the_tables(number, hkl, absent):
    rotations, translations = standard_operations(number)
    same = (np.array(hkl) @ rotations == hkl).all(-1)
    phases = np.exp(2j * np.pi * (translations[same] @ np.array(hkl)))
    assert np.isclose(abs(phases.sum()), 0) == absent


def test_operations_multiply():
    rotations, translations = operations(standard_hall_number(136))
    pairs = list(zip(rotations, translations, strict=True))
    listed = {(r.tobytes(), *np.round(t * 24)) for r, t in pairs}
    assert len(listed) == 16
    products = {
        ((r @ s).tobytes(), *np.round((r @ u + t) % 1 * 24))
        for r, t in pairs
        for s, u in pairs
    }
    assert products == listed


def test_shared_arrays_cannot_be_changed():
    rotations, translations = standard_operations(225)
    for array in (rotations, translations):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


@pytest.mark.parametrize("number", [0, 231, -1])
def test_unknown_space_group(number):
    with pytest.raises(ValueError, match=f"1 to 230, got {number}"):
        standard_operations(number)


def test_import_is_cheap():
    code = (
        "import sys, pyxem_symnet.symmetry.operations; print('spglib' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "False", done.stderr
