# SPDX-License-Identifier: GPL-3.0-or-later
"""What an answer rests on: the spots that a model finds, and a picture of them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from pyxem_symnet.signals import checks, levels
from pyxem_symnet.signals.calibration import read_detector
from pyxem_symnet.symmetry import level_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Patterns that are looked at, evenly spread over a signal
MAX_PATTERNS = 256

_BATCH = 16
_N_RANKED = 7
_OTHER, _TRUE, _NO_CRYSTAL = "#88CCEE", "#CC6677", "#BBBBBB"


@dataclass(frozen=True, eq=False)
class Evidence:
    """Spots that a model found in a signal's patterns.

    Parameters
    ----------
    n_spots
        Number of spots in each pattern that was looked at.
    lengths
        Distances of all their spots from the direct beam in 1/Å.
    number
        Place in the signal, in the order of its data, of the pattern
        with the most spots.
    image
        That pattern, NaN where the detector is masked.
    centre
        Its direct beam (x, y) in pixels.
    pixels
        Its spots (x, y) in pixels, of shape (spots, 2).
    vectors
        Its spots (kx, ky) in 1/Å, of shape (spots, 2).
    intensities
        Their intensities.
    """

    n_spots: np.ndarray
    lengths: np.ndarray
    number: int
    image: np.ndarray
    centre: tuple[float, float]
    pixels: np.ndarray
    vectors: np.ndarray
    intensities: np.ndarray


def find_evidence(
    signal,
    model: str | os.PathLike,
    *,
    device: str = "auto",
    pixel_size: float | None = None,
    centre: str | Sequence[float] | None = None,
    beam_energy: float | None = None,
    signal_mask=None,
) -> Evidence:
    """Find the spots that a model reads a signal's patterns by.

    Parameters
    ----------
    signal
        Patterns; at most :data:`MAX_PATTERNS` of them are looked at.
    model, device, pixel_size, centre, beam_energy, signal_mask
        As for :func:`~pyxem_symnet.classify_space_group`.

    Raises
    ------
    ValueError
        If an argument doesn't fit, or patterns hold NaN.
    """
    import torch

    from pyxem_symnet.inference.devices import device_lock, get_model, resolve_device
    from pyxem_symnet.inference.plan import ModelReference
    from pyxem_symnet.inference.sources import PatternSource

    geometry = read_detector(signal, pixel_size, centre, beam_energy).to_geometry()
    mask = checks.signal_mask(signal_mask, signal)
    patterns = signal.data.reshape(-1, *signal.data.shape[-2:])
    step = -(-len(patterns) // MAX_PATTERNS)
    numbers = np.arange(0, len(patterns), step)
    where = resolve_device(device)
    reference, _ = ModelReference.find(model)
    counts, lengths, best = [], [], None
    with device_lock(where), torch.no_grad():
        network = get_model(reference, where)
        for start in range(0, len(numbers), _BATCH):
            part = numbers[start : start + _BATCH]
            block = np.asarray(patterns[part])
            source = PatternSource(block, geometry, mask, part, network, where)
            spots = source.spots(np.arange(len(part)))
            counts += spots.counts.tolist()
            found = spots.intensities > 0
            lengths.append(spots.positions.norm(dim=-1)[found].cpu().numpy())
            # The first of those with as many
            row = int(spots.counts.argmax())
            if best is None or int(spots.counts[row]) > len(best.vectors):
                best = _pattern(block[row], part[row], spots, row, geometry, mask)
    return replace(best, n_spots=np.array(counts), lengths=np.concatenate(lengths))


def _pattern(image, number, spots, row: int, geometry, mask) -> Evidence:
    """Return what is known of one pattern."""
    import torch

    image = np.asarray(image, np.float32)
    found = spots.intensities[row] > 0
    vectors = spots.positions[row][found].cpu()
    tensor = torch.from_numpy(image)[None]
    mask_tensor = None if mask is None else torch.from_numpy(mask)
    centres = geometry.centres(tensor, mask_tensor)
    return Evidence(
        n_spots=np.array([len(vectors)]),
        lengths=vectors.norm(dim=-1).numpy(),
        number=int(number),
        image=image if mask is None else np.where(mask, np.nan, image),
        centre=tuple(centres[0].tolist()),
        pixels=geometry.to_pixels(vectors[None], centres)[0].numpy(),
        vectors=vectors.numpy(),
        intensities=spots.intensities[row][found].cpu().numpy(),
    )


def plot_evidence(
    evidence: Evidence,
    values: np.ndarray,
    space_groups: Sequence[int],
    *,
    title: str = "",
    truth: int | None = None,
) -> Figure:
    """Draw a pattern with its spots, their radii, and the ranked answers.

    Parameters
    ----------
    evidence
        What :func:`find_evidence` returned.
    values
        Probabilities of shape (space groups,).
    space_groups
        Their numbers.
    title
        What is written above.
    truth
        True space group, 0 for no crystal; its labels get another
        colour.

    Returns
    -------
    matplotlib.figure.Figure
        A new figure, which is not one of pyplot's.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 5), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(5, 7))
    _draw_pattern(left.subplots(), evidence)
    panels = right.subplot_mosaic(
        [["radii", "radii"], ["crystal_system", "diffraction_symbol"]],
        height_ratios=(2, 3),
    )
    _draw_radii(panels["radii"], evidence)
    for level in ("crystal_system", "diffraction_symbol"):
        _draw_ranking(panels[level], values, space_groups, level, truth)
    figure.suptitle(title)
    return figure


