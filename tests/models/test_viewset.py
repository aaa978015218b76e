# SPDX-License-Identifier: GPL-3.0-or-later
import json
import math

import pytest
import torch

from pyxem_symnet.descriptors.geometry import PatternGeometry
from pyxem_symnet.descriptors.spots import Spots
from pyxem_symnet.models.calibration import TemperatureTable
from pyxem_symnet.models.sums import combine
from pyxem_symnet.models.viewset import ViewSetMSDN

from .conftest import SMALL


def pooled(model, spots):
    """Return features of all views as those of one crystal."""
    groups = torch.zeros(len(spots.positions), dtype=torch.long)
    return model.accumulate(spots, groups, 1)


def take(spots, index):
    return Spots(spots.positions[index], spots.intensities[index])


def turned(spots, degrees, mirror=False):
    angle = torch.deg2rad(degrees.to(spots.positions))
    matrix = torch.stack((angle.cos(), -angle.sin(), angle.sin(), angle.cos()), -1)
    matrix = matrix.unflatten(-1, (2, 2))
    positions = spots.positions @ matrix.mT
    if mirror:
        positions = positions * torch.tensor([1.0, -1.0])
    return Spots(positions, spots.intensities)


@pytest.mark.parametrize("without", [None, "radial", "pairs"])
def test_any_streams_give_logits(without):
    settings = {without: None} if without else {}
    model = ViewSetMSDN(range(1, 73), **settings)
    assert without not in model.streams
    spots = Spots(torch.rand(2, 9, 2) - 0.5, torch.rand(2, 9))
    assert model(model.accumulate(spots)).shape == (2, 72)


def test_default_size():
    n_parameters = sum(p.numel() for p in ViewSetMSDN(range(72)).parameters())
    assert 1e6 < n_parameters < 2e6


def test_order_of_views_does_not_matter(small_model, views):
    answer = small_model(pooled(small_model, views))
    again = small_model(pooled(small_model, take(views, torch.randperm(12))))
    torch.testing.assert_close(answer, again)


@pytest.mark.parametrize("mirror", [False, True])
def test_turning_each_pattern_does_not_matter(small_model, views, mirror):
    # In double precision no spot or angle crosses the edge of a bin
    views = views.to(torch.float64)
    expected = pooled(small_model, views)
    features = pooled(small_model, turned(views, torch.rand(12) * 360, mirror))
    for name, value in expected.items():
        torch.testing.assert_close(features[name], value, msg=name)
    answers = [
        small_model({name: value.float() for name, value in f.items()})
        for f in (features, expected)
    ]
    torch.testing.assert_close(*answers)


def test_sums_of_parts_are_the_sum_of_all(small_model, views):
    """A region split over blocks has the features of the whole region."""
    whole = pooled(small_model, views)
    order = torch.randperm(12)
    parts = [pooled(small_model, take(views, part)) for part in order.split([3, 9])]
    for name, value in whole.items():
        torch.testing.assert_close(parts[0][name] + parts[1][name], value, msg=name)


def test_groups_are_sums_of_single_views(small_model, views):
    single = small_model.accumulate(views)
    groups = torch.tensor([2, 0] * 6)
    grouped = small_model.accumulate(views, groups, 3)
    assert set(grouped) == set(single)
    for name, value in grouped.items():
        assert len(value) == 3
        assert not value[1].any()
        torch.testing.assert_close(value[2], single[name][::2].sum(0), msg=name)
    assert grouped["n_views"].flatten().tolist() == [6, 0, 6]


def test_many_views_are_taken_in_parts(small_model, views):
    # More than one micro-batch
    many = Spots(*(tensor.repeat(8, *[1] * (tensor.ndim - 1)) for tensor in views))
    features = pooled(small_model, many)
    for name, value in pooled(small_model, views).items():
        torch.testing.assert_close(features[name], 8 * value, msg=name)


def test_views_without_spots_are_not_counted(small_model, views):
    blank = Spots(views.positions, torch.zeros_like(views.intensities))
    both = Spots(*(torch.cat(pair) for pair in zip(views, blank, strict=True)))
    torch.testing.assert_close(
        small_model(pooled(small_model, both)), small_model(pooled(small_model, views))
    )
    # Nothing but blank views still gives an answer
    probabilities = small_model.probabilities(small_model.accumulate(blank))
    torch.testing.assert_close(probabilities.sum(-1), torch.ones(12))


