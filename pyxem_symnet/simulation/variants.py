# SPDX-License-Identifier: GPL-3.0-or-later
"""Crystals that are not in the table, made from those that are.

A network that sees a crystal often learns its lattice and its intensities by
heart. A variant has another lattice of the same symmetry and other intensities,
but the same space group: equivalent reflections stay equal, and what is absent
stays absent.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from pyxem_symnet.simulation.packed import PackedReflections
from pyxem_symnet.simulation.sampler import Reflections
from pyxem_symnet.symmetry.absences import laue_rotations
from pyxem_symnet.symmetry.operations import standard_operations

#: Standard deviation of the strain, and of the logarithm of intensities at most
_STRAIN = 0.04
_LOG_INTENSITY = 0.8

#: Waves at least of which a change of intensities is the sum
_FEWEST_WAVES = 12


def draw_variant(
    crystals: PackedReflections, index: int, generator: torch.Generator | None = None
) -> tuple[Reflections, np.ndarray]:
    """Return reflections and lattice of a variant of a crystal.

    The lattice is strained by a random tensor that the point group
    leaves alone. Intensities are multiplied by the exponential of a
    random density's Fourier transform, of a density that has the
    symmetry of the Laue class.

    Parameters
    ----------
    crystals
        Reflections of crystals.
    index
        Which of them.
    generator
        Source of randomness. Torch's own if not given.

    Returns
    -------
    reflections
        Both of each Friedel pair.
    conventional_lattice
        Vectors of the conventional cell as rows in Å, of shape (3, 3).
    """
    lattice = crystals.conventional_lattice[index]
    part = slice(crystals.first[index], crystals.first[index + 1])
    g = crystals.hkl[part] @ crystals.reciprocal_basis[index]
    rotations = standard_operations(int(crystals.space_group[index]))[0]
    laue = laue_rotations(rotations)
    stretch = np.eye(3) + _invariant_strain(lattice, laue, generator)
    change = _invariant_waves(g @ lattice.T, laue, generator)
    intensity = torch.from_numpy(crystals.intensity[part]) * change.exp()
    strained = torch.from_numpy((g @ stretch).astype(np.float32))
    return (
        Reflections.from_half(strained, intensity),
        lattice @ np.linalg.inv(stretch).T,
    )


def _invariant_strain(
    lattice: np.ndarray, laue: np.ndarray, generator: torch.Generator | None
) -> np.ndarray:
    """Return a symmetric tensor that all rotations leave alone, (3, 3)."""
    random = torch.randn(3, 3, generator=generator).double().numpy() * _STRAIN
    strain = (random + random.T) / math.sqrt(2)
    # Of row vectors in the crystal's Cartesian frame
    turns = np.linalg.inv(lattice) @ laue.transpose(0, 2, 1) @ lattice
    return (turns @ strain @ turns.transpose(0, 2, 1)).mean(0)


def _invariant_waves(
    hkl: np.ndarray, laue: np.ndarray, generator: torch.Generator | None
) -> Tensor:
    """Return a random number for each reflection, equal for equivalent ones."""
    n_places = -(-_FEWEST_WAVES // len(laue))
    places = torch.rand(n_places, 3, generator=generator)
    everywhere = torch.from_numpy(laue).float() @ places.T
    phases = torch.from_numpy(hkl.astype(np.float32)) @ everywhere.transpose(
        0, 1
    ).flatten(1)
    waves = (2 * math.pi * phases).cos().sum(-1)
    waves = (waves - waves.mean()) / waves.std().clamp_min(1e-3)
    amount = _LOG_INTENSITY * float(torch.rand(1, generator=generator))
    return amount * waves.clamp(-3, 3)
