# SPDX-License-Identifier: GPL-3.0-or-later
"""What an explanation says in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pyxem_symnet.descriptors.ellipticity import ellipse_of
from pyxem_symnet.lattice import SeriesFit
from pyxem_symnet.signals.explain_influence import shares
from pyxem_symnet.symmetry import level_of, members, space_group

if TYPE_CHECKING:
    from pyxem_symnet.lattice import LatticeFit
    from pyxem_symnet.signals.explain import Explanation

# Space groups of a set that are named
_NAMED = 4
# How the direct beam was located
_CENTRES = {
    "given": "as given",
    "beam": "found as the brightest blob",
    "friedel": "found by inversion symmetry",
    "descan": "from its path across the scan",
}
# Ratio of the axes of an ellipse up to which it is not worth mentioning
_ROUND = 1.001
# A label this probable beside the first is worth mentioning
_RIVAL = 0.2


def findings(explanation: Explanation) -> list[str]:
    """Return what the answer is, and what the data can tell.

    Parameters
    ----------
    explanation
        The explanation.
    """
    if not any(len(view.vectors) for view in explanation.views):
        return [
            "No spots were found, so there is no answer. Look at the pattern, at the "
            "direct beam and at the mask."
        ]
    lines = [_decision(explanation), _views(explanation)]
    if explanation.lattice is not None:
        lines.append(_lattice(explanation.lattice))
    if explanation.not_crystalline < 0.5:
        lines += _symbol(explanation)
    lines += _stability(explanation)
    return lines


def preparation(explanation: Explanation) -> list[str]:
    """Return what was done to the patterns.

    Parameters
    ----------
    explanation
        The explanation.
    """
    record, shown = explanation.record, explanation.shown
    lines = [f"Model {record['model']['name']}."]
    calibration = list(record["calibration"].values())[shown.signal]
    if "pixel_size" in calibration:
        sizes = dict.fromkeys(f"{size:.5g}" for size in calibration["pixel_size"])
        x, y = shown.preparation.centre
        how = _CENTRES.get(shown.preparation.centre_method, "found")
        lines.append(
            f"Pixel size {' × '.join(sizes)} 1/Å. Direct beam at pixel "
            f"({x:.1f}, {y:.1f}), {how}."
        )
    else:
        lines.append("Diffraction vectors: spots that were found before.")
    lines += _masks(explanation)
    lines += _finder(record)
    if record.get("reciprocal_radius"):
        lines.append(f"Spots beyond {record['reciprocal_radius']:g} 1/Å left out.")
    if record.get("candidates") is not None:
        lines.append(f"Only {_listed(record['candidates'])} were allowed.")
    return lines


def group_set(label: str, n: int = _NAMED) -> str:
    """Return the space groups of a diffraction symbol as text.

    Parameters
    ----------
    label
        Diffraction symbol.
    n
        Most numbers to name.
    """
    return _listed(members("diffraction_symbol", label), n)


def counted(number: int, noun: str) -> str:
    """Return a number of things."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def percent(value: float) -> str:
    """Return a share in percent, as text."""
    return f"{100 * value:.0f} %" if not 0 < value < 0.01 else "< 1 %"


def _listed(numbers: Sequence[int], n: int = _NAMED) -> str:
    names = [str(number) for number in numbers]
    if len(names) > n + 1:
        return f"{', '.join(names[:n])} and {len(names) - n} more"
    return " and ".join((", ".join(names[:-1]), names[-1]) if names[1:] else names)


def _decision(explanation: Explanation) -> str:
    level = explanation.level
    words = level.replace("_", " ")
    first, *others = explanation.ranking(level, 2)
    text = f"{first[0]} {percent(first[1])}"
    if explanation.not_crystalline > first[1]:
        return (
            f"No answer: not a crystal {percent(explanation.not_crystalline)}; the "
            f"first {words} is {text}."
        )
    rival = ""
    if others and others[0][1] > _RIVAL:
        rival = f", then {others[0][0]} {percent(others[0][1])}"
    if explanation.abstained:
        needed = percent(explanation.threshold)
        return f"No answer: no {words} reaches {needed}. First {text}{rival}."
    return f"Answer: {text}{rival}."


def _views(explanation: Explanation) -> str:
    n_spots = np.array([len(view.vectors) for view in explanation.views])
    if explanation.n_patterns == 1:
        return (
            f"One view with {counted(n_spots[0], 'spot')}. It shows the symmetry of "
            "one projection at best; more orientations would say more."
        )
    text = (
        f"{explanation.n_patterns} patterns with {np.median(n_spots):g} spots in the "
        "median. The model takes them for "
        f"{counted(round(explanation.n_distinct), 'different orientation')}."
    )
    if len(n_spots) < explanation.n_patterns:
        text += f" {len(n_spots)} of them were looked at here."
    return text


def _lattice(fit: LatticeFit) -> str:
    a, b, c, *angles = fit.cell
    alpha, beta, gamma = (f"{angle:.1f}" for angle in angles)
    share = percent(fit.n_matched / max(1, fit.n_spots))
    turned = ""
    if isinstance(fit, SeriesFit):
        turned = (
            f", each turned by {fit.step:.2f} degrees from the last about an axis "
            f"{fit.axis:.0f} degrees from x"
        )
    distorted = ""
    ratio, direction = ellipse_of(fit.distortion)
    if ratio > _ROUND:
        distorted = (
            f" All patterns are distorted to an ellipse of {ratio:.3f} along "
            f"{direction:.0f}°, which was fitted with it."
        )
    return (
        f"A lattice explains {share} of {counted(fit.n_spots, 'spot')} in "
        f"{counted(len(fit.views), 'pattern')}{turned}. Its reduced primitive cell: "
        f"{a:.2f}, {b:.2f} and {c:.2f} Å, {alpha}, {beta} and {gamma} degrees."
        f"{distorted}{_alternatives(fit)}"
    )


