# SPDX-License-Identifier: GPL-3.0-or-later
"""The picture of an explanation."""

from __future__ import annotations

import re
import textwrap
from typing import TYPE_CHECKING

import numpy as np

from pyxem_symnet.signals import levels
from pyxem_symnet.signals.explain_influence import NO_CRYSTAL, ring_width, shares
from pyxem_symnet.signals.explain_words import counted, group_set, percent
from pyxem_symnet.signals.plot import colours
from pyxem_symnet.symmetry import level_labels, level_of, members

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from pyxem_symnet.signals.explain import Explanation

_INK, _PALE, _SPOT, _BEAM, _OUT = "#333333", "#BBBBBB", "#33BBEE", "#EE7733", "#999999"
_MASK = (0.8, 0.4, 0.47, 0.55)
_N_RANKED = {"crystal_system": 7, "laue_class": 7, "diffraction_symbol": 7}
_N_GROUPS = 7
_N_LABELLED = 8
_N_INFLUENCES = 14
_WIDTH = 58
_TRUE = " ✓"


def draw(explanation: Explanation, title: str | None, truth: int | None) -> Figure:
    """Draw the evidence, the answer, and what it hangs on.

    Parameters
    ----------
    explanation, title, truth
        As for :meth:`~pyxem_symnet.signals.explain.Explanation.plot`.
    """
    from matplotlib.figure import Figure

    # Not pyplot's: nothing has to be closed, and no window opens
    figure = Figure(figsize=(15, 10), layout="constrained")
    figure.suptitle(title or _title(explanation), fontsize=13, fontweight="bold")
    left, right = figure.subfigures(1, 2, width_ratios=(10.6, 4.4))
    upper, middle, lower = left.subfigures(3, 1, height_ratios=(5, 1.9, 3.1))
    pattern, spots = upper.subplots(1, 2)
    _draw_pattern(pattern, explanation)
    _draw_spots(spots, explanation)
    _draw_profile(middle.subplots(), explanation)
    axes = lower.subplots(1, 4, width_ratios=(1, 0.8, 1.3, 1))
    for ax, level in zip(axes, _N_RANKED, strict=False):
        _draw_level(ax, explanation, level, truth)
    _draw_groups(axes[3], explanation, truth)
    words, changes = right.subfigures(2, 1, height_ratios=(4.7, 5.3))
    _write(words.subplots(), explanation)
    _draw_influences(changes.subplots(), explanation)
    return figure


def pretty(label: str) -> str:
    """Return a symbol of symmetry as International Tables print it.

    Parameters
    ----------
    label
        A label of any level, in plain letters.
    """
    if label in (*level_labels("crystal_system"), NO_CRYSTAL):
        return label
    words = [
        re.sub(r"-(\d)", r"\\bar{\1}", word).replace("-", r"\mathrm{-}")
        for word in label.split()
    ]
    return "$" + r"\ ".join(words) + "$"


def _title(explanation: Explanation) -> str:
    if explanation.region is not None:
        patterns = counted(explanation.n_patterns, "pattern")
        return f"Region {explanation.region}: {patterns}"
    if not explanation.index:
        return "One pattern"
    point = ", ".join(str(i) for i in explanation.index)
    return f"Scan point ({point})"


def _draw_pattern(ax, explanation: Explanation) -> None:
    from matplotlib.colors import LogNorm
    from matplotlib.patches import Circle

    view = explanation.shown
    ax.set_axis_off()
    if view.preparation is None:
        words = "diffraction vectors:\nthere is no pattern"
        ax.text(0.5, 0.5, words, ha="center", transform=ax.transAxes)
        return
    image, mask = view.preparation.image, view.preparation.mask
    usable = np.isfinite(image) & (image > 0) & ~mask
    low, high = np.quantile(image[usable], (0.2, 0.9995)) if usable.any() else (1, 2)
    norm = LogNorm(low, max(high, 1.01 * low), clip=True)
    shown = np.where(usable, image, low)
    ax.imshow(shown, cmap="gray", norm=norm, interpolation="nearest")
    cover = np.zeros((*mask.shape, 4))
    cover[mask] = _MASK
    ax.imshow(cover, interpolation="nearest")
    size = 0.014 * max(shown.shape)
    for x, y in view.pixels:
        ax.add_patch(Circle((x, y), size, fill=False, color=_SPOT, lw=0.9))
    _draw_beam(ax, explanation, view)
    ax.set(xlim=(-0.5, shown.shape[1] - 0.5), ylim=(shown.shape[0] - 0.5, -0.5))
    which = "pattern"
    if len(explanation.views) > 1:
        which = f"pattern {_point(view)}, with most spots"
    masked = ", red: left out" if mask.any() else ""
    spots = counted(len(view.vectors), "spot")
    ax.set_title(f"{which} (log scale): {spots}, beam (+){masked}", fontsize=9)


