# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure what the lattice of a single pattern tells, by how precise the pattern is.

    python benchmarks/single_views.py STORE [--limit N] [--workers N]

STORE is a reflection store. Test crystals of the paper's 72 groups, one random
orientation each: spots that are displaced, and patterns of a detector. Writes
`single_views.md` and `single_views.json` beside this file.
"""

import dataclasses
import json
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import numpy as np
import torch
from _lattice_trials import run
from pyxem.signals import DiffractionVectors, ElectronDiffraction2D

from pyxem_symnet import classify_space_group
from pyxem_symnet.descriptors.spots import Spots
from pyxem_symnet.signals.levels import ranking
from pyxem_symnet.simulation.imaging import Microscope, expose
from pyxem_symnet.simulation.protocols import PROTOCOLS
from pyxem_symnet.simulation.rotations import random_rotations
from pyxem_symnet.symmetry import PAPER_SPACE_GROUPS, level_of
from pyxem_symnet.training.evaluate import load_crystals

#: Standard deviations of spots' coordinates in 1/Å
ERRORS = (0.0, 1e-4, 3e-4, 1e-3, 3e-3)
#: Pixels of a detector, and electrons of a pattern
DETECTORS = ((512, None), (512, 1e6), (256, 1e6), (256, 1e5), (256, 2e4))
#: What a detector reaches to the sides, in 1/Å; radius of the discs there, and the
#: share of the electrons that is in diffracted spots
REACH = 1.2
DISC_RADIUS = 0.02
SCATTERED = 0.4
LEVELS = ("crystal_system", "diffraction_symbol", "space_group")


def pattern_of(spots: Spots, pixels: int, dose: float | None, generator):
    """Return a pattern of a detector, as a signal."""
    microscope = Microscope(
        detector=(pixels, pixels),
        pixel_size=2 * REACH / pixels,
        dose=dose,
        disc_radius=DISC_RADIUS,
    )
    share = SCATTERED * spots.intensities / spots.intensities.sum()
    masks = microscope.detector_masks(generator)
    image = expose(Spots(spots.positions, share), microscope, masks)
    # Without counting noise, a pattern is as of very many electrons
    image = 1e6 * image if dose is None else torch.poisson(image, generator)
    signal = ElectronDiffraction2D(image[0].numpy())
    for axis, middle in zip(
        signal.axes_manager.signal_axes, microscope.centre, strict=True
    ):
        axis.scale, axis.units = microscope.pixel_size, "1/Å"
        axis.offset = -middle * microscope.pixel_size
    return signal


def vectors_of(spots: Spots) -> DiffractionVectors:
    """Return spots as a signal."""
    lists = np.empty(1, object)
    lists[0] = spots.to_arrays()[0][:, [1, 0, 2]]
    return DiffractionVectors(lists, ragged=True, units=["1/Å", "1/Å", "a.u."])


def one(index: int, crystals, error: float, detector: tuple | None) -> dict:
    """Return what a crystal's pattern is taken for, with its lattice and without."""
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(index)
    rotation = random_rotations(1, generator)
    protocol = dataclasses.replace(PROTOCOLS["clean"], position_jitter=(error, error))
    spots = protocol.draw(crystals[index], rotation, generator)
    if detector is None:
        signal = vectors_of(spots)
    else:
        signal = pattern_of(spots, *detector, generator)
    options = {
        "beam_energy": 200.0,
        "candidates": PAPER_SPACE_GROUPS,
        "device": "cpu",
        "show_progressbar": False,
    }
    truth = int(crystals.space_group[index])
    result, answers = {}, []
    for name, lattices in (("with", True), ("without", False)):
        sym = classify_space_group(signal, lattices=lattices, **options)
        answers.append(sym.data.ravel())
        for level in LEVELS:
            (first, _), *_ = ranking(answers[-1], sym.space_groups, level, 1)
            result[f"{name}_{level}"] = first == level_of(level, truth)
    # Whoever looks for a lattice and finds none gives the same answer
    result["found"] = not np.array_equal(*answers)
    return result


def measure(store: str, limit: int, workers: int) -> list[dict]:
    """Return the figures of all conditions."""
    crystals = load_crystals(store, "test", limit, seed=1)
    chosen = np.flatnonzero(np.isin(crystals.space_group, PAPER_SPACE_GROUPS))
    crystals = crystals.take(chosen)
    conditions = [(error, None) for error in ERRORS]
    conditions += [(0.0, detector) for detector in DETECTORS]
    rows = []
    with ProcessPoolExecutor(workers) as pool:
        for error, detector in conditions:
            task = partial(one, crystals=crystals, error=error, detector=detector)
            found = list(pool.map(task, range(len(crystals))))
            row = {"error": error, "detector": detector, "crystals": len(found)}
            row |= {
                key: 100 * np.mean([each[key] for each in found]) for key in found[0]
            }
            rows.append(row)
            print(json.dumps(row), flush=True)
    return rows


def table(rows: list[dict]) -> str:
    """Return the page."""
    n = rows[0]["crystals"]
    lines = [
        "# Single patterns",
        "",
        "Made by `python benchmarks/single_views.py STORE`.",
        "",
        "<!-- figures -->",
        "",
        f"{n} crystals of the test split and of the paper's 72 groups, one random "
        "orientation each, percent. *Found*: a lattice was. The others are crystal "
        "system / diffraction symbol / space group right, `lattices=True` and "
        f"`lattices=False`. The standard error is up to {50 / n**0.5:.0f} points. "
        f"Patterns of detectors reach to {REACH} 1/Å, with discs of {DISC_RADIUS} 1/Å.",
        "",
        "| pattern | found | with lattices | without |",
        "| --- | ---: | ---: | ---: |",
    ]
    for row in rows:
        if row["detector"] is None:
            what = (
                f"spots off by {row['error']:g} 1/Å" if row["error"] else "exact spots"
            )
        else:
            pixels, dose = row["detector"]
            electrons = "no noise" if dose is None else f"{dose:,.0f} electrons"
            what = f"{pixels} × {pixels} pixels, {electrons}"
        shares = [
            " / ".join(f"{row[f'{name}_{level}']:.0f}" for level in LEVELS)
            for name in ("with", "without")
        ]
        lines.append(f"| {what} | {row['found']:.0f} | {shares[0]} | {shares[1]} |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    run("single_views", __doc__, measure, table, limit=220, workers=2)
