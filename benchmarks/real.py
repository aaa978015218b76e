# SPDX-License-Identifier: GPL-3.0-or-later
"""Compare a shipped model's answers with real patterns of known symmetry.

Usage: ``python benchmarks/real.py DATA_DIR [--model NAME]``, where DATA_DIR
holds ``labels.yaml`` and the patterns it lists (user guide, "Real
patterns"). Writes ``real.md`` and ``real.json`` beside this file and
pictures that explain the answers, ``docs/_static/real_NAME.png`` and, of the
best pattern of a series alone, ``real_NAME_single.png``. The user guide
shows all of it: run this again whenever the weights change.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from pyxem_symnet.models import load_model
from pyxem_symnet.signals import FailedValidation, validate
from pyxem_symnet.symmetry import LEVELS, level_of, rank_of_truth

HERE = Path(__file__).parent
PICTURES = HERE.parent / "docs" / "_static"
# Readable, and below 400 kB
DPI = 85
# Levels at which is asked what misleads
ASKED = ("crystal_system", "diffraction_symbol")


def table(results: list[dict]) -> list[str]:
    """Return Markdown rows, two for sets of several patterns."""
    titles = [level.replace("_", " ") for level in LEVELS]
    lines = [
        "| set | kind | patterns | spots | truth | "
        + " | ".join(titles)
        + " | crystal system answered |",
        "| --- | --- | ---: | ---: | ---: |" + " ---: |" * len(LEVELS) + " --- |",
    ]
    for result in results:
        if "error" in result:
            blank = [""] * (len(LEVELS) + 3)
            lines.append(row(result["name"], result["kind"], *blank, result["error"]))
            continue
        best, share = (result[key]["crystal_system"] for key in ("best", "confidence"))
        answer = f"{best} {100 * share:.0f} %"
        if result["abstained"]:
            answer = f"none ({answer})"
        facts = (
            result["name"],
            result["kind"],
            result["n_patterns"],
            f"{result['n_spots']:g}",
            result["space_group"] or "none",
        )
        lines.append(row(*facts, *ranks(result["rank"]), answer))
        if result["n_patterns"] > 1 and result["rank_single"] is not None:
            single = ranks(result["rank_single"])
            lines.append(row(result["name"], "each alone", 1, "", "", *single, ""))
    return lines


def ranks(values: dict | None) -> list[str]:
    """Return ranks as text."""
    return ["–" if values is None else f"{values[level]:g}" for level in LEVELS]


def row(*cells) -> str:
    """Return a row of a Markdown table."""
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def analysis(validation) -> list[str]:
    """Return in words what an answer is, and what leads it astray."""
    explanation, truth = validation.explanation, validation.entry.space_group
    lines = [f"**{validation.entry.name}**", ""]
    lines += [f"- {finding}" for finding in explanation.findings()]
    if truth is None or not explanation.influences:
        return [*lines, ""]
    groups = validation.space_groups
    for level in ASKED:
        place = validation.rank[level]
        label = f"{level.replace('_', ' ')} `{level_of(level, truth)}`"
        if place == 1:
            lines.append(f"- The true {label} is first.")
            continue
        then = [
            (int(rank_of_truth(each.probabilities, groups, level, truth)), each.name)
            for each in explanation.influences
        ]
        better = sorted(each for each in then if each[0] < place)[:3]
        text = "; ".join(f"number {rank} with {name}" for rank, name in better)
        text = text.replace("with without", "without")
        lines.append(
            f"- The true {label} is number {place}"
            + (f"; {text}." if better else ", and no better with any one change.")
        )
    return [*lines, ""]


def report(
    results: list[dict], words: list[str], pictures: list[str], name: str, date: str
) -> str:
    """Return the report as Markdown; the user guide shows its middle."""
    lines = [
        "# Real patterns of known symmetry",
        "",
        "Written by `python benchmarks/real.py DATA_DIR`; what the sets are, and",
        'whose, is in the user guide, "Real patterns".',
        "",
        "<!-- table -->",
        "",
        f"Model `{name}`, trained {date}. Place of the true label among the ranked",
        "answers, 1 for the first: all patterns of a set pooled, and the median over",
        "patterns that are each classified alone. Spots: median of a pattern.",
        "",
        *table(results),
        "",
        "<!-- analysis -->",
        "",
        f"Answers of `{name}`, trained {date}, all patterns of a set pooled. What",
        "changes when a part of the evidence is gone is what the explanation of the",
        "answer found out; the best places that the truth gets so are named.",
        "",
        *words,
        "<!-- pictures -->",
        "",
        *(f"![{path}](../docs/_static/{path})" for path in pictures),
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Classify all sets, write the report and the pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data_dir", type=Path, metavar="DATA_DIR")
    parser.add_argument("--model", default="msdn-any")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    date = load_model(options.model).record.get("date", "at an unknown date")
    results, words, pictures = [], [], []
    for validation in validate(
        options.data_dir, model=options.model, device=options.device
    ):
        results.append(validation.to_dict())
        if isinstance(validation, FailedValidation):
            print(f"{validation.name}: {validation.reason}", flush=True)
            continue
        words += analysis(validation)
        slug = validation.entry.slug
        pictures.append(f"real_{slug}.png")
        validation.plot().savefig(PICTURES / pictures[-1], dpi=DPI)
        if len(validation.single) > 1:
            pictures.append(f"real_{slug}_single.png")
            validation.plot(single=True).savefig(PICTURES / pictures[-1], dpi=DPI)
        print(f"{validation.entry.name}: rank {validation.rank}", flush=True)
    name = Path(options.model).stem
    text = json.dumps({"model": name, "sets": results}, indent=1) + "\n"
    (HERE / "real.json").write_text(text, encoding="utf-8")
    (HERE / "real.md").write_text(
        report(results, words, pictures, name, date), encoding="utf-8"
    )


if __name__ == "__main__":
    main()
