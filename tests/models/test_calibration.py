# SPDX-License-Identifier: GPL-3.0-or-later
import math

import pytest
import torch

from pyxem_symnet.models.calibration import TemperatureTable


def overconfident(n, temperature):
    """Return logits that are this many times too large, and labels."""
    true = torch.randn(n, 6) * 2
    labels = torch.distributions.Categorical(logits=true).sample()
    return true * temperature, labels


def nll(logits, labels):
    return float(torch.nn.functional.cross_entropy(logits, labels))


def test_interpolates_in_the_logarithm_of_views_and_is_clamped():
    table = TemperatureTable((1, 4, 64), (1.0, 2.0, 0.5))
    n_views = torch.tensor([[0.0], [1], [2], [4], [16], [64], [1e6]])
    expected = torch.tensor([[1.0], [1], [2**0.5], [2], [1], [0.5], [0.5]])
    torch.testing.assert_close(table(n_views), expected)


def test_finds_the_temperature():
    logits, labels = overconfident(20_000, 3.0)
    table = TemperatureTable.fit(logits, labels)
    assert table.views == (1,)
    assert table.temperatures[0] == pytest.approx(3.0, rel=0.05)


def test_lowers_nll_and_keeps_the_first_answer():
    logits, labels = overconfident(2_000, 4.0)
    table = TemperatureTable.fit(logits, labels)
    calibrated = logits / table(torch.ones(2_000, 1))
    assert nll(calibrated, labels) < nll(logits, labels) - 0.1
    assert torch.equal(calibrated.argmax(-1), logits.argmax(-1))


def test_finds_a_temperature_for_each_number_of_views():
    few, few_labels = overconfident(10_000, 0.7)
    many, many_labels = overconfident(10_000, 2.5)
    table = TemperatureTable.fit(
        torch.cat((few, many)),
        torch.cat((few_labels, many_labels)),
        torch.tensor([1.0, 16.0]).repeat_interleave(10_000).unsqueeze(-1),
        views=(1, 16, 64),
    )
    assert table.temperatures[0] == pytest.approx(0.7, rel=0.1)
    assert table.temperatures[1] == pytest.approx(2.5, rel=0.1)
    # Nothing was seen at 64 views: as at 16
    assert table.temperatures[2] == pytest.approx(table.temperatures[1], rel=0.02)


def test_a_perfect_validation_set_gives_finite_temperatures():
    table = TemperatureTable.fit(10 * torch.eye(5), torch.arange(5))
    assert 0.05 <= table.temperatures[0] < 1
    assert math.isfinite(table.temperatures[0])


def test_fit_inside_no_grad():
    logits, labels = overconfident(500, 2.0)
    with torch.no_grad():
        table = TemperatureTable.fit(logits, labels)
    assert table.temperatures[0] > 1.2


def test_round_trip():
    table = TemperatureTable((1, 8), (1.25, 0.9))
    assert TemperatureTable.from_dict(table.to_dict()) == table


@pytest.mark.parametrize(
    "views, temperatures, message",
    [
        ((), (), "views must be positive numbers"),
        ((0, 1), (1, 1), "views must be positive numbers"),
        ((1,), (-1,), "temperatures must be positive numbers"),
        ((1, 2), (1,), "there are 1 for 2"),
        ((4, 2), (1, 1), "must be increasing"),
    ],
)
def test_bad_tables(views, temperatures, message):
    with pytest.raises(ValueError, match=message):
        TemperatureTable(views, temperatures)


def test_fit_needs_matching_samples():
    with pytest.raises(ValueError, match="got 3, 2 and 2"):
        TemperatureTable.fit(torch.rand(3, 4), torch.zeros(2))
    with pytest.raises(ValueError, match="at least one"):
        TemperatureTable.fit(torch.rand(0, 4), torch.zeros(0))
