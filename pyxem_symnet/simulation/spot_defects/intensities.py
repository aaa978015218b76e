# SPDX-License-Identifier: GPL-3.0-or-later
"""Spots of the wrong intensity: vibration, thickness, detector."""

from __future__ import annotations

import torch

from pyxem_symnet.descriptors.spots import Spots
from pyxem_symnet.simulation.spot_defects._common import (
    Strength,
    column,
    normal,
)


def jitter_intensities(
    spots: Spots, sigma: Strength, generator: torch.Generator | None = None
) -> Spots:
    """Return spots with intensities that are off by random factors.

    Parameters
    ----------
    spots
        Spots.
    sigma
        Standard deviation of the natural logarithm of the intensities.
    generator
        Source of randomness.
    """
    logarithm = normal(spots.intensities.shape, spots, generator)
    factor = torch.exp(logarithm * column(sigma, spots))
    return spots._replace(intensities=spots.intensities * factor)


def damp_intensities(spots: Spots, b_factor: Strength) -> Spots:
    r"""Return spots weakened by thermal vibration.

    Intensities are multiplied with :math:`\exp(-B g^2 / 2)`, the square
    of the Debye-Waller factor of the amplitudes.

    Parameters
    ----------
    spots
        Spots.
    b_factor
        B in Å², the same for all atoms.
    """
    exponent = -0.5 * column(b_factor, spots) * (spots.positions**2).sum(-1)
    return spots._replace(intensities=spots.intensities * exponent.exp())


def compress_intensities(spots: Spots, gamma: Strength) -> Spots:
    r"""Return spots with the flatter intensities of dynamical diffraction.

    Intensities relative to the strongest spot are raised to the power
    :math:`\gamma`. In thick crystals, intensities tend from the squared
    to the first power of the structure factors (:math:`\gamma = 1/2`,
    the two-beam limit) and below.

    Parameters
    ----------
    spots
        Spots.
    gamma
        Exponent.
    """
    strongest = spots.intensities.amax(-1, keepdim=True)
    relative = spots.relative_intensities() ** column(gamma, spots)
    # 0 ** 0 is 1: an empty slot must stay empty with any exponent
    intensities = torch.where(spots.intensities > 0, relative * strongest, 0.0)
    return spots._replace(intensities=intensities)


def saturate_intensities(spots: Spots, level: Strength) -> Spots:
    """Return spots as a saturated detector shows them.

    Parameters
    ----------
    spots
        Spots.
    level
        Largest intensity shown, as a fraction of the strongest spot.
    """
    strongest = spots.intensities.amax(-1, keepdim=True)
    intensities = torch.minimum(spots.intensities, strongest * column(level, spots))
    return spots._replace(intensities=intensities)
