# SPDX-License-Identifier: GPL-3.0-or-later
"""The patterns behind an answer, as a model reads them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import dask
import numpy as np
import torch

from pyxem_symnet.descriptors.spots import Spots
from pyxem_symnet.inference.plan import Plan, VectorGeometry
from pyxem_symnet.inference.preparation import (
    Preparation,
    ScanPreparation,
    prepare_pattern,
)
from pyxem_symnet.inference.sources import PatternSource, VectorSource
from pyxem_symnet.signals import checks

_BATCH = 16


@dataclass(frozen=True, eq=False)
class View:
    """One pattern, or one list of vectors, and what was found in it.

    Parameters
    ----------
    index
        Scan point in HyperSpy's order (x, y, ...).
    vectors
        Spots (kx, ky) in 1/Å from the direct beam, of shape (spots, 2),
        the strongest first.
    intensities
        Their intensities, of shape (spots,).
    preparation
        What was done to the pattern. None for vectors, and for all
        patterns but the one that is shown.
    pixels
        Spots (x, y) in pixels, of shape (spots, 2), or None without a
        preparation.
    signal
        Which signal it is of: 0 is the one that was classified, others
        were its further views.
    """

    index: tuple[int, ...]
    vectors: np.ndarray
    intensities: np.ndarray
    preparation: Preparation | None = None
    pixels: np.ndarray | None = None
    signal: int = 0

    @property
    def lengths(self) -> np.ndarray:
        """Distances of the spots from the direct beam in 1/Å."""
        return np.hypot(*self.vectors.T)


def read_views(
    signals: Sequence,
    points: Sequence[tuple[int, ...]],
    scans: Sequence[ScanPreparation | VectorGeometry],
    plan: Plan,
    model,
) -> tuple[list[Spots], tuple[View, ...]]:
    """Read patterns as classification does.

    Parameters
    ----------
    signals
        The signal that was classified and its further views.
    points
        Scan points (..., row, column), in the order of the data.
    scans
        How each signal was prepared.
    plan
        Settings of the classification.
    model
        Its network.

    Returns
    -------
    spots
        For each signal, those of all points.
    views
        The same as arrays, all points of the first signal first. That
        with the most spots has its pattern.

    Raises
    ------
    ValueError
        If a pattern holds values that are not finite.
    """
    spots, views, shown = [], [], None
    for number, signal in enumerate(signals):
        parts = []
        for start in range(0, len(points), _BATCH):
            here = points[start : start + _BATCH]
            block = _patterns(signal, here)
            parts.append(_spots(block, here, number, signal, plan, model))
            for row, point in enumerate(here):
                view = _view(parts[-1], row, point, number)
                if shown is None or len(view.vectors) > len(views[shown[0]].vectors):
                    shown = len(views), block[row]
                views.append(view)
        spots.append(_joined(parts))
    place, pattern = shown
    views[place] = _with_pattern(views[place], pattern, scans, signals, model)
    return spots, tuple(views)


def within(spots: Spots, radius: float | None) -> Spots:
    """Return spots without those beyond a radius in 1/Å."""
    if radius is None:
        return spots
    inside = spots.positions.norm(dim=-1) <= radius
    return Spots(spots.positions, torch.where(inside, spots.intensities, 0.0))


def _patterns(signal, points: Sequence[tuple[int, ...]]) -> np.ndarray:
    """Return the patterns, or lists of vectors, at some scan points."""
    data = signal.data
    if checks.is_vectors(signal):
        # Without navigation axes one list is held in an array of one
        data = data.reshape(signal.axes_manager._navigation_shape_in_array)
        lists = dask.compute(*(data[point] for point in points))
        block = np.empty(len(lists), object)
        for place, vectors in enumerate(lists):
            lone = isinstance(vectors, np.ndarray) and vectors.shape == ()
            block[place] = vectors.item() if lone else vectors
        return block
    # One call, so that a chunk is read once for all of its patterns
    return np.stack(dask.compute(*(data[point] for point in points)))


def _spots(block, points, number: int, signal, plan: Plan, model) -> Spots:
    geometry = plan.geometries[number]
    places = np.array([_number(signal, point) for point in points])
    device = next(model.parameters()).device
    if isinstance(geometry, VectorGeometry):
        source = VectorSource(block, geometry, places, model, device)
    else:
        mask, descan = plan.masks[number], plan.descans[number]
        source = PatternSource(block, geometry, mask, places, model, device, descan)
    return within(source.spots(np.arange(len(points))), plan.reciprocal_radius)


def _view(spots: Spots, row: int, point: tuple[int, ...], number: int) -> View:
    found = spots.intensities[row] > 0
    intensities, order = spots.intensities[row][found].sort(descending=True)
    return View(
        index=tuple(int(i) for i in point[::-1]),
        vectors=spots.positions[row][found][order].cpu().numpy(),
        intensities=intensities.cpu().numpy(),
        signal=number,
    )


def _with_pattern(view: View, pattern, scans, signals, model) -> View:
    scan = scans[view.signal]
    if isinstance(scan, VectorGeometry):
        return view
    number = _number(signals[view.signal], view.index[::-1])
    prepared = prepare_pattern(pattern, scan, number=number, finder=model.finder)
    centre = torch.tensor([prepared.centre])
    vectors = torch.from_numpy(view.vectors)[None]
    pixels = scan.geometry.to_pixels(vectors, centre)[0].numpy()
    return replace(view, preparation=prepared, pixels=pixels)


def _number(signal, point: tuple[int, ...]) -> int:
    """Return the number of a pattern within its scan."""
    shape = signal.axes_manager._navigation_shape_in_array
    return int(np.ravel_multi_index(point, shape)) if shape else 0


def _joined(parts: Sequence[Spots]) -> Spots:
    """Return batches of spots as one, with as many slots as the longest."""
    width = max(part.intensities.shape[1] for part in parts)
    positions = [
        torch.nn.functional.pad(
            part.positions, (0, 0, 0, width - part.positions.shape[1])
        )
        for part in parts
    ]
    intensities = [
        torch.nn.functional.pad(
            part.intensities, (0, width - part.intensities.shape[1])
        )
        for part in parts
    ]
    return Spots(torch.cat(positions), torch.cat(intensities))
