# SPDX-License-Identifier: GPL-3.0-or-later
"""Systematic absences of a space group, from its symmetry operations."""

from __future__ import annotations

from itertools import permutations

import numpy as np

AbsenceKey = tuple[frozenset[bytes], bytes]
"""Laue class and absences in one setting, in a form that can be compared."""


def reflection_box(limit: int = 6) -> np.ndarray:
    """Return all reflections with indices up to a limit.

    Parameters
    ----------
    limit
        Largest absolute index. The default is the longest period of any
        reflection condition (00l: l = 6n), so the box shows all of them.

    Returns
    -------
    ndarray
        Integer array of shape ((2 * limit + 1)**3, 3).
    """
    indices = np.arange(-limit, limit + 1)
    return np.stack(np.meshgrid(*[indices] * 3, indexing="ij"), axis=-1).reshape(-1, 3)


def absent_reflections(
    rotations: np.ndarray, translations: np.ndarray, hkl: np.ndarray
) -> np.ndarray:
    """Return which reflections the general position makes absent.

    A reflection *h* is absent if some operation (*R*, *t*) leaves it where
    it is, *hR* = *h*, but shifts its phase, *h.t* not an integer
    (International Tables B, section 1.4.2).

    Parameters
    ----------
    rotations
        Integer array of shape (n, 3, 3), acting on columns of fractional
        coordinates, centring translations included as operations.
    translations
        Array of shape (n, 3) of fractions of the cell.
    hkl
        Integer array of shape (m, 3).

    Returns
    -------
    ndarray of bool
        True where absent, shape (m,).
    """
    absent = np.zeros(len(hkl), dtype=bool)
    for rotation, translation in zip(rotations, translations, strict=True):
        phase = hkl @ translation
        shifted = np.abs(phase - np.round(phase)) > 1e-3
        absent |= shifted & (hkl @ rotation == hkl).all(axis=1)
    return absent


def laue_rotations(rotations: np.ndarray) -> np.ndarray:
    """Return rotation parts with the inversion added, each once.

    Parameters
    ----------
    rotations
        Integer array of shape (n, 3, 3).

    Returns
    -------
    ndarray
        Integer array of shape (m, 3, 3), m the order of the Laue class.
    """
    return np.unique(np.concatenate([rotations, -rotations]), axis=0)


def absence_key(rotations: np.ndarray, absent: np.ndarray) -> AbsenceKey:
    """Return what diffraction shows of a space group in one setting.

    Parameters
    ----------
    rotations
        Rotation parts, integer array of shape (n, 3, 3).
    absent
        Boolean array over :func:`reflection_box`.

    Returns
    -------
    tuple
        The rotations of the Laue class *with their orientation to the
        lattice* (so that -3m1 differs from -31m), and the absences.
    """
    operations = laue_rotations(rotations).astype(np.int8)
    return frozenset(r.tobytes() for r in operations), np.packbits(absent).tobytes()


def absence_keys_of_axis_orders(
    rotations: np.ndarray, absent: np.ndarray
) -> set[AbsenceKey]:
    """Return the keys of a setting under all six orders of its axes.

    Parameters
    ----------
    rotations
        Rotation parts, integer array of shape (n, 3, 3).
    absent
        Boolean array over :func:`reflection_box`.

    Returns
    -------
    set
        Up to six keys as of :func:`absence_key`.
    """
    side = round(len(absent) ** (1 / 3))
    cube = absent.reshape(side, side, side)
    return {
        absence_key(rotations[:, order][:, :, order], cube.transpose(order).reshape(-1))
        for order in map(list, permutations(range(3)))
    }
