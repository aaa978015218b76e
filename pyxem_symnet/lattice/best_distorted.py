# SPDX-License-Identifier: GPL-3.0-or-later
"""Which of several lattices explains distorted views best."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from pyxem_symnet.lattice.candidates import distinct
from pyxem_symnet.lattice.distorted import polish_distorted, share_distortion
from pyxem_symnet.lattice.fit import LatticeFit
from pyxem_symnet.lattice.indexing import SpotList
from pyxem_symnet.lattice.search import STEPS_OF_VOLUME
from pyxem_symnet.lattice.strain import shape_evidence, symmetrised

# Lattices that views are fitted with, at most, and lengths in 1/Å that are the same
# in two of them
_MOST_POLISHED = 10
_SAME_LENGTH = 0.005
# The likeliest of these, which are fitted with a common distortion
_MOST_SHARED = 3


def best_distorted(
    fits: Sequence[LatticeFit],
    views: Sequence[SpotList],
    frames: Sequence[np.ndarray] | None,
) -> LatticeFit:
    """Return the best lattice once distortions of the views are fitted with it.

    Lattices are judged by how they explain the views without and with it, and by
    how symmetric they are.

    Parameters
    ----------
    fits
        Lattices, found without such distortions, with the views indexed.
    views
        Spots of all views.
    frames
        As for :func:`~pyxem_symnet.lattice.distorted.share_distortion`, by
        which the likeliest are then fitted, too. None if the views have no
        distortion in common.
    """
    tried: list[tuple[float, LatticeFit, float]] = []

    def judge(fit: LatticeFit, without: float) -> None:
        both = 0.5 * (fit.log_likelihood + without) + shape_evidence(fit)
        tried.append((both, fit, without))

    def best_first() -> list[tuple[float, LatticeFit, float]]:
        return sorted(tried, key=lambda one: -one[0])

    fits = sorted(fits, key=lambda fit: -fit.log_likelihood)
    metrics = [fit.metric for fit in fits]
    for i in distinct(metrics, _SAME_LENGTH, STEPS_OF_VOLUME, _MOST_POLISHED):
        judge(polish_distorted(fits[i], views, frames), fits[i].log_likelihood)
    if frames is not None:
        for _, fit, without in best_first()[:_MOST_SHARED]:
            judge(share_distortion(fit, views, frames), without)
    # Orientations found with a better lattice are better, and a lattice that is
    # nearly symmetric may be off since some of its views are
    _, once, without = best_first()[0]
    shared = any(view.frame is not None for view in once.views)
    fitted = share_distortion if shared else polish_distorted
    for fit in [once, *symmetrised(once)]:
        judge(fitted(fit, views, frames), without)
    likelihood, fit, _ = best_first()[0]
    return dataclasses.replace(fit, log_likelihood=likelihood)
