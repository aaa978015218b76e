# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure how often the lattice of a simulated rotation series is found.

    python benchmarks/series.py STORE [--limit N] [--workers N]

STORE is a reflection store. Test crystals, each with an axis, a step and a number of
views of its own. Writes `series.md` and `series.json` beside this file.
"""

import json
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import numpy as np
import torch
from _lattice_trials import NOISES, primitive_volume, run

from pyxem_symnet.lattice import find_series_lattice
from pyxem_symnet.simulation.protocols import PROTOCOLS
from pyxem_symnet.simulation.rotations import random_rotations, tilt_series
from pyxem_symnet.training.evaluate import load_crystals

#: Degrees from the first view to the last
SPANS = ((30.0, 60.0), (60.0, 140.0))
#: Views of a series
VIEWS = (25, 80)
#: Largest relative error of the volume of a cell that is right. Of `noisy`, all
#: distances may be wrong by 3 %.
TOLERANCE = {"clean": 0.03, "noisy": 0.1}


def one(index: int, crystals, noise: str, span: tuple[float, float]) -> dict:
    """Return what is found in a series of a crystal, with and without its step."""
    torch.set_num_threads(1)
    random = np.random.default_rng(index)
    n_views = int(random.integers(*VIEWS))
    step = random.uniform(*span) / (n_views - 1)
    azimuth = random.uniform(0, 2 * np.pi)
    generator = torch.Generator().manual_seed(index)
    start = random_rotations(1, generator)[0]
    axis = torch.tensor([np.cos(azimuth), np.sin(azimuth), 0.0])
    rotations = tilt_series(start, axis, step * torch.arange(n_views))
    spots = PROTOCOLS[noise].draw(crystals[index], rotations, generator)
    views = spots.to_arrays()
    volume = primitive_volume(crystals, index)
    result = {}
    for name, given in (("auto", None), ("given", step)):
        began = time.perf_counter()
        fit = find_series_lattice(views, step=given)
        result[f"{name}_seconds"] = time.perf_counter() - began
        found = fit is not None
        right = found and abs(fit.volume / volume - 1) < TOLERANCE[noise]
        result[f"{name}_right"] = bool(right)
        result[f"{name}_wrong"] = bool(found and not right)
        if given is None and right:
            result["step_error"] = abs(fit.step / step - 1)
    return result


def measure(store: str, limit: int, workers: int) -> list[dict]:
    """Return the figures of all conditions."""
    crystals = load_crystals(store, "test", limit)
    rows = []
    with ProcessPoolExecutor(workers) as pool:
        for noise in NOISES:
            for span in SPANS:
                task = partial(one, crystals=crystals, noise=noise, span=span)
                found = list(pool.map(task, range(len(crystals))))
                row = {"noise": noise, "span": span, "crystals": len(found)}
                for name in ("auto", "given"):
                    for what in ("right", "wrong"):
                        key = f"{name}_{what}"
                        row[key] = 100 * np.mean([each[key] for each in found])
                    seconds = [each[f"{name}_seconds"] for each in found]
                    row[f"{name}_seconds"] = float(np.median(seconds))
                errors = [e["step_error"] for e in found if "step_error" in e]
                row["step_error"] = float(np.median(errors)) if errors else None
                rows.append(row)
                print(json.dumps(row), flush=True)
    return rows


def table(rows: list[dict]) -> str:
    """Return the page."""
    n = rows[0]["crystals"]
    lines = [
        "# Rotation series",
        "",
        "Made by `python benchmarks/series.py STORE`.",
        "",
        "<!-- figures -->",
        "",
        f"{n} crystals of the test split, {VIEWS[0]} to {VIEWS[1] - 1} views each, "
        "percent. *Found*: the volume of the primitive cell is right within 3 % "
        "(clean) or 10 % (noisy, where all distances may be wrong by 3 %); *wrong*: "
        "another lattice is returned. The others are told to be no series. The "
        f"standard error is up to {50 / n**0.5:.0f} points. The error of the step is "
        "the median of those found.",
        "",
        "| degrees in all | noise | found, step unknown | wrong | error of the step "
        "| found, step given | wrong |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in rows:
        low, high = row["span"]
        error = "–" if row["step_error"] is None else f"{100 * row['step_error']:.1f}"
        lines.append(
            f"| {low:g} to {high:g} | {row['noise']} | {row['auto_right']:.0f} "
            f"| {row['auto_wrong']:.0f} | {error} | {row['given_right']:.0f} "
            f"| {row['given_wrong']:.0f} |"
        )
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    run("series", __doc__, measure, table, limit=40, workers=2)
