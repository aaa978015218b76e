# SPDX-License-Identifier: GPL-3.0-or-later
"""What is done with one block of a scan.

A block of raw detector data goes to the device whole, is prepared and
classified there in micro-batches, and only probabilities, or sums of
descriptors, come back. The copy is made and freed within the same task.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pyxem_symnet.descriptors.spots import Spots
from pyxem_symnet.inference.devices import device_lock, get_model, resolve_device
from pyxem_symnet.inference.plan import Plan, VectorGeometry
from pyxem_symnet.inference.sources import PatternSource, VectorSource
from pyxem_symnet.inference.threads import torch_threads
from pyxem_symnet.models.sums import combine, combine_rows

# Float32 bytes of the patterns of a micro-batch: on the CPU they should stay
# in the cache, on an accelerator they should keep it busy
_BATCH_BYTES = {"cpu": 8 * 2**20}
_BATCH_BYTES_ACCELERATOR = 256 * 2**20
_BATCH_LIMITS = {"cpu": (8, 64)}
_BATCH_LIMITS_ACCELERATOR = (32, 1024)


@dataclass(frozen=True)
class RegionSums:
    """Descriptors summed over the patterns of regions.

    Parameters
    ----------
    labels
        Labels of the regions, ascending, of shape (regions,).
    features
        What the regions' descriptors are combined to, by
        :func:`~pyxem_symnet.models.sums.combine_rows`, with regions
        along the first axis.
    """

    labels: np.ndarray
    features: dict[str, np.ndarray]


def classify_block(selection: np.ndarray, *blocks: np.ndarray, plan: Plan):
    """Return probabilities of the patterns of a block.

    Parameters
    ----------
    selection
        Number of each pattern within the scan, negative where it is
        excluded; integers of the block's navigation shape.
    *blocks
        For each signal patterns of shape (..., ky, kx), or an object
        array of diffraction vectors of shape (...).
    plan
        Settings.

    Returns
    -------
    probabilities
        Float32 array of shape (..., classes), NaN for excluded
        patterns. What a row lacks to one is the probability of "not
        crystalline"; a pattern without spots has a row of zeros.

    Raises
    ------
    ValueError
        If a pattern holds values that are not finite.
    """
    rows = np.flatnonzero(selection >= 0)
    answer = np.full((selection.size, len(plan.classes)), np.nan, np.float32)

    def keep(model, part, spots):
        if model.ordered_views is None:
            alone = len(spots) == 1 and not plan.lattices
            features = combine(model.accumulate(view, alone=alone) for view in spots)
        else:
            crystals = torch.arange(part.size, device=spots[0].positions.device)
            groups = crystals.repeat(len(spots))
            features = model.accumulate(Spots.concatenate(spots), groups, part.size)
        answer[part] = class_probabilities(model, features, plan)

    _work_through(rows, selection, blocks, plan, keep)
    return answer.reshape(*selection.shape, -1)


def sum_block(
    selection: np.ndarray, labels: np.ndarray, *blocks: np.ndarray, plan: Plan
) -> RegionSums:
    """Return the descriptors of a block summed over each region.

    Parameters
    ----------
    selection
        As for :func:`classify_block`.
    labels
        Region of each pattern, integers of the navigation shape.
    *blocks, plan
        As for :func:`classify_block`.

    Raises
    ------
    ValueError
        If a pattern holds values that are not finite.
    """
    rows = np.flatnonzero(selection >= 0)
    found, index = np.unique(labels.ravel()[rows], return_inverse=True)
    place = np.full(selection.size, -1)
    place[rows] = index
    sums: dict[str, np.ndarray] = {}

    def keep(model, part, spots):
        here, groups = np.unique(place[part], return_inverse=True)
        groups = torch.from_numpy(groups).to(spots[0].positions.device)
        features = combine(model.accumulate(view, groups, len(here)) for view in spots)
        features = {name: value.cpu().numpy() for name, value in features.items()}
        combine_rows(sums, here, features, len(found))

    _work_through(rows, selection, blocks, plan, keep)
    return RegionSums(found, sums)


def find_block_spots(
    selection: np.ndarray, block: np.ndarray, plan: Plan
) -> list[np.ndarray]:
    """Return the spots of the patterns of a block.

    Parameters
    ----------
    selection, block, plan
        As for :func:`classify_block`, of one signal.

    Returns
    -------
    spots
        For each pattern x and y in 1/Å and the intensity, arrays of shape
        (spots, 3). An excluded pattern has none.
    """
    rows = np.flatnonzero(selection >= 0)
    found = [np.empty((0, 3)) for _ in range(selection.size)]

    def keep(model, part, spots):
        for row, each in zip(part, spots[0].to_arrays(), strict=True):
            found[row] = each

    _work_through(rows, selection, (block,), plan, keep)
    return found


def class_probabilities(
    model: torch.nn.Module, features: dict[str, Tensor], plan: Plan
) -> np.ndarray:
    """Return the probabilities of a plan's classes.

    Parameters
    ----------
    model
        Network of the plan.
    features
        Summed descriptors on the network's device.
    plan
        Settings.

    Returns
    -------
    probabilities
        Float32 array of shape (crystals, classes).
    """
    outputs = model.probabilities(features).cpu().double()
    columns = [model.classes.index(number) for number in plan.classes]
    answer = outputs[:, columns]
    if plan.candidates:
        share = torch.ones(len(outputs), 1, dtype=torch.float64)
        if 0 in model.classes:
            share -= outputs[:, [model.classes.index(0)]]
        total = answer.sum(-1, keepdim=True)
        even = torch.full_like(answer, 1 / len(columns))
        answer = share * torch.where(total > 0, answer / total, even)
    seen = (features["n_views"] > 0).cpu()
    return torch.where(seen, answer, 0.0).float().numpy()


@torch.no_grad()
def _work_through(
    rows: np.ndarray,
    selection: np.ndarray,
    blocks: tuple[np.ndarray, ...],
    plan: Plan,
    keep: Callable[[torch.nn.Module, np.ndarray, list[Spots]], None],
) -> None:
    """Hand the spots of all patterns to *keep*, a micro-batch at a time."""
    if rows.size == 0:
        return
    device = resolve_device(plan.device)
    n_threads = plan.n_threads if device.type == "cpu" else None
    with device_lock(device), torch_threads(n_threads):
        model = get_model(plan.model, device)
        numbers = selection.ravel()
        sources = [
            _source(block, geometry, mask, numbers, model, device, descan)
            for block, geometry, mask, descan in zip(
                blocks,
                plan.geometries,
                plan.masks,
                plan.descans or (None,) * len(blocks),
                strict=True,
            )
        ]
        size = plan.batch_size or _batch_size(sources, device)
        start = 0
        while start < rows.size:
            part = rows[start : start + size]
            try:
                spots = [
                    _within(source.spots(part), plan.reciprocal_radius)
                    for source in sources
                ]
                keep(model, part, spots)
            except torch.OutOfMemoryError:
                if size == 1:
                    raise
                size = -(-size // 2)
                torch.cuda.empty_cache()
                continue
            start += size


def _source(block, geometry, mask, numbers, model, device, descan):
    if isinstance(geometry, VectorGeometry):
        return VectorSource(block, geometry, numbers, model, device)
    return PatternSource(block, geometry, mask, numbers, model, device, descan)


def _batch_size(sources: list, device: torch.device) -> int:
    limit = _BATCH_BYTES.get(device.type, _BATCH_BYTES_ACCELERATOR)
    low, high = _BATCH_LIMITS.get(device.type, _BATCH_LIMITS_ACCELERATOR)
    pattern = max(source.pattern_bytes for source in sources)
    return int(np.clip(limit // max(1, pattern), low, high))


def _within(spots: Spots, radius: float | None) -> Spots:
    if radius is None:
        return spots
    inside = spots.positions.square().sum(-1) <= radius**2
    return Spots(spots.positions, torch.where(inside, spots.intensities, 0.0))
