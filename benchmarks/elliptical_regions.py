# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure what an ellipse that nobody corrected costs the regions of a map.

    python benchmarks/elliptical_regions.py STORE [--limit N] [--workers N]

STORE is a reflection store. Test crystals, the shipped `msdn-any`, sixteen views of
each in random orientations: those of a well calibrated camera, but for an ellipse
that all have in common. Writes `elliptical_regions.md` and
`elliptical_regions.json` beside this file.
"""

import dataclasses
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import numpy as np
import torch
from _lattice_trials import run

from pyxem_symnet.models import load_model
from pyxem_symnet.simulation.protocols import CLEAN_2
from pyxem_symnet.symmetry import level_of
from pyxem_symnet.training.data import draw_rotations
from pyxem_symnet.training.evaluate import load_crystals

MODEL = "msdn-any"
N_VIEWS = 16
RATIOS = (1.0, 1.0025, 1.005, 1.01, 1.02, 1.04)
LEVELS = ("crystal_system", "diffraction_symbol", "space_group")
#: Positions off by 0.0005 to 0.003 1/Å, and few false or missing spots
CAMERA = dataclasses.replace(
    CLEAN_2,
    name="camera",
    excitation_error=(0.01, 0.03),
    inner_radius=(0.03, 0.08),
    b_factor=(0.2, 1.5),
    position_jitter=(0.0005, 0.003),
    centre_shift=(0.0, 0.001),
    intensity_jitter=(0.1, 0.5),
    gamma=(0.5, 1.0),
    decades=(2.0, 3.0),
    missed=(0.0, 0.05),
    spurious=(0, 1),
)


def one(index: int, crystals, model) -> list[dict]:
    """Return what is answered to the views of a crystal, with each ellipse."""
    torch.set_num_threads(1)
    truth = int(crystals.space_group[index])
    answers = []
    for ratio in RATIOS:
        generator = torch.Generator().manual_seed(index)
        lattice = crystals.conventional_lattice[index]
        rotations = draw_rotations("random", lattice, N_VIEWS, generator)
        # As a range, also where there is none: then as many numbers are drawn
        protocol = dataclasses.replace(CAMERA, ellipticity=(ratio, ratio + 1e-9))
        spots = protocol.draw(crystals[index], rotations, generator)
        with torch.no_grad():
            together = torch.zeros(N_VIEWS, dtype=torch.long)
            features = model.accumulate(spots, together, 1)
            values = model.probabilities(features)[0].tolist()
        answer: dict = {"ratio": ratio}
        for level in LEVELS:
            shares: dict[str, float] = {}
            for number, value in zip(model.classes, values, strict=True):
                label = level_of(level, number) if number else "none"
                shares[label] = shares.get(label, 0) + value
            likeliest = max(shares, key=shares.get)
            answer[level] = likeliest == level_of(level, truth)
            answer[f"{level}_confidence"] = shares[likeliest]
        answers.append(answer)
    return answers


def measure(store: str, limit: int, workers: int) -> list[dict]:
    """Return the figures of all ellipses."""
    model = load_model(MODEL).eval()
    crystals = load_crystals(store, "test", limit, seed=3)
    known = np.isin(crystals.space_group, model.classes)
    crystals = crystals.take(np.flatnonzero(known))
    work = partial(one, crystals=crystals, model=model)
    with ProcessPoolExecutor(workers) as pool:
        answers = list(pool.map(work, range(len(crystals))))
    rows = []
    for same in zip(*answers, strict=True):
        means = {key: float(np.mean([a[key] for a in same])) for key in same[0]}
        rows.append({"n_crystals": len(same), **means})
    return rows


def report(rows: list[dict]) -> str:
    """Return the page."""
    n = rows[0]["n_crystals"]
    lines = [
        "# Regions in elliptical patterns",
        "",
        "Made by `python benchmarks/elliptical_regions.py STORE`.",
        "",
        "<!-- figures -->",
        "",
        f"First answers right, and in brackets the mean confidence, percent, for {n} "
        f"crystals of the test split in {N_VIEWS} views each, with the same noise in "
        f"all lines. The standard error of a figure is up to {50 / n**0.5:.0f} points, "
        "that of a difference less.",
        "",
        "| ratio of the axes | crystal system | diffraction symbol | space group |",
        "| ---: | ---: | ---: | ---: |",
    ]
    for row in rows:
        cells = [
            f"{100 * row[level]:.0f} ({100 * row[f'{level}_confidence']:.0f})"
            for level in LEVELS
        ]
        lines.append(f"| {row['ratio']:g} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    run("elliptical_regions", __doc__.splitlines()[0], measure, report, 60, workers=1)
