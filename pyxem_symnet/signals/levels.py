# SPDX-License-Identifier: GPL-3.0-or-later
"""Arithmetic of probability arrays at the levels of symmetry.

Arrays are NumPy's or dask's, and stay what they are.
"""

from __future__ import annotations

from collections.abc import Sequence

import dask.array as da
import numpy as np

from pyxem_symnet.symmetry import aggregate, level_labels

NOT_INDEXED = "not indexed"


def names(level: str) -> tuple[str, ...]:
    """Return the name of each code of a map, that of 0 first.

    Parameters
    ----------
    level
        One of :data:`pyxem_symnet.symmetry.LEVELS`.
    """
    return (NOT_INDEXED, *level_labels(level))


def summed(data, space_groups: Sequence[int], level: str):
    """Return probabilities of a level's labels, and the labels.

    Parameters
    ----------
    data
        Array of shape (..., space groups).
    space_groups
        Numbers along the last axis.
    level
        One of :data:`pyxem_symnet.symmetry.LEVELS`.
    """
    return aggregate(data, space_groups, level)


def codes(data, space_groups: Sequence[int], level: str, threshold: float):
    """Return the code of the most probable label, 0 for none.

    Parameters
    ----------
    data, space_groups, level
        As for :func:`summed`.
    threshold
        Smallest confidence.

    Returns
    -------
    codes
        Int16 array of shape (...): places in :func:`names`.

    Raises
    ------
    ValueError
        If the threshold is not from 0 to 1, or the level unknown.
    """
    if not 0 <= threshold <= 1:
        raise ValueError(f"threshold must be from 0 to 1, not {threshold!r}.")
    values, labels = summed(data, space_groups, level)
    places = names(level)
    code = np.array([places.index(label) for label in labels], dtype=np.int16)
    if isinstance(values, da.Array):
        best = values.argmax(-1).map_blocks(code.take, dtype=code.dtype)
    else:
        best = code[values.argmax(-1)]
    confidence = values.max(-1)
    not_crystalline = 1 - values.sum(-1)
    # A comparison with NaN is false: excluded points are not indexed. Rounding
    # must not make a sum of nought more than none.
    sure = (confidence >= threshold) & (confidence > not_crystalline)
    return best * sure


def mean(data) -> np.ndarray:
    """Return probabilities averaged over all points that have any.

    Parameters
    ----------
    data
        Array of shape (..., space groups).
    """
    rows = data.reshape(-1, data.shape[-1])
    included = ~np.isnan(rows[:, 0])
    total = np.where(included[:, np.newaxis], rows, 0).sum(0, dtype=np.float64)
    return np.asarray(total / included.sum())


def ranking(
    values: np.ndarray, space_groups: Sequence[int], level: str, n: int
) -> list[tuple[str, float]]:
    """Return the most probable labels and their probabilities.

    Parameters
    ----------
    values
        Probabilities of shape (space groups,).
    space_groups, level
        As for :func:`summed`.
    n
        Number of labels.
    """
    totals, labels = summed(np.asarray(values), space_groups, level)
    order = np.argsort(-totals, kind="stable")[:n]
    return [(labels[i], float(totals[i])) for i in order]
