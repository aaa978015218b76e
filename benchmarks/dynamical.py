# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure a shipped model on dynamical patterns of test crystals.

    python benchmarks/dynamical.py SET.parquet [SET.parquet ...] [--model NAME]

The sets are what `dynamical_set.py` wrote, such as one without and one with
precession. Writes `dynamical.md` and `dynamical.json` beside this file, and
`docs/_static/dynamical.png`.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from _dynamical_intensities import compare, imitate
from _dynamical_report import loss, plot, report, section
from dynamical_set import Beams, SetSettings, read_set, read_settings

from pyxem_symnet.descriptors.spots import Spots
from pyxem_symnet.models import load_model
from pyxem_symnet.simulation.protocols import CLEAN_1
from pyxem_symnet.simulation.sampler import lorentzian, pad_spots
from pyxem_symnet.symmetry import aggregate, level_of
from pyxem_symnet.training.data import accumulate_views
from pyxem_symnet.training.evaluate import Predictions
from pyxem_symnet.training.metrics import summarise

HERE = Path(__file__).parent

#: Excitation error that training's perfect patterns reach to, in 1/Å
_REACH = 0.02

#: Spots weaker than the strongest by more powers of ten are not found
DECADES = 3.0

#: Views of each crystal that are classified alone
SINGLE = 4

#: Crystals a forward pass
_BATCH = 32

#: Intensities of the beams of a crystal, of shape (beams,)
Intensities = Callable[[Beams], np.ndarray]


def trained(beams: Beams) -> np.ndarray:
    """Return kinematic intensities as in training: a Lorentzian, no thickness."""
    error = torch.from_numpy(beams.excitation_error)
    shape = lorentzian(error, _REACH) * (error.abs() < _REACH)
    return beams.structure_factor * shape.mean(0).numpy()


def slab(thickness: float) -> Intensities:
    """Return kinematic intensities of a slab of a thickness in Å."""

    def intensities(beams: Beams) -> np.ndarray:
        shape = np.sinc(beams.excitation_error * thickness) ** 2
        return beams.structure_factor * shape.mean(0)

    return intensities


def dynamical(index: int) -> Intensities:
    """Return the Bloch-wave intensities at one of the thicknesses."""
    return lambda beams: beams.intensity[index]


def conditions(settings: SetSettings) -> list[tuple[str, float | None, Intensities]]:
    """Return kinds of intensities, their thicknesses and what computes them."""
    result = [("kinematic", None, trained)]
    for index, thickness in enumerate(settings.thicknesses):
        result.append(("slab", thickness, slab(thickness)))
        result.append(("dynamical", thickness, dynamical(index)))
    return result


def find_spots(beams: Beams, intensity: np.ndarray) -> Spots:
    """Return what is found of the beams: the strongest, in limited range."""
    n_views = len(beams.first) - 1
    view = np.repeat(np.arange(n_views), np.diff(beams.first))
    strongest = np.zeros(n_views)
    np.maximum.at(strongest, view, intensity)
    found = intensity > strongest[view] * 10**-DECADES
    return pad_spots(
        torch.from_numpy(view[found]),
        torch.from_numpy(beams.positions[found]),
        torch.from_numpy(intensity[found].astype(np.float32)),
        n_views,
    ).strongest(CLEAN_1.max_spots)


@torch.no_grad()
def classify(model, views: Sequence[Spots]) -> np.ndarray:
    """Return calibrated probabilities of shape (samples, classes)."""
    parts = []
    for start in range(0, len(views), _BATCH):
        features = accumulate_views(model.accumulate, views[start : start + _BATCH])
        parts.append(model.probabilities(features).double().numpy())
    return np.concatenate(parts)


def measure(model, crystals: Sequence[tuple[dict, Beams]], settings) -> list[dict]:
    """Return the figures of a model, a mapping a condition."""
    results = []
    n_views = settings.n_views
    for kind, thickness, intensities in conditions(settings):
        spots = [find_spots(beams, intensities(beams)) for _, beams in crystals]
        single = [
            Spots(*(tensor[view : view + 1] for tensor in part))
            for part in spots
            for view in range(min(SINGLE, n_views))
        ]
        for views, samples in ((1, single), (n_views, spots)):
            labels = [labels for labels, _ in crystals]
            repeats = len(samples) // len(labels)
            names, groups, tight = (
                np.repeat([entry[key] for entry in labels], repeats)
                for key in ("material_id", "space_group", "space_group_tight")
            )
            predictions = Predictions(
                names, groups, tight, classify(model, samples), tuple(model.classes)
            )
            figures = summarise(
                predictions.probabilities, predictions.classes, predictions.space_group
            )
            del figures["recall"]
            results.append(
                {
                    "intensities": kind,
                    "thickness": thickness,
                    "views": views,
                    "n_spots": float(
                        np.median([(s.intensities > 0).sum(1) for s in spots])
                    ),
                    **figures,
                    "right": _right(predictions).reshape(-1, repeats).mean(1).tolist(),
                }
            )
            top1 = figures["top1"]["crystal_system"]["micro"]
            print(f"{kind} {thickness} {views}: {100 * top1:.1f} %", flush=True)
    return results


def _right(predictions: Predictions) -> np.ndarray:
    """Return whether the crystal system is right."""
    at_level, names = aggregate(
        predictions.probabilities, predictions.classes, "crystal_system"
    )
    truth = [level_of("crystal_system", int(n)) for n in predictions.space_group]
    return np.asarray(names)[at_level.argmax(1)] == np.asarray(truth)


def main() -> None:
    """Classify the sets, write the report and the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sets", type=Path, nargs="+", metavar="set")
    parser.add_argument("--model", default="msdn-any")
    parser.add_argument("--limit", type=int, help="largest number of crystals of a set")
    options = parser.parse_args()
    model = load_model(options.model).eval()
    name = Path(options.model).stem
    sections, drawn, record, imitated = [], [], [], []
    for path in options.sets:
        settings = read_settings(path)
        crystals = [
            (labels, beams)
            for labels, beams in read_set(path)
            if labels["space_group"] in model.classes
        ][: options.limit]
        results = measure(model, crystals, settings)
        intensities = compare(crystals, conditions(settings)[1:], DECADES)
        direct = np.concatenate([beams.direct for _, beams in crystals], axis=1)
        sections.append(section(results, intensities, direct, len(crystals), settings))
        drawn.append((settings, results))
        imitated = imitated or imitate(crystals, trained, find_spots, DECADES)
        record.append(
            {
                "settings": dataclasses.asdict(settings),
                "n_crystals": len(crystals),
                "results": [_without_right(result, results) for result in results],
            }
        )
    date = model.record.get("date", "at an unknown date")
    text = report(sections, imitated, SINGLE, f"`{name}`, trained {date}")
    (HERE / "dynamical.md").write_text(text, encoding="utf-8")
    text = json.dumps({"model": name, "sets": record}, indent=1) + "\n"
    (HERE / "dynamical.json").write_text(text, encoding="utf-8")
    plot(drawn, HERE.parent / "docs" / "_static" / "dynamical.png")


def _without_right(result: dict, results: Sequence[dict]) -> dict:
    kept = {key: value for key, value in result.items() if key != "right"}
    return {**kept, "system_lost": loss(result, results)}


if __name__ == "__main__":
    main()
