# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure a shipped model on crystals it was never trained on.

    python benchmarks/accuracy.py STRUCTURES [--model NAME] [--limit N]

STRUCTURES is the structure table or a reflection store made of it. Writes
`accuracy.md` and `accuracy.json` beside this file, and
`docs/_static/accuracy_views.png`.
"""

import argparse
import json
from pathlib import Path

import matplotlib.pyplot as plt

from pyxem_symnet.models import load_model
from pyxem_symnet.symmetry import LEVELS
from pyxem_symnet.training.finish import Measurement, measure, measurements

HERE = Path(__file__).parent
PICTURES = HERE.parent / "docs" / "_static"
ORIENTATIONS = (
    ("random", 1),
    ("random", 4),
    ("random", 16),
    ("random", 64),
    ("zone", 1),
    ("zone", 3),
    ("axes", 3),
)
#: Numbers of views of the curve, beside those of the table
CURVE = (2, 8, 32)


def table(results, key, metric="top1", kind="micro") -> list[str]:
    """Return Markdown rows of one figure at every level."""
    titles = [level.replace("_", " ") for level in LEVELS]
    lines = [
        "| split | protocol | views | noise | " + " | ".join(titles) + " |",
        "| --- | --- | ---: | --- |" + " ---: |" * len(LEVELS),
    ]
    for result in results:
        part = result if key is None else result[key]
        values = [part[metric][level] for level in LEVELS]
        values = [value[kind] if isinstance(value, dict) else value for value in values]
        cells = " | ".join(f"{100 * value:.1f}" for value in values)
        lines.append(
            f"| {result['split']} | {result['protocol']} | {result['views']} | "
            f"{result['noise']} | {cells} |"
        )
    return lines


def write_markdown(results, model, limit) -> None:
    n_crystals = {r["split"]: r["n_crystals"] for r in results}
    n_agreeing = {r["split"]: r["agreeing"]["n_crystals"] for r in results}
    record = model.record
    lines = [
        "# Accuracy of the shipped model",
        "",
        f"`{results[0]['model']}`, trained {record['date']}; written by",
        "`python benchmarks/accuracy.py STRUCTURES`.",
        "",
        "<!-- figures -->",
        "",
        "Percent of crystals that were not trained on, with all of the",
        f"{len(set(model.classes) - {0})} space groups that the model knows as",
        f"answers. At most {limit} crystals of a split, chosen by name:",
        "",
        *(
            f"- {n} of the split `{split}`, of which {n_agreeing[split]} have the same "
            "space group at both tolerances"
            for split, n in n_crystals.items()
        ),
        "",
        "Protocols: `random` orientations, `zone` axes of low index in random order",
        "with a small mistilt, `axes`: along a, b and c of the conventional cell.",
        "Noise: `clean-1` and `noisy-1` of the user guide.",
        "",
        "## First answer right",
        "",
        *table(results, None),
        "",
        "## First answer right, mean over labels (macro)",
        "",
        *table(results, None, kind="macro"),
        "",
        "## Among the first five",
        "",
        *table(results, None, "top5"),
        "",
        "## Expected calibration error",
        "",
        *table(results, None, "ece"),
        "",
        "## First answer right, crystals whose two tolerances agree",
        "",
        *table(results, "agreeing"),
        "",
        "<!-- picture -->",
        "",
        "![Accuracy over number of views](../docs/_static/accuracy_views.png)",
    ]
    (HERE / "accuracy.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def plot_views(results) -> None:
    """Draw accuracy over the number of random views."""
    figure, panels = plt.subplots(
        1, 2, figsize=(9, 3.8), sharey=True, layout="constrained"
    )
    for axes, split in zip(panels, ("test", "unseen-types"), strict=True):
        for level, colour in (
            ("crystal_system", "C0"),
            ("diffraction_symbol", "C1"),
            ("space_group", "C2"),
        ):
            for noise, line in (("clean", "-"), ("noisy", "--")):
                chosen = sorted(
                    (r["views"], 100 * r["top1"][level]["micro"])
                    for r in results
                    if (r["split"], r["noise"], r["protocol"])
                    == (split, noise, "random")
                )
                axes.plot(
                    *zip(*chosen, strict=True),
                    line,
                    marker="o",
                    color=colour,
                    label=f"{level.replace('_', ' ')}, {noise}",
                )
        axes.set_xscale("log", base=2)
        axes.set(title=split, xlabel="Views (random orientations)", ylim=(0, 100))
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("First answer right (%)")
    panels[0].legend(fontsize=7)
    figure.savefig(PICTURES / "accuracy_views.png", dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("structures")
    parser.add_argument("--model", default="msdn-any")
    parser.add_argument("--limit", type=int, default=2000)
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    model = load_model(options.model)
    curve = [
        Measurement("random", views, noise, split)
        for split in ("test", "unseen-types")
        for views in CURVE
        for noise in ("clean", "noisy")
    ]
    results = measure(
        model,
        options.structures,
        [*measurements(ORIENTATIONS), *curve],
        name=options.model,
        limit=options.limit,
        n_workers=options.workers,
        progress=lambda line: print(line, flush=True),
    )
    (HERE / "accuracy.json").write_text(json.dumps(results, indent=1) + "\n")
    in_table = [r for r in results if (r["protocol"], r["views"]) in ORIENTATIONS]
    write_markdown(in_table, model, options.limit)
    plot_views(results)


if __name__ == "__main__":
    main()
