# SPDX-License-Identifier: GPL-3.0-or-later
"""What lattices say, weighed against what a network says."""

import numpy as np
import pytest
import torch

from pyxem_symnet.descriptors.spots import Spots
from pyxem_symnet.lattice import COLUMNS, find_lattice
from pyxem_symnet.models import ViewSetMSDN, load_checkpoint, save_checkpoint
from pyxem_symnet.models.evidence import (
    N_SUMMARY,
    TABLE_SHAPE,
    EvidenceHead,
    read_lattice,
)
from pyxem_symnet.simulation.protocols import PROTOCOLS
from pyxem_symnet.simulation.reflections import compute_reflections
from pyxem_symnet.simulation.rotations import random_rotations
from pyxem_symnet.simulation.sampler import Reflections
from pyxem_symnet.simulation.structures import from_phase
from tests.models.conftest import SMALL
from tests.simulation.crystals import make_phase

CLASSES = (0, 1, 14, 62, 225)
FOUND = COLUMNS.index("found")


@pytest.fixture
def model():
    """An untrained model that looks for lattices."""
    return ViewSetMSDN(
        CLASSES,
        radial={"n_bins": 64},
        pairs={"n_radii": 16, "n_angles": 6, "max_spots": 12},
        lattice={"n_views": 12},
        network=SMALL,
    ).eval()


@pytest.fixture(scope="module")
def cubic():
    """Sixteen clean views of a primitive cubic crystal."""
    half = compute_reflections(from_phase(make_phase("cubic")), 1.3, 0.0)
    g = torch.from_numpy(half.hkl @ half.reciprocal_basis).float()
    intensity = torch.from_numpy(half.intensity).float()
    reflections = Reflections.from_half(g, intensity)
    generator = torch.Generator().manual_seed(4)
    rotations = random_rotations(16, generator)
    return PROTOCOLS["clean"].draw(reflections, rotations, generator)


def together(model, spots):
    n_views = len(spots.intensities)
    return model.accumulate(spots, torch.zeros(n_views, dtype=torch.long), 1)


def made_up(n):
    """Return evidence of the right shape that means nothing."""
    generator = torch.Generator().manual_seed(1)
    table = torch.rand(n, *TABLE_SHAPE, generator=generator)
    table[..., FOUND] = (table[..., FOUND] > 0.3).float()
    return table, torch.randn(n, N_SUMMARY, generator=generator)


def test_the_table_has_the_columns_that_the_head_reads():
    assert len(COLUMNS) == TABLE_SHAPE[1]


def test_an_untrained_head_believes_the_network():
    head = EvidenceHead(CLASSES).eval()
    logs = torch.randn(3, len(CLASSES)).log_softmax(-1)
    answer = head(logs, *made_up(3)).log_softmax(-1)
    torch.testing.assert_close(answer, logs)


def test_space_groups_are_treated_alike():
    head = EvidenceHead(CLASSES).eval()
    torch.nn.init.normal_(head.weigh[-1].weight)
    order = [3, 0, 4, 2, 1]
    other = EvidenceHead([CLASSES[i] for i in order]).eval()
    other.load_state_dict(head.state_dict())
    logs = torch.randn(3, len(CLASSES)).log_softmax(-1)
    evidence = made_up(3)
    torch.testing.assert_close(
        other(logs[:, order], *evidence), head(logs, *evidence)[:, order]
    )


def test_no_lattice_says_nothing_of_what_is_no_crystal():
    head = EvidenceHead(CLASSES).eval()
    torch.nn.init.normal_(head.weigh[-1].weight)
    logs = torch.randn(3, len(CLASSES)).log_softmax(-1)
    torch.testing.assert_close(head(logs, *made_up(3))[:, 0], logs[:, 0])


def test_views_show_their_lattice(model, cubic):
    features = model.read_lattices(together(model, cubic))
    assert "kept" not in features
    assert features["lattice_read"].item() == 1
    table = features["lattice_table"][0]
    # Pm-3m: an exact cubic lattice, nothing forbidden seen; Fm-3m has another
    assert table[220, FOUND] == 1
    assert table[220, 0] < 0.2
    assert table[220, 1] == 0
    assert table[224, FOUND] == 0


def test_evidence_counts_in_the_answer(model, cubic):
    features = together(model, cubic)
    without = model.probabilities(
        {name: value for name, value in features.items() if name != "kept"}
    )
    torch.testing.assert_close(model.probabilities(features), without)
    torch.nn.init.normal_(model.evidence.weigh[-1].weight)
    answer = model.probabilities(features)
    assert not torch.allclose(answer, without, atol=1e-3)
    torch.testing.assert_close(answer.sum(-1), torch.ones(1))
    # Read before, as evaluation does in its worker processes
    torch.testing.assert_close(
        model.probabilities(model.read_lattices(features)), answer
    )


