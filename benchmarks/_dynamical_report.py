# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables and picture of `dynamical.py`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from _dynamical_intensities import LEGEND
from dynamical_set import SetSettings

from pyxem_symnet.symmetry import LEVELS

#: Points that dynamical patterns may lose at the level of the crystal system
_GOAL = 10


def loss(result: dict, results: Sequence[dict]) -> tuple[float, float]:
    """Return the points lost to training's kinematic patterns, and their error.

    The error is the standard error of the mean over crystals of the
    difference, as both are of the same crystals and orientations.
    """
    kinematic = next(
        r
        for r in results
        if r["intensities"] == "kinematic" and r["views"] == result["views"]
    )
    lost = 100 * (np.array(kinematic["right"]) - np.array(result["right"]))
    return float(lost.mean()), float(lost.std(ddof=1) / np.sqrt(len(lost)))


def goal(results: Sequence[dict], views: int) -> str:
    """Return a line about the thicknesses at which the goal is met."""
    lost = {
        result["thickness"] / 10: loss(result, results)[0]
        for result in results
        if (result["intensities"], result["views"]) == ("dynamical", views)
    }
    met = ", ".join(f"{thickness:g}" for thickness in lost if lost[thickness] <= _GOAL)
    return (
        f"- {views} view{'' if views == 1 else 's'}: dynamical patterns lose at most "
        f"{_GOAL} points "
        + (f"at {met} nm" if met else "at no thickness")
        + f", and {max(lost.values()):.1f} at the worst."
    )


def table(results: Sequence[dict]) -> list[str]:
    """Return Markdown rows of the accuracy."""
    titles = " | ".join(level.replace("_", " ") for level in LEVELS)
    lines = [
        f"| intensities | thickness (nm) | views | spots | {titles} | ECE, system | "
        "system lost |",
        "| --- | ---: | ---: | ---: |" + " ---: |" * (len(LEVELS) + 2),
    ]
    for result in sorted(results, key=lambda r: r["views"]):
        cells = [100 * result["top1"][level]["micro"] for level in LEVELS]
        cells.append(100 * result["ece"]["crystal_system"])
        thickness = result["thickness"]
        thickness = "any" if thickness is None else f"{thickness / 10:g}"
        lost = "{:.1f} ± {:.1f}".format(*loss(result, results))
        lines.append(
            f"| {result['intensities']} | {thickness} | {result['views']} | "
            f"{result['n_spots']:g} | "
            + " | ".join(f"{cell:.1f}" for cell in cells)
            + f" | {'' if result['intensities'] == 'kinematic' else lost} |"
        )
    return lines


def title(settings: SetSettings) -> str:
    """Return what tells one set from another."""
    if settings.n_azimuths == 1:
        return "Parallel beam"
    return f"Beam precessed by {settings.precession_angle:g}°"


def section(
    results: Sequence[dict],
    intensities: Sequence[str],
    direct: np.ndarray,
    n_crystals: int,
    settings: SetSettings,
) -> list[str]:
    """Return the report of one set as lines of Markdown."""
    left = ", ".join(f"{100 * share:.0f}" for share in np.median(direct, axis=1))
    precessed = ""
    if settings.n_azimuths > 1:
        precessed = f" Intensities are the mean over {settings.n_azimuths} azimuths."
    return [
        f"## {title(settings)}",
        "",
        f"{n_crystals} crystals in {settings.n_views} random orientations each at "
        f"{settings.beam_energy:g} kV.{precessed}",
        f"In the direct beam, {left} % of the electrons (median) are left",
        "at the thicknesses of the table.",
        "",
        *table(results),
        "",
        *(goal(results, views) for views in (1, settings.n_views)),
        "",
        *intensities,
        "",
    ]


def report(
    sections: Sequence[list[str]], imitated: Sequence[str], n_single: int, model: str
) -> str:
    """Return the report as Markdown; the user guide shows its middle."""
    lines = [
        "# Dynamical patterns",
        "",
        "Written by `python benchmarks/dynamical.py SET ...`.",
        "",
        "<!-- figures -->",
        "",
        f"Model {model}. Percent of test crystals whose first answer is right; for one",
        f"view, the first {n_single} of each crystal are classified alone. Spots are",
        "the median of a pattern; ECE is the expected calibration error; what is",
        "lost at the level of the crystal system is in points, to the kinematic",
        "patterns of the first row, with its standard error.",
        "",
        *LEGEND,
        "",
        *(line for lines in sections for line in lines),
        "## The imitation in the training protocols",
        "",
        "The same figures, where they apply, of the kinematic patterns of the first",
        "set with intensities raised to the power γ and double diffraction of the",
        "strength c:",
        "",
        *imitated,
    ]
    return "\n".join(lines) + "\n"


def plot(sets: Sequence[tuple[SetSettings, list[dict]]], path: Path) -> None:
    """Draw accuracy over thickness, a row of panels a set."""
    figure, panels = plt.subplots(
        len(sets),
        2,
        figsize=(9, 3.6 * len(sets)),
        sharex=True,
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    for row, (settings, results) in zip(panels, sets, strict=True):
        for axes, views in zip(row, (1, settings.n_views), strict=True):
            chosen = [result for result in results if result["views"] == views]
            _plot_panel(axes, chosen)
            number = "1 view" if views == 1 else f"{views} views"
            axes.set_title(f"{title(settings)}, {number}")
    for axes in panels[:, 0]:
        axes.set_ylabel("First answer right (%)")
    for axes in panels[-1]:
        axes.set_xlabel("Thickness (nm)")
    panels[0, 0].legend(fontsize=7)
    figure.savefig(path, dpi=100)


def _plot_panel(axes: plt.Axes, results: Sequence[dict]) -> None:
    for level, colour in (
        ("crystal_system", "C0"),
        ("diffraction_symbol", "C1"),
        ("space_group", "C2"),
    ):
        right = {
            (r["intensities"], r["thickness"]): 100 * r["top1"][level]["micro"]
            for r in results
        }
        for kind, line in (("dynamical", "o-"), ("slab", "o--")):
            points = [(t / 10, y) for (k, t), y in right.items() if k == kind]
            label = f"{level.replace('_', ' ')}, {kind}"
            axes.plot(*zip(*points, strict=True), line, color=colour, label=label, ms=4)
        axes.axhline(right["kinematic", None], color=colour, linestyle=":")
    axes.set_xscale("log")
    ticks = sorted({r["thickness"] / 10 for r in results if r["thickness"]})
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.set_ylim(0, 100)
    axes.grid(alpha=0.3)