def _alternatives(fit: LatticeFit) -> str:
    if not fit.alternatives:
        return ""
    others = counted(len(fit.alternatives), "other lattice")
    explain = "explains" if len(fit.alternatives) == 1 else "explain"
    volumes = _listed([round(other.volume) for other in fit.alternatives])
    patterns = "this pattern" if len(fit.views) == 1 else "these patterns"
    return (
        f" Its volume is {fit.volume:.0f} Å³; {others}, of {volumes} Å³, {explain} "
        f"{patterns} about as well and may be the crystal's. One along another "
        "direction would tell."
    )


def _symbol(explanation: Explanation) -> list[str]:
    symbol, share = explanation.ranking("diffraction_symbol", 1)[0]
    groups = members("diffraction_symbol", symbol)
    laue = level_of("laue_class", groups[0])
    told = f"First diffraction symbol: {symbol} ({percent(share)}), Laue class {laue}"
    told += " and the absences." if _has_conditions(symbol) else ", no absences"
    if not _has_conditions(symbol):
        centred = space_group(groups[0]).centring != "P"
        told += " but those of the centring." if centred else "."
        told += " A screw axis or glide plane shows only if its row was recorded."
    if len(groups) == 1:
        name = space_group(groups[0]).symbol
        can = f"It has one space group, {groups[0]} ({name}): absences decide it."
    else:
        can = (
            f"Kinematic data cannot tell its space groups {_listed(groups)} apart: "
            "their order is a prior, learnt from what is common."
        )
    lines = [told, can]
    missing = set(groups) - set(explanation.space_groups)
    if missing:
        what = (
            "none of them" if len(missing) == len(groups) else _listed(sorted(missing))
        )
        lines.append(f"Not among the ranked ones: {what}.")
    group = explanation.ranking("space_group", 1)[0][0]
    number = members("space_group", group)[0]
    if number not in groups:
        lines.append(
            f"The most probable single space group, {number} ({group}), has another "
            "symbol: probabilities add up over a set."
        )
    return lines


def _has_conditions(symbol: str) -> bool:
    """Tell whether a symbol says more than Laue class and centring."""
    return any(part not in ("-", "1") for part in symbol.split()[2:])


def _stability(explanation: Explanation) -> list[str]:
    """Return which changes of the evidence change the answer."""
    groups = explanation.space_groups
    values = np.array([each.probabilities for each in explanation.influences])
    if not len(values):
        return []
    level = explanation.level
    base, labels = shares(explanation.recomputed, groups, level)
    first = shares(values, groups, level)[0].argmax(-1)
    changed = [
        (each, labels[place])
        for each, place in zip(explanation.influences, first, strict=True)
        if place != base.argmax()
    ]
    if not changed:
        pattern = " or pattern" if len(explanation.views) > 1 else ""
        return [
            f"The first answer stays {labels[int(base.argmax())]} with any one input "
            f"of the network blank, without any one ring{pattern}, and with all "
            "distances 2 % longer or shorter."
        ]
    parts = [f"{label} with {each.name}" for each, label in changed]
    parts = [part.replace("with without", "without") for part in parts]
    more = f" and {len(parts) - 4} more" if len(parts) > 4 else ""
    return [f"The first answer becomes {'; '.join(parts[:4])}{more}."]


def _masks(explanation: Explanation) -> list[str]:
    preparation = explanation.shown.preparation
    if preparation is None:
        return []
    lines = []
    ratio, angle = preparation.ellipticity
    if ratio != 1:
        how = ", measured in spots of many orientations"
        how = how if preparation.ellipse_method == "measured" else ""
        lines.append(f"Ellipse of {ratio:.3f} along {angle:.0f}° corrected{how}.")
    counts = {reason: int(mask.sum()) for reason, mask in preparation.masks.items()}
    if any(counts.values()):
        share = percent(sum(counts.values()) / preparation.mask.size)
        text = ", ".join(f"{n} {reason}" for reason, n in counts.items() if n)
        lines.append(f"Detector pixels left out: {text} ({share}).")
    return lines


def _finder(record: dict) -> list[str]:
    settings = record["preprocessing"]
    finder = settings.get("finder") or {}
    lines = []
    if finder and "pixel_size" in next(iter(record["calibration"].values())):
        lines.append(
            f"A spot exceeds its surroundings by {finder['threshold']:g} standard "
            f"deviations and {percent(finder['min_contrast'])}, beyond "
            f"{finder['central_radius']:g} 1/Å of the beam, or 1.5 times its disc if "
            f"that is more; the strongest {finder['max_spots']} are kept."
        )
    reach = [
        f"{name} to {settings[key]['radius']:g} 1/Å"
        for key, name in (("radial", "lengths"), ("pairs", "angles"))
        if settings.get(key)
    ]
    if reach:
        lines.append(f"The network reads {' and '.join(reach)}.")
    return lines
