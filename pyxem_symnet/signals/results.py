# SPDX-License-Identifier: GPL-3.0-or-later
"""Probabilities in an array, and those of regions, as a result signal."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pyxem_symnet.signals.level_maps import NODE, navigation_axes
from pyxem_symnet.signals.probabilities import (
    LazySpaceGroupProbabilities,
    SpaceGroupProbabilities,
)


def from_array(
    data, space_groups: Sequence[int], signal, record: dict
) -> SpaceGroupProbabilities:
    """Return probabilities as a signal with another's navigation axes.

    Parameters
    ----------
    data
        NumPy or dask array of shape (..., space groups).
    space_groups
        Numbers, ascending.
    signal
        Signal that was classified.
    record
        What was done, plain values.
    """
    # From dictionaries: an axis that is copied keeps kx's name and scale
    axes = navigation_axes(signal)
    axes.append(
        {
            "name": "Space group",
            "axis": np.array(space_groups, dtype=float),
            "navigate": False,
        }
    )
    title = signal.metadata.get_item("General.title", "")
    metadata = {
        "General": {"title": title},
        "Signal": {"quantity": "Probability"},
        NODE: record,
    }
    return _class_for(data)(data, axes=axes, metadata=metadata)


def of_regions(sym: SpaceGroupProbabilities) -> SpaceGroupProbabilities:
    """Return the answer of each region once.

    Parameters
    ----------
    sym
        Result of a classification.

    Raises
    ------
    ValueError
        If it was made without regions, or cut since.
    """
    regions = sym.metadata.get_item(f"{NODE}.regions")
    shape = sym.axes_manager._navigation_shape_in_array
    if regions is None or np.shape(regions["map"]) != shape:
        raise ValueError(
            "This map has no regions of its shape: make it with "
            "classify_space_group(regions=labels), and call this before cutting it."
        )
    data = sym.data.reshape(-1, sym.data.shape[-1])[
        np.asarray(regions["first_pattern"])
    ]
    axes = [
        {"name": "Region", "size": data.shape[0], "navigate": True},
        sym.axes_manager.signal_axes[0].get_axis_dictionary(),
    ]
    return _class_for(data)(data, axes=axes, metadata=sym.metadata.as_dictionary())


def _class_for(data) -> type[SpaceGroupProbabilities]:
    lazy = not isinstance(data, np.ndarray)
    return LazySpaceGroupProbabilities if lazy else SpaceGroupProbabilities
