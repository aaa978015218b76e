# SPDX-License-Identifier: GPL-3.0-or-later
"""``pyxem-symnet demo``: maps of simulated scans beside the truth."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pyxem_symnet.commands._shared import (
    check_free,
    device_option,
    model_option,
    overwrite_option,
    replacing,
    show_progress,
    user_errors,
)

if TYPE_CHECKING:
    import numpy as np

_FILES = ("symmetry.zspy", "crystal_map.h5")


@dataclass(frozen=True)
class Example:
    """A scan and the space group of each of its points.

    Parameters
    ----------
    title
        What it is.
    prefix
        What its files' names start with.
    level
        Level of symmetry that is pictured.
    signal
        Calibrated patterns.
    space_groups
        Numbers of shape (rows, columns).
    n_grains
        Number of grains.
    """

    title: str
    prefix: str
    level: str
    signal: object
    space_groups: np.ndarray
    n_grains: int


@click.command()
@click.option(
    "--out",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("demo"),
    show_default=True,
    help="Folder to write to.",
)
@click.option(
    "--size",
    type=click.IntRange(4, 200),
    default=32,
    show_default=True,
    help="Points along each side of the scans.",
)
@click.option(
    "--grains",
    type=click.IntRange(1, 100),
    default=24,
    show_default=True,
    help="Grains of each phase.",
)
@click.option("--seed", type=int, default=0, show_default=True)
@model_option
@device_option
@overwrite_option
def demo(
    folder: Path,
    size: int,
    grains: int,
    seed: int,
    model: str,
    device: str,
    overwrite: bool,
) -> None:
    """Simulate two polycrystals, map them, compare with the truth.

    Writes map.png with both scans, and the probabilities and the crystal
    map of each: symmetry.zspy and crystal_map.h5 of oxides made by this
    package, and the same with iron_ in front of pyxem's iron.
    """
    from pyxem_symnet import classify_space_group

    names = [f"{prefix}{name}" for prefix in ("", "iron_") for name in _FILES]
    for name in ("map.png", *names):
        check_free(folder / name, overwrite)
    maps = []
    with user_errors():
        for example in (_oxides(size, grains, seed), _iron(size, grains, seed)):
            options = {
                "model": model,
                "device": device,
                "show_progressbar": show_progress(),
            }
            alone = classify_space_group(example.signal, **options)
            pooled = classify_space_group(
                example.signal, regions=example.space_groups, **options
            )
            maps.append((example, alone, pooled))
            _report(example, alone, pooled)
            _write(folder, example, alone, overwrite)
        with replacing(folder / "map.png", overwrite) as temporary:
            _picture(maps).savefig(temporary, dpi=150)
    click.echo(f"Written to {folder}: map.png, {', '.join(names)}.")


def _oxides(size: int, grains: int, seed: int) -> Example:
    """Return monoclinic zirconia and tetragonal anatase."""
    from pyxem_symnet.simulation import example_phases, make_scan

    known = example_phases()
    phases = [known["baddeleyite"], known["anatase"]]
    scan = make_scan(phases, (size, size), grains=2 * grains, seed=seed)
    title = "ZrO2 (P2_1/c) and TiO2 (I4_1/amd), this package's simulation"
    return Example(
        title, "", "crystal_system", scan.signal, scan.space_groups, 2 * grains
    )


def _iron(size: int, grains: int, seed: int) -> Example:
    """Return pyxem's own example of ferrite and austenite."""
    import numpy as np
    from pyxem.data import fe_multi_phase_grains
    from skimage.segmentation import expand_labels

    # pyxem draws the orientations with NumPy's global generator
    state = np.random.get_state()  # noqa: NPY002
    np.random.seed(seed)  # noqa: NPY002
    try:
        signal = fe_multi_phase_grains(num_grains=grains, seed=seed, size=size)
    finally:
        np.random.set_state(state)  # noqa: NPY002
    # It does not say which grain is where. They are drawn like this, ferrite first.
    random = np.random.default_rng(seed)
    rows, columns = (random.integers(0, size, size=2 * grains) for _ in range(2))
    labels = np.zeros((size, size), int)
    for number, place in enumerate(zip(rows, columns, strict=True), start=1):
        labels[place] = number
    labels = expand_labels(labels, distance=size)
    title = "Iron: ferrite (Im-3m) and austenite (Fm-3m), pyxem's simulation"
    truth = np.where(labels <= grains, 229, 225)
    return Example(title, "iron_", "bravais_lattice", signal, truth, 2 * grains)


def _report(example: Example, alone, pooled) -> None:
    import numpy as np

    from pyxem_symnet.signals.levels import ranking
    from pyxem_symnet.symmetry import LEVELS, level_of, rank_of_truth

    truth = example.space_groups
    groups = alone.space_groups
    size = " x ".join(map(str, truth.shape))
    click.echo(f"\n{example.title}: {size} points, {example.n_grains} grains")
    header = "points right, each alone"
    click.echo(
        f"  {'level':<19}{header:>25}   both phases' points pooled: first answer"
    )
    regions = pooled.to_regions()
    labels = pooled.metadata.Symmetry.regions.labels
    for level in LEVELS:
        right = rank_of_truth(alone.data, groups, level, truth) == 1
        answers = []
        for number, row in zip(labels, regions.data, strict=True):
            (answer, confidence), *_ = ranking(row, groups, level, 1)
            true = level_of(level, number)
            verdict = "right" if answer == true else f"wrong, is {true}"
            answers.append(f"{answer} {100 * confidence:.0f} % ({verdict})")
        share = f"{100 * np.mean(right):.1f} %"
        click.echo(f"  {level.replace('_', ' '):<19}{share:>25}   {'; '.join(answers)}")


def _write(folder: Path, example: Example, sym, overwrite: bool) -> None:
    from orix import io

    probabilities, crystal_map = (folder / (example.prefix + name) for name in _FILES)
    with replacing(probabilities, overwrite) as temporary:
        sym.save(temporary)
    with replacing(crystal_map, overwrite) as temporary:
        io.save(str(temporary), sym.to_crystal_map())


def _picture(maps):
    """Return a figure: truth, each point alone, phases pooled."""
    from matplotlib.figure import Figure

    from pyxem_symnet.signals.results import from_array

    figure = Figure(figsize=(15, 4 * len(maps)), layout="constrained")
    axes = figure.subplots(len(maps), 3, squeeze=False)
    for row, (example, alone, pooled) in zip(axes, maps, strict=True):
        groups = sorted(set(example.space_groups.ravel().tolist()))
        certain = (example.space_groups[..., None] == groups).astype("float32")
        truth = from_array(certain, groups, example.signal, {})
        titles = ("truth", "each point alone", "points of a phase pooled")
        for ax, sym, title in zip(row, (truth, alone, pooled), titles, strict=True):
            sym.plot_map(example.level, ax=ax)
            ax.set_title(f"{example.level.replace('_', ' ')}: {title}")
        row[0].set_ylabel(example.title.replace(", ", "\n"), fontsize="small")
    return figure
