# SPDX-License-Identifier: GPL-3.0-or-later
"""The lattice of one precise view, which shows two of its three dimensions exactly.

Where spots are says what the reciprocal vectors are across the beam
(:mod:`~pyxem_symnet.lattice.projection`). How long they are along the beam follows from
how near to the Ewald sphere all spots are, and not exactly
(:mod:`~pyxem_symnet.lattice.stretches`). But few of the lattices that explain a view
are symmetric (:mod:`~pyxem_symnet.lattice.symmetric_stretch`).
"""

from __future__ import annotations

import dataclasses

import numpy as np

from pyxem_symnet.lattice.fit import LatticeFit
from pyxem_symnet.lattice.indexing import SpotList
from pyxem_symnet.lattice.metric import is_plausible
from pyxem_symnet.lattice.projection import index_projection
from pyxem_symnet.lattice.strain import strain_information, symmetry_evidence
from pyxem_symnet.lattice.stretches import Stretches
from pyxem_symnet.lattice.symmetric_stretch import symmetric_near
from pyxem_symnet.lattice.symmetry import lattice_groups

# Of the stretches every so many is looked at for symmetries, and less likely ones, as
# logarithms, are left out
_EVERY = 2
_LEAST = 12.0
# Lattices that are kept beside the likeliest, and how much less likely they may be
_N_KEPT = 8
_AS_LIKELY = 12.0
# Relative differences of what is found again, and of cells that are hardly another
_SAME = 1e-3
_ALIKE = 0.03
# Deviation in degrees of a lattice that was made symmetric
_EXACT = 0.02
# Length of the shortest reciprocal vector that is plausible, in 1/Å
_SHORTEST = 0.01


def find_lattice_of_view(view: SpotList) -> LatticeFit | None:
    """Find the lattice that explains the spots of a single view.

    Parameters
    ----------
    view
        Spots.

    Returns
    -------
    LatticeFit or None
        The likeliest lattice, with others that are about as likely. None if
        positions are not precise, or spots are few or in one plane.
    """
    fits = lattices_of_view(view)
    return _with_others(fits) if fits else None


def lattices_of_view(view: SpotList, n_generic: int = 1) -> list[LatticeFit]:
    """Return lattices that explain the spots of a single view, the likeliest first.

    Parameters
    ----------
    view
        Spots.
    n_generic
        Largest number of lattices without a symmetry.

    Returns
    -------
    list of LatticeFit
        Each with how much less likely its stretch is than the likeliest, as
        `behind`. Their order counts the evidence for their symmetry, too.
    """
    projection = index_projection(view.vectors[:, :2])
    if projection is None:
        return []
    family = Stretches(projection, view)
    likelihoods = family.likelihoods
    likely = likelihoods.max()
    if not np.isfinite(likely):
        return []
    found = [
        (family.lattice(place), float(likely - likelihoods[place]))
        for place in np.argsort(-likelihoods)[:n_generic]
    ]
    half = len(likelihoods) // 2
    for place in np.flatnonzero(likelihoods > likely - _LEAST):
        if place % half % _EVERY == 0:
            found += symmetric_near(family, place)
    fits: list[LatticeFit] = []
    seen: list[np.ndarray] = []
    for lattice, cost in found:
        if not any(np.allclose(lattice, one, rtol=_SAME) for one in seen):
            seen.append(lattice)
            fits.append(family.fit(lattice, cost))
    fits = [fit for fit in fits if is_plausible(fit.metric, _SHORTEST)]
    return sorted(fits, key=lambda fit: fit.behind - _own_evidence(fit))


def _own_evidence(fit: LatticeFit) -> float:
    """Return the evidence for the symmetry that a lattice has exactly."""
    known = strain_information(fit)
    return max(
        symmetry_evidence(fit.metric, group.operations, known)[1]
        for group in lattice_groups(fit.metric, _EXACT)
    )


def _with_others(fits: list[LatticeFit]) -> LatticeFit:
    """Return the first lattice with those that are about as likely and others."""
    first, *others = fits
    kept: list[LatticeFit] = []
    for other in others:
        if other.behind - first.behind > _AS_LIKELY or len(kept) == _N_KEPT:
            continue
        if not any(other.is_like(one, _ALIKE) for one in (first, *kept)):
            behind = max(other.behind - first.behind, 0.0)
            kept.append(dataclasses.replace(other, behind=behind))
    return dataclasses.replace(first, behind=0.0, alternatives=tuple(kept))
