# SPDX-License-Identifier: GPL-3.0-or-later
"""Nets are measured, indexed, and read for their symmetry."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pyxem_symnet.descriptors.indexed_net import index_net
from pyxem_symnet.descriptors.net_intensities import NetIntensities
from pyxem_symnet.descriptors.net_reading import NetReading
from pyxem_symnet.descriptors.products import ProductSpectrum
from pyxem_symnet.descriptors.spots import Spots

from .test_net import NETS, moved, net

READING = NetReading()
INTENSITIES = NetIntensities()


def gram(name):
    """Return squared lengths and angle of a net's two shortest vectors."""
    first, second = torch.tensor([[NETS[name][0], 0.0], NETS[name][1]])
    short, long = sorted([first.norm().item(), second.norm().item()])
    return short, long, abs(float(first @ second)) / (short * long)


@pytest.mark.parametrize("name", NETS)
@given(degrees=st.floats(0, 360), mirror=st.booleans(), seed=st.integers(0, 3))
def test_basis_is_the_reduced_one_and_every_spot_is_indexed(
    name, degrees, mirror, seed
):
    spots = moved(net(name, seed), degrees, mirror)
    indexed = index_net(spots)
    assert indexed.found.all() and indexed.on_net.all()
    first, second = indexed.basis[0]
    short, long, cosine = gram(name)
    assert first.norm().item() == pytest.approx(short, rel=1e-5)
    assert second.norm().item() == pytest.approx(long, rel=1e-5)
    angle = float(first @ second) / (short * long)
    assert angle == pytest.approx(cosine, abs=1e-5)
    again = indexed.indices.double() @ indexed.basis
    torch.testing.assert_close(again, spots.positions, atol=1e-6, rtol=0)


def test_basis_is_more_exact_than_any_spot():
    generator = torch.Generator().manual_seed(0)
    spots = net("oblique")
    jitter = 0.003 * torch.randn(
        spots.positions.shape, generator=generator, dtype=torch.float64
    )
    basis = index_net(Spots(spots.positions + jitter, spots.intensities)).basis[0]
    short, long, _ = gram("oblique")
    lengths = basis.norm(dim=-1)
    assert lengths.tolist() == pytest.approx([short, long], abs=4e-4)


@pytest.mark.parametrize("name", NETS)
@given(
    degrees=st.floats(0, 360),
    mirror=st.booleans(),
    scale=st.floats(1e-3, 1e6),
    seed=st.integers(0, 3),
)
def test_reading_does_not_depend_on_how_a_pattern_lies(
    name, degrees, mirror, scale, seed
):
    """Also where the net has more symmetry than the pattern."""
    spots = net(name, seed)
    turned = moved(spots, degrees, mirror)._replace(intensities=spots.intensities)
    turned = turned._replace(intensities=scale * turned.intensities)
    expected, again = READING(spots), READING(turned)
    assert expected.shape == (1, READING.n_values)
    assert expected.isfinite().all()
    # A product of two spots at the edge of a bin may fall to either side of it
    assert ((again - expected).abs() > 2e-3).double().mean() < 0.01


@pytest.mark.parametrize("name", NETS)
def test_spots_keep_their_places_in_another_setting(name):
    spots = moved(net(name, 1), 77, mirror=True)
    indexed = index_net(spots)
    table, setting = INTENSITIES.table(indexed, spots.intensities)
    turned = indexed.in_setting(setting)
    assert setting.double().det().abs() == 1
    again = (turned.indices + turned.offsets) @ turned.basis
    torch.testing.assert_close(again, spots.positions, atol=1e-9, rtol=0)
    places = INTENSITIES.places(turned.indices)[0]
    inside = places >= 0
    torch.testing.assert_close(
        table[0, places[inside]], spots.intensities[0, inside], atol=1e-9, rtol=0
    )


@given(degrees=st.floats(0, 360), mirror=st.booleans())
@pytest.mark.parametrize("name", ["rectangular", "square"])
def test_what_lies_between_the_points_of_a_symmetric_net(name, degrees, mirror):
    """A layer that is shifted to nowhere special, in a net with mirrors."""
    layer = net(name, 3, radius=0.6)
    shift = torch.tensor([0.031, 0.017], dtype=torch.float64)
    both = Spots(
        torch.cat((net(name).positions, layer.positions + shift), 1),
        torch.cat((net(name).intensities, 0.2 * layer.intensities), 1),
    )
    expected, again = READING(both), READING(moved(both, degrees, mirror))
    torch.testing.assert_close(again[:, :92], expected[:, :92], atol=1e-6, rtol=0)


def test_order_of_spots_does_not_matter():
    spots = net("oblique", 2)
    order = torch.randperm(spots.intensities.shape[1])
    shuffled = Spots(spots.positions[:, order], spots.intensities[:, order])
    torch.testing.assert_close(READING(shuffled), READING(spots), atol=1e-9, rtol=0)


