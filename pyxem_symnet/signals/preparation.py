# SPDX-License-Identifier: GPL-3.0-or-later
"""Look at some patterns of a scan before all of them are classified."""

from __future__ import annotations

import dask.array as da
import numpy as np

from pyxem_symnet.descriptors.ellipticity import MIN_VIEWS
from pyxem_symnet.descriptors.finder import SpotFinder
from pyxem_symnet.descriptors.geometry import PatternGeometry
from pyxem_symnet.inference.descan import MIN_PATTERNS
from pyxem_symnet.inference.maps import compute
from pyxem_symnet.inference.plan import VectorGeometry
from pyxem_symnet.inference.preparation import (
    ScanPreparation,
    prepare_scan,
    sample_numbers,
)


def prepare_array(
    data: da.Array | np.ndarray,
    selection: np.ndarray,
    geometry: PatternGeometry | VectorGeometry,
    mask: np.ndarray | str | None = "auto",
    ellipticity: tuple[float, float] | str | None = None,
    *,
    finder: dict | None = None,
    in_memory: bool = False,
) -> ScanPreparation | None:
    """Find out from some patterns what all have in common: masks, beam, distortion.

    Parameters
    ----------
    data
        Patterns of shape (..., ky, kx).
    selection
        Number of each pattern, negative where it is excluded, of the
        navigation shape.
    geometry
        Calibration.
    mask
        Excluded detector pixels (True), "auto" to find them, or None.
    ellipticity
        Elliptical distortion (ratio, angle), "auto" to measure it, or None.
    finder
        Settings of the model's
        :class:`~pyxem_symnet.descriptors.finder.SpotFinder`.
    in_memory
        Whether the patterns are in this process's memory.

    Returns
    -------
    preparation
        None for vectors. No pattern is read if there is nothing to find.
    """
    if isinstance(geometry, VectorGeometry):
        return None
    shape = selection.shape
    numbers = sample_numbers(selection)
    moves = geometry.centre is None and len(numbers) >= MIN_PATTERNS
    measured = ellipticity == "auto" and len(numbers) >= MIN_VIEWS
    if not moves and not measured and not isinstance(mask, str):
        return prepare_scan(
            np.empty((0, 0, 0)), geometry, mask, ellipticity=ellipticity
        )
    if not shape:
        sample = data[np.newaxis]
    elif isinstance(data, da.Array):
        sample = data.vindex[np.unravel_index(numbers, shape)]
    else:
        sample = data[np.unravel_index(numbers, shape)]
    if isinstance(sample, da.Array):
        sample = compute(sample, in_memory=in_memory)
    return prepare_scan(
        sample,
        geometry,
        mask,
        numbers if moves else None,
        shape,
        SpotFinder(**(finder or {})),
        ellipticity,
    )
