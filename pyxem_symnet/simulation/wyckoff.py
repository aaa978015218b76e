# SPDX-License-Identifier: GPL-3.0-or-later
"""Space-group operations at work on atoms, from spglib's database."""

from __future__ import annotations

import functools

import numpy as np


@functools.cache
def default_hall_number(space_group: int) -> int:
    """Return the Hall number of the first setting spglib lists.

    Parameters
    ----------
    space_group
        Space-group number.

    Raises
    ------
    ValueError
        If there is no such space group.
    """
    import spglib

    for hall_number in range(1, 531):
        if spglib.get_spacegroup_type(hall_number).number == space_group:
            return hall_number
    raise ValueError(
        f"Space-group numbers go from 1 to 230; {space_group} is none of them."
    )


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
        Of shape (operations, 3, 3) and (operations, 3), for fractional
        coordinates in the conventional cell.
    """
    import spglib

    database = spglib.get_symmetry_from_database(hall_number)
    return database["rotations"], database["translations"]


def orbit(
    position: np.ndarray, hall_number: int, tolerance: float = 1e-4
) -> np.ndarray:
    """Return the positions equivalent to one, in a conventional cell.

    Parameters
    ----------
    position
        Fractional coordinates of shape (3,).
    hall_number
        Hall number of the setting.
    tolerance
        Positions whose coordinates differ by less are one.

    Returns
    -------
    positions
        Fractional coordinates of shape (atoms, 3), from 0 to 1.
    """
    rotations, translations = operations(hall_number)
    images = (rotations @ np.asarray(position, dtype=float) + translations) % 1.0
    difference = images[:, None] - images[None]
    difference -= difference.round()
    same = (np.abs(difference) < tolerance).all(-1)
    first = same.argmax(1) == np.arange(len(images))
    return images[first]
