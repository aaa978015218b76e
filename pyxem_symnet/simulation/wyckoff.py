# SPDX-License-Identifier: GPL-3.0-or-later
"""Space-group operations at work on atoms."""

from __future__ import annotations

import numpy as np

from pyxem_symnet.symmetry.operations import operations


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
