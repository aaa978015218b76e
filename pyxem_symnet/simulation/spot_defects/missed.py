# SPDX-License-Identifier: GPL-3.0-or-later
"""Spots that are not found."""

from __future__ import annotations

import math

import torch

from pyxem_symnet.descriptors.spots import Spots
from pyxem_symnet.simulation.spot_defects._common import (
    Strength,
    column,
    kept,
    uniform,
)


def drop_weak(
    spots: Spots,
    decades: Strength,
    softness: Strength = 0.15,
    generator: torch.Generator | None = None,
) -> Spots:
    """Return the spots that are found within a limited dynamic range.

    The probability to find a spot rises from 0 to 1 around an intensity
    of 10**-decades of the pattern's strongest spot, as a logistic
    function of the logarithm. Counting noise around a threshold gives
    about that.

    Parameters
    ----------
    spots
        Spots.
    decades
        Dynamic range in powers of ten. Infinite if all is found.
    softness
        Width of the rise in powers of ten.
    generator
        Source of randomness.
    """
    strength = spots.relative_intensities().log10() + column(decades, spots)
    chance = uniform(spots.intensities.shape, spots, generator)
    found = torch.logit(chance, eps=1e-6) * column(softness, spots) < strength
    # The strongest spot is the reference: a pattern never becomes empty
    found |= spots.intensities == spots.intensities.amax(-1, keepdim=True)
    return kept(spots, found)


def drop_random(
    spots: Spots, fraction: Strength, generator: torch.Generator | None = None
) -> Spots:
    """Return spots of which some are missed, however strong they are.

    Parameters
    ----------
    spots
        Spots.
    fraction
        Probability to miss a spot.
    generator
        Source of randomness.
    """
    chance = uniform(spots.intensities.shape, spots, generator)
    return kept(spots, chance >= column(fraction, spots))


def limit_radius(
    spots: Spots, inner: Strength = 0.0, outer: Strength = math.inf
) -> Spots:
    """Return the spots outside a beam stop and inside the detector.

    Parameters
    ----------
    spots
        Spots.
    inner
        Radius of the beam stop in 1/Å.
    outer
        Radius of the detector in 1/Å.
    """
    radius = spots.positions.norm(dim=-1)
    return kept(
        spots, (radius >= column(inner, spots)) & (radius <= column(outer, spots))
    )


def hide_cross(spots: Spots, width: Strength, offset: Strength = 0.0) -> Spots:
    """Return the spots beside the gap between the tiles of a detector.

    Parameters
    ----------
    spots
        Spots.
    width
        Width of the horizontal and the vertical gap in 1/Å. Nothing is
        hidden by a gap of width 0.
    offset
        Distance of the gaps from the beam in 1/Å, along x and y.
    """
    width, offset = column(width, spots), column(offset, spots)
    distance = (spots.positions - offset[..., None]).abs().amin(-1)
    return kept(spots, (distance >= width / 2) | (width <= 0))
