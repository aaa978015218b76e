# SPDX-License-Identifier: GPL-3.0-or-later
"""Three patterns along the axes are read in the setting that they come in."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pyxem_symnet.descriptors.axes_reading import AxesReading
from pyxem_symnet.descriptors.net_in_rows import net_in_rows
from pyxem_symnet.descriptors.spots import Spots
from pyxem_symnet.simulation.rotations import axis_rotations

READING = AxesReading()

#: What is read of each pattern by itself, before ratios and comparisons
_END = READING.n_values - 6 * 2 * 6 - 15 * 15
EACH = slice(_END - 3 * READING.each.n_values, _END)

#: Conventional lattices in Å, as rows
CELLS = {
    "cubic": torch.eye(3, dtype=torch.float64) * 5.4,
    "orthorhombic": torch.diag(torch.tensor([4.1, 5.3, 9.2], dtype=torch.float64)),
    "monoclinic": torch.tensor(
        [[7.1, 0, 0], [0, 4.6, 0], [-3.1, 0, 8.0]], dtype=torch.float64
    ),
    "hexagonal": torch.tensor(
        [[4.9, 0, 0], [-2.45, 2.45 * math.sqrt(3), 0], [0, 0, 7.4]],
        dtype=torch.float64,
    ),
}


def along_axes(name, strength, centred=False, radius=1.2):
    """Return the exact patterns of a cell along its axes."""
    lattice = CELLS[name]
    span = torch.arange(-12, 13)
    hkl = torch.cartesian_prod(span, span, span)
    kept = hkl.any(-1) & (((hkl.sum(-1) % 2) == 0) | (not centred))
    g = hkl[kept].double() @ torch.linalg.inv(lattice).T
    hkl = hkl[kept][g.norm(dim=-1) < radius]
    g = g[g.norm(dim=-1) < radius]
    patterns = []
    for number, rotation in enumerate(axis_rotations(lattice).double()):
        zone = hkl[:, number] == 0
        positions = (g[zone] @ rotation.T)[:, :2]
        patterns.append(Spots(positions.unsqueeze(0), strength(hkl[zone]).unsqueeze(0)))
    return Spots.concatenate(patterns)


def general(hkl):
    """Return intensities without any symmetry but Friedel's."""
    h, k, l = hkl.double().unbind(-1)  # noqa: E741
    return 1.5 + (1.3 * h + 0.7 * k + 0.4 * l + 0.2 * h * k * l).cos().abs()


def rows_of(spots):
    """Return how far rows, and spots along them, are apart."""
    net = net_in_rows(spots)
    assert net.found.all()
    along = net.basis[:, 1].norm(dim=-1)
    return torch.linalg.det(net.basis).abs() / along, along


@pytest.mark.parametrize("name", CELLS)
def test_each_axis_is_measured_in_two_patterns(name):
    across, along = rows_of(along_axes(name, general))
    lattice = CELLS[name]
    reciprocal = torch.linalg.inv(lattice).T.norm(dim=-1)
    torch.testing.assert_close(along, reciprocal.roll(-2), atol=1e-6, rtol=0)
    # Across the rows one sees the axis' part across the beam
    seen = (
        lattice.roll(-1, 0)
        - (
            (lattice.roll(-1, 0) * lattice).sum(-1) / lattice.square().sum(-1)
        ).unsqueeze(-1)
        * lattice
    )
    torch.testing.assert_close(across, 1 / seen.norm(dim=-1), atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", CELLS)
def test_spots_are_indexed_by_their_rows(name):
    spots = along_axes(name, general)
    net = net_in_rows(spots)
    assert net.on_net[spots.intensities > 0].all()
    again = (net.indices + net.offsets) @ net.basis
    torch.testing.assert_close(again, spots.positions, atol=1e-9, rtol=0)


def test_nets_of_a_body_centred_cell_are_centred():
    """Also where noise moves the spot in the middle to either side."""
    spots = along_axes("orthorhombic", general, centred=True)
    for seed in range(5):
        noise = torch.Generator().manual_seed(seed)
        jitter = 0.002 * torch.randn(
            spots.positions.shape, generator=noise, dtype=torch.float64
        )
        basis = net_in_rows(Spots(spots.positions + jitter, spots.intensities)).basis
        first, second = basis.unbind(1)
        skew = (first * second).sum(-1) / second.square().sum(-1)
        torch.testing.assert_close(skew, torch.full_like(skew, 0.5), atol=0.02, rtol=0)


@given(scale=st.floats(1e-3, 1e6), seed=st.integers(0, 5))
@pytest.mark.parametrize("name", ["monoclinic", "hexagonal"])
def test_reading_depends_on_no_scale_order_or_friedel_mate(name, scale, seed):
    spots = along_axes(name, general)
    order = torch.randperm(
        spots.intensities.shape[1], generator=torch.Generator().manual_seed(seed)
    )
    other = Spots(-spots.positions[:, order], scale * spots.intensities[:, order])
    expected = READING(spots)
    assert expected.shape == (1, READING.n_values)
    # What is read of each pattern by itself has a test of its own
    kept = torch.ones(READING.n_values, dtype=torch.bool)
    kept[EACH] = False
    torch.testing.assert_close(
        READING(other)[:, kept], expected[:, kept], atol=2e-3, rtol=0
    )


def test_ratios_of_lengths_do_not_depend_on_the_camera_length():
    spots = along_axes("orthorhombic", general)
    ratios = slice(EACH.stop, EACH.stop + 15 * 15)
    longer = Spots(1.03 * spots.positions, spots.intensities)
    torch.testing.assert_close(
        READING(longer)[:, ratios], READING(spots)[:, ratios], atol=1e-4, rtol=0
    )


def cubic(hkl):
    """Return intensities of the Laue class m-3: equal in cyclic order only."""
    h, k, l = hkl.abs().double().unbind(-1)  # noqa: E741
    return 1.5 + sum((1.1 * a + 2.3 * b * b).sin() for a, b in ((h, k), (k, l), (l, h)))


def test_patterns_that_a_threefold_axis_makes_alike_are_seen_as_such():
    alike = READING._compare(_table(along_axes("cubic", cubic))).view(6, 2, -1)
    other = READING._compare(_table(along_axes("cubic", general))).view(6, 2, -1)
    # Of patterns a and b, b and c: the same intensities in the same order
    for pair in (1, 4):
        assert alike[pair, 0, 0] > 0.999 and alike[pair, 1, 0] < 1e-3
        assert other[pair, 0, 0] < 0.9
    # h and k may not be exchanged in m-3
    assert alike[0, 0, 1] < 0.9


def _table(spots):
    """Return what AxesReading compares, of exact patterns."""
    net = net_in_rows(spots)
    at = READING.intensities.places(net.indices)
    table = torch.zeros(3, len(READING.intensities.indices), dtype=torch.float64)
    for pattern in range(3):
        inside = (at[pattern] >= 0) & net.on_net[pattern]
        table[pattern, at[pattern, inside]] = spots.intensities[pattern, inside]
    return table.unsqueeze(0)


def test_no_spots_give_numbers_too():
    nothing = Spots(torch.zeros(6, 4, 2), torch.zeros(6, 4))
    reading = READING(nothing)
    assert reading.shape == (2, READING.n_values) and reading.isfinite().all()
