# SPDX-License-Identifier: GPL-3.0-or-later
"""How many crystals of each space group the splits have."""

from collections import Counter
from pathlib import Path

import pyarrow.dataset as ds

from pyxem_symnet.training.splits import split_of


def count_groups(structures, splits) -> dict[str, Counter]:
    """Return numbers of crystals by split and space group.

    Parameters
    ----------
    structures
        Structure table, or a reflection store made of it.
    splits
        Splits to count in.
    """
    source = Path(structures)
    paths = sorted(source.glob("part-*.parquet")) if source.is_dir() else [source]
    columns = ["material_id", "structure_type", "space_group"]
    table = ds.dataset([str(p) for p in paths]).to_table(columns=columns)
    groups = {split: Counter() for split in splits}
    for name, kind, number in zip(*(c.to_pylist() for c in table), strict=True):
        split = split_of(name, kind)
        if split in groups:
            groups[split][number] += 1
    return groups
