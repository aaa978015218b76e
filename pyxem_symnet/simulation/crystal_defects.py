# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with real crystals.

Some defects change the structure and are made on a
:class:`~pyxem_symnet.simulation.structures.Crystal`; for those that are local,
begin with a :func:`supercell`. Others change the shape of reciprocal-lattice
points and are made on :class:`~pyxem_symnet.simulation.sampler.Reflections`:
each point becomes a set of points that share its intensity. With a strength of
zero what goes in comes out.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from pyxem_symnet.simulation.rotations import tilt_series
from pyxem_symnet.simulation.sampler import Reflections
from pyxem_symnet.simulation.structures import Crystal, StructureError


# -----------------------------------------------------------------------------
# Structures
# -----------------------------------------------------------------------------
def supercell(crystal: Crystal, repeats: Sequence[int]) -> Crystal:
    """Return a crystal described in a cell some times as large.

    Parameters
    ----------
    crystal
        Crystal.
    repeats
        Number of cells along a, b and c.
    """
    repeats = np.asarray(repeats, dtype=int)
    cells = np.indices(repeats).reshape(3, -1).T
    positions = (crystal.positions[:, None] + cells) / repeats
    return dataclasses.replace(
        crystal,
        lattice=crystal.lattice * repeats[:, None],
        numbers=np.repeat(crystal.numbers, len(cells)),
        positions=positions.reshape(-1, 3),
        occupancies=np.repeat(crystal.occupancies, len(cells)),
    )


def vacancies(
    crystal: Crystal, fraction: float, random: np.random.Generator
) -> Crystal:
    """Return a crystal that lacks some of its atoms.

    Parameters
    ----------
    crystal
        Crystal.
    fraction
        Fraction of the atoms that are missing, rounded to whole atoms.
    random
        Source of randomness.

    Raises
    ------
    StructureError
        If no atom would be left.
    """
    n_atoms = crystal.numbers.size
    n_missing = round(fraction * n_atoms)
    if n_missing >= n_atoms:
        raise StructureError(
            f"Crystal {crystal.material_id!r}: no atom is left with a fraction of "
            f"vacancies of {fraction}. Ask for fewer, or begin with a supercell."
        )
    kept = np.sort(random.permutation(n_atoms)[n_missing:])
    return dataclasses.replace(
        crystal,
        numbers=crystal.numbers[kept],
        positions=crystal.positions[kept],
        occupancies=crystal.occupancies[kept],
    )


def substitute(
    crystal: Crystal, fraction: float, number: int, random: np.random.Generator
) -> Crystal:
    """Return a crystal in which another element takes some of the sites.

    Parameters
    ----------
    crystal
        Crystal.
    fraction
        Fraction of the atoms that are replaced, rounded to whole atoms.
    number
        Atomic number of the other element.
    random
        Source of randomness.
    """
    n_atoms = crystal.numbers.size
    replaced = random.permutation(n_atoms)[: round(fraction * n_atoms)]
    numbers = crystal.numbers.copy()
    numbers[replaced] = number
    return dataclasses.replace(crystal, numbers=numbers)


def displace(crystal: Crystal, sigma: float, random: np.random.Generator) -> Crystal:
    """Return a crystal whose atoms are off their sites.

    Parameters
    ----------
    crystal
        Crystal.
    sigma
        Standard deviation of each Cartesian coordinate in Å. It
        weakens reflections as B = 8 pi² sigma² does.
    random
        Source of randomness.
    """
    shift = random.normal(scale=sigma, size=crystal.positions.shape)
    return dataclasses.replace(
        crystal, positions=crystal.positions + shift @ np.linalg.inv(crystal.lattice)
    )


def strain(
    crystal: Crystal, isotropic: float = 0.0, shear: Sequence[float] = (0.0, 0.0, 0.0)
) -> Crystal:
    """Return a crystal that is strained homogeneously.

    Parameters
    ----------
    crystal
        Crystal.
    isotropic
        Relative change of all lengths.
    shear
        Components of the shear strain e_yz, e_xz and e_xy (half the
        change of the right angles in radians).
    """
    yz, xz, xy = shear
    deformation = np.eye(3) * (1 + isotropic)
    deformation += [[0, xy, xz], [xy, 0, yz], [xz, yz, 0]]
    return dataclasses.replace(crystal, lattice=crystal.lattice @ deformation.T)