def symmetric(name, *operations):
    """Return a net of the name whose intensities have these symmetries."""
    spots = net(name)
    places = index_net(spots).indices[0]
    strength = torch.zeros_like(spots.intensities)
    h, k = places.unbind(-1)
    for p, q in operations:
        h2, k2 = p[0] * h + p[1] * k, q[0] * h + q[1] * k
        strength = strength + 1.2 + (1.3 * h2 + 0.7 * k2 + 0.4 * h2 * k2).cos()
    return Spots(spots.positions, strength)


IDENTITY = ((1, 0), (0, 1))


@pytest.mark.parametrize(
    ("name", "operation"),
    [("rectangular", ((-1, 0), (0, 1))), ("square", ((0, -1), (1, 0)))],
)
def test_an_operation_of_net_and_intensities_is_seen(name, operation):
    rows = [tuple(map(tuple, o)) for o in INTENSITIES._operations.tolist()]
    which = rows.index(operation)
    for operations, has in (([IDENTITY], False), ([IDENTITY, operation], True)):
        spots = symmetric(name, *operations)
        indexed = index_net(spots)
        table, _ = INTENSITIES.table(indexed, spots.intensities)
        change, difference, correlation, *_ = INTENSITIES.symmetry(indexed, table)[0]
        # Of the net it always is one
        assert change[which] < -0.9
        assert (correlation[which] > 0.999) == has
        assert (difference[which] < 1e-3) == has


def test_operations_a_net_does_not_have_change_its_metric():
    spots = net("oblique")
    indexed = index_net(spots)
    table, _ = INTENSITIES.table(indexed, spots.intensities)
    change = INTENSITIES.symmetry(indexed, table)[0, 0]
    # By 2.5 % at least
    assert (change > 0.2).all()


def test_absent_rows_are_seen():
    """Odd orders along the first vector, as a glide plane or screw axis makes."""
    spots = net("rectangular")
    h, k = index_net(spots).indices[0].unbind(-1)
    gone = (k == 0) & (h % 2 != 0)
    absent = Spots(spots.positions, torch.where(gone, 0.0, spots.intensities))
    shown = [
        INTENSITIES.absences(INTENSITIES.table(index_net(s), s.intensities)[0])[0, 0]
        for s in (spots, absent)
    ]
    assert shown[0][0] > 0.1 and shown[0][4] > 0.3
    assert shown[1][0] == 0 and shown[1][4] == 0
    # What may not be absent is there in both
    assert shown[1][2] == pytest.approx(float(shown[0][2]))


def test_products_of_a_cubic_lattice_are_whole():
    """Any zone: here [111], in which the net is hexagonal."""
    edge = 6.2
    index = torch.cartesian_prod(*[torch.arange(-3, 4)] * 3).double()
    index = index[(index.sum(-1) == 0) & index.any(-1)]
    along = torch.tensor([1.0, 1.0, 1.0], dtype=torch.float64) / math.sqrt(3)
    x = torch.tensor([1.0, -1.0, 0.0], dtype=torch.float64) / math.sqrt(2)
    y = torch.linalg.cross(along, x)
    positions = torch.stack((index @ x, index @ y), -1)[None] / edge
    spectrum = ProductSpectrum()
    weights = torch.ones(positions.shape[:2], dtype=torch.float64)
    values = spectrum(Spots(positions, weights), weights)[0]
    edges = 5.0 + 0.3 * torch.arange(360)
    at = (edges - edge**2).abs().argmin()
    assert values[at] > 0.9
    apart = (edges - edge**2).abs() > 3
    # Half the squared edge leaves halves of odd products
    assert values[:360][apart & (edges < 35)].max() < 0.7


@given(degrees=st.floats(0, 360), mirror=st.booleans())
def test_too_few_spots_for_a_net_are_read_alike_however_they_lie(degrees, mirror):
    row = torch.arange(1, 4)[:, None] * torch.tensor([0.21, 0.08])
    spots = Spots(row[None].double(), torch.tensor([[0.5, 1.0, 0.2]]).double())
    assert not index_net(spots).found.any()
    again = READING(moved(spots, degrees, mirror))
    torch.testing.assert_close(again, READING(spots), atol=1e-6, rtol=0)


def test_no_spots_and_one_spot():
    positions = torch.tensor([[[0.2, 0.1], [0.0, 0.0]]]).repeat(2, 1, 1)
    intensities = torch.tensor([[0.0, 0.0], [3.0, 0.0]])
    values = READING(Spots(positions, intensities))
    assert values.isfinite().all()
    assert not values[0].any()
    assert values[1].any()
