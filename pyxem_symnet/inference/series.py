# SPDX-License-Identifier: GPL-3.0-or-later
"""The lattice of a rotation series, from all of its patterns in their order."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dask
import dask.array as da
import numpy as np

from pyxem_symnet.inference.blocks import find_block_spots
from pyxem_symnet.inference.maps import compute
from pyxem_symnet.inference.plan import Plan

if TYPE_CHECKING:
    from pyxem_symnet.lattice import SeriesFit

#: Beam energy in kV of patterns that do not tell theirs
USUAL_BEAM_ENERGY = 200.0


def find_series(
    selection: np.ndarray,
    array: da.Array,
    plan: Plan,
    *,
    beam_energy: float | None,
    step: float | None,
    **options,
) -> SeriesFit | None:
    """Find spots in all patterns of a series, and their common lattice.

    This is computed at once, whether the patterns are in memory or not.

    Parameters
    ----------
    selection
        Number of each pattern, negative where it is excluded, of shape
        (patterns,).
    array
        Patterns in the order of the series.
    plan
        Settings.
    beam_energy
        In kV, None if it is not known.
    step
        Angle between patterns in degrees, None to find it.
    **options
        As for :func:`~pyxem_symnet.inference.maps.compute`.
    """
    from pyxem_symnet.lattice import find_series_lattice

    find = dask.delayed(find_block_spots)
    settings = dask.delayed(plan, traverse=False)
    places = da.core.slices_from_chunks(array.chunks[:1])
    parts = [
        find(selection[place], block, settings)
        for place, block in zip(places, array.to_delayed().ravel(), strict=True)
    ]
    found = compute(dask.delayed(list)(parts), **options)
    views = [view for part in found for view in part]
    return find_series_lattice(views, beam_energy or USUAL_BEAM_ENERGY, step)
