# SPDX-License-Identifier: GPL-3.0-or-later
"""From the detector to the answer: simulated acquisitions of crystals not trained on.

    python benchmarks/acquisitions.py STRUCTURES [--series N] [--patterns N]
        [--workers N] [--folder F]

STRUCTURES is the structure table. Cubic, orthorhombic and monoclinic crystals of the
test splits and made-up molecular ones, each as one pattern near a zone axis, and the
first of them as a rotation series too, on a detector of its own. Patterns are written
to a folder and read by what `pyxem-symnet validate` runs. Writes `acquisitions.md` and
`acquisitions.json` beside this file.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch
from _acquisitions import draw_acquisition, write_set

from pyxem_symnet.signals import validate
from pyxem_symnet.simulation.structures import Crystal, label, read_table
from pyxem_symnet.simulation.wyckoff import orbit
from pyxem_symnet.symmetry import level_of
from pyxem_symnet.training.splits import name_fraction, split_of

HERE = Path(__file__).parent
SEED = 1000
SPLITS = ("test", "unseen-types")
SYSTEMS = ("cubic", "orthorhombic", "monoclinic")

#: Crystals whose acquisitions are listed one by one
LISTED = 20
LEVELS = ("crystal_system", "laue_class", "diffraction_symbol", "space_group")

#: Hall number, cell in Å and degrees, and atoms in general positions of made-up
#: crystals of light atoms, as those of molecules are
MOLECULAR = {
    "molecular P2_12_12_1": (115, (8.1, 11.7, 17.3, 90, 90, 90), 8),
    "molecular P2_1/c": (81, (10.7, 7.3, 11.1, 90, 108, 90), 10),
    "molecular P2_1": (6, (9.2, 7.9, 12.4, 90, 101, 90), 12),
}


def molecular(name: str, seed: int) -> Crystal:
    """Return a crystal of light atoms at random places."""
    from diffpy.structure import Lattice

    hall, cell, n_sites = MOLECULAR[name]
    random = np.random.default_rng(seed)
    sites = [orbit(place, hall) for place in random.uniform(size=(n_sites, 3))]
    numbers = np.repeat(random.choice([6, 6, 7, 8], n_sites), list(map(len, sites)))
    crystal = Crystal(name, Lattice(*cell).base, numbers, np.concatenate(sites))
    return label(crystal)


def choose_crystals(structures: str, n: int) -> list[tuple[str, Crystal]]:
    """Return so many crystals, of both splits and the three systems in turn."""
    kinds = [(split, system) for system in SYSTEMS for split in SPLITS]
    pools = {kind: [] for kind in kinds}
    for crystal in read_table(structures):
        split = split_of(crystal.material_id, crystal.structure_type)
        kind = split, level_of("crystal_system", crystal.space_group)
        if kind in pools:
            pools[kind].append(crystal)
    for pool in pools.values():
        # Another order than that which the splits are made by
        pool.sort(key=lambda crystal: name_fraction(f"{SEED}:{crystal.material_id}"))
    made_up = [
        ("made-up", molecular(name, seed))
        for seed, name in enumerate(MOLECULAR, start=1)
    ]
    turns = (divmod(i, len(kinds)) for i in range(max(0, n - len(made_up))))
    known = [(kinds[place][0], pools[kinds[place]][turn]) for turn, place in turns]
    return (made_up + known)[:n]


def _record(task: tuple[str, Crystal, int, list[str], Path]) -> list[dict]:
    """Record a crystal in some ways, and return what is said of it."""
    torch.set_num_threads(1)
    split, crystal, number, kinds, folder = task
    seeds = [SEED + 2 * number + ("series", "pattern").index(kind) for kind in kinds]
    acquisitions = [
        draw_acquisition(crystal, kind, seed)
        for kind, seed in zip(kinds, seeds, strict=True)
    ]
    folder.mkdir(parents=True, exist_ok=True)
    known = write_set(folder, acquisitions, seeds)
    rows = []
    for said, truth in zip(validate(folder), known, strict=True):
        row = {"number": number, "split": split} | truth | said.to_dict()
        if "error" not in row:
            centre = np.array(said.explanation.shown.preparation.centre)
            row["centre_error"] = float(np.linalg.norm(centre - truth["centre"]))
        rows.append(row)
        print(truth["crystal"], row["kind"], row["rank"], flush=True)
    return rows


def table(rows: list[dict]) -> str:
    """Return the page."""
    lines = [
        "# From the detector to the answer",
        "",
        "Written by `python benchmarks/acquisitions.py STRUCTURES`.",
        "",
        "<!-- table -->",
        "",
        "| kind | sets | first answer right: crystal system | Laue class "
        "| diffraction symbol | space group | system among the first two "
        "| mean confidence of the system | says nothing | system wrong, but said |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    parts = [(kind, None) for kind in ("series", "pattern")]
    parts += [("pattern", split) for split in SPLITS]
    for kind, split in parts:
        own = [row for row in rows if row["kind"] == kind and row["rank"]]
        own = [row for row in own if split in (None, row["split"])]
        if not own:
            continue
        ranks = {level: np.array([r["rank"][level] for r in own]) for level in LEVELS}
        said = np.array([not row["abstained"] for row in own])
        wrong = ranks["crystal_system"] > 1
        figures = [100 * (ranks[level] == 1).mean() for level in LEVELS]
        figures.append(100 * (ranks["crystal_system"] <= 2).mean())
        figures.append(100 * np.mean([r["confidence"]["crystal_system"] for r in own]))
        figures += [100 * (~said).mean(), 100 * (said & wrong).mean()]
        cells = " | ".join(f"{figure:.0f} %" for figure in figures)
        of = "" if split is None else f", {split}"
        lines.append(f"| {kind}{of} | {len(own)} | {cells} |")
    listed = [row for row in rows if row["number"] < LISTED]
    lines += [
        "",
        f"Those of the first {LISTED} crystals one by one; all are in "
        "`acquisitions.json`.",
        "",
        "| kind | crystal | split | truth | detector | kV | patterns "
        "| spots: true, found | centre off (px) | system answered "
        "| place of the system, of the symbol |",
        "| --- | --- | --- | ---: | --- | ---: | ---: | ---: | ---: | --- | ---: |",
    ]
    for row in listed:
        if not row["rank"]:
            lines.append(
                f"| {row['kind']} | {row['crystal']} | | | | | | | | error | |"
            )
            continue
        notes = " stop" * row["stop"] + " off the middle" * row["off_centre"]
        share = 100 * row["confidence"]["crystal_system"]
        answer = f"{row['best']['crystal_system']} {share:.0f} %"
        lines.append(
            f"| {row['kind']} | {row['crystal']} | {row['split']} "
            f"| {row['space_group']} | {row['detector']}{notes} "
            f"| {row['beam_energy']:g} | {row['n_patterns']} "
            f"| {row['n_true']:.0f}, {row['n_spots']:.0f} | {row['centre_error']:.2f} "
            f"| {f'none ({answer})' if row['abstained'] else answer} "
            f"| {row['rank']['crystal_system']}, {row['rank']['diffraction_symbol']} |"
        )
    return "\n".join([*lines, "", "<!-- end -->", ""])


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("structures")
    parser.add_argument("--series", type=int, default=20, help="rotation series")
    parser.add_argument("--patterns", type=int, default=120, help="single patterns")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="keep the patterns here")
    arguments = parser.parse_args()
    wanted = {"series": arguments.series, "pattern": arguments.patterns}
    crystals = choose_crystals(arguments.structures, max(wanted.values()))
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        # What is recorded of a crystal is a task
        tasks = [
            (split, crystal, number, kinds, folder / str(number))
            for number, (split, crystal) in enumerate(crystals)
            if (kinds := [kind for kind in wanted if number < wanted[kind]])
        ]
        with ProcessPoolExecutor(arguments.workers) as pool:
            rows = [row for part in pool.map(_record, tasks) for row in part]
    rows.sort(key=lambda row: row["kind"] == "pattern")
    (HERE / "acquisitions.json").write_text(json.dumps(rows, indent=1) + "\n")
    (HERE / "acquisitions.md").write_text(table(rows))


if __name__ == "__main__":
    main()
