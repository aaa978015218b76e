# SPDX-License-Identifier: GPL-3.0-or-later
"""Compare a shipped model's answers with real patterns of known symmetry.

Usage: ``python benchmarks/real.py DATA_DIR [--model NAME]``, where DATA_DIR
holds ``labels.yaml`` and the patterns it lists (user guide, "Real
patterns"). Writes ``real.md`` and ``real.json`` beside this file and a
picture of each set, ``docs/_static/real_NAME.png``.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from pyxem_symnet.models import load_model
from pyxem_symnet.signals import validate
from pyxem_symnet.symmetry import LEVELS

HERE = Path(__file__).parent
PICTURES = HERE.parent / "docs" / "_static"


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


def report(results: list[dict], pictures: list[str], name: str, date: str) -> str:
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
    results, pictures = [], []
    for validation in validate(
        options.data_dir, model=options.model, device=options.device
    ):
        results.append(validation.to_dict())
        pictures.append(f"real_{validation.entry.slug}.png")
        validation.plot().savefig(PICTURES / pictures[-1], dpi=80)
        print(f"{validation.entry.name}: rank {validation.rank}", flush=True)
    name = Path(options.model).stem
    text = json.dumps({"model": name, "sets": results}, indent=1) + "\n"
    (HERE / "real.json").write_text(text, encoding="utf-8")
    (HERE / "real.md").write_text(
        report(results, pictures, name, date), encoding="utf-8"
    )


if __name__ == "__main__":
    main()
