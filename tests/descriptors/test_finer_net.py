# SPDX-License-Identifier: GPL-3.0-or-later
"""Weak rows between those of strong spots are added to the net."""

import pytest
import torch

from pyxem_symnet.descriptors.indexed_net import complete_net, index_net
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
    """Return a net whose spots are weak but for some, and its area."""
    spots = net(name)
    basis = index_net(net(name)).basis
    indices = (spots.positions @ torch.linalg.inv(basis)).round()
    is_strong = STRONG[strong](*indices.unbind(-1))
    weak = Spots(spots.positions, torch.where(is_strong, 1.0, 1e-3).double())
    return weak, torch.linalg.det(basis).abs()


@pytest.mark.parametrize("strong", STRONG)
@pytest.mark.parametrize("name", ["oblique", "rectangular", "hexagonal"])
def test_weak_spots_come_to_lie_on_the_net(name, strong):
    spots, area = weak_rows(name, strong)
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