def test_lattices_of_series_have_a_head_of_their_own(model, cubic):
    views = torch.cat((cubic.positions, cubic.intensities.unsqueeze(-1)), -1)
    fit = find_lattice([view[view[:, 2] > 0].double().numpy() for view in views])
    settings = model.settings | {"series": True}
    both = ViewSetMSDN(CLASSES, **settings).eval()
    state = model.state_dict()
    assert not both.load_state_dict(state, strict=False).unexpected_keys
    torch.nn.init.normal_(both.evidence_of_series.weigh[-1].weight)
    features = together(model, cubic)
    torch.testing.assert_close(
        both.probabilities(features), model.probabilities(features)
    )
    series = both.read_lattices(features, [fit])
    assert series["lattice_of_series"].item() == 1
    without = {name: value for name, value in features.items() if name != "kept"}
    believed = both.probabilities(series)
    assert not torch.allclose(believed, both.probabilities(without), atol=1e-3)
    # A model without such a head weighs them as all others
    torch.nn.init.normal_(model.evidence.weigh[-1].weight)
    weighed = model.probabilities(series)
    assert not torch.allclose(weighed, model.probabilities(without), atol=1e-3)
    others = series | {"lattice_of_series": torch.zeros(1, 1)}
    torch.testing.assert_close(weighed, model.probabilities(others))
    with pytest.raises(ValueError, match="looks for lattices"):
        ViewSetMSDN(CLASSES, **settings | {"lattice": None})


def test_alike_views_tell_which_of_the_kept_ones_are_read(model, cubic, monkeypatch):
    """Each view three times, and a pattern of the most spots that has none alike."""
    places = torch.rand(1, 60, 2, generator=torch.Generator().manual_seed(0))
    odd = Spots(places, torch.ones(1, 60))
    spots = Spots.concatenate([cubic, cubic, cubic, odd])
    read = []
    views = type(model.lattice).views

    def spy(self, kept, alike=None):
        read.extend(views(self, kept, alike))
        return []

    monkeypatch.setattr(type(model.lattice), "views", spy)
    features = together(model, spots)
    model.read_lattices(features)
    assert len(read) > 8
    assert max(len(view) for view in read) < 60
    read.clear()
    model.read_lattices({k: v for k, v in features.items() if k != "alike"})
    assert max(len(view) for view in read) == 60


def test_one_view_is_left_to_the_network(model, cubic):
    torch.nn.init.normal_(model.evidence.weigh[-1].weight)
    one = Spots(cubic.positions[:1], cubic.intensities[:1])
    features = together(model, one)
    assert model.read_lattices(features)["lattice_read"].item() == 0
    without = {name: value for name, value in features.items() if name != "kept"}
    torch.testing.assert_close(
        model.probabilities(features), model.probabilities(without)
    )


def test_lattices_of_single_views_have_a_head_of_their_own(model, cubic):
    single = ViewSetMSDN(CLASSES, **model.settings | {"single": True}).eval()
    assert not single.load_state_dict(model.state_dict(), strict=False).unexpected_keys
    assert single.settings["single"]
    torch.nn.init.normal_(single.evidence_of_one.weigh[-1].weight)
    torch.nn.init.normal_(single.evidence.weigh[-1].weight, std=5)
    # Neither too few spots nor all in one plane
    first = next(
        i
        for i, view in enumerate(cubic.to_arrays())
        if find_lattice([view]) is not None
    )
    view = slice(first, first + 1)
    one = together(single, Spots(cubic.positions[view], cubic.intensities[view]))
    read = single.read_lattices(one)
    assert read["lattice_read"].item() == read["lattice_of_one_view"].item() == 1
    without = {name: value for name, value in one.items() if name != "kept"}
    believed = single.probabilities(one)
    assert not torch.allclose(believed, single.probabilities(without), atol=1e-3)
    weighed = single.evidence_of_one(
        single.probabilities(without).log(), read["lattice_table"], read["lattice"]
    )
    torch.testing.assert_close(believed, weighed.softmax(-1))
    # All views together are weighed by the other network
    several = single.read_lattices(together(single, cubic))
    assert several["lattice_of_one_view"].item() == 0
    with pytest.raises(ValueError, match="single needs a model that looks for"):
        ViewSetMSDN(CLASSES, **model.settings | {"single": True, "lattice": None})


def test_what_is_no_pattern_has_no_lattice():
    assert read_lattice([]) is None
    assert read_lattice([np.array([[0, 0, 1.0]] * 5, np.float32)]) is None


def test_a_checkpoint_keeps_the_head(model, cubic, tmp_path):
    torch.nn.init.normal_(model.evidence.weigh[-1].weight)
    save_checkpoint(tmp_path / "model.safetensors", model)
    loaded = load_checkpoint(tmp_path / "model.safetensors")
    assert loaded.settings == model.settings
    features = together(model, cubic)
    torch.testing.assert_close(
        loaded.probabilities(features), model.probabilities(features)
    )


def test_turning_patterns_changes_nothing(cubic):
    views = torch.cat((cubic.positions, cubic.intensities.unsqueeze(-1)), -1)
    views = [view[view[:, 2] > 0].double().numpy() for view in views]
    random = np.random.default_rng(3)
    turned = []
    for view in views:
        angle = random.uniform(0, 2 * np.pi)
        cosine, sine = np.cos(angle), np.sin(angle)
        matrix = np.array([[cosine, -sine], [sine, cosine]])
        matrix[0] *= random.choice([-1, 1])
        turned.append(np.column_stack([view[:, :2] @ matrix.T, view[:, 2] * 7]))
    table, summary = read_lattice(views)
    other_table, other_summary = read_lattice(turned)
    np.testing.assert_allclose(other_table, table, atol=0.02)
    np.testing.assert_allclose(other_summary, summary, atol=0.02)
