# SPDX-License-Identifier: GPL-3.0-or-later
"""Model cards, made from what a checkpoint says about itself."""

from __future__ import annotations

import json
import os
from pathlib import Path

from pyxem_symnet.models.header import Header, read_header
from pyxem_symnet.symmetry import LEVELS

# Sections of the card in order: key of the training record, title
_SECTIONS = (
    ("data", "Training data"),
    ("split", "Split"),
    ("protocol", "Protocol"),
    ("training", "Training"),
    ("limits", "Limits"),
)
_FACTS = (
    ("date", "Date"),
    ("seed", "Seed"),
    ("hardware", "Hardware"),
    ("pyxem_symnet", "pyxem_symnet"),
    ("torch", "PyTorch"),
)


def model_card(path: str | os.PathLike) -> str:
    """Return the card of a checkpoint as Markdown.

    Everything on it comes from the file's metadata; a card can't say
    what the weights' own record doesn't.

    Parameters
    ----------
    path
        Name of a checkpoint file.

    Returns
    -------
    card
        What the model is, how it was trained, what it reaches at each
        level, and its limits.
    """
    header = read_header(path)
    record = header.record
    parts = [f"# {Path(path).stem}"]
    if record.get("summary"):
        parts.append(str(record["summary"]))
    parts.append(_facts(header))
    for key, title in _SECTIONS:
        text = _text(record[key]) if record.get(key) else "Not recorded."
        parts.append(f"## {title}\n\n{text}")
    if record.get("started_from"):
        parts.append(f"## Started from\n\n{_text(record['started_from'])}")
    parts.append(f"## Figures\n\n{_figures(record.get('figures') or [])}")
    parts.append(f"## Calibration\n\n{_calibration(header)}")
    settings = json.dumps(header.settings, indent=2)
    parts.append(f"## Settings\n\n```json\n{settings}\n```")
    return "\n\n".join(parts) + "\n"


def _facts(header: Header) -> str:
    n_groups = len(set(header.classes) - {0})
    classes = f"{n_groups} space groups"
    if 0 in header.classes:
        classes += ' and "not crystalline"'
    lines = [f"- Architecture: {header.architecture}", f"- Classes: {classes}"]
    lines += [
        f"- {title}: {header.record.get(key, 'not recorded')}" for key, title in _FACTS
    ]
    lines.append(f"- SHA-256 of the weights: {header.sha256 or 'not recorded'}")
    return "\n".join(lines)


def _text(value) -> str:
    """Return a value of the record as Markdown."""
    if isinstance(value, dict):
        return "\n".join(f"- {key}: {_inline(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return "\n".join(f"- {_inline(item)}" for item in value)
    return str(value)


def _inline(value) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _figures(evaluations: list[dict]) -> str:
    """Return accuracies in percent, one row an evaluation."""
    if not evaluations:
        return "None recorded."
    titles = ["protocol", "views", "noise", "split", "crystals"]
    titles += [level.replace("_", " ") for level in LEVELS]
    titles += ["space group in top 5", "calibration error"]
    rows = [titles, ["---"] * len(titles)]
    for evaluation in evaluations:
        row = [
            str(evaluation.get(key, "–"))
            for key in ("protocol", "views", "noise", "split", "n_crystals")
        ]
        first, five = evaluation.get("top1", {}), evaluation.get("top5", {})
        shares = [first.get(level, {}).get("micro") for level in LEVELS]
        shares.append(five.get("space_group", {}).get("micro"))
        shares.append(evaluation.get("ece", {}).get("space_group"))
        row += ["–" if share is None else f"{100 * share:.1f}" for share in shares]
        rows.append(row)
    table = "\n".join("| " + " | ".join(row) + " |" for row in rows)
    return (
        "Percent of the crystals whose first answer is right; the calibration error "
        f"is that of the space group.\n\n{table}"
    )


def _calibration(header: Header) -> str:
    table = header.calibration
    pairs = zip(table["views"], table["temperatures"], strict=True)
    rows = [f"| {views:g} | {temperature:.3f} |" for views, temperature in pairs]
    return "\n".join(["| views | temperature |", "| --- | --- |", *rows])
