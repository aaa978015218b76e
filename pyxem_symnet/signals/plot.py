# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures: a map with its legend, ranked groups beside a map."""

from __future__ import annotations

import colorsys
from typing import TYPE_CHECKING

import numpy as np

from pyxem_symnet.signals import checks, levels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Paul Tol's "muted" scheme: seven colours that most eyes can tell apart
_FEW = ("#332288", "#88CCEE", "#44AA99", "#117733", "#DDCC77", "#CC6677", "#AA4499")
_NOT_INDEXED = (0.85, 0.85, 0.85)
_LEGEND_ENTRIES = 14
# Share of the colour that is left where the confidence is nought
_PALEST = 0.25


def colours(level: str) -> np.ndarray:
    """Return the colour of each code of a map.

    Parameters
    ----------
    level
        One of :data:`pyxem_symnet.symmetry.LEVELS`.

    Returns
    -------
    colours
        RGB from 0 to 1 of shape (labels + 1, 3); the first is that of
        "not indexed". They only depend on the level.
    """
    from matplotlib.colors import to_rgb

    n_labels = len(levels.names(level)) - 1
    if n_labels <= len(_FEW):
        chosen = [to_rgb(name) for name in _FEW[:n_labels]]
    else:
        # Steps of the golden ratio: neighbours are far apart in hue, and no hue
        # comes again
        chosen = [
            colorsys.hls_to_rgb(
                i * 0.61803398875 % 1, (0.42, 0.6, 0.5)[i % 3], (0.8, 0.6)[i % 2]
            )
            for i in range(n_labels)
        ]
    return np.array([_NOT_INDEXED, *chosen])


def plot_map(signal, level: str, threshold: float, ax=None) -> Figure:
    """Plot the most probable labels with a legend.

    Parameters
    ----------
    signal
        :class:`~pyxem_symnet.SpaceGroupProbabilities`.
    level, threshold, ax
        As for its method ``plot_map()``.

    Raises
    ------
    ValueError
        If there are more than two navigation axes.
    """
    axes = checks.map_axes(signal, "A map")
    data = np.asarray(signal.data)
    groups = signal.space_groups
    codes = np.atleast_2d(levels.codes(data, groups, level, threshold))
    summed, _ = levels.summed(data, groups, level)
    confidence = np.atleast_2d(np.nan_to_num(summed.max(-1)))
    palette = colours(level)
    strength = (_PALEST + (1 - _PALEST) * confidence)[..., np.newaxis]
    image = 1 - strength * (1 - palette[codes])
    image[codes == 0] = palette[0]

    if ax is None:
        from matplotlib.figure import Figure

        # Not pyplot's: nothing has to be closed, and no window opens
        figure = Figure(figsize=(6.4, 4.4), layout="constrained")
        ax = figure.add_subplot()
    ax.imshow(image, extent=_extent(axes, codes.shape), interpolation="nearest")
    for axis, set_label in zip(axes, (ax.set_xlabel, ax.set_ylabel), strict=False):
        name, units = (str(text) for text in (axis.name, axis.units))
        set_label(
            ("" if name == "<undefined>" else name)
            + ("" if units == "<undefined>" else f" ({units})")
        )
    ax.set_title(level.replace("_", " "))
    ax.legend(
        handles=_legend(codes, level, palette),
        loc="center left",
        bbox_to_anchor=(1.02, 0.5),
        frameon=False,
    )
    return ax.figure


def add_ranking(signal, level: str, n: int) -> None:
    """Add ranked labels to the signal's figure, and keep them up to date.

    Parameters
    ----------
    signal
        :class:`~pyxem_symnet.SpaceGroupProbabilities` that is plotted.
    level
        Level of the map; its labels and space groups are ranked.
    n
        Number of labels.
    """
    plot = signal._plot.signal_plot
    figure = plot.figure
    main = plot.ax
    main.set_ylim(0, 1)
    main.set_position([0.1, 0.6, 0.85, 0.32])
    panels = [
        (figure.add_axes([0.3, 0.1, 0.2, 0.36]), level),
        (figure.add_axes([0.72, 0.1, 0.23, 0.36]), "space_group"),
    ]

    def update(*_, **__):
        for ax, name in panels:
            _draw_ranking(ax, signal.ranking(name, n), name)
        figure.canvas.draw_idle()

    signal.axes_manager.events.indices_changed.connect(update, [])
    plot.events.closed.connect(
        lambda: signal.axes_manager.events.indices_changed.disconnect(update), []
    )
    update()


def _draw_ranking(ax, ranking: list[tuple[str, float]], level: str) -> None:
    ax.clear()
    names = levels.names(level)
    palette = colours(level)
    places = np.arange(len(ranking))
    ax.barh(
        places,
        [0 if np.isnan(value) else value for _, value in ranking],
        color=[palette[names.index(label)] for label, _ in ranking],
    )
    ax.set_yticks(places, [label for label, _ in ranking], fontsize="small")
    ax.set_xlim(0, 1)
    ax.invert_yaxis()
    ax.set_title(level.replace("_", " "), fontsize="small")


def _legend(codes: np.ndarray, level: str, palette: np.ndarray) -> list:
    from matplotlib.patches import Patch

    names = levels.names(level)
    present, counts = np.unique(codes, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    shown = [
        Patch(color=palette[code], label=f"{names[code]} ({share:.0%})")
        for code, share in zip(present[order], counts[order] / codes.size, strict=True)
    ]
    rest = len(shown) - _LEGEND_ENTRIES
    if rest > 0:
        shown = [*shown[:_LEGEND_ENTRIES], Patch(alpha=0, label=f"and {rest} more")]
    return shown


def _extent(axes, shape: tuple[int, int]) -> tuple[float, float, float, float]:
    """Return the edges of an image: left, right, bottom, top."""
    edges = []
    for axis, size in zip([*axes, None, None], shape[::-1], strict=False):
        if axis is None or not axis.is_uniform:
            edges.append((-0.5, size - 0.5))
        else:
            start = axis.offset - axis.scale / 2
            edges.append((start, start + axis.scale * size))
    (left, right), (top, bottom) = edges
    return left, right, bottom, top
