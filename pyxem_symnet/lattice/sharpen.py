# SPDX-License-Identifier: GPL-3.0-or-later
"""A lattice of precise spots that may be far from the Ewald sphere.

Thin crystals, and thick ones with the side maxima of their rocking curves, show
reflections far off the Ewald sphere. The search allows that only together with
displaced spots, and then takes distortions for granted that are not there. If
positions turn out to be precise, the lattice is known far better.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from pyxem_symnet.lattice.fit import LatticeFit
from pyxem_symnet.lattice.indexing import (
    SpotList,
    better_basis,
    index_views,
    refine_fit,
)
from pyxem_symnet.lattice.metric import reduce_metric
from pyxem_symnet.lattice.polish import polish_fit
from pyxem_symnet.lattice.search import PRECISE
from pyxem_symnet.lattice.strain import strain_information

_THIN = dataclasses.replace(PRECISE, excitation_error=0.1)
# A lattice found in displaced spots is off by some percent
_FIRST = dataclasses.replace(_THIN, tolerance=0.008, scale_error=0.005)
_N_REFINEMENTS = 2
# Once it is exact, finer and coarser lattices are told apart by this tolerance, and
# so often
_EXACT = dataclasses.replace(_THIN, tolerance=0.001)
_MOST_CHANGES = 3
# Positions are precise if a coordinate is off by less than this in 1/Å, for this
# share of the spots, less while a lattice may still be half of the right one, and for
# more than are needed to fit anything
_PRECISE = 1e-3
_FEWEST_EXPLAINED = 0.5
_FEWEST_OF_HALF = 0.2
_N_STRAINS = 6
_N_TURNS = 3


def sharpen(
    fit: LatticeFit, views: Sequence[SpotList], shortest: float
) -> LatticeFit | None:
    """Return the lattice that fits precise positions best.

    Parameters
    ----------
    fit
        Lattice found with any tolerances.
    views
        Spots of each view, as they are.
    shortest
        Length of the shortest reciprocal vector that is plausible, in 1/Å.

    Returns
    -------
    LatticeFit or None
        None if the positions are not precise.
    """
    views = list(views)
    sharp = index_views(fit.metric, views, _FIRST)
    for _ in range(_N_REFINEMENTS):
        sharp = refine_fit(sharp, views, _FIRST)
    sharp = polish_fit(sharp, views, _THIN)
    if not _is_precise(sharp, _FEWEST_OF_HALF):
        return None
    for _ in range(_MOST_CHANGES):
        basis = better_basis(sharp, _EXACT, shortest)
        if basis is None:
            break
        metric = reduce_metric(basis @ basis.T)
        other = polish_fit(index_views(metric, views, _THIN), views, _THIN)
        if not _is_precise(other, _FEWEST_OF_HALF):
            break
        sharp = other
    return sharp if _is_precise(sharp, _FEWEST_EXPLAINED) else None


def _is_precise(fit: LatticeFit, share: float) -> bool:
    n_matched = fit.n_matched
    n_fitted = _N_STRAINS + _N_TURNS * len(fit.views)
    if n_matched <= max(share * fit.n_spots, n_fitted):
        return False
    return strain_information(fit).error < _PRECISE
