# SPDX-License-Identifier: GPL-3.0-or-later
"""Compare variants of the view-set network by how fast they learn.

    python benchmarks/network_trials.py STORE [--batches 440] [--only NAME ...]

Every variant sees the same samples once, in the same order, drawn with the
configuration of `msdn-any` and kept in memory, and is then asked about
validation crystals (16 random views). Writes `network_trials.md` beside this
file. About two minutes a variant on one core.
"""

import argparse
import dataclasses
import time
from pathlib import Path

import torch
from torch.nn import functional
from torch.utils.data import DataLoader

from pyxem_symnet.models import ViewSetMSDN
from pyxem_symnet.simulation.packed import PackedReflections
from pyxem_symnet.symmetry import aggregation_matrix
from pyxem_symnet.training import read_config, select_split
from pyxem_symnet.training.data import TrainingBatches
from pyxem_symnet.training.run import choose_classes

HERE = Path(__file__).parent
BATCH = {"radial": {"norm": "batch"}, "pairs": {"norm": "batch"}}
GROUP = {"radial": {"norm": "group"}, "pairs": {"norm": "group"}}
#: Network settings, and learning rate and batch size, by name
TRIALS = {
    "batch norm": (BATCH, 2e-3, 128),
    "group norm": (GROUP, 2e-3, 128),
    "group norm, rate 5e-3": (GROUP, 5e-3, 128),
    "group norm, rate 8e-4": (GROUP, 8e-4, 128),
    "batch norm, rate 5e-3": (BATCH, 5e-3, 128),
    "batch norm, descriptors to the power 1/4": (BATCH | {"power": 0.25}, 2e-3, 128),
    "batch norm, no dropout": (BATCH | {"dropout": 0.0}, 2e-3, 128),
    "batch norm, batches of 64": (BATCH, 2e-3, 64),
}


def draw(crystals, classes, config, n_workers) -> tuple[dict, torch.Tensor]:
    """Return the features and targets of all batches of a configuration."""
    model = ViewSetMSDN(classes, **config.model)
    loader = DataLoader(
        TrainingBatches(crystals, classes, model.accumulate, config),
        batch_size=None,
        num_workers=n_workers,
        worker_init_fn=lambda _: torch.set_num_threads(1),
        multiprocessing_context="fork" if n_workers else None,
    )
    features, targets = {}, []
    for batch, target in loader:
        for name, value in batch.items():
            # Half precision: 3 GB instead of 6
            features.setdefault(name, []).append(value.half())
        targets.append(target)
    return {k: torch.cat(v) for k, v in features.items()}, torch.cat(targets)


def part(features, start, stop) -> dict:
    return {name: value[start:stop].float() for name, value in features.items()}


def run(classes, training, validation, network, rate, size) -> dict:
    """Train a variant once over the samples and return its figures."""
    torch.manual_seed(0)
    model = ViewSetMSDN(classes, network={"most_views": 32} | network)
    optimiser = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.02)
    features, targets = training
    n_steps = len(targets) // size
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, rate, total_steps=n_steps, pct_start=0.1
    )
    start = time.process_time()
    for step in range(n_steps):
        chosen = slice(step * size, (step + 1) * size)
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(part(features, chosen.start, chosen.stop))
        loss = functional.cross_entropy(logits.float(), targets[chosen])
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
    spent = time.process_time() - start
    model.eval()
    features, targets = validation
    with torch.no_grad():
        logits = torch.cat(
            [
                model(part(features, first, first + 128)).float()
                for first in range(0, len(targets), 128)
            ]
        )
    matrix, _ = aggregation_matrix(classes, "crystal_system")
    matrix = torch.from_numpy(matrix).float()
    system = (logits.softmax(-1) @ matrix).argmax(1)
    return {
        "loss": functional.cross_entropy(logits, targets).item(),
        "space group": 100 * (logits.argmax(1) == targets).float().mean().item(),
        "system": 100 * (system == matrix[targets].argmax(1)).float().mean().item(),
        "samples a second": n_steps * size / spent,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("store")
    parser.add_argument("--batches", type=int, default=440)
    parser.add_argument("--only", nargs="*", choices=list(TRIALS))
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(1)
    config = dataclasses.replace(read_config("msdn-any"), steps=options.batches)
    crystals = {
        split: PackedReflections.from_store(
            options.store, lambda names, types, s=split: select_split(names, types, s)
        )
        for split in ("train", "validation")
    }
    classes = choose_classes(crystals["train"].space_group, config)
    training = draw(crystals["train"], classes, config, options.workers)
    asked = dataclasses.replace(
        config,
        steps=16,
        views=(16, 16),
        no_crystal=0.0,
        orientations={"random": 1.0},
        seed=config.seed + 1,
    )
    validation = draw(crystals["validation"], classes, asked, options.workers)
    lines = [
        "# What was tried with the view-set network",
        "",
        "<!-- figures -->",
        "",
        f"Each variant after {len(training[1])} samples seen once (the protocols of",
        f"`msdn-any`), asked about {len(validation[1])} samples of validation",
        "crystals (16 random views). One run each: differences of a point are chance.",
        "Written by `python benchmarks/network_trials.py STORE`.",
        "",
        "| variant | loss | space group (%) | crystal system (%) | samples/s a core |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for name in options.only or TRIALS:
        result = run(classes, training, validation, *TRIALS[name])
        lines.append(
            f"| {name} | {result['loss']:.3f} | {result['space group']:.1f} | "
            f"{result['system']:.1f} | {result['samples a second']:.0f} |"
        )
        print(lines[-1], flush=True)
    (HERE / "network_trials.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