def _draw_beam(ax, explanation: Explanation, view) -> None:
    from matplotlib.patches import Ellipse

    centre = view.preparation.centre
    ax.plot(*centre, "+", color=_BEAM, markersize=12, markeredgewidth=1.4)
    finder = explanation.record["preprocessing"].get("finder") or {}
    calibration = list(explanation.record["calibration"].values())[view.signal]
    width, height = (
        2 * finder.get("central_radius", 0) / size for size in calibration["pixel_size"]
    )
    style = {"fill": False, "color": _BEAM, "ls": ":", "lw": 1.2}
    ax.add_patch(Ellipse(centre, width, height, **style))


def _draw_spots(ax, explanation: Explanation) -> None:
    from matplotlib.patches import Circle

    view = explanation.shown
    others = [v.vectors for v in explanation.views if v is not view and len(v.vectors)]
    if others:
        ax.scatter(*np.concatenate(others).T, s=2, color=_PALE, lw=0, zorder=1)
    if len(view.vectors):
        # What the network weights them by is as flat as this
        area = 60 * np.sqrt(view.intensities / view.intensities.max()) + 4
        ax.scatter(*view.vectors.T, s=area, color=_INK, lw=0, zorder=3)
    ax.plot(0, 0, "+", color=_BEAM, markersize=10, zorder=3)
    reach = _reach(explanation)
    _draw_limit(ax, explanation)
    for radius in explanation.profile.peaks[:_N_LABELLED]:
        ax.add_patch(
            Circle((0, 0), radius, fill=False, color=_SPOT, lw=0.6, alpha=0.8, zorder=2)
        )
    ax.set(xlim=(-reach, reach), ylim=(reach, -reach), aspect="equal")
    ax.set_xlabel("$k_x$ (1/Å)", fontsize=9)
    ax.set_ylabel("$k_y$ (1/Å)", fontsize=9)
    ax.tick_params(labelsize=8)
    n = len(others)
    more = f"; of {n} other patterns, pale" if n else ""
    ax.set_title(f"what the network reads: spots{more}", fontsize=9)


def _draw_limit(ax, explanation: Explanation) -> None:
    """Draw the distance beyond which the network reads nothing."""
    from matplotlib.patches import Circle

    settings = explanation.record["preprocessing"]
    radii = [
        settings[name]["radius"]
        for name in ("radial", "pairs", "image")
        if (settings.get(name) or {}).get("radius")
    ]
    if radii:
        style = {"fill": False, "color": _OUT, "ls": ":", "lw": 1}
        ax.add_patch(Circle((0, 0), max(radii), **style))


def _draw_profile(ax, explanation: Explanation) -> None:
    profile = explanation.profile
    reach = min(1.05 * _reach(explanation), profile.radii[-1])
    highest = max(float(profile.heights.max()), 1e-9)
    for radius in profile.peaks[:_N_LABELLED]:
        ax.axvspan(
            radius - ring_width(radius), radius + ring_width(radius),
            color=_SPOT, alpha=0.2, lw=0,
        )  # fmt: skip
    ax.fill_between(profile.radii, profile.heights / highest, step="mid", color=_INK)
    _label_peaks(ax, profile.peaks[:_N_LABELLED], reach)
    finder = explanation.record["preprocessing"].get("finder") or {}
    if finder.get("central_radius"):
        ax.axvspan(0, finder["central_radius"], color=_BEAM, alpha=0.2, lw=0)
    ax.set(xlim=(0, reach), ylim=(0, 1.75), yticks=[])
    ax.set_xlabel("distance from the beam (1/Å)", fontsize=9)
    ax.tick_params(labelsize=8)
    ax.spines[["top", "right", "left"]].set_visible(False)
    several = len(explanation.views) > 1
    ax.set_title(
        f"radial profile{', mean of all patterns' if several else ''}: d in Å of the "
        "rings with most in them",
        fontsize=9,
    )


