# SPDX-License-Identifier: GPL-3.0-or-later
"""The likeliest of several lattices, and others that explain the views about as well.

Views along zone axes show a few planes of a lattice. Lattices that have these planes
in common, such as a centred one and that of every other point of it, explain all
spots alike.
"""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Sequence

import numpy as np

from pyxem_symnet.lattice.fit import LatticeFit
from pyxem_symnet.lattice.indexing import SpotList, refine_lattice
from pyxem_symnet.lattice.metric import is_plausible, reduce_metric
from pyxem_symnet.lattice.nets import Net
from pyxem_symnet.lattice.polish import polish_fit
from pyxem_symnet.lattice.ranking import likelihood
from pyxem_symnet.lattice.reorient import index_nets
from pyxem_symnet.lattice.search import Search
from pyxem_symnet.lattice.sublattices import finer_bases
from pyxem_symnet.lattice.zones import metrics_of_nets

# Likeliest lattices, of which those are looked at that have twice as many points
_N_CENTRED = 4
# Log likelihood that twice as many points cost that explain no further spot
_PER_CENTRING = 3.0
# Lattices about as likely as the likeliest: logarithm of the ratio, and how many
_AS_LIKELY = 8.0
_N_ALTERNATIVES = 3
# Relative differences of lengths of one and the same lattice
_SAME = 2e-3


def rank_lattices(
    fits: Sequence[LatticeFit],
    views: Sequence[SpotList],
    nets: Sequence[Net | None],
    search: Search,
    shortest: float,
    wavelength: float,
) -> list[LatticeFit]:
    """Return lattices that are found and others that nets suggest, by likelihood.

    Parameters
    ----------
    fits
        Lattices that are found.
    views
        Spots of each view.
    nets
        The net of each view, None where there is none.
    search
        Settings.
    shortest
        Length of the shortest reciprocal vector that is plausible, in 1/Å.
    wavelength
        Of the electrons in Å.

    Returns
    -------
    list of LatticeFit
        The likeliest first, each with how far it is behind that one. None at
        all where none is found and no net suggests any.
    """

    def assess(metrics: Sequence[np.ndarray]) -> list[tuple[float, LatticeFit]]:
        laid = [_laid_on(metric, views, nets, search) for metric in metrics]
        return [(likelihood(fit, search, wavelength), fit) for fit in laid]

    seen = [net for net in nets if net is not None]
    if seen:
        suggested = metrics_of_nets(seen, search, shortest)
        assessed = assess([fit.metric for fit in fits] + suggested)
        likely = sorted(assessed, key=operator.itemgetter(0), reverse=True)
        for rank, (_, fit) in enumerate(likely[:_N_CENTRED]):
            # Where nothing is left unexplained, the likeliest's are as many as matter
            if rank == 0 or fit.n_matched < fit.n_spots:
                # Refined as often as these are
                again, *finer = assess([fit.metric, *_centred(fit, shortest)])
                assessed.append(again)
                for one, centred in finer:
                    more = centred.n_matched > again[1].n_matched
                    assessed.append((one if more else one - _PER_CENTRING, centred))
    else:
        assessed = [(likelihood(fit, search, wavelength), fit) for fit in fits]
    assessed.sort(key=operator.itemgetter(0), reverse=True)
    best = assessed[0][0] if assessed else 0.0
    return [dataclasses.replace(fit, behind=float(best - one)) for one, fit in assessed]


def with_alternatives(
    fit: LatticeFit,
    others: Sequence[LatticeFit],
    views: Sequence[SpotList],
    search: Search,
    wavelength: float,
) -> LatticeFit:
    """Return a lattice with others that explain the views about as well.

    Parameters
    ----------
    fit
        The likeliest lattice, fitted exactly.
    others
        Other lattices, the likeliest first.
    views
        Spots of each view.
    search
        Settings.
    wavelength
        Of the electrons in Å.
    """
    best = likelihood(fit, search, wavelength)
    kept: list[LatticeFit] = []
    for other in others:
        if len(kept) == _N_ALTERNATIVES or other.behind > _AS_LIKELY:
            break
        if any(other.is_like(known, _SAME) for known in (fit, *kept)):
            continue
        other = polish_fit(other, views, search)
        behind = float(best - likelihood(other, search, wavelength))
        if behind < _AS_LIKELY:
            kept.append(dataclasses.replace(other, behind=max(behind, 0.0)))
    kept.sort(key=operator.attrgetter("behind"))
    return dataclasses.replace(fit, alternatives=tuple(kept))


def _centred(fit: LatticeFit, shortest: float) -> list[np.ndarray]:
    """Return lattices with twice as many reciprocal points, if all views show planes.

    These may all be of every other plane, as those of a centred cell are, and only
    the few spots beside them tell, if there are any.
    """
    spots = [view.hkl[view.matched] for view in fit.views]
    if any(np.linalg.matrix_rank(hkl) > 2 for hkl in spots):
        return []
    finer = finer_bases(2) @ np.linalg.cholesky(fit.metric)
    metrics = [reduce_metric(basis @ basis.T) for basis in finer]
    return [metric for metric in metrics if is_plausible(metric, shortest)]


def _laid_on(
    metric: np.ndarray,
    views: Sequence[SpotList],
    nets: Sequence[Net | None],
    search: Search,
) -> LatticeFit:
    """Return a lattice refined with its views as nets lie."""
    # Nets are of the spots as they are
    search = dataclasses.replace(search, ellipticity=0.0)
    metric, _ = refine_lattice(index_nets(metric, views, nets, search), search)
    return index_nets(metric, views, nets, search)
