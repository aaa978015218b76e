# SPDX-License-Identifier: GPL-3.0-or-later
"""Random crystals of any space group, to fill up rare ones.

Lattices are drawn as random metric tensors and averaged over the point group.
Atoms are put on general and special positions of the group's operations in
spglib's database, never too close to each other. A crystal is only returned if
spglib finds the wanted space group in it, with the tolerances that structure
tables are labelled with.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

from pyxem_symnet.simulation.structures import Crystal, StructureError, label
from pyxem_symnet.simulation.wyckoff import orbit
from pyxem_symnet.symmetry.operations import operations, standard_hall_number

#: Elements to draw from: common ones of well-known electron scattering
ELEMENTS = (3, 6, 7, 8, 9, 11, 12, 13, 14, 15, 16, 17, 19, 20, 22, 25, 26, 28, 29)
ELEMENTS += (30, 32, 33, 34, 35, 38, 40, 42, 47, 50, 52, 56, 57, 74, 79, 82)

#: Volume of the cell for each atom in Å³, smallest and largest
VOLUME_PER_ATOM = (12.0, 22.0)

#: Coordinates of positions that have no free one
_FIXED_COORDINATES = np.array([0, 1 / 8, 1 / 4, 1 / 3, 3 / 8, 1 / 2, 2 / 3, 3 / 4])

#: How often a site, and a crystal, is tried before giving up
_SITE_TRIALS = 60
_CRYSTAL_TRIALS = 60


def generate_crystal(
    space_group: int,
    random: np.random.Generator,
    *,
    n_sites: tuple[int, int] = (2, 5),
    special_fraction: float = 0.5,
    max_atoms: int = 200,
    min_distance: float = 1.6,
) -> Crystal:
    """Return a random crystal of a space group.

    Parameters
    ----------
    space_group
        Space-group number.
    random
        Source of randomness.
    n_sites
        Smallest and largest number of occupied orbits.
    special_fraction
        Probability that an orbit is on a special position. With 0 all
        atoms are on general ones.
    max_atoms
        Largest number of atoms in the conventional cell. One orbit is
        allowed to be larger.
    min_distance
        Smallest distance of two atoms in Å.

    Returns
    -------
    crystal
        Crystal in a conventional cell, with the labels of a structure
        table. Its name begins with ``"generated-"``.

    Raises
    ------
    StructureError
        If no crystal could be made, as with distances that are too
        large.
    """
    hall_number = standard_hall_number(space_group)
    for trial in range(_CRYSTAL_TRIALS):
        # Few atoms often have more symmetry than asked for
        count = int(random.integers(n_sites[0], n_sites[1] + 1)) + trial // 10
        sites = _draw_sites(hall_number, count, special_fraction, max_atoms, random)
        crystal = _place(hall_number, sites, min_distance, random)
        if crystal is None:
            continue
        try:
            crystal = label(crystal)
        except StructureError:
            continue
        if crystal.space_group == crystal.space_group_tight == space_group:
            return crystal
    raise StructureError(
        f"No crystal of space group {space_group} was found in {_CRYSTAL_TRIALS} "
        "trials. Allow more sites or atoms, or smaller distances."
    )


def generate_crystals(
    space_group: int, n: int, seed: int = 0, **settings
) -> Iterator[Crystal]:
    """Yield random crystals of a space group, each with a seed of its own.

    Parameters
    ----------
    space_group
        Space-group number.
    n
        Number of crystals.
    seed
        Seed. The i-th crystal does not depend on `n`.
    **settings
        Settings of :func:`generate_crystal`.

    Yields
    ------
    Crystal
        Crystal, named by its space group, the seed and its number.
    """
    for i in range(n):
        random = np.random.default_rng([seed, space_group, i])
        crystal = generate_crystal(space_group, random, **settings)
        name = f"generated-{space_group}-{seed}-{i}"
        yield dataclasses.replace(crystal, material_id=name)


def random_lattice(
    hall_number: int, volume: float, random: np.random.Generator
) -> np.ndarray:
    """Return a random lattice that a space group leaves as it is.

    Parameters
    ----------
    hall_number
        Hall number of the setting.
    volume
        Volume of the cell in Å³.
    random
        Source of randomness.

    Returns
    -------
    lattice
        Lattice vectors as rows in Å, of shape (3, 3); a along x, b in
        the xy plane.
    """
    lengths = np.exp(random.uniform(-0.35, 0.35, 3))
    cosines = np.cos(np.radians(random.uniform(70, 110, 3)))
    metric = np.outer(lengths, lengths)
    for (i, j), cosine in zip(((1, 2), (0, 2), (0, 1)), cosines, strict=True):
        metric[i, j] *= cosine
        metric[j, i] *= cosine
    rotations, _ = operations(hall_number)
    # x' = W x keeps lengths if W^T G W = G: the mean over the group does
    metric = np.mean(rotations.transpose(0, 2, 1) @ metric @ rotations, axis=0)
    metric *= (volume / np.sqrt(np.linalg.det(metric))) ** (2 / 3)
    return np.linalg.cholesky(metric)


def special_position(hall_number: int, random: np.random.Generator) -> np.ndarray:
    """Return a random position on a symmetry element, or a general one.

    Parameters
    ----------
    hall_number
        Hall number of the setting.
    random
        Source of randomness.

    Returns
    -------
    position
        Fractional coordinates of shape (3,). General where the drawn
        operation has no fixed points.
    """
    position = random.uniform(size=3)
    if random.uniform() < 0.5:
        return random.choice(_FIXED_COORDINATES, 3)
    rotations, translations = operations(hall_number)
    drawn = random.integers(len(rotations))
    rotation = rotations[drawn]
    translation = translations[drawn] + random.integers(-1, 2, 3)
    # The mean over an operation's powers is fixed, if these come back to the start
    images = [position]
    for _ in range(6):
        image = rotation @ images[-1] + translation
        if np.allclose(image, position, atol=1e-9):
            return np.mean(images, axis=0) % 1.0
        images.append(image)
    return position


def _draw_sites(
    hall_number: int,
    count: int,
    special_fraction: float,
    max_atoms: int,
    random: np.random.Generator,
) -> list[tuple[int, bool, int]]:
    """Return element, whether special, and expected atoms of each site."""
    n_operations = len(operations(hall_number)[0])
    sites, n_atoms = [], 0
    for _ in range(count):
        special = random.uniform() < special_fraction
        size = max(n_operations // 2, 1) if special else n_operations
        if sites and n_atoms + size > max_atoms:
            break
        sites.append((int(random.choice(ELEMENTS)), special, size))
        n_atoms += size
    return sites


def _place(
    hall_number: int,
    sites: list[tuple[int, bool, int]],
    min_distance: float,
    random: np.random.Generator,
) -> Crystal | None:
    """Return a crystal with atoms on sites, None where there is no room."""
    volume = random.uniform(*VOLUME_PER_ATOM) * sum(size for *_, size in sites)
    # A few atoms on special positions need more than their share
    volume = max(volume, 3.0 * min_distance**3)
    lattice = random_lattice(hall_number, volume, random)
    numbers: list[int] = []
    positions = np.empty((0, 3))
    for number, special, _ in sites:
        for _ in range(_SITE_TRIALS):
            start = (
                special_position(hall_number, random)
                if special
                else random.uniform(size=3)
            )
            atoms = orbit(start, hall_number)
            if _far_apart(atoms, positions, lattice, min_distance):
                break
        else:
            return None
        positions = np.concatenate([positions, atoms])
        numbers += [number] * len(atoms)
    return Crystal("generated", lattice, numbers, positions)


def _far_apart(
    new: np.ndarray, old: np.ndarray, lattice: np.ndarray, min_distance: float
) -> bool:
    """Return whether an orbit keeps its distance from itself and the others.

    All atoms of an orbit are equivalent: the distances of one tell.
    """
    cells = np.indices((3, 3, 3)).reshape(3, -1).T - 1
    others = np.concatenate([new, old])
    difference = others - new[0]
    difference -= difference.round()
    vectors = (difference[:, None] + cells) @ lattice
    distance = np.linalg.norm(vectors, axis=-1)
    # The atom itself, in the middle cell
    distance[0, 13] = np.inf
    return bool(distance.min() >= min_distance)
