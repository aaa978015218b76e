# SPDX-License-Identifier: GPL-3.0-or-later
"""Which of several lattices explains distorted views best."""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Sequence

import numpy as np

from pyxem_symnet.lattice.candidates import distinct
from pyxem_symnet.lattice.distorted import polish_distorted, share_distortion
from pyxem_symnet.lattice.fit import LatticeFit
from pyxem_symnet.lattice.indexing import SpotList, better_basis, index_views
from pyxem_symnet.lattice.metric import reduce_metric
from pyxem_symnet.lattice.search import STEPS_OF_VOLUME, Search
from pyxem_symnet.lattice.strain import (
    shape_evidence,
    strain_information,
    symmetrised,
)

# Lengths in 1/Å that are the same in two lattices
_SAME_LENGTH = 0.005
# The likeliest of them, which are fitted with a common distortion
_MOST_SHARED = 3
# Finer and coarser ones that are tried in turn
_MOST_CHANGES = 3
# How far a spot of these may be from its reflection: in standard deviations of a
# coordinate, and at least in 1/Å
_REACH = 2.5
_LEAST_REACH = 0.004
# Log likelihood of each spot that may be lost until views are oriented anew: less than
# that of every other reflection being absent
_LOSS = 0.65
# Log likelihood of each spot beyond which a lattice that fits with a common distortion
# is taken at once. Of 90 crystals in 16 noisy views, wrong ones that a later tolerance
# put right had up to 1.52, and one that none put right had 1.78
_CERTAIN = 1.75

_log_likelihood = operator.attrgetter("log_likelihood")


@dataclasses.dataclass(eq=False)
class _Judged:
    """A lattice fitted with distortions."""

    fit: LatticeFit
    #: Log likelihood without distortions, and the mean of those without and with
    #: them, where symmetric lattices are likelier
    without: float
    log_likelihood: float
    #: Whether it was fitted with a common distortion, too, and whether it began with
    #: a lattice that had been fitted before
    shared: bool = False
    again: bool = False


class DistortedFits:
    """Lattices, and distortions of the views fitted with each.

    They are judged by how they explain the views without and with distortions, and
    by how symmetric they are.

    Parameters
    ----------
    views
        Spots of all views.
    frames
        As for :func:`~pyxem_symnet.lattice.distorted.share_distortion`, by
        which the likeliest are fitted, too. None if the views have no
        distortion in common.
    """

    def __init__(self, views: Sequence[SpotList], frames: Sequence[np.ndarray] | None):
        self._views = views
        self._frames = frames
        self._metrics: list[np.ndarray] = []
        self._judged: list[_Judged] = []

    def add(self, fits: Sequence[LatticeFit], search: Search, shortest: float) -> None:
        """Fit lattices that differ from those before, and finer and coarser ones.

        Parameters
        ----------
        fits
            Lattices, found without such distortions, with the views indexed.
        search
            Settings they were found with.
        shortest
            Length of the shortest reciprocal vector that is plausible, in 1/Å.
        """
        self._polish(fits)
        self._share_likeliest()
        for one in self._best_first()[:1]:
            self._fit_again(one)
        for _ in range(_MOST_CHANGES):
            n = len(self._judged)
            related = self._related(search, shortest)
            if related is None or not self._polish([related]):
                break
            self._share(self._judged[n])
            self._share_likeliest()
            self._fit_again(max(self._judged[n:], key=_log_likelihood))

    def _related(self, search: Search, shortest: float) -> LatticeFit | None:
        """Return a finer or coarser lattice than the best that seems better, if any.

        Where distortions are undone, spots tell related lattices better apart.
        """
        fit = self.best()
        if fit is None or not fit.views:
            return None
        reach = max(_REACH * strain_information(fit).error, _LEAST_REACH)
        sharper = dataclasses.replace(
            search,
            tolerance=min(reach, search.tolerance),
            scale_error=0.0,
            ellipticity=0.0,
        )
        # Views lie in wrong ways of a multiple of the lattice, which it explains
        basis = better_basis(fit, sharper, shortest, -_LOSS * fit.n_matched)
        if basis is None:
            return None
        # Views may have been turned, so that each has the distortion in its own way:
        # it is left to the fit
        return index_views(reduce_metric(basis @ basis.T), self._views, search)

    def _polish(self, fits: Sequence[LatticeFit]) -> bool:
        """Fit lattices with distortions of each view. Return whether any is new."""
        fits = sorted(fits, key=_log_likelihood, reverse=True)
        n = len(self._metrics)
        metrics = self._metrics + [fit.metric for fit in fits]
        kinds = distinct(metrics, _SAME_LENGTH, STEPS_OF_VOLUME, len(metrics))
        new = [fits[i - n] for i in kinds if i >= n]
        for fit in new:
            self._metrics.append(fit.metric)
            polished = polish_distorted(fit, self._views, self._frames)
            self._judge(polished, fit.log_likelihood)
        return bool(new)

    def _share(self, one: _Judged) -> None:
        """Fit a lattice with a common distortion, if there may be one."""
        if one.shared or self._frames is None:
            return
        one.shared = True
        fit = share_distortion(one.fit, self._views, self._frames)
        self._judge(fit, one.without, shared=True)

    def _share_likeliest(self) -> None:
        for one in self._best_first()[:_MOST_SHARED]:
            self._share(one)

    def _fit_again(self, one: _Judged) -> None:
        """Fit a lattice once more, and symmetric ones near to it.

        Orientations found with a better lattice are better, and a lattice that is
        nearly symmetric may be off since some of its views are.
        """
        if one.again:
            return
        one.again = True
        fitted = share_distortion if one.fit.is_shared else polish_distorted
        for fit in [one.fit, *symmetrised(one.fit)]:
            fit = fitted(fit, self._views, self._frames)
            self._judge(fit, one.without, fit.is_shared, again=True)

    def best(self) -> LatticeFit | None:
        """Return the best lattice, None if there is none."""
        for one in self._best_first()[:1]:
            return dataclasses.replace(one.fit, log_likelihood=one.log_likelihood)
        return None

    def is_certain(self) -> bool:
        """Return whether the best is so good that no other needs to be looked for."""
        fit = self.best()
        if fit is None or not fit.is_shared:
            return False
        return fit.log_likelihood > _CERTAIN * fit.n_spots

    def _judge(
        self, fit: LatticeFit, without: float, shared: bool = False, again: bool = False
    ) -> None:
        both = 0.5 * (fit.log_likelihood + without) + shape_evidence(fit)
        self._judged.append(_Judged(fit, without, both, shared, again))

    def _best_first(self) -> list[_Judged]:
        return sorted(self._judged, key=_log_likelihood, reverse=True)
