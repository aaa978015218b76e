# SPDX-License-Identifier: GPL-3.0-or-later
"""Symmetry operations of the space groups, from spglib's database."""

from __future__ import annotations

import functools

import numpy as np

N_SETTINGS = 530
"""Number of Hall numbers, one for each setting of each space group."""


@functools.cache
def standard_settings() -> dict[int, int]:
    """Return the Hall number of the standard setting by space group.

    It is the first that spglib lists: unique axis b and cell choice 1,
    origin choice 1, hexagonal axes.
    """
    import spglib

    first: dict[int, int] = {}
    for hall_number in range(1, N_SETTINGS + 1):
        number = spglib.get_spacegroup_type(hall_number).number
        first.setdefault(number, hall_number)
    return first


def standard_hall_number(number: int) -> int:
    """Return the Hall number of the standard setting of a space group.

    Parameters
    ----------
    number
        Number of the space group, 1 to 230.

    Raises
    ------
    ValueError
        If there is no such space group.
    """
    try:
        return standard_settings()[number]
    except KeyError:
        raise ValueError(
            f"Space group numbers go from 1 to 230, got {number}."
        ) from None


@functools.cache
def operations(hall_number: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the operations of a space group in one of its settings.

    Parameters
    ----------
    hall_number
        Hall number, 1 to 530.

    Returns
    -------
    rotations, translations
        Of shape (operations, 3, 3) and (operations, 3), for columns of
        fractional coordinates in the conventional cell, centring
        translations included as operations. Not to be written to.
    """
    import spglib

    database = spglib.get_symmetry_from_database(hall_number)
    rotations, translations = database["rotations"], database["translations"]
    rotations.flags.writeable = translations.flags.writeable = False
    return rotations, translations


def standard_operations(number: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the operations of a space group in its standard setting.

    Parameters
    ----------
    number
        Number of the space group, 1 to 230.

    Returns
    -------
    rotations, translations
        As of :func:`operations`.

    Raises
    ------
    ValueError
        If there is no such space group.
    """
    return operations(standard_hall_number(number))
