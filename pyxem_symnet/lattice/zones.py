# SPDX-License-Identifier: GPL-3.0-or-later
"""Metrics that the nets of views along zone axes suggest."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np

from pyxem_symnet.lattice.assembly import join_three
from pyxem_symnet.lattice.candidates import distinct
from pyxem_symnet.lattice.metric import determinant, reduce_metric
from pyxem_symnet.lattice.nets import Net
from pyxem_symnet.lattice.ranking import parameter_cost
from pyxem_symnet.lattice.reorient import fitted_to_nets
from pyxem_symnet.lattice.search import Search
from pyxem_symnet.lattice.sheaves import join_at_angles, join_on_row

# Nets that lattices are put together from, those of most spots
_N_NETS = 5
# Metrics of one kind have the same lengths within this, in 1/Å
_PRECISION = 1e-3
_MOST_KINDS = 150
_N_METRICS = 12


def metrics_of_nets(
    nets: Sequence[Net], search: Search, shortest: float
) -> list[np.ndarray]:
    """Return the likeliest metrics of lattices that hold the nets of views.

    Where no three nets make a lattice that holds all of them, two are put at
    special angles, and each may be that of two equivalent planes.

    Parameters
    ----------
    nets
        Nets of views.
    search
        Settings.
    shortest
        Least length of a reciprocal vector in 1/Å.

    Returns
    -------
    list of ndarray
        Reduced metric tensors in 1/Å² of shape (3, 3), at most twelve,
        those of high symmetry and a small cell first. None of fewer than
        two nets.
    """
    # The order of the views must not matter
    nets = sorted(nets, key=lambda net: (-net.n_spots, *net.metric.ravel()))[:_N_NETS]
    limits = shortest, search.largest_volume
    found = [np.empty((0, 3, 3))]
    for three in itertools.combinations(nets, 3):
        found.append(join_three(three, *limits))
        found.append(join_on_row(three, *limits))
    metrics = _best(np.concatenate(found), nets, search)
    if not metrics:
        for a, b in itertools.combinations(nets, 2):
            found.append(join_at_angles((a, b), *limits))
            found += [join_three(three, *limits) for three in ((a, a, b), (a, b, b))]
        metrics = _best(np.concatenate(found), nets, search)
    return metrics


def _best(metrics: np.ndarray, nets: Sequence[Net], search: Search) -> list[np.ndarray]:
    """Return the likeliest metrics of those that hold all nets."""
    volumes = 1 / np.sqrt(np.linalg.det(metrics))
    metrics = metrics[np.argsort(volumes, kind="stable")]
    metrics = metrics[distinct(metrics, _PRECISION, 1 / _PRECISION, len(metrics))]
    chosen = []
    for metric in metrics:
        fitted = fitted_to_nets(metric, nets)
        if fitted is not None:
            metric = reduce_metric(fitted)
            price = parameter_cost(metric, search.symmetry_tolerance)
            chosen.append((price - math.log(determinant(metric)) / 2, metric))
            if len(chosen) == _MOST_KINDS:
                break
    chosen.sort(key=lambda pair: pair[0])
    return [metric for _, metric in chosen[:_N_METRICS]]
