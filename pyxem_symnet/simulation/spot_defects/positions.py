# SPDX-License-Identifier: GPL-3.0-or-later
"""Spots at the wrong place: calibration, centre, finding."""

from __future__ import annotations

import torch

from pyxem_symnet.descriptors.spots import Spots
from pyxem_symnet.simulation.spot_defects._common import (
    Strength,
    column,
    normal,
)


def scale_positions(spots: Spots, factor: Strength) -> Spots:
    """Return spots whose camera length is wrong by a factor.

    Parameters
    ----------
    spots
        Spots.
    factor
        Apparent over true distance from the beam.
    """
    return spots._replace(positions=spots.positions * column(factor, spots)[..., None])


def stretch_positions(spots: Spots, ratio: Strength, angle: Strength) -> Spots:
    """Return spots with elliptical distortion.

    Parameters
    ----------
    spots
        Spots.
    ratio
        Long over short axis of the ellipse that a ring becomes. Its
        area does not change.
    angle
        Angle of the long axis from x in degrees.
    """
    ratio = column(ratio, spots)
    angle = torch.deg2rad(column(angle, spots))
    along, across = ratio.sqrt(), ratio.rsqrt()
    cosine, sine = angle.cos(), angle.sin()
    x, y = spots.positions.unbind(-1)
    u = (cosine * x + sine * y) * along
    v = (cosine * y - sine * x) * across
    positions = torch.stack([cosine * u - sine * v, sine * u + cosine * v], -1)
    return spots._replace(positions=positions)


def shift_positions(
    spots: Spots, sigma: Strength, generator: torch.Generator | None = None
) -> Spots:
    """Return spots measured from a wrong centre.

    Parameters
    ----------
    spots
        Spots.
    sigma
        Standard deviation of each of the centre's coordinates in 1/Å.
        Each pattern gets a shift of its own.
    generator
        Source of randomness.
    """
    shift = normal((len(spots.intensities), 1, 2), spots, generator)
    shift = shift * column(sigma, spots)[..., None]
    return spots._replace(positions=spots.positions + shift)


def jitter_positions(
    spots: Spots, sigma: Strength, generator: torch.Generator | None = None
) -> Spots:
    """Return spots found at slightly wrong positions.

    Parameters
    ----------
    spots
        Spots.
    sigma
        Standard deviation of each coordinate in 1/Å.
    generator
        Source of randomness.
    """
    jitter = normal(spots.positions.shape, spots, generator)
    jitter = jitter * column(sigma, spots)[..., None]
    return spots._replace(positions=spots.positions + jitter)
