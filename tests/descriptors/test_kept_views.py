# SPDX-License-Identifier: GPL-3.0-or-later
"""What is kept of single views does not hang on order, blocks or rotation."""

import functools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pyxem_symnet.descriptors.kept_views import KeptViews, stronger
from pyxem_symnet.descriptors.spots import Spots


def draw(n_views, seed=0, n_places=90, most=90):
    """Views of 0 to *most* spots in random places among empty ones."""
    generator = torch.Generator().manual_seed(seed)
    positions = 2 * torch.rand(n_views, n_places, 2, generator=generator) - 1
    intensities = 100 * torch.rand(n_views, n_places, generator=generator) ** 3 + 0.01
    counts = torch.randint(most + 1, (n_views, 1), generator=generator)
    place = torch.rand(n_views, n_places, generator=generator).argsort(-1)
    return Spots(positions, torch.where(place < counts, intensities, 0.0))


def take(spots, index):
    return Spots(spots.positions[index], spots.intensities[index])


def turned(spots, seed=0, mirror=False):
    """Turn each view by an angle of its own."""
    generator = torch.Generator().manual_seed(seed)
    angle = 2 * torch.pi * torch.rand(len(spots.intensities), generator=generator)
    cosine, sine = angle.cos(), angle.sin()
    matrix = torch.stack((cosine, -sine, sine, cosine), -1).unflatten(-1, (2, 2))
    positions = spots.positions @ matrix.mT
    if mirror:
        positions = positions * torch.tensor([1.0, -1.0])
    return Spots(positions, spots.intensities)


def one_by_one(layer, spots, groups, n_groups):
    """Slow reference: a view at a time, of Python's own order of tuples."""
    n_slots = 2 * layer.n_tables * layer.n_slots
    n_values = 1 + layer.n_tables + 3 * layer.n_spots
    kept = np.zeros((n_groups, n_slots, n_values), np.float32)
    for view, group in enumerate(groups.tolist()):
        single = layer(take(spots, [view]))[0].numpy()
        for slot in np.flatnonzero(single[:, 0]):
            best = max(tuple(kept[group, slot]), tuple(single[slot]))
            kept[group, slot] = best
    return kept


def with_repeats(n_views, seed):
    """Views of which some are others turned, so that their scores tie."""
    spots = draw(n_views, seed)
    return Spots.concatenate([spots, turned(spots, seed), take(spots, [0, 0])])


def occupied(kept):
    """Return pairs of slot and score."""
    slots = torch.nonzero(kept[..., 0])
    return [(*slot.tolist(), float(kept[tuple(slot)][0])) for slot in slots]


@pytest.fixture
def layer():
    return KeptViews()


def test_defaults_and_settings():
    layer = KeptViews()
    assert layer.settings == {
        "n_slots": 32,
        "n_spots": 64,
        "n_views": 24,
        "n_tables": 3,
    }
    assert KeptViews(**layer.settings).settings == layer.settings
    assert not layer.state_dict()
    kept = layer(draw(7).to(torch.float64))
    assert kept.shape == (7, 192, 196)
    assert kept.dtype == torch.float64
    assert layer(draw(7)).dtype == torch.float32


def test_slots_are_constants_and_leave_random_numbers_alone():
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002 (what is guarded)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    first, second = KeptViews(5), KeptViews(5)
    assert torch.equal(first._directions, second._directions)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002
    # A change would mix slots of two versions of a saved sum
    expected = torch.tensor([0.104621, -0.026553, 0.031777, -0.229393])
    torch.testing.assert_close(first._directions[0, :4], expected, atol=1e-5, rtol=0)


def test_a_view_is_kept_with_the_spots_nearest_to_the_beam(layer):
    spots = draw(1, most=90)
    spots.intensities[:] = torch.linspace(1, 2, 90)
    (view,) = layer.views(layer(spots)[0])
    distance = spots.positions[0].norm(dim=-1)
    nearest = distance.argsort()[:64]
    expected = torch.cat((spots.positions[0], spots.intensities[0, :, None]), -1)
    np.testing.assert_array_equal(view, expected[nearest].numpy())
    assert 90 < float(layer(spots)[0, :, 0].max()) < 91


def test_empty_places_are_nought():
    spots = draw(1, n_places=6)
    spots.intensities[0] = torch.tensor([0.0, 3, 0, 5, 0, 4])
    # Whatever stands in an empty place
    spots.positions[0, 0] = torch.nan
    layer = KeptViews(n_slots=4, n_spots=9, n_tables=1)
    kept = layer(spots)[0]
    slot, drawn = kept[:, 0].nonzero().flatten().tolist()
    assert drawn == slot + 4
    assert not kept[[i for i in range(8) if i not in (slot, drawn)]].any()
    assert kept[slot, 1] == slot
    assert not kept[slot, 2 + 3 * 3 :].any()
    assert kept.isfinite().all()
    (view,) = layer.views(kept)
    assert sorted(view[:, 2]) == [3, 4, 5]