def _label_peaks(ax, peaks, reach: float) -> None:
    """Write the spacings of rings, moved apart where they would overlap."""
    least = 0.028 * reach
    places = sorted(peaks)
    moved = []
    for radius in places:
        moved.append(radius if not moved else max(radius, moved[-1] + least))
    over = (moved[-1] - 0.985 * reach) if moved else 0
    for i in range(len(moved) - 1, -1, -1):
        if over > 0:
            limit = 0.985 * reach if i == len(moved) - 1 else moved[i + 1] - least
            moved[i] = min(moved[i], limit)
    for radius, place in zip(places, moved, strict=True):
        ax.plot((radius, place), (1.05, 1.2), color=_SPOT, lw=0.8)
        ax.text(
            place, 1.24, f"{1 / radius:.2f}",
            rotation=90, ha="center", va="bottom", fontsize=8, color=_INK,
        )  # fmt: skip


def _draw_level(ax, explanation: Explanation, level: str, truth: int | None) -> None:
    ranked = explanation.ranking(level, _N_RANKED[level])
    true = level_of(level, truth) if truth else None
    rows = [
        (_text(level, label, label == true), p, _colour(level, label))
        for label, p in ranked
    ]
    if level == "crystal_system":
        mark = _TRUE if truth == 0 else ""
        rows.append((NO_CRYSTAL + mark, explanation.not_crystalline, _OUT))
    _draw_bars(ax, rows, level.replace("_", " "))
    if level == explanation.level:
        ax.axvline(explanation.threshold, color=_BEAM, lw=1, ls="--", zorder=0)
        verdict = "no answer" if explanation.abstained else "answer"
        ax.set_title(f"{level.replace('_', ' ')}: {verdict}", fontsize=9)


def _draw_groups(ax, explanation: Explanation, truth: int | None) -> None:
    values = dict(zip(explanation.space_groups, explanation.probabilities, strict=True))
    symbol = explanation.ranking("diffraction_symbol", 1)[0][0]
    first = [
        number for number in members("diffraction_symbol", symbol) if number in values
    ]
    inside = sorted(first, key=lambda n: -values[n])[: _N_GROUPS - 3]
    others = sorted(set(values) - set(inside), key=lambda n: -values[n])
    rows = []
    for number in [*inside, *others[: _N_GROUPS - len(inside)]]:
        mark = _TRUE if number == truth else ""
        name = f"{number} {pretty(level_of('space_group', number))}{mark}"
        colour = _colour("space_group", level_of("space_group", number))
        rows.append((name, float(values[number]), colour))
    _draw_bars(ax, rows, "space group: first symbol's, then others")
    if len(rows) > len(inside):
        ax.axhline(len(inside) - 0.62, color=_OUT, lw=0.8, ls=":")


