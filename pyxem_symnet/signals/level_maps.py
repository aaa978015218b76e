# SPDX-License-Identifier: GPL-3.0-or-later
"""Sums and maps of one level of symmetry, as HyperSpy signals.

Functions take a :class:`~pyxem_symnet.SpaceGroupProbabilities`, whose methods
of similar names say what they return. What they return is lazy if the signal is.
"""

from __future__ import annotations

from hyperspy.signals import BaseSignal, Signal1D

from pyxem_symnet.signals import levels

#: Where a result's metadata say what was done, and of which level a map is
NODE = "Symmetry"


def level_sums(sym, level: str) -> Signal1D:
    """Return the probabilities of the labels of a level."""
    summed, labels = levels.summed(sym.data, sym.space_groups, level)
    axis = {"name": level, "size": len(labels), "navigate": False}
    signal = Signal1D(summed, axes=[*navigation_axes(sym), axis])
    return _finish(sym, signal, level, labels=list(labels))


def confidence_map(sym, level: str) -> BaseSignal:
    """Return the probability of the most probable label."""
    summed, _ = levels.summed(sym.data, sym.space_groups, level)
    return _finish(sym, _map_signal(sym, summed.max(-1)), level)


def abstention_map(sym, threshold: float, level: str) -> BaseSignal:
    """Return where the answer should not be used."""
    codes = levels.codes(sym.data, sym.space_groups, level, threshold)
    return _finish(sym, _map_signal(sym, codes == 0), level)


def label_map(sym, level: str, threshold: float) -> BaseSignal:
    """Return the code of the most probable label."""
    codes = levels.codes(sym.data, sym.space_groups, level, threshold)
    signal = _finish(
        sym, _map_signal(sym, codes), level, labels=list(levels.names(level))
    )
    signal.metadata.set_item(f"{NODE}.threshold", threshold)
    return signal


def navigation_axes(signal) -> list[dict]:
    """Return the navigation axes of any signal, as dictionaries."""
    return [
        axis.get_axis_dictionary()
        for axis in signal.axes_manager._axes
        if axis.navigate
    ]


def _map_signal(sym, data) -> BaseSignal:
    """Return navigation-shaped data as an image, profile or value."""
    axes = navigation_axes(sym)
    for i, axis in enumerate(axes):
        axis["navigate"] = i < len(axes) - 2
    if not axes:
        data, axes = data.reshape(1), [{"size": 1, "navigate": False}]
    signal = BaseSignal(data, axes=axes)
    if sym._lazy:
        signal = signal.as_lazy()
    # Now that dimension and laziness are known: Signal1D, LazySignal2D, ...
    signal._assign_subclass()
    return signal


def _finish(sym, signal, level: str, labels: list[str] | None = None):
    if sym._lazy and not signal._lazy:
        signal = signal.as_lazy()
    title = sym.metadata.get_item("General.title", "")
    signal.metadata.General.title = f"{level.replace('_', ' ')}, {title}".strip(", ")
    signal.metadata.set_item(f"{NODE}.level", level)
    if labels is not None:
        signal.metadata.set_item(f"{NODE}.labels", labels)
    return signal