def test_repeated_orientations_are_not_distinct_views(small_model, views):
    repeated = pooled(small_model, take(views, [0] * 40))
    assert float(small_model.distinct_views(repeated)) == pytest.approx(1, abs=1e-3)
    varied = pooled(small_model, views)
    assert 1.5 < float(small_model.distinct_views(varied)) <= 12
    single = small_model.accumulate(views)
    torch.testing.assert_close(small_model.distinct_views(single), torch.ones(12, 1))


def test_more_views_of_the_same_change_nothing_beyond_most_views(small_model, views):
    limit = small_model.most_views
    assert limit > 12
    fewer = pooled(small_model, take(views, [*range(12)] * 4))
    more = pooled(small_model, take(views, [*range(12)] * 8))
    assert float(fewer["n_views"]) > limit
    torch.testing.assert_close(small_model(more), small_model(fewer))
    few = pooled(small_model, views)
    assert not torch.allclose(small_model(few), small_model(fewer))


def test_calibrated_probabilities(small_model, views):
    features = pooled(small_model, views)
    small_model.calibration = TemperatureTable((1, 12), (1, 2))
    torch.testing.assert_close(
        small_model.probabilities(features), (small_model(features) / 2).softmax(-1)
    )


def test_settings_make_the_same_model(small_model):
    settings = json.loads(json.dumps(small_model.settings))
    again = ViewSetMSDN(small_model.classes, **settings)
    assert again.settings == small_model.settings
    again.load_state_dict(small_model.state_dict())


def test_settings_hold_the_defaults():
    """A later change of the defaults must not change older checkpoints."""
    settings = ViewSetMSDN((1, 2)).settings
    assert settings["radial"]["n_bins"] == 512
    assert settings["pairs"]["n_angles"] == 24
    assert settings["finder"]["max_spots"] > 0
    assert settings["image"] is None
    assert settings["network"]["hidden"] > 0
    settings["network"]["pairs"]["blocks"].append(99)
    assert ViewSetMSDN((1, 2)).settings["network"]["pairs"]["blocks"][-1] != 99


def test_bf16_is_close_to_float32(small_model, views):
    features = small_model.accumulate(views)
    with torch.no_grad():
        expected = small_model(features)
        with torch.autocast("cpu", torch.bfloat16):
            logits = small_model(features)
            probabilities = small_model.probabilities(features)
    # Against what tells one crystal from another, not against the offset
    spread = expected.std(0).mean()
    assert spread > 0.01
    assert (logits - expected).abs().mean() < 0.05 * spread
    assert probabilities.dtype == torch.float32
    torch.testing.assert_close(probabilities, expected.softmax(-1), atol=0.01, rtol=0)


def test_all_parameters_learn(small_model, views):
    small_model.train()
    labels = torch.arange(12) % 5
    logits = small_model(small_model.accumulate(views))
    torch.nn.functional.cross_entropy(logits, labels).backward()
    assert all(p.grad is not None for p in small_model.parameters())
    norms = {n: p.grad.norm() for n, p in small_model.named_parameters()}
    assert all(norm.isfinite() for norm in norms.values())
    assert [n for n, norm in norms.items() if norm == 0] == []


