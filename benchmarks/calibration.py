# SPDX-License-Identifier: GPL-3.0-or-later
"""Would confidences be better calibrated if the noise were known?

    python benchmarks/calibration.py STRUCTURES [--limit N] [--workers N]

The shipped temperatures know the number of views, not the noise. Here one
temperature for clean and noisy patterns together is compared with one for each,
both fitted on validation crystals and measured on test crystals. Writes
`calibration.md` and `calibration.json` beside this file. Some five minutes.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch

from pyxem_symnet.models import TemperatureTable, load_model
from pyxem_symnet.training.evaluate import compute_logits, load_crystals
from pyxem_symnet.training.metrics import summarise

HERE = Path(__file__).parent
CASES = (
    ("msdn-axes", "axes", 3),
    ("msdn-any", "random", 1),
    ("msdn-any", "random", 16),
)
NOISES = ("clean", "noisy")
LEVELS = ("crystal_system", "diffraction_symbol", "space_group")


def answers(model, crystals, protocol, views, workers) -> dict:
    """Return logits and class indices by noise."""
    crystals = crystals.take(
        np.flatnonzero(np.isin(crystals.space_group, model.classes))
    )
    target = [model.classes.index(int(n)) for n in crystals.space_group]
    return {
        noise: (
            compute_logits(
                model, crystals, protocol, views, noise, seed=1, n_workers=workers
            )[0],
            torch.tensor(target),
        )
        for noise in NOISES
    }


def compare(structures, limit, workers) -> list[dict]:
    """Return temperatures and calibration errors of all cases."""
    crystals = {
        split: load_crystals(structures, split, limit)
        for split in ("validation", "test")
    }
    results = []
    for name, protocol, views in CASES:
        model = load_model(name)
        fitted, tested = (
            answers(model, crystals[split], protocol, views, workers)
            for split in ("validation", "test")
        )
        joined = [torch.cat(parts) for parts in zip(*fitted.values(), strict=True)]
        both = TemperatureTable.fit(*joined).temperatures[0]
        for noise, (logits, target) in tested.items():
            own = TemperatureTable.fit(*fitted[noise]).temperatures[0]
            numbers = np.array(model.classes)[target]
            errors = {
                kind: summarise(
                    (logits / temperature).softmax(-1).double().numpy(),
                    model.classes,
                    numbers,
                )["ece"]
                for kind, temperature in (("both", both), ("own", own))
            }
            results.append(
                {
                    "model": name,
                    "protocol": protocol,
                    "views": views,
                    "noise": noise,
                    "n_crystals": len(target),
                    "temperature": {"both": both, "own": own},
                    "ece": errors,
                }
            )
            print(results[-1], flush=True)
    return results


def write_markdown(results) -> None:
    """Write the table."""
    titles = " | ".join(level.replace("_", " ") for level in LEVELS)
    lines = [
        "# Calibration by noise",
        "",
        "<!-- table -->",
        "",
        "Expected calibration error in percent on test crystals, with one temperature",
        "for clean and noisy patterns, and with one for each (`→`), both fitted on",
        "validation crystals. Written by `benchmarks/calibration.py STRUCTURES`.",
        "",
        f"| model | protocol | views | noise | crystals | temperature | {titles} |",
        "| --- | --- | ---: | --- | ---: | ---: |" + " ---: |" * len(LEVELS),
    ]
    for r in results:
        t = r["temperature"]
        errors = " | ".join(
            " → ".join(f"{100 * r['ece'][kind][level]:.1f}" for kind in ("both", "own"))
            for level in LEVELS
        )
        lines.append(
            f"| {r['model']} | {r['protocol']} | {r['views']} | {r['noise']} | "
            f"{r['n_crystals']} | {t['both']:.2f} → {t['own']:.2f} | {errors} |"
        )
    (HERE / "calibration.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("structures")
    parser.add_argument("--limit", type=int, default=3000)
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(1)
    results = compare(options.structures, options.limit, options.workers)
    text = json.dumps(results, indent=1)
    (HERE / "calibration.json").write_text(text + "\n", encoding="utf-8")
    write_markdown(results)


if __name__ == "__main__":
    main()
