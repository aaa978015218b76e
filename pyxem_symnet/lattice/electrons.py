# SPDX-License-Identifier: GPL-3.0-or-later
"""Wavelength of the electrons, and where their patterns lie in reciprocal space."""

from __future__ import annotations

import math

import numpy as np

#: Beam energies in kV that patterns are simulated and indexed for
BEAM_ENERGIES = (10.0, 3000.0)


def electron_wavelength(beam_energy: float) -> float:
    """Return the relativistic electron wavelength in Å.

    Parameters
    ----------
    beam_energy
        Beam energy in kV.

    Raises
    ------
    ValueError
        If the energy is outside :data:`BEAM_ENERGIES`.
    """
    if not BEAM_ENERGIES[0] <= beam_energy <= BEAM_ENERGIES[1]:
        raise ValueError(
            f"beam_energy must lie between {BEAM_ENERGIES[0]:g} and "
            f"{BEAM_ENERGIES[1]:g} kV, not {beam_energy:g}. Is it in kV?"
        )
    # h c / sqrt(E (E + 2 m c²)) with E and m c² in eV, h c in eV Å
    energy = beam_energy * 1e3
    return 12398.419843320026 / math.sqrt(energy * (energy + 2 * 510998.95069))


def on_ewald_sphere(positions: np.ndarray, wavelength: float) -> np.ndarray:
    """Return the reciprocal vectors of spots, on the Ewald sphere.

    Parameters
    ----------
    positions
        x and y of the spots in 1/Å, of shape (spots, 2), floating point.
    wavelength
        Electron wavelength in Å.

    Returns
    -------
    vectors
        Of shape (spots, 3). The third coordinate rises against the
        beam's direction.

    Raises
    ------
    ValueError
        If a spot is farther out than the sphere's radius.
    """
    radius = 1 / wavelength
    below = radius * radius - (positions**2).sum(-1)
    if not (below > 0).all():
        raise ValueError(
            f"Spots lie more than {radius:.0f} 1/Å from the direct beam. Are their "
            "positions in 1/Å?"
        )
    return np.column_stack([positions, radius - np.sqrt(below)])