def test_learns_to_tell_lattices_apart():
    """Square and hexagonal nets of any size, from a few views."""
    model = ViewSetMSDN(
        (123, 191),
        radial={"n_bins": 64},
        pairs={"n_radii": 12, "n_angles": 12, "max_spots": 12},
        network=SMALL | {"dropout": 0.0},
    )
    index = torch.cartesian_prod(torch.arange(-2, 3), torch.arange(-2, 3)).float()
    index = index[index.abs().sum(-1) > 0]

    def draw(n):
        labels = torch.randint(0, 2, (n,))
        second = torch.tensor([[0.0, 1.0], [0.5, 0.75**0.5]])[labels]
        basis = torch.stack((torch.tensor([1.0, 0.0]).expand(n, 2), second), 1)
        size = 0.2 + 0.1 * torch.rand(n, 1, 1)
        spots = Spots(size * (index @ basis), torch.rand(n, len(index)) + 0.5)
        return model.accumulate(turned(spots, torch.rand(n) * 360)), labels

    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(40):
        features, labels = draw(64)
        loss = torch.nn.functional.cross_entropy(model(features), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    features, labels = draw(200)
    right = model.eval().probabilities(features).argmax(-1) == labels
    assert right.float().mean() > 0.95


def test_training_features_give_the_answers_of_sums(small_model, views):
    """Views are looked at in the forward pass, or before they are summed."""
    views.intensities[4] = 0
    groups = torch.tensor([0] * 3 + [1] * 2 + [2] * 7)
    expected = small_model(small_model.accumulate(views, groups, 3))
    most = {"training_images": 7, "training_nets": 7}
    network = small_model.settings["network"] | most
    again = ViewSetMSDN(
        small_model.classes, **small_model.settings | {"network": network}
    ).eval()
    again.load_state_dict(small_model.state_dict())
    features = again.training_features(views, groups, 3)
    assert features["image_drawn"].shape == (12, 18, 32)
    assert features["net_drawn"].shape == (12, small_model.net.n_values)
    torch.testing.assert_close(again(features), expected)
    torch.testing.assert_close(again(again.joined_features(views, groups, 3)), expected)


class TestOpinions:
    OPINIONS = (
        {"streams": ["radial", "pairs"], "hidden": 24},
        {"streams": ["net"], "hidden": 8},
    )

    @pytest.fixture
    def several(self, small_model):
        """The small model, whose joining network hears two opinions first."""
        network = small_model.settings["network"] | {"opinions": list(self.OPINIONS)}
        settings = small_model.settings | {"network": network}
        return ViewSetMSDN(small_model.classes, **settings).eval()

    def test_count_alike_at_first(self, several, views):
        features = several.accumulate(views)
        seen = several._see(features)
        radial, net = several.opinions
        width = SMALL["width"]
        # Radial, pairs, image and its square, net and its square, three numbers
        parts = seen.split((2 * width, 2 * width, 2 * width, 3), -1)
        expected = (
            radial(torch.cat((parts[0], parts[3]), -1)).log_softmax(-1)
            + net(torch.cat((parts[2], parts[3]), -1)).log_softmax(-1)
        ) / 2
        torch.testing.assert_close(several(features), expected)

    def test_are_weighed_and_corrected(self, several, views):
        features = several.accumulate(views)
        before = several(features)
        n_classes = len(several.classes)
        with torch.no_grad():
            several.join[-1].bias[n_classes] = 40.0
            several.join[-1].bias[n_classes + 1] = -40.0
        first = several.opinions[0]
        log = first(several._see(features)[:, several._columns[0]]).log_softmax(-1)
        # Softplus of 40 is 40
        share = 40 / (2 * math.log(2))
        torch.testing.assert_close(several(features), share * log)
        with torch.no_grad():
            several.join[-1].bias.zero_()
            several.join[-1].bias[2] = 1.5
        change = several(features) - before
        torch.testing.assert_close(change[:, 2], torch.full((12,), 1.5))

    def test_in_fixed_shares_without_hidden_units(self, several, views):
        network = several.settings["network"] | {"hidden": 0}
        fixed = ViewSetMSDN(several.classes, **several.settings | {"network": network})
        state = {k: v for k, v in several.state_dict().items() if "join" not in k}
        fixed.load_state_dict(state | {"join.shares": torch.zeros(2)})
        features = several.accumulate(views)
        torch.testing.assert_close(fixed.eval()(features), several(features))
        with torch.no_grad():
            fixed.join.shares.copy_(torch.tensor([40.0, -40.0]))
            several.join[-1].bias[-2:] = fixed.join.shares
        torch.testing.assert_close(fixed(features), several(features))
        with pytest.raises(ValueError, match="Without opinions .* needs hidden units"):
            ViewSetMSDN((1, 2), network={"hidden": 0})

    def test_of_streams_that_are_not_there(self):
        network = {"opinions": [{"streams": ["net", "radial"], "hidden": 8}]}
        with pytest.raises(ValueError, match="no opinion of net: .* radial, pairs"):
            ViewSetMSDN((1, 2), network=network)

    def test_are_in_the_settings(self, several):
        settings = json.loads(json.dumps(several.settings))
        again = ViewSetMSDN(several.classes, **settings)
        again.load_state_dict(several.state_dict())


def test_few_views_of_each_crystal_are_looked_at_in_training(small_model, views):
    assert small_model.most_looked_at == {"image": 3, "net": 8}
    groups = torch.tensor([0] * 2 + [1] * 10)
    features = small_model.training_features(views, groups, 2)
    assert features["image_n_drawn"].flatten().tolist() == [2, 3]
    chosen = take(views, [0, 1, 2, 5, 8])
    torch.testing.assert_close(features["image_drawn"], small_model.image(chosen))
    assert features["net_n_drawn"].flatten().tolist() == [2, 8]
    chosen = take(views, [0, 1, 2, 3, 4, 5, 7, 8, 9, 10])
    torch.testing.assert_close(features["net_drawn"], small_model.net(chosen))
    # All views are in the other sums
    assert features["n_views"].flatten().tolist() == [2, 10]


@pytest.mark.parametrize("name", ["image", "net"])
def test_streams_of_each_view_learn_from_it(small_model, views, name):
    views.intensities[:3] = 0
    groups = torch.tensor([0] * 3 + [1] * 2 + [2] * 7)
    small_model.train()
    logits = small_model(small_model.training_features(views, groups, 3))
    torch.nn.functional.cross_entropy(logits, torch.arange(3)).backward()
    stream = small_model.streams[name]
    assert all(p.grad.isfinite().all() for p in stream.parameters())
    assert next(stream.parameters()).grad.abs().sum() > 0


def test_from_patterns_to_probabilities(small_model):
    """Two discs' worth of counts become two spots at the right place."""
    image = torch.full((1, 64, 64), 2.0)
    row, column = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
    for x, y, counts in ((32, 32, 900), (44, 32, 400), (32, 20, 300)):
        image += counts * torch.exp(-((row - y) ** 2 + (column - x) ** 2) / 4.0)
    generator = torch.Generator().manual_seed(1)
    spots = small_model.prepare(
        torch.poisson(image, generator), PatternGeometry(0.025, centre=(32.0, 32.0))
    )
    assert spots.counts.tolist() == [2]
    found = spots.strongest(2).positions[0]
    expected = torch.tensor([[0.3, 0.0], [0.0, -0.3]])
    torch.testing.assert_close(found, expected, atol=0.01, rtol=0)
    probabilities = small_model.probabilities(small_model.accumulate(spots))
    assert probabilities.shape == (1, 5)


class TestKeptViews:
    @pytest.fixture
    def keeping(self, small_model):
        settings = small_model.settings | {"lattice": {"n_slots": 5, "n_spots": 10}}
        model = ViewSetMSDN(small_model.classes, **settings).eval()
        # All but what weighs lattices
        model.load_state_dict(model.state_dict() | small_model.state_dict())
        return model

    def test_beside_the_sums(self, small_model, keeping, views):
        groups = torch.tensor([1, 0] * 6)
        for where in ((), (groups, 3)):
            features = keeping.accumulate(views, *where)
            expected = small_model.accumulate(views, *where)
            kept = features.pop("kept")
            assert torch.equal(kept, keeping.lattice(views, *where))
            assert kept.any()
            alike = features.pop("alike")
            assert torch.equal(alike, keeping.lattice.count_alike(views, *where))
            assert set(features) == set(expected)
            assert all(torch.equal(features[key], expected[key]) for key in expected)

    def test_not_of_views_that_stay_alone(self, small_model, keeping, views):
        features = keeping.accumulate(views, alone=True)
        expected = small_model.accumulate(views)
        assert set(features) == set(expected)
        assert all(torch.equal(features[key], expected[key]) for key in expected)

    def test_not_in_training(self, keeping, views):
        features = keeping.training_features(views, torch.arange(12) // 6, 2)
        assert "kept" not in features
        assert "kept" in keeping.accumulate(views)

    def test_regions_of_parts_are_the_whole(self, keeping, views):
        whole = pooled(keeping, views)
        parts = [
            pooled(keeping, take(views, part))
            for part in torch.randperm(12).split([3, 4, 5])
        ]
        total = combine(parts)
        assert set(total) == set(whole)
        assert torch.equal(total.pop("kept"), whole["kept"])
        for name, value in total.items():
            torch.testing.assert_close(value, whole[name], msg=name)

    def test_settings_make_the_same_model(self, keeping):
        settings = json.loads(json.dumps(keeping.settings))
        assert settings["lattice"] == {
            "n_slots": 5,
            "n_spots": 10,
            "n_views": 24,
            "n_tables": 3,
        }
        again = ViewSetMSDN(keeping.classes, **settings)
        assert again.settings == keeping.settings
        again.load_state_dict(keeping.state_dict())

    def test_older_settings_keep_nothing(self, small_model, views):
        settings = small_model.settings
        assert settings.pop("lattice") is None
        again = ViewSetMSDN(small_model.classes, **settings)
        again.load_state_dict(small_model.state_dict())
        assert "kept" not in again.accumulate(views)


def test_unknown_network_setting():
    with pytest.raises(ValueError, match=r"Unknown network settings \['widht'\]"):
        ViewSetMSDN((1, 2), network={"widht": 3})


def test_no_stream_left():
    with pytest.raises(ValueError, match="at least one stream"):
        ViewSetMSDN((1, 2), radial=None, pairs=None)
