# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables of `paper.py`, from what the networks said."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from pyxem_symnet.models.calibration import TemperatureTable
from pyxem_symnet.simulation.protocols import PROTOCOLS
from pyxem_symnet.symmetry import PAPER_SPACE_GROUPS
from pyxem_symnet.training.metrics import summarise

HERE = Path(__file__).parent
SPLITS = {
    "test": "Random split",
    "unseen-types": "Structure types that were not trained on",
}
NOISES = ("clean", "noisy")
COLUMNS = {
    "system": ("top1", "crystal_system"),
    "Laue class": ("top1", "laue_class"),
    "symbol": ("top1", "diffraction_symbol"),
    "space group": ("top1", "space_group"),
    "top 5": ("top5", "space_group"),
    "ECE": ("ece", "space_group"),
}
#: Differences of two networks, by their configurations' names
DIFFERENCES = (
    ("Shaping", "01-msdn-shaped", "02-msdn-raw"),
    ("Three streams instead of one", "01-msdn-shaped", "03-msdn-one-stream"),
    ("Shaping", "04-msdn-norm-shaped", "05-msdn-norm-raw"),
    (
        "Three streams instead of one",
        "04-msdn-norm-shaped",
        "06-msdn-norm-one-stream",
    ),
    ("Batch normalisation", "04-msdn-norm-shaped", "01-msdn-shaped"),
    ("This package's network instead of the paper's", "11-axes", "01-msdn-shaped"),
)


def write_results(work: Path, networks: list[str], samples: int, epochs: int) -> None:
    """Write `paper.md` and `paper.json` of the networks that are finished.

    Parameters
    ----------
    work
        Folder that holds a folder of each network.
    networks
        Names of the networks' configurations.
    samples, epochs
        Budget, for the text.
    """
    results, right = {}, {}
    for name in networks:
        if (work / name / "answers.safetensors").exists():
            results[name], right[name] = _network(work / name)
    text = [
        *_head(results, samples, epochs),
        *(line for split in SPLITS for line in _figures(results, split)),
        *_differences(results, right),
    ]
    (HERE / "paper.md").write_text("\n".join(text) + "\n", encoding="utf-8")
    (HERE / "paper.json").write_text(json.dumps(list(results.values()), indent=1))


def _network(folder: Path) -> tuple[dict, dict[str, np.ndarray]]:
    """Return a network's record with its figures, and what it had right."""
    record = json.loads((folder / "record.json").read_text())
    answers = load_file(folder / "answers.safetensors")
    names = [f"validation-{noise}" for noise in NOISES]
    temperature = TemperatureTable.fit(
        torch.cat([answers[name] for name in names]),
        torch.cat([answers[f"{name}-target"] for name in names]),
    ).temperatures[0]
    figures, right = [], {}
    for split in SPLITS:
        for noise in NOISES:
            logits = answers[f"{split}-{noise}"]
            target = answers[f"{split}-{noise}-target"]
            truths = np.array(PAPER_SPACE_GROUPS)[target]
            probabilities = (logits / temperature).softmax(-1).double().numpy()
            figures.append(
                {"split": split, "noise": noise, "version": PROTOCOLS[noise].name}
                | _summary(probabilities, truths)
            )
            right[f"{split}-{noise}"] = (logits.argmax(1) == target).numpy()
    return record | {"temperature": temperature, "figures": figures}, right


def _summary(probabilities: np.ndarray, truths: np.ndarray) -> dict:
    summary = summarise(probabilities, PAPER_SPACE_GROUPS, truths)
    # A line for every group would be most of the file
    del summary["recall"]
    return summary


