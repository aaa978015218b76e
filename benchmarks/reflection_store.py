# SPDX-License-Identifier: GPL-3.0-or-later
"""Make the reflection store of a structure table, killing it half-way.

    python benchmarks/reflection_store.py STRUCTURES [--reference STORE]

Runs `pyxem-symnet simulate`, kills it (SIGKILL) when half of the parts are there,
runs it again to the end, and compares every byte with a store that was made
without interruption: the one given, or one made here with another number of
workers. Writes `reflection_store.md` beside this file.
"""

import argparse
import hashlib
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from pyxem_symnet.simulation.packed import PackedReflections
from pyxem_symnet.simulation.structures import count_table

HERE = Path(__file__).parent
MAIN = "from pyxem_symnet.cli import main; main()"
PART_SIZE = 1024


def start(table, store, workers) -> subprocess.Popen:
    command = [sys.executable, "-c", MAIN, "simulate", str(table)]
    command += ["--out", str(store), "--workers", str(workers)]
    # A group of its own, so that its workers are killed with it
    return subprocess.Popen(command, start_new_session=True)


def run(table, store, workers) -> None:
    if start(table, store, workers).wait() != 0:
        raise SystemExit("simulate failed")


def run_until(table, store, workers, n_parts) -> None:
    """Run until so many parts are there, then kill."""
    process = start(table, store, workers)
    while len(list(store.glob("part-*.parquet"))) < n_parts:
        if process.poll() is not None:
            raise SystemExit("simulate ended before it could be killed")
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def digests(store) -> dict[str, str]:
    """Return the SHA-256 of each file."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(store.iterdir())
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("structures", type=Path)
    parser.add_argument("--reference", type=Path)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    n_crystals = count_table(options.structures)
    n_parts = -(-n_crystals // PART_SIZE)
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "store"
        began = time.perf_counter()
        run_until(options.structures, store, options.workers, n_parts // 2)
        at_kill = len(list(store.glob("part-*.parquet")))
        run(options.structures, store, options.workers)
        wall = time.perf_counter() - began
        # The children of the killed run are not counted: nobody waited for them
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent = usage.ru_utime + usage.ru_stime
        ours = digests(store)
        size = sum(path.stat().st_size for path in store.iterdir())
        failures = len((store / "failures.csv").read_text().splitlines()) - 1
        n_reflections = len(PackedReflections.from_store(store).intensity)
        reference = options.reference
        if reference is None:
            reference = Path(folder) / "reference"
            run(options.structures, reference, 3 - min(options.workers, 2))
        same = ours == digests(reference)
    lines = [
        "# Reflection store of a structure table",
        "",
        f"`pyxem-symnet simulate {options.structures.name} --workers "
        f"{options.workers}`, killed when {at_kill} of {n_parts} parts",
        "were there and given again. Written by",
        "`python benchmarks/reflection_store.py STRUCTURES`.",
        "",
        "| | |",
        "| --- | ---: |",
        f"| crystals | {n_crystals} |",
        f"| without reflections (listed in failures.csv) | {failures} |",
        f"| reflections, one of each Friedel pair | {n_reflections} |",
        f"| size | {size / 1e9:.2f} GB |",
        f"| processor time from the kill to the end | {spent / 60:.1f} min |",
        f"| elapsed, both runs, {options.workers} workers | {wall / 60:.1f} min |",
        "| every byte as in a store made without interruption | "
        f"{'yes' if same else 'NO'} |",
    ]
    (HERE / "reflection_store.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
