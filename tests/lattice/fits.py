# SPDX-License-Identifier: GPL-3.0-or-later
"""Patterns of crystals, indexed with the lattice and orientations they have."""

import numpy as np
import torch

from pyxem_symnet.lattice.electrons import electron_wavelength, on_ewald_sphere
from pyxem_symnet.lattice.fit import IndexedView, LatticeFit
from pyxem_symnet.simulation.protocols import PROTOCOLS
from pyxem_symnet.simulation.reflections import compute_reflections
from pyxem_symnet.simulation.rotations import random_rotations
from pyxem_symnet.simulation.sampler import Reflections
from pyxem_symnet.symmetry import space_group

from .cells import PRIMITIVE, reduced_basis

WAVELENGTH = electron_wavelength(200)


def views_of(crystal, rotations, seed, protocol="clean-2"):
    """Return spots on the Ewald sphere, and intensities, of each pattern."""
    reflections = compute_reflections(crystal)
    g = torch.tensor(
        reflections.hkl @ reflections.reciprocal_basis, dtype=torch.float32
    )
    intensity = torch.tensor(reflections.intensity, dtype=torch.float32)
    generator = torch.Generator().manual_seed(seed)
    spots = PROTOCOLS[protocol].draw(
        Reflections.from_half(g, intensity), rotations, generator
    )
    views = []
    for xy, intensities in zip(spots.positions, spots.intensities, strict=True):
        xy = xy[intensities > 0].double().numpy()
        intensities = intensities[intensities > 0].double().numpy()
        near = np.argsort(np.linalg.norm(xy, axis=1))[:40]
        views.append((on_ewald_sphere(xy[near], WAVELENGTH), intensities[near]))
    return views


def indexed(vectors, intensities, basis, rotation):
    """Return a view with each spot indexed by the reflection nearest to it."""
    n = int(1.5 * np.linalg.norm(np.linalg.inv(basis), axis=0).max())
    box = np.stack(np.meshgrid(*[np.arange(-n, n + 1)] * 3), -1).reshape(-1, 3)
    box = box[np.linalg.norm(box @ basis, axis=1) < 1.4]
    lattice = box @ basis @ rotation.T
    off = lattice[:, 2] - (lattice[:, :2] ** 2).sum(1) * WAVELENGTH / 2
    box, lattice = box[abs(off) < 0.02], lattice[abs(off) < 0.02]
    distance = np.linalg.norm(vectors[:, None, :2] - lattice[:, :2], axis=-1)
    nearest = distance.argmin(1)
    matched = distance.min(1) < 0.003
    return IndexedView(vectors, intensities, rotation, box[nearest], matched)


def known_fit(crystal, n_views=16, seed=0, strain=0.0):
    """Return patterns of a crystal in random orientations, rightly indexed.

    Parameters
    ----------
    strain
        Size of a random strain of the lattice; the patterns are not strained.
    """
    rotations = random_rotations(n_views, torch.Generator().manual_seed(seed))
    conventional = compute_reflections(crystal).conventional_lattice
    primitive = PRIMITIVE[space_group(crystal.space_group).centring] @ conventional
    basis = reduced_basis(primitive)
    strained = basis @ (
        np.eye(3) + strain * np.random.default_rng(seed).normal(size=(3, 3))
    )
    metric = strained @ strained.T
    # from the frame of the metric's own basis to that of the crystal
    turn = (np.linalg.inv(np.linalg.cholesky(basis @ basis.T)) @ basis).T
    views = views_of(crystal, rotations, seed)
    return LatticeFit(
        metric=metric,
        views=tuple(
            indexed(*view, np.linalg.cholesky(basis @ basis.T), rotation @ turn)
            for view, rotation in zip(views, rotations.double().numpy(), strict=True)
        ),
        n_spots=sum(len(vectors) for vectors, _ in views),
        log_likelihood=0.0,
        coarse=False,
    )
