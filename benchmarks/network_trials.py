# SPDX-License-Identifier: GPL-3.0-or-later
"""Compare variants of the networks by how fast they learn.

    python benchmarks/network_trials.py STORE [--model msdn-any] [--only NAME ...]

Every variant of a model sees the same samples once, in the same order, drawn
with the model's configuration and kept in memory, and is then asked about
validation crystals. Results are kept in `network_trials.json` beside this
file, and all that are there are written to `network_trials.md`. A few minutes
a variant on one core.
"""

import argparse
import dataclasses
import json
import time
from pathlib import Path

import torch
from torch.nn import functional
from torch.utils.data import DataLoader

from pyxem_symnet.models.checkpoint import ARCHITECTURES
from pyxem_symnet.simulation.packed import PackedReflections
from pyxem_symnet.symmetry import aggregation_matrix
from pyxem_symnet.training import read_config, select_split
from pyxem_symnet.training.data import TrainingBatches
from pyxem_symnet.training.run import choose_classes

HERE = Path(__file__).parent
BATCH = {"radial": {"norm": "batch"}, "pairs": {"norm": "batch"}}
GROUP = {"radial": {"norm": "group"}, "pairs": {"norm": "group"}}
ALIGNED = {"aligned": True}
NARROW = {"blocks": [3, 6, 6], "growth": [32, 32, 32]}
POOLED = {
    "stem_channels": 24,
    "stem_kernel": 7,
    "stem_stride": 2,
    "stem_pool": True,
    "blocks": [3, 4, 6],
    "growth": [16, 24, 32],
    "bottleneck": 48,
}


def _any(network: dict, **streams) -> dict:
    return {"network": {"most_views": 32} | network} | streams


#: Model settings, learning rate and batch size, by model and name
TRIALS = {
    "msdn-any": {
        "batch norm": (_any(BATCH), 2e-3, 128),
        "group norm": (_any(GROUP), 2e-3, 128),
        "group norm, rate 5e-3": (_any(GROUP), 5e-3, 128),
        "group norm, rate 8e-4": (_any(GROUP), 8e-4, 128),
        "batch norm, rate 5e-3": (_any(BATCH), 5e-3, 128),
        "batch norm, descriptors to the power 1/4": (
            _any(BATCH | {"power": 0.25}),
            2e-3,
            128,
        ),
        "batch norm, no dropout": (_any(BATCH | {"dropout": 0.0}), 2e-3, 128),
        "batch norm, batches of 64": (_any(BATCH), 2e-3, 64),
        "batch norm, radial profile alone": (_any(BATCH, pairs=None), 2e-3, 128),
        "batch norm, pair map alone": (_any(BATCH, radial=None), 2e-3, 128),
        "batch norm, images alone": (
            _any(BATCH, radial=None, pairs=None, image=ALIGNED),
            2e-3,
            128,
        ),
        "batch norm, images beside": (_any(BATCH, image=ALIGNED), 2e-3, 128),
        "batch norm, images beside, as patterns lie": (
            _any(BATCH, image={"aligned": False}),
            2e-3,
            128,
        ),
    },
    "msdn-axes": {
        "few wide units": ({}, 2e-3, 64),
        "more narrow units": ({"network": {"image": NARROW}}, 2e-3, 64),
        "stem with pooling": ({"network": {"image": POOLED}}, 2e-3, 64),
        "images to 1.28 1/Å": ({"image": {"radius": 1.28}}, 2e-3, 64),
        "intensities to the power 1/2": ({"image": {"power": 0.5}}, 2e-3, 64),
        "images of 64 pixels": ({"image": {"size": 64}}, 2e-3, 64),
    },
}


def draw(crystals, config, model, n_workers) -> tuple[dict, torch.Tensor]:
    """Return the features and targets of all batches of a configuration."""
    loader = DataLoader(
        TrainingBatches(crystals, model.classes, model.training_features, config),
        batch_size=None,
        num_workers=n_workers,
        worker_init_fn=lambda _: torch.set_num_threads(1),
        multiprocessing_context="fork" if n_workers else None,
    )
    features, targets = {}, []
    for batch, target in loader:
        for name, value in batch.items():
            # Half precision: 3 GB instead of 6
            value = value.half() if value.is_floating_point() else value
            features.setdefault(name, []).append(value)
        targets.append(target)
    return {k: torch.cat(v) for k, v in features.items()}, torch.cat(targets)


def part(features, start, stop) -> dict:
    """Return the features of some samples; one may have several images."""
    chosen = {k: v[start:stop] for k, v in features.items() if k != "image_drawn"}
    if "image_drawn" in features:
        before, here = (
            int(features["image_n_drawn"][chosen].sum())
            for chosen in (slice(start), slice(start, stop))
        )
        chosen["image_drawn"] = features["image_drawn"][before : before + here]
    return {k: v.float() if v.is_floating_point() else v for k, v in chosen.items()}