def _head(results: dict, samples: int, epochs: int) -> list[str]:
    times = "once" if epochs == 1 else f"{epochs} times"
    versions = ", half ".join(f"`{PROTOCOLS[noise].name}`" for noise in NOISES)
    lines = [
        "# The paper's network and conventional ones",
        "",
        "Written by `python benchmarks/paper.py STORE --work FOLDER`.",
        "",
        "<!-- figures -->",
        "",
        "## Networks",
        "",
        f"Each was trained on the same {samples:,} samples (each of another crystal,",
        f"half {versions}), seen {times} in the same order, with AdamW on a",
        "one-cycle schedule. Of two learning rates the one with the smaller loss on",
        "validation crystals after a short training was taken.",
        "",
        "| network | parameters | learning rate | samples/s a core |",
        "| --- | ---: | ---: | ---: |",
    ]
    for result in results.values():
        speed = result["samples_per_second"]
        lines.append(
            f"| {result['settings']['name']} | {result['n_parameters']:,} | "
            f"{result['settings']['learning_rate']:g} | "
            f"{'' if speed is None else f'{speed:.0f}'} |"
        )
    return [*lines, ""]


def _figures(results: dict, split: str) -> list[str]:
    lines = [f"## {SPLITS[split]}", ""]
    for noise in NOISES:
        lines += [
            f"`{PROTOCOLS[noise].name}`, percent:",
            "",
            "| network | " + " | ".join(COLUMNS) + " |",
            "| --- |" + " ---: |" * len(COLUMNS),
        ]
        for result in results.values():
            cells = []
            for metric, level in COLUMNS.values():
                value = _part(result, split, noise)[metric][level]
                value = value if metric == "ece" else value["micro"]
                cells.append(f"{100 * value:.1f}")
            lines.append(f"| {result['settings']['name']} | {' | '.join(cells)} |")
        lines.append("")
    return lines


def _part(result: dict, split: str, noise: str) -> dict:
    return next(
        part
        for part in result["figures"]
        if (part["split"], part["noise"]) == (split, noise)
    )


def _differences(results: dict, right: dict) -> list[str]:
    conventional = sorted(
        (
            n
            for n, r in results.items()
            if r["settings"]["architecture"] == "Conventional"
        ),
        key=lambda name: right[name]["test-clean"].mean(),
    )
    pairs = list(DIFFERENCES)
    if conventional:
        best, worst = conventional[-1], conventional[0]
        for one in ("01-msdn-shaped", "04-msdn-norm-shaped", "05-msdn-norm-raw"):
            for which, other in (("best", best), ("worst", worst)):
                title = f"MSDN instead of the {which} conventional network"
                pairs.append((title, one, other))
    lines = [
        "## What makes a difference",
        "",
        "Points of space-group accuracy, with two standard errors of the difference",
        "on the same crystals; the chance of one training each comes on top. It counts",
        "as seen where it is larger than two standard errors and of the same sign,",
        "clean and noisy, on the random split.",
        "",
        "| what | seen | "
        + " | ".join(f"{split}, {noise}" for split in SPLITS for noise in NOISES)
        + " |",
        "| --- | --- |" + " ---: |" * (len(SPLITS) * len(NOISES)),
    ]
    for title, one, other in pairs:
        if one not in right or other not in right:
            continue
        gains = {
            f"{split}-{noise}": _gain(right[one], right[other], f"{split}-{noise}")
            for split in SPLITS
            for noise in NOISES
        }
        names = [results[name]["settings"]["name"] for name in (one, other)]
        cells = " | ".join(
            f"{gain:+.1f} ± {error:.1f}" for gain, error in gains.values()
        )
        seen = _verdict([gains[f"test-{noise}"] for noise in NOISES])
        lines.append(f"| {title} ({names[0]} / {names[1]}) | {seen} | {cells} |")
    return lines


def _gain(one: dict, other: dict, samples: str) -> tuple[float, float]:
    """Return a difference in points and two standard errors of it."""
    gain = 100 * (one[samples].astype(float) - other[samples])
    return gain.mean(), 2 * gain.std(ddof=1) / len(gain) ** 0.5


def _verdict(gains: list[tuple[float, float]]) -> str:
    if all(gain > error for gain, error in gains):
        return "yes"
    if all(gain < -error for gain, error in gains):
        return "the opposite"
    return "no"
