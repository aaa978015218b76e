# SPDX-License-Identifier: GPL-3.0-or-later
"""Sums of space-group probabilities over coarser levels of symmetry."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pyxem_symnet.symmetry.groups import level_labels, level_of

if TYPE_CHECKING:
    import dask.array as da


def aggregation_matrix(
    classes: Sequence[int], level: str
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return the matrix that sums classes into the labels of a level.

    Parameters
    ----------
    classes
        Space-group numbers of a model's outputs, each once, in any order.
        0 means "not crystalline": it belongs to no label, so its row is
        zero.
    level
        One of :data:`~pyxem_symnet.symmetry.LEVELS`.

    Returns
    -------
    matrix
        Array of shape (n_classes, n_labels) of zeros and ones.
    labels
        The labels of the columns: those that at least one class has, in
        the order of :func:`~pyxem_symnet.symmetry.level_labels`.

    Raises
    ------
    ValueError
        If the level is unknown, or a class is not 0 to 230 or given twice.
    """
    numbers = _validated_classes(classes)
    row_labels = [level_of(level, n) if n else None for n in numbers]
    present = set(row_labels)
    labels = tuple(label for label in level_labels(level) if label in present)
    column = {label: i for i, label in enumerate(labels)}
    matrix = np.zeros((len(numbers), len(labels)))
    for row, label in enumerate(row_labels):
        if label is not None:
            matrix[row, column[label]] = 1
    return matrix, labels


def aggregate(
    probabilities: np.ndarray | da.Array, classes: Sequence[int], level: str
) -> tuple[np.ndarray | da.Array, tuple[str, ...]]:
    """Sum probabilities of space groups into those of a coarser level.

    Parameters
    ----------
    probabilities
        Array of shape (..., n_classes), NumPy or Dask. A Dask array stays
        lazy.
    classes
        Space-group numbers along the last axis; 0 means "not crystalline",
        which is in none of the labels.
    level
        One of :data:`~pyxem_symnet.symmetry.LEVELS`.

    Returns
    -------
    summed
        Array of shape (..., n_labels), of the kind and floating-point type
        of *probabilities*. Its last axis has the sum that *probabilities*
        has without class 0.
    labels
        The labels along its last axis, as in :func:`aggregation_matrix`.

    Raises
    ------
    ValueError
        If *classes* does not match the last axis, or for the reasons given
        in :func:`aggregation_matrix`.

    Examples
    --------
    >>> import numpy as np
    >>> from pyxem_symnet.symmetry import aggregate
    >>> aggregate(np.array([0.5, 0.3, 0.2]), (33, 62, 225), "laue_class")
    (array([0.8, 0.2]), ('mmm', 'm-3m'))
    """
    if not hasattr(probabilities, "__array_function__"):
        probabilities = np.asarray(probabilities)
    matrix, labels = aggregation_matrix(classes, level)
    n_outputs = probabilities.shape[-1] if probabilities.ndim else 0
    if n_outputs != len(matrix):
        raise ValueError(
            f"The probabilities have {n_outputs} entries along their last axis "
            f"but {len(matrix)} classes were given; pass the classes of the model "
            "that made them, in its order."
        )
    if np.issubdtype(probabilities.dtype, np.floating):
        matrix = matrix.astype(probabilities.dtype)
    # Unlike matmul, tensordot is the same call for 1-D and N-D arrays, and
    # NumPy hands it over to Dask
    return np.tensordot(probabilities, matrix, axes=1), labels


def rank_of_truth(
    probabilities: np.ndarray, classes: Sequence[int], level: str, number: int
) -> np.ndarray:
    """Return the place of the true label in the ranking at a level.

    Parameters
    ----------
    probabilities
        Array of shape (..., n_classes).
    classes
        Space-group numbers along the last axis, 0 for "not crystalline".
    level
        One of :data:`~pyxem_symnet.symmetry.LEVELS`.
    number
        True space group, 1 to 230: one number, or an array of them that
        broadcasts against the leading axes of *probabilities*.

    Returns
    -------
    ndarray of int
        Ranks, 1 is the best, of the leading shape. Labels as probable as
        the true one are counted as before it, so that a flat or NaN answer
        is never a right one. Where no class has the true label, the rank
        is one more than the number of labels.

    Raises
    ------
    ValueError
        If *number* is not 1 to 230, or for the reasons given in
        :func:`aggregate`.

    Examples
    --------
    >>> from pyxem_symnet.symmetry import rank_of_truth
    >>> int(rank_of_truth([0.2, 0.5, 0.3], (225, 62, 33), "space_group", 33))
    2
    """
    summed, labels = aggregate(np.asarray(probabilities), classes, level)
    column = {label: i for i, label in enumerate(labels)}
    numbers = np.asarray(number)
    true_columns = np.reshape(
        [column.get(level_of(level, n), len(labels)) for n in numbers.flat],
        numbers.shape,
    ).astype(int)
    # The extra column is below all others and stands for labels not offered
    padding = np.full((*summed.shape[:-1], 1), -np.inf)
    padded = np.concatenate([summed, padding], axis=-1)
    shape = np.broadcast_shapes(padded.shape[:-1], true_columns.shape)
    padded = np.broadcast_to(padded, (*shape, padded.shape[-1]))
    true_columns = np.broadcast_to(true_columns, shape)
    truth = np.take_along_axis(padded, true_columns[..., np.newaxis], axis=-1)
    # "Not less" instead of "greater or equal": a NaN comes before the truth
    before = ~(padded[..., :-1] < truth)
    return before.sum(axis=-1) + (true_columns == len(labels))


def _validated_classes(classes: Sequence[int]) -> tuple[int, ...]:
    """Return classes as integers, once they are known to make sense."""
    numbers = np.asarray(classes)
    if numbers.ndim != 1 or not np.issubdtype(numbers.dtype, np.integer):
        raise ValueError(
            "classes must be a flat sequence of space-group numbers (integers)."
        )
    wrong = numbers[(numbers < 0) | (numbers > 230)]
    if wrong.size:
        raise ValueError(
            "classes must be space-group numbers 1 to 230, or 0 for 'not "
            f"crystalline'; got {wrong[0]}."
        )
    if np.unique(numbers).size != numbers.size:
        raise ValueError("classes must hold every space-group number only once.")
    return tuple(numbers.tolist())
