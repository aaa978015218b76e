# SPDX-License-Identifier: GPL-3.0-or-later
"""Learning how far to believe lattices."""

import numpy as np
import pytest
import torch

from pyxem_symnet.descriptors.kept_views import KeptViews
from pyxem_symnet.models.evidence import N_SUMMARY, TABLE_SHAPE, EvidenceHead
from pyxem_symnet.training import weigh
from pyxem_symnet.training.weigh import (
    Samples,
    draw_sample,
    draw_series,
    draw_single,
    find_evidence,
    fit_head,
)

CLASSES = (0, 2, 14, 62, 139, 166, 194, 225)


def test_a_sample_is_a_function_of_seed_and_number(crystals):
    crystal, spots = draw_sample(crystals, 3, 5)
    again, same = draw_sample(crystals, 3, 5)
    assert crystal == again
    assert torch.equal(spots.positions, same.positions)
    _, other = draw_sample(crystals, 3, 6)
    assert not torch.equal(spots.positions[:1, :1], other.positions[:1, :1])


def test_a_series_turns_by_equal_steps(crystals):
    crystal, spots, step, energy = draw_series(crystals, 3, 6)
    again = draw_series(crystals, 3, 6)
    assert (crystal, step, energy) == (again[0], *again[2:])
    assert torch.equal(spots.positions, again[1].positions)
    n_views = len(spots.intensities)
    assert 15 <= n_views <= 80
    assert 25 <= step * (n_views - 1) <= 140
    assert 60 <= energy <= 300
    assert spots.intensities.shape[1] <= 96


@pytest.fixture
def short(monkeypatch):
    monkeypatch.setattr(weigh, "_PART", 3)
    monkeypatch.setattr(weigh, "_VIEWS", (2, 5))
    monkeypatch.setattr(weigh, "_SERIES_VIEWS", (15, 20))
    monkeypatch.setattr(weigh, "_SERIES_PROTOCOLS", {"clean-2": 1.0})


@pytest.mark.usefixtures("short")
def test_interrupted_search_goes_on(crystals, tmp_path):
    keep = KeptViews(n_views=4)
    whole = find_evidence(crystals, keep, tmp_path / "whole", 6, seed=5)
    find_evidence(crystals, keep, tmp_path / "parts", 3, seed=5)
    first = (tmp_path / "parts" / whole[0].name).stat().st_mtime_ns
    parts = find_evidence(crystals, keep, tmp_path / "parts", 6, seed=5, n_workers=2)
    assert parts[0].stat().st_mtime_ns == first
    assert [file.name for file in parts] == [file.name for file in whole]
    for one, other in zip(whole, parts, strict=True):
        with np.load(one) as a, np.load(other) as b:
            assert len(a["number"]) > 0
            for name in a.files:
                np.testing.assert_array_equal(a[name], b[name])


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("kind", ["series", "single"])
def test_kinds_of_samples_are_kept_apart(crystals, tmp_path, kind):
    keep = KeptViews()
    (file,) = find_evidence(crystals, keep, tmp_path, 3, kind=kind, seed=6)
    assert file.name == f"{kind}-6-0000.npz"
    with np.load(file) as found:
        assert len(found["number"]) > 0
        assert found["summary"].shape[1] == N_SUMMARY


def test_single_views_are_single(crystals):
    crystal, spots = draw_single(crystals, 3, 5)
    again, same = draw_single(crystals, 3, 5)
    assert crystal == again and len(spots.intensities) == 1
    torch.testing.assert_close(spots.positions, same.positions)


def test_the_head_learns_what_only_lattices_know():
    generator = torch.Generator().manual_seed(0)
    n = 400
    target = torch.randint(1, len(CLASSES), (n,), generator=generator)
    # The network knows nothing; the true group alone was found
    logs = torch.zeros(n, len(CLASSES)).log_softmax(-1)
    table = torch.zeros(n, *TABLE_SHAPE)
    table[..., 0] = 5
    for row, index in enumerate(target.tolist()):
        table[row, CLASSES[index] - 1] = torch.tensor(
            [0, 0, 0, 3, 6, 20, 0.1, 2, 10, 1, 0]
        )
    summary = torch.randn(n, N_SUMMARY, generator=generator)
    samples = Samples(logs, table, summary, target, torch.arange(n))
    head = EvidenceHead(CLASSES)
    assert fit_head(head, samples, epochs=10) < 0.1
    assert (head.eval()(logs, table, summary).argmax(-1) == target).all()


def test_the_same_seed_fits_the_same_head():
    generator = torch.Generator().manual_seed(0)
    n = 64
    samples = Samples(
        torch.randn(n, len(CLASSES), generator=generator).log_softmax(-1),
        torch.rand(n, *TABLE_SHAPE, generator=generator),
        torch.randn(n, N_SUMMARY, generator=generator),
        torch.randint(0, len(CLASSES), (n,), generator=generator),
        torch.arange(n),
    )
    heads = []
    for _ in range(2):
        torch.manual_seed(7)
        head = EvidenceHead(CLASSES)
        torch.randn(5)
        fit_head(head, samples, epochs=2)
        heads.append(head.state_dict())
    assert all(torch.equal(heads[0][name], heads[1][name]) for name in heads[0])
