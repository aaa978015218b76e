# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure how often a crystal's lattice is found, and what it is worth.

    python benchmarks/lattices.py STORE [--limit N] [--workers N]

STORE is a reflection store. Test crystals, the shipped `msdn-any`; the same views
are shown to the network alone, and with the lattice that is found in them. Writes
`lattices.md` and `lattices.json` beside this file.
"""

from concurrent.futures import ProcessPoolExecutor
from functools import partial

import numpy as np
import torch
from _lattice_trials import NOISES, primitive_volume, run

from pyxem_symnet.lattice import find_lattice
from pyxem_symnet.models import load_model
from pyxem_symnet.models.sums import KEPT
from pyxem_symnet.simulation.protocols import PROTOCOLS
from pyxem_symnet.symmetry import level_of
from pyxem_symnet.training.data import draw_rotations
from pyxem_symnet.training.evaluate import load_crystals

MODEL = "msdn-any"
LEVELS = ("crystal_system", "diffraction_symbol", "space_group")
CONDITIONS = [
    ("random", 2),
    ("random", 4),
    ("random", 8),
    ("random", 16),
    ("tilt", 16),
    ("zone", 3),
]
#: Largest relative error of the volume of a cell that is right. Of `noisy`, all
#: distances may be wrong by 3 %.
TOLERANCE = {"clean": 0.02, "noisy": 0.1}


def one(index: int, crystals, model, protocol: str, n_views: int, noise: str) -> dict:
    """Return what is found in the views of a crystal."""
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(index)
    lattice = crystals.conventional_lattice[index]
    rotations = draw_rotations(protocol, lattice, n_views, generator)
    spots = PROTOCOLS[noise].draw(crystals[index], rotations, generator)
    together = torch.zeros(n_views, dtype=torch.long)
    with torch.no_grad():
        features = model.accumulate(spots, together, 1)
        answer = model.probabilities(features)[0]
        kept = features.pop(KEPT)[0]
        alone = model.probabilities(features)[0]
    views = model.lattice.views(kept)
    fit = find_lattice(views) if len(views) > 1 else None
    truth = int(crystals.space_group[index])
    volume = primitive_volume(crystals, index)
    right = fit is not None and abs(fit.volume / volume - 1) < TOLERANCE[noise]
    result = {"found": right, "volume": volume}
    for name, values in (("alone", alone), ("lattice", answer)):
        for level in LEVELS:
            shares: dict[str, float] = {}
            for number, value in zip(model.classes, values.tolist(), strict=True):
                label = level_of(level, number) if number else "none"
                shares[label] = shares.get(label, 0) + value
            result[f"{name}_{level}"] = max(shares, key=shares.get) == level_of(
                level, truth
            )
    return result


def measure(store: str, limit: int, workers: int) -> list[dict]:
    """Return the figures of all conditions."""
    model = load_model(MODEL).eval()
    crystals = load_crystals(store, "test", limit, seed=2)
    known = np.isin(crystals.space_group, model.classes)
    crystals = crystals.take(np.flatnonzero(known))
    results = []
    for protocol, n_views in CONDITIONS:
        for noise in NOISES:
            work = partial(
                one,
                crystals=crystals,
                model=model,
                protocol=protocol,
                n_views=n_views,
                noise=noise,
            )
            with ProcessPoolExecutor(workers) as pool:
                answers = list(pool.map(work, range(len(crystals)), chunksize=10))
            result = {"protocol": protocol, "views": n_views, "noise": noise}
            result["n_crystals"] = len(answers)
            for key in answers[0]:
                if key != "volume":
                    result[key] = float(np.mean([answer[key] for answer in answers]))
            results.append(result)
            print(result, flush=True)
    return results


def report(results: list[dict]) -> str:
    """Return the page."""
    n_crystals = results[0]["n_crystals"]
    lines = [
        "# Lattices",
        "",
        "Made by `python benchmarks/lattices.py STORE`.",
        "",
        "<!-- figures -->",
        "",
        f"{n_crystals} crystals of the test split, percent. *Found*: the volume of "
        "the primitive cell is right within 2 % (clean) or 10 % (noisy, where all "
        "distances may be wrong by 3 %). First answer right, by the network alone and "
        "with the lattice. The standard error is up to "
        f"{50 / n_crystals**0.5:.1f} points; of the difference, less.",
        "",
        "| views | noise | lattice found | crystal system | diffraction symbol "
        "| space group |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
    ]
    for result in results:
        cells = [f"{result['views']} {result['protocol']}", result["noise"]]
        cells.append(f"{100 * result['found']:.0f}")
        for level in LEVELS:
            before, after = result[f"alone_{level}"], result[f"lattice_{level}"]
            cells.append(f"{100 * before:.0f} → {100 * after:.0f}")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    run("lattices", __doc__.splitlines()[0], measure, report, limit=100, workers=1)
