# SPDX-License-Identifier: GPL-3.0-or-later
"""Time the batched pattern sampler against diffsims' loop over rotations.

Both compute the same spots of the same crystals in the same orientations, in
this process, in turn; the ratio of their times is what counts. Reflections are
computed beforehand for the sampler (as the reflection store does) and by
diffsims in its call.

    python benchmarks/sampler.py

writes `sampler.md`, `sampler.json` and `sampler.png` beside this file.
"""

import argparse
import json
import platform
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from diffpy.structure import Atom, Lattice, Structure
from diffsims.generators.simulation_generator import SimulationGenerator
from diffsims.utils.lobato_scattering_params import ATOMIC_SCATTERING_PARAMS_LOBATO
from orix.crystal_map import Phase
from orix.quaternion import Rotation

from pyxem_symnet.simulation import (
    Reflections,
    compute_reflections,
    example_phases,
    random_rotations,
    sample_patterns,
)

HERE = Path(__file__).parent
SETTINGS = {"reciprocal_radius": 1.28, "max_excitation_error": 0.02}
SYMBOLS = list(ATOMIC_SCATTERING_PARAMS_LOBATO)


def make_phase(name, crystal) -> Phase:
    """Return the orix phase of a crystal."""
    atoms = [
        Atom(SYMBOLS[number - 1], xyz)
        for number, xyz in zip(crystal.numbers, crystal.positions, strict=True)
    ]
    lattice = Lattice(*Lattice(base=crystal.lattice).abcABG())
    return Phase(name, space_group=1, structure=Structure(atoms, lattice))


def seconds_a_pattern(function, n_patterns, least=0.3) -> float:
    """Return the time of a call by pattern, repeated until it is measurable."""
    function()
    calls, start = 0, time.perf_counter()
    while (spent := time.perf_counter() - start) < least:
        function()
        calls += 1
    return spent / calls / n_patterns


def compare(name, crystal, device, n_loop=16, n_batch=1024) -> dict:
    """Return the times of both on one crystal."""
    rotations = random_rotations(n_batch, torch.Generator().manual_seed(0))
    matrices = rotations[:n_loop].double().numpy()
    orix_rotations = ~Rotation.from_matrix(matrices)
    phase = make_phase(name, crystal)
    generator = SimulationGenerator(accelerating_voltage=200)
    start = time.perf_counter()
    generator.calculate_diffraction2d(
        phase, orix_rotations, with_direct_beam=False, **SETTINGS
    )
    loop = (time.perf_counter() - start) / n_loop
    half = compute_reflections(crystal, SETTINGS["reciprocal_radius"], 0)
    g = torch.from_numpy((half.hkl @ half.reciprocal_basis).astype(np.float32))
    intensity = torch.from_numpy(half.intensity.astype(np.float32))
    result = {"crystal": name, "reflections": 2 * len(g), "diffsims": loop}
    reflections = Reflections.from_half(g, intensity)
    for where in device:
        moved = Reflections(*(tensor.to(where) for tensor in reflections))
        turned = rotations.to(where)

        def sample(moved=moved, turned=turned, where=where):
            sample_patterns(moved, turned, **SETTINGS)
            if where != "cpu":
                torch.cuda.synchronize()

        result[where] = seconds_a_pattern(sample, n_batch)
    return result


def batch_sizes(crystal, device) -> dict:
    """Return patterns a second over batch size."""
    half = compute_reflections(crystal, SETTINGS["reciprocal_radius"], 0)
    g = torch.from_numpy((half.hkl @ half.reciprocal_basis).astype(np.float32))
    intensity = torch.from_numpy(half.intensity.astype(np.float32))
    rates = {}
    for where in device:
        reflections = Reflections.from_half(g.to(where), intensity.to(where))
        rates[where] = {}
        for size in (1, 4, 16, 64, 256, 1024, 4096):
            rotations = random_rotations(size, torch.Generator().manual_seed(0))
            rotations = rotations.to(where)

            def sample(reflections=reflections, rotations=rotations, where=where):
                sample_patterns(reflections, rotations, **SETTINGS)
                if where != "cpu":
                    torch.cuda.synchronize()

            rates[where][size] = 1 / seconds_a_pattern(sample, size)
    return rates


def write_markdown(rows, device, threads) -> None:
    lines = [
        "# Pattern sampler against diffsims",
        "",
        "Time a pattern in milliseconds and, in brackets, how many times faster than",
        "diffsims' loop over rotations (`calculate_diffraction2d`) the batched sampler",
        "is: the same crystals, orientations and settings (200 kV, 1.28 1/Å,",
        "excitation error to 0.02 1/Å), in one run on one machine, batches of 1,024.",
        "Equality in value is a test (`tests/simulation/test_sampler.py`). Written by",
        "`python benchmarks/sampler.py`.",
        "",
        f"{platform.machine()}, {threads} thread(s); devices: {', '.join(device)}.",
        "",
        "| crystal | reflections | diffsims | " + " | ".join(device) + " |",
        "| --- | ---: | ---: |" + " ---: |" * len(device),
    ]
    for row in rows:
        cells = [f"{1e3 * row['diffsims']:.2f}"]
        cells += [
            f"{1e3 * row[d]:.4f} (×{row['diffsims'] / row[d]:.0f})" for d in device
        ]
        lines.append(
            f"| {row['crystal']} | {row['reflections']} | " + " | ".join(cells) + " |"
        )
    ratios = [row["diffsims"] / row[device[0]] for row in rows]
    lines += [
        "",
        f"On {device[0]}: median ×{np.median(ratios):.0f}, least ×{min(ratios):.0f}.",
        "",
        "![Patterns a second over batch size](sampler.png)",
    ]
    (HERE / "sampler.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    threads = parser.parse_args().threads
    torch.set_num_threads(threads)
    device = ["cpu"] + (["cuda"] if torch.cuda.is_available() else [])
    phases = example_phases()
    rows = [compare(name, crystal, device) for name, crystal in phases.items()]
    rates = batch_sizes(phases["baddeleyite"], device)
    write_markdown(rows, device, threads)
    (HERE / "sampler.json").write_text(
        json.dumps({"threads": threads, "crystals": rows, "rates": rates}, indent=1)
        + "\n"
    )
    figure, axes = plt.subplots(figsize=(5, 3.5), layout="constrained")
    for where, values in rates.items():
        axes.loglog(list(values), list(values.values()), marker="o", label=where)
    axes.set(
        xlabel="Batch size (patterns)",
        ylabel="Patterns a second",
        title="Monoclinic ZrO$_2$",
    )
    axes.legend()
    figure.savefig(HERE / "sampler.png", dpi=120)
    print((HERE / "sampler.md").read_text())


if __name__ == "__main__":
    main()
