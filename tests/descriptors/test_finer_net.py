# SPDX-License-Identifier: GPL-3.0-or-later
"""Weak rows between those of strong spots are added to the net."""

import pytest
import torch

from pyxem_symnet.descriptors.indexed_net import complete_net, index_net
from pyxem_symnet.descriptors.net_reading import NetReading
from pyxem_symnet.descriptors.spots import Spots

from .test_net import moved, net

#: Conditions on the indices (h, k) of strong spots
STRONG = {
    "every other row": lambda h, k: k % 2 == 0,
    "every other along": lambda h, k: h % 2 == 0,
    "centred": lambda h, k: (h + k) % 2 == 0,
    "quarter": lambda h, k: (h % 2 == 0) & (k % 2 == 0),
    "third": lambda h, k: (h - k) % 3 == 0,
}


def weak_rows(name, strong):
    """Return a net whose spots are weak but for some, and its area.

    It is wide, so that there are enough strong ones to be a net alone.
    """
    spots = net(name, radius=1.2)
    basis = index_net(net(name)).basis
    indices = (spots.positions @ torch.linalg.inv(basis)).round()
    is_strong = STRONG[strong](*indices.unbind(-1))
    weak = Spots(spots.positions, torch.where(is_strong, 1.0, 1e-3).double())
    return weak, torch.linalg.det(basis).abs()


@pytest.mark.parametrize("strong", STRONG)
@pytest.mark.parametrize("name", ["oblique", "rectangular", "hexagonal"])
def test_weak_spots_come_to_lie_on_the_net(name, strong):
    spots, area = weak_rows(name, strong)
    # Rows twice as far apart have weak spots among the nearest, that is, candidates
    assert strong == "every other row" or not index_net(spots).on_net.all()
    for degrees in (0, 33):
        turned = moved(spots, degrees)
        found = complete_net(turned, index_net(turned))
        assert found.on_net.all()
        torch.testing.assert_close(torch.linalg.det(found.basis).abs(), area)


def test_a_complete_net_stays_as_it_is():
    spots = net("oblique", 2)
    expected = index_net(spots)
    found = complete_net(spots, expected)
    torch.testing.assert_close(found.basis, expected.basis, atol=1e-9, rtol=0)


def test_a_few_false_spots_add_nothing():
    spots = net("rectangular")
    generator = torch.Generator().manual_seed(0)
    false = torch.rand(1, 6, 2, generator=generator, dtype=torch.float64) - 0.5
    both = Spots(
        torch.cat((spots.positions, false), 1),
        torch.cat((spots.intensities, torch.full((1, 6), 0.05).double()), 1),
    )
    found, expected = complete_net(both, index_net(both)), index_net(spots)
    torch.testing.assert_close(found.basis, expected.basis, atol=1e-3, rtol=0)


@pytest.mark.parametrize("name", ["oblique", "rectangular", "hexagonal"])
def test_reading_of_the_complete_net_comes_after_that_of_the_strong(name):
    strong, both = NetReading(400), NetReading(400, complete=True)
    spots, _ = weak_rows(name, "quarter")
    for degrees, mirror in ((0, False), (77, False), (33, True)):
        reading = both(moved(spots, degrees, mirror))
        expected = strong(moved(spots, degrees, mirror))
        first, added = reading.split(
            (strong.n_values, both.n_values - strong.n_values), 1
        )
        assert torch.equal(first, expected)
        # The first is the share of spots on the net
        assert added[0, 0] == 1
        torch.testing.assert_close(
            added, both(spots)[:, strong.n_values :], atol=2e-3, rtol=0
        )
    assert not index_net(spots).on_net.all()