# -----------------------------------------------------------------------------
# Shapes of reciprocal-lattice points
# -----------------------------------------------------------------------------
def finite_size(
    reflections: Reflections,
    size: float,
    n_points: int = 8,
    generator: torch.Generator | None = None,
) -> Reflections:
    """Return reflections broadened by the size of the crystal.

    All are broadened alike, in all directions, by a Gaussian whose full
    width at half maximum is 0.9 / size (Scherrer's equation).

    Parameters
    ----------
    reflections
        Reflections.
    size
        Diameter of the crystal in Å. Infinite for no effect.
    n_points
        Number of points a reflection becomes, rounded up to an even one
        as points come in pairs.
    generator
        Source of randomness.
    """
    sigma = 0.9 / size / 2.3548
    half = torch.randn((n_points + 1) // 2, 3, generator=generator) * sigma
    offsets = torch.cat([half, -half]).to(reflections.g)
    weights = torch.full_like(offsets[:, 0], 1 / len(offsets))
    return _spread(reflections, offsets, weights.expand(len(reflections.g), -1))


def mosaic_spread(
    reflections: Reflections,
    spread: float,
    n_blocks: int = 8,
    generator: torch.Generator | None = None,
) -> Reflections:
    """Return the reflections of a crystal of slightly misoriented blocks.

    Parameters
    ----------
    reflections
        Reflections.
    spread
        Standard deviation of the blocks' rotations about any axis in
        degrees.
    n_blocks
        Number of blocks.
    generator
        Source of randomness.
    """
    vectors = torch.randn(n_blocks, 3, generator=generator) * spread
    angles = vectors.norm(dim=-1)
    axes = torch.nn.functional.normalize(vectors, dim=-1)
    if spread == 0:
        axes = torch.tensor([0.0, 0.0, 1.0]).expand(n_blocks, 3)
    blocks = tilt_series(torch.eye(3), axes, angles).to(reflections.g)
    return Reflections(
        torch.einsum("bij,nj->nbi", blocks, reflections.g).reshape(-1, 3),
        (reflections.intensity / n_blocks).repeat_interleave(n_blocks),
    )


def stacking_fault_streaks(
    reflections: Reflections,
    normal: Tensor,
    displacement: Tensor,
    fraction: float,
    length: float = 0.2,
    n_points: int = 15,
) -> Reflections:
    r"""Return reflections with streaks of stacking faults.

    Faults on planes across the normal, with a displacement
    :math:`\mathbf{R}` between both sides, take the fraction
    :math:`f (1 - \cos 2 \pi \mathbf{g R}) / 2` of each reflection's
    intensity and spread it along the normal. Reflections with integer
    :math:`\mathbf{g R}` see nothing of the faults.

    Parameters
    ----------
    reflections
        Reflections.
    normal
        Normal of the planes in the crystal's Cartesian frame, of shape
        (3,), of any length.
    displacement
        Displacement in Å in the same frame, of shape (3,).
    fraction
        Largest fraction of the intensity in a streak, from 0 to 1.
    length
        Length of the streaks in 1/Å, half of it on each side.
    n_points
        Number of points of a streak.
    """
    normal = torch.as_tensor(normal).to(reflections.g)
    displacement = torch.as_tensor(displacement).to(reflections.g)
    step = torch.linspace(-0.5, 0.5, n_points).to(reflections.g)
    # A Lorentzian, as faults at random distances give, with the point in its middle
    profile = 1 / (1 + (8 * step) ** 2)
    phase = 2 * torch.pi * (reflections.g @ displacement)
    streak = fraction * (1 - phase.cos()) / 2
    along = length * step[:, None] * normal / normal.norm()
    offsets = torch.cat([torch.zeros_like(along[:1]), along])
    weights = torch.cat(
        [1 - streak[:, None], streak[:, None] * profile / profile.sum()], 1
    )
    return _spread(reflections, offsets, weights)


def _spread(reflections: Reflections, offsets: Tensor, weights: Tensor) -> Reflections:
    """Return reflections at offsets (m, 3) with weights (n, m)."""
    g = (reflections.g[:, None] + offsets).reshape(-1, 3)
    intensity = (reflections.intensity[:, None] * weights).reshape(-1)
    # Rounding leaves streaks of no consequence where there should be none
    there = weights.reshape(-1) > 1e-9
    return Reflections(g[there], intensity[there])
