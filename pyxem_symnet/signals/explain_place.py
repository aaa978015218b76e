# SPDX-License-Identifier: GPL-3.0-or-later
"""Which answer of a result is meant, and which patterns it was made from."""

from __future__ import annotations

from numbers import Integral, Real

import numpy as np

#: Patterns of a region that are looked at, evenly spread over it
MAX_PATTERNS = 256


def find_answer(
    sym, record: dict, shape: tuple[int, ...], index, region
) -> tuple[tuple[int, ...], int | None]:
    """Return where an answer is in a result's data, and its region.

    Parameters
    ----------
    sym
        :class:`~pyxem_symnet.SpaceGroupProbabilities`.
    record
        Its ``metadata.Symmetry``.
    shape
        Navigation shape of the signal that was classified.
    index, region
        As for its method ``explain()``.

    Raises
    ------
    ValueError
        If there is no such answer, or the signal is another one.
    """
    own = tuple(sym.axes_manager._navigation_shape_in_array)
    regions = record.get("regions")
    of_regions = regions is not None and own != np.shape(regions["map"])
    if regions is None:
        if region is not None:
            raise ValueError(
                "The result has no regions: make it with "
                "classify_space_group(regions=labels), or give index=(x, y)."
            )
        _check_shape(own, shape)
        return _read_index(sym, index), None
    _check_shape(np.shape(regions["map"]), shape)
    labels = [int(label) for label in regions["labels"]]
    if of_regions and own != (len(labels),):
        raise ValueError(
            "The result was cut after it was made with regions. Explain it before "
            "cutting it."
        )
    if region is None:
        place = _read_index(sym, index)
        if of_regions:
            return place, labels[place[0]]
        label = int(np.asarray(regions["map"])[place])
        if label < 0:
            raise ValueError(
                f"The point {place[::-1]} belongs to no region: there is no answer to "
                "explain."
            )
        return place, label
    if index is not None:
        raise ValueError("Give index or region, not both.")
    if region not in labels:
        raise ValueError(f"There is no region {region!r}; the labels are {labels}.")
    number = labels.index(region)
    if of_regions:
        return (number,), labels[number]
    first = np.asarray(regions["first_pattern"])[number]
    return tuple(int(i) for i in np.unravel_index(first, own)), labels[number]


def _check_shape(expected: tuple[int, ...], shape: tuple[int, ...]) -> None:
    if tuple(expected) != tuple(shape):
        raise ValueError(
            f"The signal has the navigation shape {shape}, but {tuple(expected)} were "
            "classified (rows first). Give the signal that was classified, and cut "
            "both alike: `sym.inav[:5].explain(signal.inav[:5])`."
        )


def _read_index(sym, index) -> tuple[int, ...]:
    """Return a scan point as (..., row, column)."""
    axes = sym.axes_manager.navigation_axes
    if index is None:
        return tuple(int(i) for i in sym.axes_manager.indices[::-1])
    values = (index,) if isinstance(index, Real) else tuple(index)
    if len(values) != len(axes):
        raise ValueError(
            f"index must have {len(axes)} numbers, one for each navigation axis in "
            f"HyperSpy's order (x, y, ...), not {index!r}."
        )
    place = []
    for value, axis in zip(values, axes, strict=True):
        if isinstance(value, bool) or not isinstance(value, Integral):
            raise ValueError(
                f"index must hold integers, the numbers of pixels, not {value!r}."
            )
        if not -axis.size <= value < axis.size:
            raise ValueError(
                f"index {value} is outside the navigation axis {str(axis.name)!r} of "
                f"{axis.size} points."
            )
        place.append(int(value) % axis.size)
    return tuple(place[::-1])


def find_points(
    record: dict, place: tuple[int, ...], label: int | None
) -> tuple[list[tuple[int, ...]], int]:
    """Return the scan points to look at, and how many an answer is of.

    Parameters
    ----------
    record
        ``metadata.Symmetry`` of the result.
    place, label
        What :func:`find_answer` returned.
    """
    if label is None:
        return [place], 1
    points = np.argwhere(np.asarray(record["regions"]["map"]) == label)
    count = len(points)
    if count > MAX_PATTERNS:
        points = points[np.linspace(0, count - 1, MAX_PATTERNS).round().astype(int)]
    return [tuple(int(i) for i in point) for point in points], count
