# SPDX-License-Identifier: GPL-3.0-or-later
"""One answer for all patterns of a region: a reduction over blocks.

Descriptors add up, so each block hands over sums for the regions it
touches, and the sums are added up in a fixed order. What the network
makes of the sums is computed once for a region.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import dask
import dask.array as da
import numpy as np
import torch

from pyxem_symnet.inference.blocks import RegionSums, class_probabilities, sum_block
from pyxem_symnet.inference.devices import device_lock, get_model, resolve_device
from pyxem_symnet.inference.plan import Plan
from pyxem_symnet.inference.threads import torch_threads
from pyxem_symnet.models.sums import combine_rows

if TYPE_CHECKING:
    from pyxem_symnet.lattice import LatticeFit

# Sums that are added in one task, and regions that are classified at a time
_FAN_IN = 8
_BATCH = 64


def region_table(
    selection: np.ndarray,
    labels: np.ndarray,
    arrays: Sequence[da.Array],
    plan: Plan,
    lattice: LatticeFit | None = None,
) -> da.Array:
    """Return the probabilities of each region; nothing is computed.

    Parameters
    ----------
    selection
        Number of each pattern, negative where it is excluded, of the
        navigation shape.
    labels
        Region of each pattern, integers of the same shape.
    arrays
        One array for each signal, cut by
        :func:`~pyxem_symnet.inference.chunks.align_blocks`.
    plan
        Settings.
    lattice
        That of the only region, if it is known already.

    Returns
    -------
    table
        Float32 array of shape (regions, classes), in one chunk. Regions
        are in the order of their labels.
    """
    n_navigation = selection.ndim
    chunks = arrays[0].chunks[:n_navigation]
    places = da.core.slices_from_chunks(chunks) if n_navigation else [()]
    blocks = [array.to_delayed().ravel() for array in arrays]
    add_up, add = dask.delayed(sum_block), dask.delayed(merge)
    # One object in the graph, not one for each block
    settings = dask.delayed(plan, traverse=False)
    sums = [
        add_up(selection[place], labels[place], *patterns, plan=settings)
        for place, *patterns in zip(places, *blocks, strict=True)
    ]
    while len(sums) > 1:
        sums = [add(sums[i : i + _FAN_IN]) for i in range(0, len(sums), _FAN_IN)]
    known = dask.delayed(lattice, traverse=False)
    n_regions = np.unique(labels[selection >= 0]).size
    return da.from_delayed(
        dask.delayed(classify_sums)(sums[0], settings, known),
        (n_regions, len(plan.classes)),
        np.float32,
    )


def merge(parts: list[RegionSums]) -> RegionSums:
    """Add up sums of several blocks.

    Parameters
    ----------
    parts
        Sums of one or more blocks.
    """
    labels = np.unique(np.concatenate([part.labels for part in parts]))
    features: dict[str, np.ndarray] = {}
    for part in parts:
        place = np.searchsorted(labels, part.labels)
        combine_rows(features, place, part.features, len(labels))
    return RegionSums(labels, features)


@torch.no_grad()
def classify_sums(
    sums: RegionSums, plan: Plan, lattice: LatticeFit | None = None
) -> np.ndarray:
    """Return the probabilities of regions.

    Parameters
    ----------
    sums
        Sums over all of the scan.
    plan
        Settings.
    lattice
        That of the only region, if it is known already.

    Returns
    -------
    probabilities
        Float32 array of shape (regions, classes).
    """
    device = resolve_device(plan.device)
    answers = []
    with device_lock(device), torch_threads(plan.n_threads):
        model = get_model(plan.model, device)
        for start in range(0, len(sums.labels), _BATCH):
            features = {
                name: torch.from_numpy(value[start : start + _BATCH]).float().to(device)
                for name, value in sums.features.items()
            }
            if lattice is not None:
                features = model.read_lattices(features, [lattice])
            answers.append(class_probabilities(model, features, plan))
    return np.concatenate(answers)


def spread(
    selection: np.ndarray,
    labels: np.ndarray,
    table: da.Array | np.ndarray,
    chunks: tuple[tuple[int, ...], ...] | None = None,
) -> da.Array | np.ndarray:
    """Give every pattern the answer of its region.

    Parameters
    ----------
    selection, labels
        As for :func:`region_table`.
    table
        Answers of the regions of shape (regions, classes).
    chunks
        Chunks of the navigation axes, if the table is a dask array.

    Returns
    -------
    answers
        Array of shape (..., classes), NaN where a pattern is excluded.
    """
    included = selection >= 0
    row = np.full(selection.shape, -1)
    row[included] = np.unique(labels[included], return_inverse=True)[1]
    if isinstance(table, np.ndarray):
        return _take(row, table)
    navigation = tuple(range(row.ndim))
    region, column = row.ndim + 1, row.ndim
    return da.blockwise(
        _take,
        (*navigation, column),
        da.from_array(row, chunks=chunks),
        navigation,
        table,
        (region, column),
        concatenate=True,
        align_arrays=False,
        dtype=table.dtype,
        meta=np.empty((0,) * (row.ndim + 1), table.dtype),
    )


def _take(row: np.ndarray, table: np.ndarray) -> np.ndarray:
    answers = table[row]
    answers[row < 0] = np.nan
    return answers
