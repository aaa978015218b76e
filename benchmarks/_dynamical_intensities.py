# SPDX-License-Identifier: GPL-3.0-or-later
"""How dynamical intensities differ from kinematic ones, and their imitation."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from dynamical_set import Beams
from scipy.stats import spearmanr

from pyxem_symnet.descriptors.spots import Spots
from pyxem_symnet.simulation.spot_defects import (
    compress_intensities,
    double_diffraction,
)

#: Reflections weaker than this fraction of the crystal's strongest are forbidden,
#: or as good as: the reflection store leaves them out
_FORBIDDEN = 1e-5

#: Beams farther from the Ewald sphere, in 1/Å, are not compared with |F|²
_NEAR = 0.005

#: Strongest spots whose median intensity tells how steeply intensities fall
_STRONGEST = 30

#: Views of each crystal that are looked at
_VIEWS = 4

#: Fewest beams that figures of one view are taken from
_FEWEST = 10

#: What the columns mean, for the report
LEGEND = (
    f"Of beams within {_NEAR:g} 1/Å of the Ewald sphere: the rank correlation of",
    "intensity and |F|², the exponent γ of the law I ∝ |F|^2γ that fits best, and",
    "the standard deviation of ln I about it (medians over views). Of all spots:",
    f"how far below the strongest the median of the {_STRONGEST} strongest lies, in",
    "powers of ten; the mean share of spots that are forbidden (|F|² below 10⁻⁵ of",
    "the crystal's strongest), and how far below the strongest their median lies.",
)

#: Exponents and strengths of double diffraction to imitate with
_IMITATIONS = ((1.0, 0.0), (0.65, 0.05), (0.65, 0.2), (0.4, 0.2), (0.3, 0.4))


def compare(
    crystals: Sequence[tuple[dict, Beams]],
    conditions: Sequence[tuple[str, float, Callable[[Beams], np.ndarray]]],
    decades: float,
) -> list[str]:
    """Return Markdown rows of figures of intensities.

    Parameters
    ----------
    crystals
        Labels and beams of each crystal.
    conditions
        Kinds of intensities, their thicknesses in Å and what computes
        them.
    decades
        Range in powers of ten in which spots are found.
    """
    lines = [
        "| intensities | thickness (nm) | rank correlation with \\|F\\|² | γ | "
        f"scatter | median of the {_STRONGEST} strongest (decades) | "
        "forbidden (% of spots) | their strength (decades) |",
        "| --- |" + " ---: |" * 7,
    ]
    for kind, thickness, intensities in conditions:
        figures = []
        for _, beams in crystals:
            intensity = intensities(beams)
            figures += [
                _figures(intensity[part], beams, part, decades)
                for part in _views(beams)
            ]
        columns = np.transpose(figures)
        rank, gamma, scatter, median = np.nanmedian(columns[:4], axis=1)
        strengths = columns[5][np.isfinite(columns[5])]
        strength = f"{np.median(strengths):.1f}" if len(strengths) else "–"
        lines.append(
            f"| {kind} | {thickness / 10:g} | {rank:.2f} | {gamma:.2f} | "
            f"{scatter:.2f} | {median:.2f} | {100 * columns[4].mean():.1f} | "
            f"{strength} |"
        )
    return lines


def _views(beams: Beams) -> Iterator[slice]:
    for start, stop in itertools.pairwise(beams.first[: _VIEWS + 1]):
        if stop > start:
            yield slice(start, stop)


def _figures(
    intensity: np.ndarray, beams: Beams, part: slice, decades: float
) -> tuple[float, ...]:
    squared = beams.structure_factor[part]
    forbidden = squared < _FORBIDDEN * beams.structure_factor.max()
    error = np.abs(beams.excitation_error[:, part].mean(0))
    near = (error < _NEAR) & ~forbidden & (intensity > 0)
    rank = gamma = scatter = strength = np.nan
    if near.sum() >= _FEWEST:
        kinematic, real = np.log(squared[near]), np.log(intensity[near])
        rank = float(spearmanr(kinematic, real).statistic)
        gamma, offset = np.polyfit(kinematic, real, 1)
        scatter = float(np.std(real - gamma * kinematic - offset))
    relative = intensity / intensity.max()
    found = relative > 10**-decades
    share = float((found & forbidden).sum() / found.sum())
    if (found & forbidden).any():
        strength = float(np.median(np.log10(relative[found & forbidden])))
    return rank, gamma, scatter, _median_of_strongest(relative), share, strength


def _median_of_strongest(relative: np.ndarray) -> float:
    strongest = np.sort(relative[relative > 0])[::-1][:_STRONGEST]
    return float(np.log10(np.median(strongest)))


def imitate(
    crystals: Sequence[tuple[dict, Beams]],
    kinematic: Callable[[Beams], np.ndarray],
    find_spots: Callable[[Beams, np.ndarray], Spots],
    decades: float,
) -> list[str]:
    """Return Markdown rows of imitated intensities."""
    lines = [
        f"| γ | c | median of the {_STRONGEST} strongest (decades) | "
        "double diffraction (% of spots) | their strength (decades) |",
        "| ---: |" + " ---: |" * 4,
    ]
    spots = [find_spots(beams, kinematic(beams)) for _, beams in crystals]
    for gamma, strength in _IMITATIONS:
        medians, shares, strengths = [], [], []
        for part in spots:
            n_slots = part.intensities.shape[1]
            some = Spots(*(tensor[:_VIEWS] for tensor in part))
            imitated = double_diffraction(some, strength, radius=1.28)
            imitated = compress_intensities(imitated, gamma)
            for relative in imitated.relative_intensities():
                if not relative.any():
                    continue
                found = relative > 10**-decades
                added = relative[n_slots:][found[n_slots:]]
                medians.append(_median_of_strongest(relative.numpy()))
                shares.append(100 * len(added) / int(found.sum()))
                if len(added):
                    strengths.append(float(torch.log10(added).median()))
        typical = f"{np.median(strengths):.1f}" if strengths else "–"
        lines.append(
            f"| {gamma:g} | {strength:g} | {np.median(medians):.2f} | "
            f"{np.mean(shares):.1f} | {typical} |"
        )
    return lines
