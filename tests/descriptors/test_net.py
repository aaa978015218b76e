# SPDX-License-Identifier: GPL-3.0-or-later
"""Patterns are turned into the frame of the net that their spots lie on."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pyxem_symnet.descriptors.half_pattern import HalfPattern
from pyxem_symnet.descriptors.net import align_to_net, net_vectors
from pyxem_symnet.descriptors.spots import Spots

#: First vector along x and second vector in 1/Å
NETS = {
    "oblique": (0.11, (0.05, 0.19)),
    "rectangular": (0.10, (0.0, 0.16)),
    "square": (0.14, (0.0, 0.14)),
    "hexagonal": (0.15, (0.075, 0.15 * math.sqrt(0.75))),
}


def net(name, seed=0, radius=0.7):
    """Return a net's spots, Friedel pairs alike, and no other symmetry."""
    first, second = NETS[name]
    index = torch.cartesian_prod(torch.arange(-9, 10), torch.arange(-9, 10)).double()
    basis = torch.tensor([[first, 0.0], second], dtype=torch.float64)
    positions = index @ basis
    distance = positions.norm(dim=-1)
    positions = positions[(distance > 0) & (distance < radius)]
    generator = torch.Generator().manual_seed(seed)
    strength = torch.rand(len(positions), generator=generator).double() + 0.1
    # The list is symmetric about its middle
    strength = strength + strength.flip(0)
    return Spots(positions.unsqueeze(0), strength.unsqueeze(0))


def moved(spots, degrees, mirror=False):
    angle = math.radians(degrees)
    matrix = torch.tensor(
        [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]],
        dtype=torch.float64,
    )
    if mirror:
        matrix = matrix @ torch.diag(torch.tensor([1.0, -1.0], dtype=torch.float64))
    return Spots(spots.positions @ matrix.T, spots.intensities)


@pytest.mark.parametrize("name", NETS)
def test_vectors_of_a_net_are_found(name):
    first, second = net_vectors(moved(net(name), 33))
    lengths = sorted([first.norm().item(), second.norm().item()])
    expected = sorted([NETS[name][0], math.hypot(*NETS[name][1])])
    assert lengths == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("name", NETS)
@given(degrees=st.floats(0, 360), mirror=st.booleans(), seed=st.integers(0, 5))
def test_image_does_not_depend_on_how_a_pattern_lies(name, degrees, mirror, seed):
    """Also where the net has more symmetry than the pattern."""
    spots = net(name, seed)
    draw = HalfPattern(size=48, aligned=True)
    torch.testing.assert_close(
        draw(moved(spots, degrees, mirror)), draw(spots), atol=1e-6, rtol=0
    )


def test_first_vector_comes_along_x_and_second_into_the_first_quadrant():
    aligned = align_to_net(moved(net("oblique"), 201, mirror=True))
    first, second = net_vectors(aligned)
    assert first[0].abs().tolist() == pytest.approx([0.11, 0], abs=1e-9)
    assert (second[0] * second[0].sum().sign() > 0).all()
    assert aligned.positions.norm(dim=-1).sum() == pytest.approx(
        net("oblique").positions.norm(dim=-1).sum().item()
    )


def test_stray_spots_are_no_vectors_of_the_net():
    spots = net("rectangular")
    stray = torch.tensor([[[0.031, 0.052], [-0.03, 0.08]]], dtype=torch.float64)
    strong = torch.full((1, 2), 3.0, dtype=torch.float64)
    more = Spots(
        torch.cat((spots.positions, stray), 1),
        torch.cat((spots.intensities, strong), 1),
    )
    for found, expected in zip(net_vectors(more), net_vectors(spots), strict=True):
        assert found.norm().item() == pytest.approx(expected.norm().item())


@pytest.mark.parametrize("n_spots", [0, 1, 2])
def test_few_spots_stay_finite(n_spots):
    spots = Spots(torch.rand(3, 4, 2) - 0.5, torch.ones(3, 4))
    spots.intensities[:, n_spots:] = 0
    aligned = align_to_net(spots)
    assert aligned.positions.isfinite().all()
    torch.testing.assert_close(
        aligned.positions.norm(dim=-1), spots.positions.norm(dim=-1)
    )
    assert torch.equal(aligned.intensities, spots.intensities)


def test_friedel_pairs_are_drawn_once():
    spots = Spots(torch.rand(4, 9, 2) - 0.5, torch.rand(4, 9))
    draw = HalfPattern(size=40)
    drawn = draw(spots)
    assert drawn.shape == (4, 22, 40)
    torch.testing.assert_close(
        draw(Spots(-spots.positions, spots.intensities)), drawn, atol=1e-6, rtol=1e-5
    )
