# SPDX-License-Identifier: GPL-3.0-or-later
"""Spots of lattices seen exactly along zone axes."""

import itertools

import numpy as np

from pyxem_symnet.lattice.electrons import electron_wavelength, on_ewald_sphere
from pyxem_symnet.lattice.indexing import SpotList

WAVELENGTH = electron_wavelength(200)


def zone_view(direct, zone, angle=0.0, absent=None, radius=1.0, flip=False):
    """Return x, y and intensity of each spot of a zone axis.

    Parameters
    ----------
    direct
        Direct vectors as rows in Å.
    zone
        Indices of the zone axis.
    angle
        In-plane rotation in radians.
    absent
        Function of the indices of shape (reflections, 3) that is true for
        reflections that are not there.
    radius
        Of the farthest spot in 1/Å.
    flip
        Whether the view is along the opposite direction.
    """
    direct = np.asarray(direct, float)
    most = [int(radius * np.linalg.norm(vector)) + 1 for vector in direct]
    hkl = np.array(list(itertools.product(*[range(-m, m + 1) for m in most])))
    hkl = hkl[(hkl @ np.array(zone) == 0) & hkl.any(1)]
    if absent is not None:
        hkl = hkl[~absent(hkl)]
    g = hkl @ np.linalg.inv(direct).T
    g = g[np.linalg.norm(g, axis=1) < radius]
    xy = g @ axes_across(np.array(zone) @ direct * (-1 if flip else 1))[:2].T
    c, s = np.cos(angle), np.sin(angle)
    return np.column_stack([xy @ np.array([[c, s], [-s, c]]), np.ones(len(xy))])


def axes_across(direction):
    """Return unit vectors as rows, of which the third is along a direction."""
    z = direction / np.linalg.norm(direction)
    x = np.cross(np.eye(3)[abs(z).argmin()], z)
    x = x / np.linalg.norm(x)
    return np.array([x, np.cross(z, x), z])


def spot_list(view):
    """Return a view as the search sees it."""
    view = view[np.argsort(np.hypot(view[:, 0], view[:, 1]), kind="stable")]
    return SpotList(on_ewald_sphere(view[:, :2], WAVELENGTH), view[:, 2].copy())