@pytest.mark.parametrize("n_spots, n_kept", [(0, 0), (1, 0), (2, 0), (3, 1)])
def test_views_of_few_spots_are_not_kept(layer, n_spots, n_kept):
    spots = draw(1)
    spots.intensities[:] = 0
    spots.intensities[0, :n_spots] = 1
    kept = layer(spots)[0]
    assert len(layer.views(kept)) == n_kept
    assert bool(kept.any()) == bool(n_kept)


def test_no_views_at_all(layer):
    none = take(draw(2), [])
    assert layer(none).shape == (0, 192, 196)
    kept = layer(none, torch.zeros(0, dtype=torch.long), 2)
    assert kept.shape == (2, 192, 196) and not kept.any()


@pytest.mark.parametrize("mirror", [False, True])
def test_turned_patterns_have_the_same_slots_and_spots(layer, mirror):
    spots = draw(40, seed=3)
    kept, again = layer(spots), layer(turned(spots, 4, mirror))
    assert len(occupied(kept)) > 30
    assert occupied(again) == occupied(kept)
    for first, second in zip(kept, again, strict=True):
        for view, other in zip(layer.views(first), layer.views(second), strict=True):
            # Spots in place, up to a turn: all lengths and mutual distances
            np.testing.assert_array_equal(view[:, 2], other[:, 2])
            a, b = view[:, :2], other[:, :2]
            np.testing.assert_allclose(a @ a.T, b @ b.T, atol=1e-5)


def test_intensities_may_be_scaled(layer):
    spots = draw(40)
    scaled = Spots(spots.positions, 8 * spots.intensities)
    assert occupied(layer(scaled)) == occupied(layer(spots))


def test_order_and_padding_of_spots_do_not_move_a_view(layer):
    spots = draw(40)
    order = torch.randperm(90, generator=torch.Generator().manual_seed(5))
    mixed = Spots(spots.positions[:, order], spots.intensities[:, order])
    wide = Spots.concatenate([mixed, draw(1, n_places=317)])
    assert torch.equal(layer(take(wide, slice(40))), layer(spots))


@given(data=st.data())
def test_any_order_and_split_give_the_same(data):
    """Of all views at once, or in parts that are merged in any order."""
    layer = KeptViews(n_slots=4, n_spots=8)
    spots = with_repeats(data.draw(st.integers(1, 12)), data.draw(st.integers(0, 99)))
    n_views = len(spots.intensities)
    groups = torch.tensor(
        data.draw(st.lists(st.integers(0, 2), min_size=n_views, max_size=n_views))
    )
    whole = layer(spots, groups, 3)
    order = torch.tensor(data.draw(st.permutations(range(n_views))))
    cuts = data.draw(st.lists(st.integers(0, n_views), max_size=4))
    parts = [
        layer(take(spots, part), groups[part], 3)
        for part in order.tensor_split(sorted(cuts))
    ]
    assert torch.equal(functools.reduce(stronger, parts), whole)
    assert torch.equal(functools.reduce(stronger, parts[::-1]), whole)


@pytest.mark.parametrize("n_views", [1, 5, 70])
def test_groups_are_one_by_one(n_views):
    layer = KeptViews(n_slots=6, n_spots=8)
    spots = with_repeats(n_views, 2)
    groups = torch.arange(len(spots.intensities)) * 7 % 5
    # The last group has no views
    kept = layer(spots, groups, 6)
    np.testing.assert_array_equal(kept.numpy(), one_by_one(layer, spots, groups, 6))
    assert not kept[5].any()


def test_the_stronger_of_equal_scores_is_the_same_either_way(layer):
    spots = draw(1, n_places=20)
    spots.intensities[:] = 1 + torch.arange(20.0)
    pair = layer(Spots.concatenate([spots, turned(spots, 1)]))
    assert occupied(pair[:1])[0][1:] == occupied(pair[1:])[0][1:]
    assert not torch.equal(pair[0], pair[1])
    best = stronger(pair[0], pair[1])
    assert torch.equal(best, stronger(pair[1], pair[0]))
    assert torch.equal(best, pair[0]) or torch.equal(best, pair[1])


@given(seeds=st.lists(st.integers(0, 30), min_size=3, max_size=3))
def test_mergers_are_commutative_and_associative(seeds):
    layer = KeptViews(n_slots=3, n_spots=4)
    a, b, c = (
        layer(draw(4, seed, most=5), torch.zeros(4, dtype=torch.long), 1)
        for seed in seeds
    )
    assert torch.equal(stronger(a, b), stronger(b, a))
    assert torch.equal(stronger(a, stronger(b, c)), stronger(stronger(a, b), c))
    assert torch.equal(stronger(a, a), a)
    assert torch.equal(stronger(a, torch.zeros_like(a)), a)


def test_views_come_best_first_and_at_most_so_many():
    layer = KeptViews(n_slots=30, n_spots=90, n_views=7)
    spots = draw(200, seed=6)
    kept = layer(spots, torch.zeros(200, dtype=torch.long), 1)[0]
    views = layer.views(kept)
    assert len(views) == 7
    counts = [len(view) for view in views]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] == int(spots.counts.max())
    for view, again in zip(views, layer.views(kept.numpy()), strict=True):
        np.testing.assert_array_equal(view, again)


