# SPDX-License-Identifier: GPL-3.0-or-later
"""Spots of lattices in random orientations, with intensities at random."""

import numpy as np
import torch

from pyxem_symnet.simulation.protocols import PROTOCOLS
from pyxem_symnet.simulation.rotations import random_rotations, tilt_series
from pyxem_symnet.simulation.sampler import Reflections


def views_of_lattice(
    direct, n_views=16, protocol="clean", seed=0, weak=None, rotations=None
):
    """Return arrays of x, y and intensity of each spot.

    Parameters
    ----------
    direct
        Direct vectors as rows in Å.
    weak
        Function of the indices of shape (reflections, 3) that is true for
        reflections a thousand times weaker.
    rotations
        Orientations of shape (views, 3, 3). Random ones if not given.
    """
    n = np.ceil(1.3 * np.linalg.norm(direct, axis=1)).astype(int)
    hkl = np.stack(np.meshgrid(*[np.arange(-m, m + 1) for m in n]), -1).reshape(-1, 3)
    # One of each Friedel pair
    hkl = hkl[(hkl @ np.array([10000, 100, 1])) > 0]
    g = hkl @ np.linalg.inv(direct).T
    inside = np.linalg.norm(g, axis=1) < 1.3
    hkl, g = hkl[inside], g[inside]
    intensity = np.exp(np.random.default_rng(seed).normal(size=len(g)))
    if weak is not None:
        intensity[weak(hkl)] *= 1e-3
    reflections = Reflections.from_half(
        torch.from_numpy(g).float(), torch.from_numpy(intensity).float()
    )
    generator = torch.Generator().manual_seed(seed)
    if rotations is None:
        rotations = random_rotations(n_views, generator)
    spots = PROTOCOLS[protocol].draw(reflections, rotations, generator)
    table = torch.cat((spots.positions, spots.intensities.unsqueeze(-1)), -1)
    return [view[view[:, 2] > 0].double().numpy() for view in table]


def series_of_lattice(direct, n_views, step, azimuth, seed=0, **kwargs):
    """Return the views of a rotation series: steps and azimuth in degrees."""
    start = random_rotations(1, torch.Generator().manual_seed(seed))[0]
    radians = np.radians(azimuth)
    axis = torch.tensor([np.cos(radians), np.sin(radians), 0.0])
    rotations = tilt_series(start, axis, step * torch.arange(n_views))
    return views_of_lattice(direct, seed=seed, rotations=rotations, **kwargs)
