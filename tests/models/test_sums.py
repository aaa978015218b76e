# SPDX-License-Identifier: GPL-3.0-or-later
"""Features of parts of a crystal's views, put together."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pyxem_symnet.models.sums import (
    combine,
    combine_rows,
    pool,
    pool_without_each,
)


def draw(n_crystals, seed=0, kept=True):
    """Features of whole numbers, so that sums are exact; many scores tie."""
    generator = torch.Generator().manual_seed(seed)

    def numbers(*shape):
        return torch.randint(0, 4, (n_crystals, *shape), generator=generator).float()

    features = {"n_views": numbers(1), "pairs": numbers(2, 3, 3)}
    if kept:
        rows = numbers(5, 7)
        features["kept"] = rows * (rows[..., :1] > 0)
    return features


def rows_of(features, rows):
    return {name: value[rows] for name, value in features.items()}


def assert_equal(first, second):
    assert set(first) == set(second)
    for name, value in second.items():
        np.testing.assert_array_equal(first[name], value, err_msg=name)


def test_scores_decide_what_is_kept():
    first = {"kept": torch.tensor([[[3.5, 1, 1], [0, 0, 0], [4.2, 5, 1]]])}
    second = {"kept": torch.tensor([[[3.4, 9, 9], [3, 2, 2], [4.2, 5, 2]]])}
    expected = [[[3.5, 1, 1], [3, 2, 2], [4.2, 5, 2]]]
    for parts in ((first, second), (second, first)):
        torch.testing.assert_close(combine(parts)["kept"], torch.tensor(expected))


@pytest.mark.parametrize("kept", [False, True])
def test_all_else_adds_up(kept):
    parts = [draw(3, seed, kept) for seed in range(4)]
    total = combine(iter(parts))
    assert ("kept" in total) == kept
    for name in ("n_views", "pairs"):
        assert torch.equal(total[name], sum(part[name] for part in parts))


def test_parts_are_left_as_they_are():
    parts = [draw(2, seed) for seed in range(2)]
    combine(parts)
    pool(parts[0])
    list(pool_without_each(parts[0]))
    for seed, part in enumerate(parts):
        assert_equal(part, draw(2, seed))


@given(data=st.data())
def test_rows_of_arrays_are_combined_as_tensors_are(data):
    """Parts that hold some of the crystals each, in any order."""
    n_crystals = data.draw(st.integers(1, 4))
    parts = data.draw(
        st.lists(
            st.tuples(st.sets(st.integers(0, n_crystals - 1)), st.integers(0, 50)),
            min_size=1,
            max_size=5,
        )
    )
    drawn = [(sorted(rows), draw(len(rows), seed)) for rows, seed in parts]
    nothing = {name: 0 * value for name, value in draw(n_crystals).items()}
    whole = [nothing]
    for rows, features in drawn:
        spread = {name: value.clone() for name, value in nothing.items()}
        for name, value in features.items():
            spread[name][rows] = value
        whole.append(spread)
    total = {}
    for rows, features in data.draw(st.permutations(drawn)):
        arrays = {name: value.numpy() for name, value in features.items()}
        combine_rows(total, np.array(rows, int), arrays, n_crystals)
    assert_equal(total, combine(whole))
    assert {name: value.dtype for name, value in total.items()} == {
        "n_views": np.float64,
        "pairs": np.float64,
        "kept": np.float32,
    }


@pytest.mark.filterwarnings("error")
def test_arrays_that_cannot_be_written_to():
    """As those are that another process sent."""
    arrays = {name: value.numpy() for name, value in draw(2).items()}
    for array in arrays.values():
        array.flags.writeable = False
    total = {}
    combine_rows(total, np.array([0, 1]), arrays, 2)
    combine_rows(total, np.array([0, 1]), arrays, 2)
    assert_equal(total, arrays | {n: 2 * arrays[n] for n in ("n_views", "pairs")})


@pytest.mark.parametrize("n_crystals", [1, 2, 5, 8])
@pytest.mark.parametrize("kept", [False, True])
def test_pooled_crystals(n_crystals, kept):
    features = draw(n_crystals, 1, kept)
    expected = combine(rows_of(features, [i]) for i in range(n_crystals))
    pooled = pool(features)
    assert_equal(pooled, expected)
    assert pooled["pairs"].dtype == torch.float64


@pytest.mark.parametrize("n_crystals", [2, 3, 9])
@pytest.mark.parametrize("kept", [False, True])
def test_pooled_without_each(n_crystals, kept):
    features = draw(n_crystals, 2, kept)
    rests = list(pool_without_each(features))
    assert len(rests) == n_crystals
    for i, rest in enumerate(rests):
        others = [j for j in range(n_crystals) if j != i]
        assert_equal(rest, pool(rows_of(features, others)))


def test_nothing_is_left_without_the_only_one():
    (rest,) = pool_without_each(draw(1))
    assert_equal(rest, {name: torch.zeros_like(v) for name, v in draw(1).items()})