def net(seed, n_grains):
    """Views of grains of a made-up crystal: spots of thin layers of a net."""
    generator = torch.Generator().manual_seed(seed)
    hkl = torch.cartesian_prod(*[torch.arange(-5.0, 6)] * 3)
    g = hkl / torch.tensor([4.0, 6.3, 9.1])
    rotations = torch.linalg.qr(torch.randn(n_grains, 3, 3, generator=generator))[0]
    g = g @ rotations
    heights = torch.exp(-((g[..., 2] / 0.02) ** 2)) * (g.norm(dim=-1) < 1.2)
    heights[:, (hkl == 0).all(-1)] = 0
    return Spots(g[..., :2], torch.where(heights > 0.05, heights, 0.0))


def test_hardly_a_view_is_lost_in_all_tables():
    """Of several chances to keep a place, the best counts; no view comes twice."""
    grains = net(0, 16)
    groups = torch.zeros(16, dtype=torch.long)
    kept = {}
    for n_tables in (1, 3):
        layer = KeptViews(n_slots=32, n_tables=n_tables)
        views = layer.views(layer(grains, groups, 1)[0])
        kept[n_tables] = {view.tobytes() for view in views}
        assert len(kept[n_tables]) == len(views)
    assert kept[1] < kept[3]
    assert len(kept[3]) >= 15


def test_counts_add_up_over_any_split(layer):
    spots = with_repeats(30, 1)
    groups = torch.arange(len(spots.intensities)) % 3
    whole = layer.count_alike(spots, groups, 4)
    assert whole.shape == (4, 2048)
    counted = torch.bincount(groups[spots.counts >= 3], minlength=4)
    assert torch.equal(whole.sum(1), counted.float())
    parts = torch.randperm(len(groups)).split(11)
    total = sum(layer.count_alike(take(spots, p), groups[p], 4) for p in parts)
    assert torch.equal(total, whole)
    each = layer.count_alike(spots)
    assert torch.equal(each[groups == 1].sum(0), whole[1])
    assert torch.equal(layer.count_alike(turned(spots, 3)), each)


def test_different_views_are_chosen_by_their_spots(layer):
    """However many there are, as long as few are alike."""
    spots = net(3, 1000)
    groups = torch.zeros(1000, dtype=torch.long)
    kept = layer(spots, groups, 1)[0]
    views = layer.views(kept, layer.count_alike(spots, groups, 1)[0])
    for view, expected in zip(views, layer.views(kept), strict=True):
        np.testing.assert_array_equal(view, expected)


def measured(spots, seed):
    """Return spots a little off and of other heights."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(spots.positions.shape, generator=generator)
    heights = torch.rand(spots.intensities.shape, generator=generator)
    return Spots(
        spots.positions + 0.001 * noise, spots.intensities * (0.9 + 0.2 * heights)
    )


def beside(first, second):
    """Return views with the spots of two."""
    return Spots(*(torch.cat(pair, 1) for pair in zip(first, second, strict=True)))


@pytest.mark.parametrize("seed", range(4))
def test_boundaries_of_grains_are_seldom_chosen(seed):
    """There two patterns lie over each other, and have the most spots."""
    layer = KeptViews(n_views=16)
    grains, others = net(seed, 14), net(seed + 50, 14)
    nothing = Spots(torch.zeros_like(others.positions), 0 * others.intensities)
    inside = [beside(measured(grains, n), nothing) for n in range(20)]
    neighbours = [Spots(*(c.roll(n, 0) for c in others)) for n in range(5)]
    boundary = [beside(measured(grains, 30), other) for other in neighbours]
    spots = Spots.concatenate([*inside, *boundary])
    groups = torch.zeros(len(spots.intensities), dtype=torch.long)
    kept = layer(spots, groups, 1)[0]

    def share_inside(views):
        # Views whose spots are all of one grain
        places = np.where(grains.intensities[..., None] > 0, grains.positions, np.inf)
        distance = [
            np.linalg.norm(view[:, None, :2] - places[:, None], axis=-1).min(-1)
            for view in views
        ]
        return np.mean([each.max(-1).min() < 0.01 for each in distance])

    chosen = layer.views(kept, layer.count_alike(spots, groups, 1)[0])
    assert len(chosen) >= 8
    assert share_inside(chosen) > 0.8
    assert share_inside(layer.views(kept)) < 0.3


def test_a_grain_fills_few_slots_and_many_grains_fill_many():
    layer = KeptViews()
    grains = net(0, 60)
    groups = torch.zeros(60, dtype=torch.long)
    assert len(layer.views(layer(grains, groups, 1)[0])) >= 20
    # The same grain sixty times, its spots a little off and of other heights
    generator = torch.Generator().manual_seed(1)
    one = take(grains, [int(grains.counts.argmax())] * 60)
    noise = torch.randn(one.positions.shape, generator=generator)
    heights = torch.rand(one.intensities.shape, generator=generator) + 0.5
    again = Spots(one.positions + 0.002 * noise, one.intensities * heights)
    assert len(layer.views(layer(again, groups, 1)[0])) <= 6
