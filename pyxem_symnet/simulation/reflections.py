# SPDX-License-Identifier: GPL-3.0-or-later
"""Kinematic reflections of a crystal, once for all orientations."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from pyxem_symnet.simulation.structures import (
    Crystal,
    StructureError,
    symmetry_dataset,
)

#: Miller indices are stored as 16-bit integers
_LARGEST_INDEX = np.iinfo(np.int16).max


class ReflectionList(NamedTuple):
    """Reflections of one crystal, one of each Friedel pair.

    Parameters
    ----------
    hkl
        Miller indices in the cell as given, of shape (reflections, 3).
    intensity
        Squared structure-factor moduli of shape (reflections,), in Å².
    reciprocal_basis
        Reciprocal lattice vectors as rows in 1/Å, of shape (3, 3), in
        the frame of `conventional_lattice`.
    conventional_lattice
        Vectors a, b, c of the conventional cell as rows in Å, of shape
        (3, 3); a along x, b in the xy plane.
    """

    hkl: np.ndarray
    intensity: np.ndarray
    reciprocal_basis: np.ndarray
    conventional_lattice: np.ndarray


def compute_reflections(
    crystal: Crystal,
    reciprocal_radius: float = 1.3,
    intensity_cut: float = 1e-5,
    *,
    standardise: bool = True,
    scattering_params: str = "lobato",
    debye_waller_factors: Mapping[str, float] | None = None,
) -> ReflectionList:
    r"""Return the kinematic reflections of a crystal.

    Intensities are :math:`|F_{hkl}|^2` with the scattering factors of
    diffsims. The phases of all atoms of an element are summed over a box
    of indices by one matrix product instead of an exponential for every
    reflection and atom.

    Parameters
    ----------
    crystal
        Crystal.
    reciprocal_radius
        Largest :math:`|g|` in 1/Å.
    intensity_cut
        Reflections weaker than this fraction of the strongest are left
        out. With 0 all are kept, systematic absences too.
    standardise
        Whether to turn the crystal so that a of the conventional cell
        lies along x and b in the xy plane (default). Otherwise a, b
        and c are those of the cell as given, in the given orientation.
        Atoms stay where they are in both cases.
    scattering_params
        ``"lobato"`` or ``"xtables"``, as in
        :class:`diffsims.generators.simulation_generator.SimulationGenerator`.
    debye_waller_factors
        Debye-Waller factors B in Å² by element symbol. None by default.

    Raises
    ------
    StructureError
        If no scattering factor is known for an element, or the cell is
        too large or its symmetry not found.
    """
    if standardise:
        rotation, conventional = _standard_setting(crystal)
    else:
        rotation, conventional = np.eye(3), crystal.lattice
    hkl = _friedel_half(crystal, reciprocal_radius)
    g = hkl @ crystal.reciprocal_lattice
    g_squared = np.einsum("ij,ij->i", g, g)
    structure_factor = _structure_factors(
        crystal, hkl, g_squared, scattering_params, debye_waller_factors or {}
    )
    intensity = structure_factor.real**2 + structure_factor.imag**2
    if intensity_cut > 0 and intensity.size:
        kept = intensity > intensity_cut * intensity.max()
        hkl, intensity = hkl[kept], intensity[kept]
    return ReflectionList(
        hkl=hkl.astype(np.int16),
        intensity=intensity,
        reciprocal_basis=crystal.reciprocal_lattice @ rotation.T,
        conventional_lattice=conventional,
    )


def _standard_setting(crystal: Crystal) -> tuple[np.ndarray, np.ndarray]:
    """Return the rotation into the standard frame and the cell in it."""
    dataset = symmetry_dataset(crystal)
    # spglib: (a_std b_std c_std) = (a b c) P^-1, before idealisation
    conventional = np.linalg.inv(dataset.transformation_matrix).T @ crystal.lattice
    a, b, _ = conventional
    x = a / np.linalg.norm(a)
    z = np.cross(a, b)
    z /= np.linalg.norm(z)
    rotation = np.stack([x, np.cross(z, x), z])
    return rotation, conventional @ rotation.T


def _friedel_half(crystal: Crystal, radius: float) -> np.ndarray:
    """Return the indices of one of each Friedel pair within a radius."""
    # |h| = |g . a| <= |g| |a|
    largest = np.floor(radius * np.linalg.norm(crystal.lattice, axis=1)).astype(int)
    if largest.max() > _LARGEST_INDEX:
        raise StructureError(
            f"Crystal {crystal.material_id!r}: a cell edge of "
            f"{np.linalg.norm(crystal.lattice, axis=1).max():.0f} Å is too long for "
            f"a reciprocal radius of {radius} 1/Å."
        )
    h_max, k_max, l_max = largest
    indices = np.meshgrid(
        np.arange(-h_max, h_max + 1),
        np.arange(-k_max, k_max + 1),
        np.arange(l_max + 1),
        indexing="ij",
    )
    hkl = np.stack(indices, axis=-1).reshape(-1, 3)
    # The last index that is not zero is positive in the half kept
    last = np.where(
        hkl[:, 2] != 0, hkl[:, 2], np.where(hkl[:, 1] != 0, hkl[:, 1], hkl[:, 0])
    )
    hkl = hkl[last > 0]
    g = hkl @ crystal.reciprocal_lattice
    return hkl[np.einsum("ij,ij->i", g, g) <= radius**2]


def _structure_factors(
    crystal: Crystal,
    hkl: np.ndarray,
    g_squared: np.ndarray,
    scattering_params: str,
    debye_waller_factors: Mapping[str, float],
) -> np.ndarray:
    structure_factor = np.zeros(len(hkl), dtype=complex)
    if len(hkl) == 0:
        return structure_factor
    lowest, highest = hkl.min(0), hkl.max(0)
    place = tuple((hkl - lowest).T)
    for number in np.unique(crystal.numbers):
        atoms = crystal.numbers == number
        # exp(2 pi i (hx + ky + lz)) is separable: (hk, atoms) @ (atoms, l)
        along_h, along_k, along_l = (
            np.exp(
                2j
                * np.pi
                * np.outer(
                    np.arange(lowest[axis], highest[axis] + 1),
                    crystal.positions[atoms, axis],
                )
            )
            for axis in range(3)
        )
        along_h = along_h * crystal.occupancies[atoms]
        in_plane = along_h[:, None, :] * along_k[None, :, :]
        geometric = in_plane @ along_l.T
        symbol, coefficients = _scattering_parameters(int(number), scattering_params)
        factor = _atomic_scattering_factor(g_squared, coefficients, scattering_params)
        b_factor = debye_waller_factors.get(symbol, 0.0)
        if b_factor:
            factor = factor * np.exp(-0.25 * b_factor * g_squared)
        structure_factor += factor * geometric[place]
    return structure_factor


@functools.cache
def _scattering_parameters(number: int, name: str) -> tuple[str, np.ndarray]:
    from diffsims.utils.sim_utils import get_scattering_params_dict

    # The Lobato table lists the elements in order of atomic number
    symbols = list(get_scattering_params_dict("lobato"))
    if not 1 <= number <= len(symbols):
        raise StructureError(f"No scattering factor is known for Z = {number}.")
    symbol = symbols[number - 1]
    table = get_scattering_params_dict(name)
    if symbol not in table:
        raise StructureError(f"No {name} scattering factor is known for {symbol}.")
    return symbol, np.asarray(table[symbol])


def _atomic_scattering_factor(
    g_squared: np.ndarray, coefficients: np.ndarray, name: str
) -> np.ndarray:
    from diffsims.utils.sim_utils import get_atomic_scattering_factors

    return get_atomic_scattering_factors(g_squared, coefficients[None], name)[:, 0]
