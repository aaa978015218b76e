# SPDX-License-Identifier: GPL-3.0-or-later
"""Spots that should not be there."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pyxem_symnet.descriptors.spots import Spots
from pyxem_symnet.simulation.spot_defects._common import (
    Strength,
    column,
    joined,
    near,
    normal,
    uniform,
)


def add_spurious(
    spots: Spots,
    count: int | Tensor,
    *,
    radius: Strength = 1.28,
    decades: Strength = 2.0,
    halo_fraction: float = 0.5,
    halo_radius: Strength = 0.35,
    halo_width: float = 0.08,
    generator: torch.Generator | None = None,
) -> Spots:
    """Return spots with false ones among them.

    Parameters
    ----------
    spots
        Spots.
    count
        Number of false spots, the same for all patterns or of shape
        (patterns,).
    radius
        Largest distance from the beam in 1/Å.
    decades
        False spots are weaker than the strongest true one by a factor
        whose logarithm is uniform between 0 and so many powers of ten.
    halo_fraction
        Fraction of the false spots that lie on a halo around the beam.
        The others lie anywhere.
    halo_radius
        Radius of the halo in 1/Å.
    halo_width
        Standard deviation of the halo's radius in 1/Å.
    generator
        Source of randomness.
    """
    n_patterns = len(spots.intensities)
    count = torch.as_tensor(count, device=spots.intensities.device).reshape(-1, 1)
    n_slots = int(count.max()) if count.numel() else 0
    if n_slots == 0:
        return spots
    shape = (n_patterns, n_slots)
    positions = _false_positions(
        shape, spots, radius, halo_fraction, halo_radius, halo_width, generator
    )
    strength = uniform(shape, spots, generator) * column(decades, spots)
    strongest = spots.intensities.amax(-1, keepdim=True)
    there = torch.arange(n_slots, device=count.device) < count
    inside = positions.norm(dim=-1) <= column(radius, spots)
    intensities = torch.where(there & inside, strongest * 10**-strength, 0.0)
    return joined(spots, Spots(positions, intensities))


def overlap(spots: Spots, other: Spots, fraction: Strength) -> Spots:
    """Return the spots of two grains on top of each other.

    Parameters
    ----------
    spots
        Spots of the first grain.
    other
        Spots of the second grain, of as many patterns.
    fraction
        Intensity of the strongest spot of the second grain, in units of
        the first grain's. Nothing is added with 0.
    """
    strongest = spots.intensities.amax(-1, keepdim=True)
    added = other.relative_intensities() * strongest * column(fraction, spots)
    return joined(spots, Spots(other.positions, added))


def double_diffraction(
    spots: Spots,
    strength: Strength,
    *,
    n_beams: int = 5,
    tolerance: float = 0.01,
    radius: Strength = math.inf,
) -> Spots:
    r"""Return spots with those of beams that are diffracted twice.

    A diffracted beam is itself diffracted: at
    :math:`\mathbf{g}_1 + \mathbf{g}_2` of two strong spots there is a
    spot of the intensity :math:`c I_1 I_2 / I_\mathrm{max}`, where a
    forbidden reflection may be. Where a reflection is there already,
    it is left alone. That the sum lies near the Ewald sphere too is
    taken for granted, as it is for spots of one Laue zone.

    Parameters
    ----------
    spots
        Spots.
    strength
        c, the probability of being diffracted twice relative to once.
    n_beams
        Number of strongest spots whose pairs are summed.
    tolerance
        Sums so close in 1/Å to a spot, or to the beam, add nothing.
    radius
        Largest distance of a sum from the beam in 1/Å.
    """
    n_beams = min(n_beams, spots.intensities.shape[-1])
    strength = column(strength, spots).expand(len(spots.intensities), 1)
    rows = (strength[:, 0] > 0).nonzero()[:, 0]
    if len(rows) == 0 or n_beams == 0:
        return spots
    some = Spots(spots.positions[rows], spots.intensities[rows])
    strongest = some.strongest(n_beams)
    one, two = torch.triu_indices(n_beams, n_beams, device=rows.device)
    positions = strongest.positions[:, one] + strongest.positions[:, two]
    relative = strongest.relative_intensities()
    intensities = relative[:, one] * relative[:, two] * strength[rows]
    intensities = intensities * some.intensities.amax(-1, keepdim=True)
    distance = positions.norm(dim=-1)
    limit = column(radius, spots).expand(len(spots.intensities), 1)[rows]
    new = (distance > tolerance) & (distance <= limit)
    new &= ~near(positions, some, tolerance)
    # Several pairs may share one sum: the strongest of them stays
    shared = torch.cdist(positions, positions) <= tolerance
    weaker = intensities[:, :, None] < intensities[:, None, :]
    later = torch.ones_like(shared[0]).tril(-1)
    tie = (intensities[:, :, None] == intensities[:, None, :]) & later
    new &= ~(shared & (weaker | tie)).any(-1)
    n_patterns, n_sums = len(spots.intensities), len(one)
    added = Spots(
        spots.positions.new_zeros(n_patterns, n_sums, 2),
        spots.intensities.new_zeros(n_patterns, n_sums),
    )
    added.positions[rows] = positions
    added.intensities[rows] = torch.where(new, intensities, 0.0)
    return joined(spots, added)


def amorphous_spots(
    n: int,
    n_slots: int = 96,
    *,
    mean_count: float = 8.0,
    radius: float = 1.28,
    halo_fraction: float = 0.7,
    halo_radius: tuple[float, float] = (0.2, 0.55),
    generator: torch.Generator | None = None,
) -> Spots:
    """Return what a spot finder makes of patterns without a crystal.

    Noise and speckle of the amorphous halo pass for a few spots of
    similar intensity. There may be none at all.

    Parameters
    ----------
    n
        Number of patterns.
    n_slots
        Number of slots.
    mean_count
        Mean number of spots. Numbers are distributed exponentially.
    radius
        Largest distance from the beam in 1/Å.
    halo_fraction
        Fraction of the spots on the halo.
    halo_radius
        Smallest and largest radius of the halo in 1/Å. The radius is one
        for all patterns, as they are of one material.
    generator
        Source of randomness.
    """
    device = torch.device("cpu") if generator is None else generator.device
    empty = Spots(
        torch.zeros(n, n_slots, 2, device=device),
        torch.zeros(n, n_slots, device=device),
    )
    low, high = halo_radius
    halo = low + (high - low) * float(uniform((1,), empty, generator))
    positions = _false_positions(
        (n, n_slots), empty, radius, halo_fraction, halo, 0.06, generator
    )
    count = -mean_count * torch.log1p(-uniform((n, 1), empty, generator))
    there = torch.arange(n_slots, device=device) < count.floor()
    there &= positions.norm(dim=-1) <= radius
    intensities = torch.exp(0.5 * normal((n, n_slots), empty, generator))
    return Spots(positions, torch.where(there, intensities, 0.0))


def _false_positions(
    shape: tuple[int, int],
    spots: Spots,
    radius: Strength,
    halo_fraction: float,
    halo_radius: Strength,
    halo_width: float,
    generator: torch.Generator | None,
) -> Tensor:
    """Return positions spread evenly over a disc or over a halo."""
    chance = uniform((3, *shape), spots, generator)
    halo = halo_width * normal(shape, spots, generator) + column(halo_radius, spots)
    on_halo = chance[0] < halo_fraction
    distance = torch.where(
        on_halo, halo.abs(), chance[1].sqrt() * column(radius, spots)
    )
    azimuth = 2 * math.pi * chance[2]
    return torch.stack([azimuth.cos(), azimuth.sin()], -1) * distance[..., None]
