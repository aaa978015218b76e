# SPDX-License-Identifier: GPL-3.0-or-later
"""What benchmarks of lattices share: the truth and the command line."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from pyxem_symnet.symmetry import space_group

HERE = Path(__file__).parent
NOISES = ("clean", "noisy")
#: Cells of the conventional cell's lattice points
POINTS = {"P": 1, "A": 2, "C": 2, "I": 2, "F": 4, "R": 3}


def primitive_volume(crystals, index: int) -> float:
    """Return the volume of a crystal's primitive cell in Å³."""
    points = POINTS[space_group(int(crystals.space_group[index])).centring]
    lattice = np.asarray(crystals.conventional_lattice[index], float)
    return abs(float(np.linalg.det(lattice))) / points


def run(
    name: str,
    description: str,
    measure: Callable[[str, int, int], list[dict]],
    page: Callable[[list[dict]], str],
    limit: int,
    workers: int,
) -> None:
    """Measure as the command line says, and write the figures and their page.

    `measure` takes the store, the number of crystals and of workers, of which
    `limit` and `workers` are the defaults.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("store")
    parser.add_argument("--limit", type=int, default=limit)
    parser.add_argument("--workers", type=int, default=workers)
    options = parser.parse_args()
    rows = measure(options.store, options.limit, options.workers)
    (HERE / f"{name}.json").write_text(json.dumps(rows, indent=1) + "\n")
    (HERE / f"{name}.md").write_text(page(rows))