def _draw_pattern(ax, evidence: Evidence) -> None:
    # The root shows weak spots beside strong ones; the beam may saturate
    shown = np.sqrt(np.clip(evidence.image, 0, None))
    finite = shown[np.isfinite(shown)]
    highest = np.quantile(finite, 0.998) if finite.size else 1
    ax.set_facecolor(_NO_CRYSTAL)
    ax.imshow(shown, cmap="gray", vmax=highest or None, interpolation="nearest")
    ax.scatter(*evidence.pixels.T, s=60, facecolors="none", edgecolors=_TRUE, lw=0.8)
    ax.plot(*evidence.centre, "+", color="#DDCC77", markersize=10)
    ax.set(xlim=(-0.5, shown.shape[1] - 0.5), ylim=(shown.shape[0] - 0.5, -0.5))
    ax.set_axis_off()
    ax.set_title(
        f"pattern {evidence.number + 1}: {len(evidence.pixels)} spots (circles), "
        "direct beam (+)",
        fontsize="small",
    )


def _draw_radii(ax, evidence: Evidence) -> None:
    own = np.hypot(*evidence.vectors.T)
    if evidence.n_spots.size > 1 and evidence.lengths.size:
        counts, edges = np.histogram(evidence.lengths, bins=200)
        ax.stairs(
            counts / counts.max(),
            edges,
            fill=True,
            color=_OTHER,
            label=f"spots of {evidence.n_spots.size} patterns, by number",
        )
    if own.size:
        heights = np.sqrt(evidence.intensities / evidence.intensities.max())
        ax.vlines(
            own, 0, heights, color=_TRUE, lw=1, label="this pattern's, √intensity"
        )
        ax.legend(fontsize="x-small", frameon=False)
    ax.set(xlabel="distance from the beam (1/Å)", ylim=(0, 1.35), yticks=[])
    ax.set_xlim(left=0)


def _draw_ranking(ax, values, space_groups, level: str, truth: int | None) -> None:
    ranked = levels.ranking(values, space_groups, level, _N_RANKED)
    true = level_of(level, truth) if truth else None
    names = [label for label, _ in ranked]
    shares = [value for _, value in ranked]
    colours = [_TRUE if label == true else _OTHER for label in names]
    if level == "crystal_system":
        names.append("not crystalline")
        shares.append(max(0.0, 1 - float(np.sum(values))))
        colours.append(_TRUE if truth == 0 else _NO_CRYSTAL)
    places = np.arange(len(names))
    ax.barh(places, shares, color=colours)
    ax.set_yticks(places, names, fontsize="small")
    ax.set(xlim=(0, 1), xlabel="probability")
    ax.invert_yaxis()
    title = level.replace("_", " ")
    ax.set_title(title if true is None else f"{title} (true: {true})", fontsize="small")
