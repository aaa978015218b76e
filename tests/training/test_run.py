# SPDX-License-Identifier: GPL-3.0-or-later
"""A training that was killed ends where one that was not does."""

import dataclasses

import pytest
import torch

from pyxem_symnet.models import ViewSetMSDN, load_checkpoint
from pyxem_symnet.simulation.packed import PackedReflections
from pyxem_symnet.training import run
from pyxem_symnet.training.config import CONFIGS, ConfigError, read_config
from pyxem_symnet.training.module import SymmetryModule
from pyxem_symnet.training.splits import select_split

OPTIONS = {"n_workers": 0, "show_progressbar": False}


def weights(path):
    return load_checkpoint(path).state_dict()


def test_resumed_training_gives_the_same_weights(store, config, tmp_path, monkeypatch):
    whole = run.train(config, store, tmp_path / "whole", **OPTIONS)

    class Kill(BaseException):
        pass

    step = SymmetryModule.training_step

    def killed(self, batch):
        if self.global_step == 3:
            raise Kill
        return step(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(SymmetryModule, "training_step", killed)
        with pytest.raises(Kill):
            run.train(config, store, tmp_path / "killed", **OPTIONS)
    assert not (tmp_path / "killed" / "tiny.safetensors").exists()
    resumed = run.train(config, store, tmp_path / "killed", **OPTIONS)
    expected = weights(whole)
    assert expected.keys() == weights(resumed).keys()
    for name, value in weights(resumed).items():
        torch.testing.assert_close(value, expected[name], rtol=0, atol=0, msg=name)
    initial = dict(
        run.ARCHITECTURES["ViewSetMSDN"](
            load_checkpoint(whole).classes, **config.model
        ).named_parameters()
    )
    assert any(not torch.equal(initial[name], expected[name]) for name in initial)


def test_frozen_streams_stay_as_they_were(store, config, tmp_path):
    first = run.train(config, store, tmp_path / "first", **OPTIONS)
    frozen = dataclasses.replace(config, frozen=("pairs", "image"), seed=1)
    second = run.train(frozen, store, tmp_path / "second", start_from=first, **OPTIONS)
    before, after = weights(first), weights(second)
    changed = {
        name.split(".")[1] if name.startswith("streams") else "join"
        for name in before
        if name.startswith(("streams", "join"))
        and not torch.equal(before[name], after[name])
    }
    assert changed == {"radial", "net", "join"}


def test_only_streams_of_the_model_can_be_frozen(store, config, tmp_path):
    frozen = dataclasses.replace(config, frozen=("cell",))
    with pytest.raises(ConfigError, match="no stream cell to freeze; .* radial"):
        run.train(frozen, store, tmp_path, **OPTIONS)


def test_numbers_of_nets_are_standardised_unless_the_stream_was_trained(
    store, config, tmp_path, starting_weights
):
    drawn = starting_weights(config, store, tmp_path / "drawn", **OPTIONS)
    name = "streams.net.deviation"
    assert not torch.equal(drawn[name], torch.ones_like(drawn[name]))
    first = run.train(config, store, tmp_path / "first", **OPTIONS)
    again = dataclasses.replace(config, seed=3)
    begun = starting_weights(
        again, store, tmp_path / "second", start_from=first, **OPTIONS
    )
    assert torch.equal(begun[name], weights(first)[name])


@pytest.fixture
def starting_weights(monkeypatch):
    """Return a function that begins a training and returns its first weights."""

    class Seen(BaseException):
        pass

    def begin(*arguments, **options):
        seen = []

        def look(self, batch):
            seen.append({k: v.clone() for k, v in self.model.state_dict().items()})
            raise Seen

        with monkeypatch.context() as patch:
            patch.setattr(SymmetryModule, "training_step", look)
            with pytest.raises(Seen):
                run.train(*arguments, **options)
        return seen[0]

    return begin


def test_training_starts_from_the_weights_of_another(
    store, config, tmp_path, starting_weights
):
    first = run.train(config, store, tmp_path / "first", **OPTIONS)
    again = tmp_path / "second"
    begun = starting_weights(config, store, again, start_from=first, **OPTIONS)
    for name, value in weights(first).items():
        torch.testing.assert_close(begun[name], value, rtol=0, atol=0, msg=name)
    network = config.model["network"] | {"width": 9}
    wider = dataclasses.replace(config, model=config.model | {"network": network})
    with pytest.raises(ConfigError, match="can't start from tiny.safetensors: none"):
        run.train(wider, store, tmp_path / "third", start_from=first, **OPTIONS)


def test_parts_are_taken_from_the_first_model_where_they_fit(
    store, config, tmp_path, starting_weights
):
    """Streams are kept where one more makes a joining network of another shape."""
    few = dataclasses.replace(config, model=config.model | {"image": None})
    origins = [
        run.train(few, store, tmp_path / "without image", **OPTIONS),
        run.train(
            dataclasses.replace(config, seed=4), store, tmp_path / "whole", **OPTIONS
        ),
    ]
    begun = starting_weights(
        config, store, tmp_path / "third", start_from=origins, **OPTIONS
    )
    without, whole = map(weights, origins)
    for name, value in begun.items():
        own = name.startswith(("streams.radial", "streams.pairs", "streams.net"))
        expected = without[name] if own else whole[name]
        torch.testing.assert_close(value, expected, rtol=0, atol=0, msg=name)


def test_what_joined_another_model_becomes_an_opinion(
    store, config, tmp_path, starting_weights
):
    whole = run.train(config, store, tmp_path / "whole", **OPTIONS)
    network = config.model["network"] | {
        "hidden": 40,
        "opinions": [
            {"streams": ["net"], "hidden": 32},
            {"streams": ["radial", "pairs", "image", "net"], "hidden": 32},
        ],
    }
    several = dataclasses.replace(
        config, model=config.model | {"network": network}, frozen=("opinions",)
    )
    out = tmp_path / "several"
    begun = starting_weights(several, store, out, start_from=whole, **OPTIONS)
    for name, value in weights(whole).items():
        if name.startswith("join"):
            assert torch.equal(begun[name.replace("join", "opinions.1")], value)
    path = run.train(several, store, tmp_path / "b", start_from=whole, **OPTIONS)
    assert load_checkpoint(path).record["started_from"][0]["parts"][-1] == "opinions.1"
    ended = weights(path)
    assert all(
        torch.equal(ended[name], value)
        for name, value in begun.items()
        if name.startswith("opinions.1")
    )
    assert any(name.startswith("join") and ended[name].any() for name in ended)


def test_weights_are_averaged_with_those_at_the_start(store, config, tmp_path):
    first = run.train(config, store, tmp_path / "first", **OPTIONS)
    after, shared = (
        run.train(
            dataclasses.replace(config, seed=1, share_of_start=share),
            store,
            tmp_path / str(share),
            start_from=first,
            **OPTIONS,
        )
        for share in (0.0, 0.25)
    )
    expected, learnt = weights(first), weights(after)
    names = [name for name, _ in load_checkpoint(first).named_parameters()]
    moved = 0
    for name, value in weights(shared).items():
        if name in names and not name.startswith("evidence"):
            average = 0.25 * expected[name] + 0.75 * learnt[name]
            # Some are rounded to half precision
            torch.testing.assert_close(value, average, rtol=2e-3, atol=1e-6)
            moved += int(not torch.equal(expected[name], learnt[name]))
    assert moved > 10
    other = dataclasses.replace(config, share_of_start=0.5)
    with pytest.raises(ConfigError, match="none of these has radial, pairs"):
        run.train(other, store, tmp_path / "alone", **OPTIONS)
    with pytest.raises(ConfigError, match="share_of_start must be at least 0"):
        dataclasses.replace(config, share_of_start=1.0)


def test_without_steps_parts_are_put_together_as_they_are(store, config, tmp_path):
    """A stream, with what joined it, takes the place of another one."""
    alone = {"radial": None, "pairs": None, "image": None}
    reader = dataclasses.replace(config, model=config.model | alone, seed=5)
    network = config.model["network"] | {
        "hidden": 40,
        "opinions": [{"streams": ["net"], "hidden": 32}],
    }
    whole = dataclasses.replace(config, model=config.model | {"network": network})
    origins = [
        run.train(reader, store, tmp_path / "reader", **OPTIONS),
        run.train(whole, store, tmp_path / "whole", **OPTIONS),
    ]
    swapped = dataclasses.replace(whole, steps=0)
    path = run.train(swapped, store, tmp_path / "a", start_from=origins, **OPTIONS)
    of_reader, of_whole = map(weights, origins)
    for name, value in weights(path).items():
        origin = name.replace("opinions.0", "join")
        of_net = name.startswith(("streams.net", "opinions.0"))
        expected = of_reader[origin] if of_net else of_whole[name]
        assert torch.equal(value, expected), name
    parts = [each["parts"] for each in load_checkpoint(path).record["started_from"]]
    assert parts == [["net", "opinions.0"], ["radial", "pairs", "image", "join"]]
    with pytest.raises(ConfigError, match="none of these has radial, pairs, image, jo"):
        run.train(swapped, store, tmp_path / "b", start_from=origins[:1], **OPTIONS)


def test_shares_of_opinions_are_learnt_on_the_validation_split(store, config, tmp_path):
    whole = run.train(config, store, tmp_path / "whole", **OPTIONS)
    network = config.model["network"] | {
        "hidden": 0,
        "opinions": [
            {"streams": ["radial", "pairs", "image", "net"], "hidden": 32},
            {"streams": ["net"], "hidden": 32},
        ],
    }
    joined = dataclasses.replace(
        config,
        model=config.model | {"network": network},
        split="validation",
        frozen=("radial", "pairs", "image", "net", "opinions"),
        drawn=10,
    )
    path = run.train(joined, store, tmp_path / "joined", start_from=whole, **OPTIONS)
    begun, ended = weights(whole), weights(path)
    assert ended["join.shares"].abs().min() > 0
    for name, value in ended.items():
        if name.startswith(("streams", "opinions.0")):
            origin = name.replace("opinions.0", "join")
            assert torch.equal(value, begun[origin]), name
    of_split = PackedReflections.from_store(
        store, lambda names, types: select_split(names, types, "validation")
    )
    assert load_checkpoint(path).record["n_training_crystals"] == len(of_split)
    with pytest.raises(ConfigError, match="split must be 'train' or 'validation'"):
        dataclasses.replace(config, split="test")


def test_batch_norms_are_settled_on_the_averaged_weights(
    store, config, tmp_path, monkeypatch
):
    settled = run.train(config, store, tmp_path / "a", **OPTIONS)
    monkeypatch.setattr(run, "update_bn", lambda batches, model: None)
    averaged = run.train(config, store, tmp_path / "b", **OPTIONS)
    first, second = weights(settled), weights(averaged)
    moved = {k for k in first if not torch.equal(first[k], second[k])}
    assert moved
    assert all("running" in name or "num_batches" in name for name in moved)


def test_record_tells_how_it_was_trained(store, config, tmp_path):
    path = run.train(config, store, tmp_path, n_workers=0, show_progressbar=False)
    model = load_checkpoint(path)
    assert model.record["training"]["seed"] == 3
    assert model.record["store"]["reciprocal_radius"] == 1.0
    assert model.record["n_training_crystals"] > 30
    assert model.classes[0] == 0


@pytest.mark.parametrize("name", sorted(path.stem for path in CONFIGS.glob("*.yaml")))
def test_shipped_configurations_are_valid(name):
    config = read_config(name)
    assert name.startswith(config.name)
    model = run.ARCHITECTURES[config.architecture]([0, 1, 225], **config.model)
    if model.ordered_views is None:
        assert model.most_views == config.views[1]
    else:
        assert config.views == (model.ordered_views,) * 2


@pytest.mark.parametrize(
    "text, message",
    [
        ("steps: [", "is not valid YAML"),
        ("- 1", "must be a mapping"),
        ("stepz: 4", "unknown settings stepz"),
        ("steps: -1", "steps must not be below 0"),
        ("batch_size: 0", "batch_size must be at least 1"),
        ("views: [4, 2]", "smallest <= largest"),
        ("orientations: {powder: 1}", "unknown orientations: powder"),
        ("drawn: -1", "drawn must not be below 0"),
        ("precision: bf16", "precision must be one of bf16-mixed"),
    ],
)
def test_wrong_configurations(tmp_path, text, message):
    path = tmp_path / "wrong.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_config(path)


@pytest.mark.parametrize(
    ("capability", "precision", "slow"),
    [
        ("AVX2", "bf16-mixed", True),
        ("AVX2", "32-true", False),
        ("AVX512", "bf16-mixed", False),
    ],
)
def test_slow_bfloat16_is_told(
    config, tmp_path, monkeypatch, recwarn, capability, precision, slow
):
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    run.make_trainer(dataclasses.replace(config, precision=precision), tmp_path, False)
    told = [w for w in recwarn if "--precision 32-true" in str(w.message)]
    assert len(told) == slow


def test_unknown_configuration():
    with pytest.raises(ConfigError, match="one of: .*msdn-any"):
        read_config("resnet")


def test_level_losses_are_counted(config):
    model = ViewSetMSDN([0, 2, 14, 225], **config.model)
    features = {
        "n_views": torch.ones(2, 1),
        "n_spots": torch.ones(2, 1),
        "radial": torch.rand(2, 64),
        "radial_square": torch.rand(2, 64) + 1,
        "pairs": torch.rand(2, 8, 16, 16),
        "image_drawn": torch.rand(3, 14, 24),
        "image_n_drawn": torch.tensor([[1], [2]]),
        "net_drawn": torch.rand(2, model.net.n_values),
        "net_n_drawn": torch.tensor([[1], [1]]),
    }
    model.eval()
    target = torch.tensor([1, 3])
    with_levels = dataclasses.replace(config, level_weights={"crystal_system": 0.5})
    plain, more = (
        SymmetryModule(model, c).training_step((features, target))
        for c in (config, with_levels)
    )
    probability = model(features).softmax(-1)
    system = torch.stack([probability[0, 1], probability[1, 3]])
    torch.testing.assert_close(more - plain, -0.5 * system.log().mean())