def ask(model, features, targets) -> dict:
    """Return the loss and the share of right answers in percent."""
    with torch.no_grad():
        logits = torch.cat(
            [
                model(part(features, first, first + 128)).float()
                for first in range(0, len(targets), 128)
            ]
        )
    result = {
        "loss": functional.cross_entropy(logits, targets).item(),
        "space_group": 100 * (logits.argmax(1) == targets).float().mean().item(),
    }
    for level in ("diffraction_symbol", "crystal_system"):
        matrix, _ = aggregation_matrix(model.classes, level)
        matrix = torch.from_numpy(matrix).float()
        named = (logits.softmax(-1) @ matrix).argmax(1)
        right = named == matrix[targets].argmax(1)
        result[level] = 100 * right.float().mean().item()
    return result


def run(model, training, validations, rate, size) -> dict:
    """Train a variant once over the samples and return its figures."""
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
    answers = {name: ask(model, *asked) for name, asked in validations.items()}
    result = answers.pop("all")
    result |= {f"{name}_space_group": a["space_group"] for name, a in answers.items()}
    return {
        "samples": n_steps * size,
        **result,
        "samples_a_second": n_steps * size / spent,
    }


def write_table(results) -> None:
    """Write all results there are."""
    lines = [
        "# What was tried with the networks",
        "",
        "<!-- figures -->",
        "",
        "Each variant after samples seen once, asked about samples of validation",
        "crystals (16 random views for `msdn-any`, and 3 near zone axes). One run",
        "each: differences of a point are chance. Written by",
        "`python benchmarks/network_trials.py STORE`.",
        "",
        "| model | variant | samples | loss | space group (%) | diffraction symbol (%) "
        "| crystal system (%) | space group, zone (%) | samples/s a core |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for model, trials in results.items():
        for name, result in trials.items():
            symbol, zone = (
                "–" if value is None else f"{value:.1f}"
                for value in map(result.get, ("diffraction_symbol", "zone_space_group"))
            )
            lines.append(
                f"| {model} | {name} | {result['samples']} | {result['loss']:.3f} | "
                f"{result['space_group']:.1f} | "
                f"{symbol} | {result['crystal_system']:.1f} | {zone} | "
                f"{result['samples_a_second']:.0f} |"
            )
    (HERE / "network_trials.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("store")
    parser.add_argument("--model", default="msdn-any", choices=list(TRIALS))
    parser.add_argument("--batches", type=int, default=440)
    parser.add_argument("--only", nargs="*")
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    trials = TRIALS[options.model]
    if unknown := set(options.only or ()) - set(trials):
        parser.error(
            f"{options.model} has no variants {unknown}; it has {list(trials)}"
        )
    torch.set_num_threads(1)
    config = dataclasses.replace(read_config(options.model), steps=options.batches)
    crystals = {
        split: PackedReflections.from_store(
            options.store, lambda names, types, s=split: select_split(names, types, s)
        )
        for split in ("train", "validation")
    }
    classes = choose_classes(crystals["train"].space_group, config)
    asked = dataclasses.replace(config, steps=16, no_crystal=0.0, seed=config.seed + 1)
    questions = {"all": asked}
    if options.model == "msdn-any":
        questions = {
            name: dataclasses.replace(
                asked, views=(views, views), orientations={orientation: 1.0}
            )
            for name, orientation, views in (("all", "random", 16), ("zone", "zone", 3))
        }
    path = HERE / "network_trials.json"
    results = json.loads(path.read_text()) if path.is_file() else {}
    drawn = {}
    for name in options.only or trials:
        settings, rate, size = trials[name]
        # Samples hold all streams' input, whichever of them a variant reads
        inputs = {"image": settings["image"]} if settings.get("image") else {}
        if str(inputs) not in drawn:
            whole = ARCHITECTURES[config.architecture](classes, **inputs)
            samples = [
                draw(crystals[split], each, whole, options.workers)
                for split, each in (
                    ("train", config),
                    *(("validation", question) for question in questions.values()),
                )
            ]
            asked_about = dict(zip(questions, samples[1:], strict=True))
            drawn = {str(inputs): (samples[0], asked_about)}
        torch.manual_seed(0)
        model = ARCHITECTURES[config.architecture](classes, **settings)
        result = run(model, *drawn[str(inputs)], rate, size)
        results.setdefault(options.model, {})[name] = result
        print(name, result, flush=True)
        path.write_text(json.dumps(results, indent=1) + "\n")
        write_table(results)


if __name__ == "__main__":
    main()
