# SPDX-License-Identifier: GPL-3.0-or-later
"""Splits follow from names, never from patterns."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyxem_symnet.training.splits import (
    SPLITS,
    name_fraction,
    select_split,
    split_of,
)


def test_splits_of_known_names_never_change():
    # Whoever changes the rule trains on somebody's test set
    names = ["mp-1", "mp-149", "mp-19306", "mp-22862"]
    assert [f"{name_fraction(name):.4f}" for name in names] == [
        "0.8367",
        "0.9128",
        "0.1956",
        "0.4388",
    ]


@given(st.text(), st.text(), st.text())
def test_a_held_out_type_is_held_out_whole(first, second, kind):
    assert (split_of(first, kind) == "unseen-types") == (
        split_of(second, kind) == "unseen-types"
    )


def test_shares_and_disjointness():
    names = [f"mp-{number}" for number in range(4000)]
    types = [f"type-{number % 900}" for number in range(4000)]
    parts = {split: select_split(names, types, split) for split in SPLITS}
    together = sorted(index for part in parts.values() for index in part)
    assert together == list(range(4000)) == list(select_split(names, types, "all"))
    for split, share in zip(SPLITS, (0.808, 0.048, 0.095, 0.05), strict=True):
        assert abs(len(parts[split]) / 4000 - share) < 0.02
    seen = {types[i] for split in SPLITS[:3] for i in parts[split]}
    assert not seen & {types[i] for i in parts["unseen-types"]}


def test_unknown_split():
    with pytest.raises(ValueError, match="must be 'all' or one of"):
        select_split(["a"], ["b"], "dev")
