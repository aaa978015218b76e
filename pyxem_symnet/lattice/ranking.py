# SPDX-License-Identifier: GPL-3.0-or-later
"""Which of several lattices that explain the views is the likeliest.

While metrics are sieved, the number of reflections is that of the volume, and a spot
is matched or not. Few views, along zone axes above all, leave lattices that match
all spots. These differ in how near to the spots their reflections are, and in how
many reflections they have where a view shows none.
"""

from __future__ import annotations

import itertools
import math

import numpy as np

from pyxem_symnet.lattice.fit import IndexedView, LatticeFit
from pyxem_symnet.lattice.metric import list_reflections
from pyxem_symnet.lattice.search import Search
from pyxem_symnet.lattice.symmetry import lattice_groups

# Parameters of a cell of each lattice system, and the log likelihood each costs
_N_PARAMETERS = {"a": 6, "m": 4, "o": 3, "t": 2, "r": 2, "h": 2, "c": 1}
_PER_PARAMETER = 5.0
# Of lattices that differ in nothing else the smaller cell is taken
_PER_LOG_VOLUME = 0.5
# Log likelihood that half of the reflections of a view are absent, as a glide plane
# across the beam makes them
_HALF_ABSENT = 4.0
# The seven halves of a lattice: reflections of which these sums are even
_HALVES = np.array(list(itertools.product((0, 1), repeat=3))[1:]).T
# Least standard deviation of a spot's coordinates in 1/Å: what is smaller says
# nothing about the lattice
_LEAST_ERROR = 3e-4
# Reflections that just match lie this much farther out
_MARGIN = 0.01
_MOST_REFLECTIONS = 40_000
_IMPOSSIBLE = -1e9


def likelihood(fit: LatticeFit, search: Search, wavelength: float) -> float:
    """Return the logarithm of a lattice's likelihood, its parameters paid for.

    A spot that is matched lies about one of the reflections near the Ewald
    sphere, with the same normal distribution in all views. All others lie
    anywhere within the radius of the view.

    Parameters
    ----------
    fit
        Lattice and indexed views.
    search
        Settings.
    wavelength
        Of the electrons in Å.
    """
    n_matched = fit.n_matched
    if not n_matched:
        return _IMPOSSIBLE
    total = n_matched * math.log(1 - search.outliers)
    total += (fit.n_spots - n_matched) * math.log(search.outliers)
    squares = 0.0
    for view in fit.views:
        area = math.pi * (view.vectors[:, :2] ** 2).sum(1).max()
        # So much denser than anywhere are spots at a reflection
        lattice, n_half = _n_reflections(fit, view, search, wavelength)
        if not lattice:
            return _IMPOSSIBLE
        n = view.matched.sum()
        gain = n * math.log(lattice / n_half) - _HALF_ABSENT
        total += n * math.log(area / lattice) + max(gain, 0.0)
        error = view.errors(fit.reciprocal_basis)
        squares += (error[view.matched, :2] ** 2).sum()
    variance = max(squares / (2 * n_matched), _LEAST_ERROR**2)
    total -= n_matched * math.log(2 * math.pi * variance) + squares / (2 * variance)
    total -= _PER_LOG_VOLUME * math.log(fit.volume)
    return total - parameter_cost(fit.metric, search.symmetry_tolerance)


def _n_reflections(
    fit: LatticeFit, view: IndexedView, search: Search, wavelength: float
) -> tuple[int, int]:
    """Return the number of reflections where a view has spots, and of its half.

    The half is the same number if no half of the lattice explains all spots, or
    these are not in one plane.
    """
    limit = (view.vectors[:, :2] ** 2).sum(1).max() * (1 + _MARGIN)
    half, _ = list_reflections(
        fit.metric,
        math.sqrt(limit) + search.excitation_error,
        _MOST_REFLECTIONS,
    )
    hkl = np.concatenate([half, -half])
    vectors = hkl @ fit.reciprocal_basis @ view.rotation.T
    squares = (vectors[:, :2] ** 2).sum(1)
    sphere = 1 / wavelength
    height = sphere - np.sqrt(np.maximum(sphere**2 - squares, 0))
    near = abs(vectors[:, 2] - height) < search.excitation_error
    hkl = hkl[near & (squares < limit)].astype(np.int64)
    n = max(len(hkl), int(view.matched.sum()))
    spots = view.hkl[view.matched]
    if np.linalg.matrix_rank(spots) > 2:
        return (n if len(half) else 0), n
    odd_spots = (spots @ _HALVES % 2).any(0)
    n_even = (hkl @ _HALVES % 2 == 0).sum(0)[~odd_spots]
    return (n if len(half) else 0), max(n_even.min(initial=n), 1)


def parameter_cost(metric: np.ndarray, tolerance: float) -> float:
    """Return the log likelihood that the free parameters of a lattice cost.

    Parameters
    ----------
    metric
        Metric tensor of a reduced basis in 1/Å², of shape (3, 3).
    tolerance
        Deviation in degrees within which a lattice has a symmetry.
    """
    groups = lattice_groups(metric, tolerance)
    return _PER_PARAMETER * min(_N_PARAMETERS[group.system] for group in groups)
