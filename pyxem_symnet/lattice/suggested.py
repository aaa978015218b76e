# SPDX-License-Identifier: GPL-3.0-or-later
"""The lattice of one precise view, if it explains all others, too.

That of one view is nearly right (:mod:`~pyxem_symnet.lattice.one_view`). Where it is,
another view makes it exact, which no wrong one becomes.
"""

from __future__ import annotations

import dataclasses

from pyxem_symnet.lattice.fit import LatticeFit
from pyxem_symnet.lattice.indexing import SpotList, index_views, refine_often
from pyxem_symnet.lattice.one_view import lattices_of_view
from pyxem_symnet.lattice.polish import polish_fit, typical_error
from pyxem_symnet.lattice.search import PRECISE, Search

# Views whose lattices are looked at, those of most spots, lattices without a symmetry
# of each, and lattices that are refined
_N_VIEWS = 4
_N_WITHOUT_SYMMETRY = 12
_N_REFINED = 8
# Share of the spots that should be explained
_EXPLAINED = 0.95
# Errors of spots in 1/Å: none is better, and at most
_EXACT, _LARGEST_ERROR = 2e-5, 5e-4
# So few views may be of one orientation
_FEW_VIEWS = 3
# Thick crystals: reflections are seen farther from the Ewald sphere
_THICK = dataclasses.replace(PRECISE, excitation_error=0.06)


def suggested_by_views(views: list[SpotList]) -> tuple[list[LatticeFit], Search]:
    """Return lattices of one of the views that explain all of them exactly.

    Parameters
    ----------
    views
        Spots of each view.

    Returns
    -------
    fits
        All views indexed. More than one lattice if the views leave several, none if
        positions are not precise or no view has enough spots beside a plane.
    search
        Settings that they explain the views with:
        :data:`~pyxem_symnet.lattice.search.PRECISE`, or with larger excitation
        errors if need be.
    """
    first = sorted(views, key=lambda view: -min(len(view.vectors), PRECISE.n_spots))
    for view in first[:_N_VIEWS]:
        suggested = lattices_of_view(view, _N_WITHOUT_SYMMETRY)
        for search in (PRECISE, _THICK) if suggested else ():
            exact = _exact(suggested, views, search)
            if exact:
                return exact, search
    return [], PRECISE


def _exact(
    suggested: list[LatticeFit], views: list[SpotList], search: Search
) -> list[LatticeFit]:
    """Return those of the lattices that explain all views exactly, refined."""
    fits = [index_views(one.metric, views, search) for one in suggested]
    fits.sort(key=lambda fit: -fit.n_matched)
    found: list[tuple[float, LatticeFit]] = []
    for fit in fits[:_N_REFINED]:
        fit = refine_often(fit, views, search)
        polished = polish_fit(fit, views, search)
        if polished.n_matched <= _EXPLAINED * polished.n_spots:
            continue
        error = typical_error(polished.reciprocal_basis, polished.views)
        if error < _LARGEST_ERROR:
            found.append((error, fit))
        # A few views may be of one orientation, which leaves several lattices
        if error < _EXACT and len(views) > _FEW_VIEWS:
            break
    least = min((error for error, _ in found), default=0.0)
    return [fit for error, fit in found if error < max(2 * least, _EXACT)]
