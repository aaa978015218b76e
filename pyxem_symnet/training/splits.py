# SPDX-License-Identifier: GPL-3.0-or-later
"""Which crystals are trained on, and which are held out.

Both splits follow from names alone, so anyone gets the same. A crystal's
number is the first 8 bytes of the SHA-256 of its ``material_id``, as a
fraction of 2⁶⁴; a structure type's number is that of its
``structure_type``.

====================  =================================================
split                 crystals
====================  =================================================
``"unseen-types"``    of types whose number is at least 0.95
``"test"``            of the other types, number at least 0.90
``"validation"``      of the other types, number from 0.85 to 0.90
``"train"``           the rest
====================  =================================================

So one training leaves both a random test set, as in Tiong et al. (2020),
and one of structure types that no crystal of the training set has.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

SPLITS = ("train", "validation", "test", "unseen-types")

_UNSEEN_TYPES_FROM = 0.95
_TEST_FROM = 0.90
_VALIDATION_FROM = 0.85


def name_fraction(name: str) -> float:
    """Return a number from 0 to below 1 that follows from a name alone."""
    digest = hashlib.sha256(name.encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def split_of(material_id: str, structure_type: str) -> str:
    """Return the split a crystal belongs to, one of :data:`SPLITS`.

    Parameters
    ----------
    material_id
        Name of the crystal.
    structure_type
        Its structure type, as the structure table writes it.
    """
    if name_fraction(structure_type) >= _UNSEEN_TYPES_FROM:
        return "unseen-types"
    fraction = name_fraction(material_id)
    if fraction >= _TEST_FROM:
        return "test"
    return "validation" if fraction >= _VALIDATION_FROM else "train"


def select_split(
    material_ids: Sequence[str], structure_types: Sequence[str], split: str
) -> np.ndarray:
    """Return the indices of the crystals of a split.

    Parameters
    ----------
    material_ids, structure_types
        Names and structure types of the crystals.
    split
        One of :data:`SPLITS`, or ``"all"``.

    Raises
    ------
    ValueError
        If the split is not known.
    """
    if split == "all":
        return np.arange(len(material_ids))
    if split not in SPLITS:
        raise ValueError(f"split must be 'all' or one of {SPLITS}, not {split!r}.")
    return np.array(
        [
            index
            for index, names in enumerate(
                zip(material_ids, structure_types, strict=True)
            )
            if split_of(*names) == split
        ],
        dtype=np.int64,
    )