def _draw_bars(ax, rows: list[tuple[str, float, object]], title: str) -> None:
    for place, (name, value, colour) in enumerate(rows):
        ax.barh(place + 0.22, value, height=0.3, color=colour)
        ax.barh(place + 0.22, 1, height=0.3, color="#F2F2F2", zorder=-1)
        ax.text(0, place - 0.02, name, fontsize=8, va="bottom", color=_INK)
        ax.text(1, place - 0.02, percent(value), fontsize=8, va="bottom", ha="right")
    ax.set(xlim=(0, 1), ylim=(max(len(rows), 8) - 0.5, -0.55), xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    ax.set_title(title, fontsize=9)


def _draw_influences(ax, explanation: Explanation) -> None:
    changes = explanation.most_influential(_N_INFLUENCES)
    if not changes:
        ax.set_axis_off()
        return
    highest = 0.0
    for level, marker in (("crystal_system", "o"), ("diffraction_symbol", "D")):
        groups = explanation.space_groups
        base, labels = shares(explanation.recomputed, groups, level)
        best = int(base.argmax())
        if labels[best] == NO_CRYSTAL and level != explanation.level:
            continue
        colour = _colour(level, labels[best])
        ax.axvline(base[best], color=colour, lw=1, ls="-" if marker == "o" else ":")
        values = [shares(each.probabilities, groups, level)[0] for each, _ in changes]
        then = [value[best] for value in values]
        ax.hlines(range(len(then)), base[best], then, color=colour, lw=1.2)
        face = colour if marker == "o" else "white"
        style = {"color": colour, "markerfacecolor": face, "ms": 6, "ls": ""}
        ax.plot(then, range(len(then)), marker, label=pretty(labels[best]), **style)
        highest = max([highest, base[best], *then])
        for row, value in enumerate(values if level == explanation.level else []):
            if value.argmax() != best:
                text = f"→ {pretty(labels[int(value.argmax())])}"
                ax.annotate(
                    text, (1.02, row), xycoords=("axes fraction", "data"), fontsize=8,
                    va="center", color=_BEAM, annotation_clip=False,
                )  # fmt: skip
    ax.set_yticks(range(len(changes)), [each.name for each, _ in changes], fontsize=8)
    ax.set(xlim=(0, min(1.02, 1.15 * highest + 0.01)), ylim=(len(changes) - 0.4, -0.6))
    ax.set_xlabel("probability of the first answer", fontsize=9)
    ax.set_title("what the answer hangs on\n\n", fontsize=9)
    ax.tick_params(axis="x", labelsize=8)
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(axis="y", lw=0.4, color="#EEEEEE")
    ax.set_axisbelow(True)
    style = {"fontsize": 8, "frameon": False, "ncols": 2}
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1), **style)


def _write(ax, explanation: Explanation) -> None:
    ax.set_axis_off()
    symbol = explanation.ranking("diffraction_symbol", 1)[0][0]
    # One word to the wrapping, and printed as a formula after it
    whole = symbol.replace(" ", "\xa0")
    laue = level_of("laue_class", members("diffraction_symbol", symbol)[0])
    lines = []
    for title, paragraphs in (
        ("Answer", explanation.findings()),
        ("Preparation", explanation.preparation()),
    ):
        lines += ["", f"$\\bf{{{title}}}$"]
        for paragraph in paragraphs:
            lines += textwrap.wrap(
                re.sub(r" (?=%|Å|1/Å)", "\xa0", paragraph.replace(symbol, whole)),
                _WIDTH,
                initial_indent="• ",
                subsequent_indent="   ",
                break_on_hyphens=False,
            )
    text = "\n".join(lines[1:]).replace(whole, pretty(symbol))
    text = text.replace(f"class {laue}", f"class {pretty(laue)}")
    ax.text(0, 1, text, transform=ax.transAxes, va="top", fontsize=9, linespacing=1.25)


def _reach(explanation: Explanation) -> float:
    """Return how far the spots, or what the network reads, extend."""
    lengths = np.concatenate([view.lengths for view in explanation.views])
    farthest = explanation.profile.radii[-1]
    if not lengths.size:
        return float(farthest)
    return float(1.05 * np.quantile(lengths, 0.99))


def _text(level: str, label: str, is_true: bool) -> str:
    text = pretty(label)
    if level == "diffraction_symbol":
        text = f"{text}   ({group_set(label, 3)})"
    return text + (_TRUE if is_true else "")


def _colour(level: str, label: str):
    """Return the colour of a label's crystal system in all maps."""
    if label == NO_CRYSTAL:
        return _OUT
    system = level_of("crystal_system", members(level, label)[0])
    return colours("crystal_system")[levels.names("crystal_system").index(system)]


def _point(view) -> str:
    if len(view.index) == 1:
        return str(view.index[0])
    return "(" + ", ".join(str(i) for i in view.index) + ")"
