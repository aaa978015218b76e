# SPDX-License-Identifier: GPL-3.0-or-later
"""From trained weights to a model that can be shipped."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from torch import nn

from pyxem_symnet.models import load_checkpoint, save_checkpoint
from pyxem_symnet.simulation.packed import NoCrystalsError
from pyxem_symnet.simulation.protocols import PROTOCOLS
from pyxem_symnet.symmetry import PAPER_SPACE_GROUPS
from pyxem_symnet.training.calibrate import fit_calibration
from pyxem_symnet.training.evaluate import (
    Predictions,
    choose_by_name,
    load_crystals,
    predict,
    report,
)
from pyxem_symnet.training.metrics import summarise
from pyxem_symnet.training.weigh import find_evidence, fit_head, gather_samples

#: Validation crystals that teach how far to believe lattices; and samples of them,
#: and their seed, of views, of rotation series and of
#: single views
_LATTICE_CRYSTALS = 6000
_LATTICE_SAMPLES, _LATTICE_SEED = 2000, 5
_SERIES_SAMPLES, _SERIES_SEED = 700, 6
_SINGLE_SAMPLES, _SINGLE_SEED = 9000, 8

#: Crystals that a model which looks for lattices is measured on at most, of which
#: each takes about a second
_LATTICE_LIMIT = 300


@dataclasses.dataclass(frozen=True)
class Measurement:
    """What a model is measured on.

    Parameters
    ----------
    protocol
        ``"random"``, ``"zone"``, ``"axes"`` or ``"tilt"``.
    views
        Number of views of each crystal.
    noise
        ``"clean"`` or ``"noisy"``.
    split
        ``"test"`` or ``"unseen-types"``.
    limit
        Largest number of crystals, if fewer than those of the split that
        were loaded.
    """

    protocol: str
    views: int
    noise: str
    split: str
    limit: int | None = None


#: Orientation protocols and numbers of views on the card of a model for any views
CARD = (("random", 1), ("random", 16), ("zone", 3))


def measurements(orientations: Sequence[tuple[str, int]] = CARD) -> list[Measurement]:
    """Return each orientation protocol with both noises and both splits."""
    return [
        Measurement(protocol, views, noise, split)
        for split in ("test", "unseen-types")
        for protocol, views in orientations
        for noise in ("clean", "noisy")
    ]


def measure(
    model: nn.Module,
    source: str | Path,
    what: Sequence[Measurement],
    *,
    name: str,
    limit: int | None = None,
    seed: int = 0,
    n_workers: int = 0,
    progress: Callable[[str], None] | None = None,
    keep: Callable[[dict], None] | None = None,
) -> list[dict]:
    """Return the figures of a model, one mapping a measurement.

    Measurements on splits without a crystal are left out.

    Parameters
    ----------
    model
        Calibrated model.
    source
        Reflection store or structure table.
    what
        Measurements.
    name
        Name of the model, for the record.
    limit
        Largest number of crystals of a split.
    seed
        Seed of the crystals chosen and of their views.
    n_workers
        Number of processes that draw views.
    progress
        Called with a line after each measurement.
    keep
        Called with the figures of each measurement as soon as they are there.
    """
    crystals = {}
    for split in {item.split for item in what}:
        # A small table may have no crystal in one of the splits
        with suppress(NoCrystalsError):
            crystals[split] = load_crystals(source, split, limit, seed)
    results = []
    for item in what:
        if item.split not in crystals:
            continue
        of_split = crystals[item.split]
        chosen = choose_by_name(of_split.material_id, item.limit, seed)
        predictions, n_outside = predict(
            model,
            of_split.take(chosen),
            item.protocol,
            item.views,
            item.noise,
            seed=seed,
            n_workers=n_workers,
        )
        result = {
            "model": name,
            "protocol": item.protocol,
            "views": item.views,
            "noise": item.noise,
            "split": item.split,
            "noise_version": PROTOCOLS[item.noise].name,
            "seed": seed,
            "n_outside": n_outside,
            **report(predictions),
            "paper": _paper_groups(predictions),
        }
        results.append(result)
        if keep is not None:
            keep(result)
        if progress is not None:
            top1 = result["top1"]
            progress(
                f"{item.split} {item.protocol}-{item.views} {item.noise}: "
                f"space group {100 * top1['space_group']['micro']:.1f}, "
                f"symbol {100 * top1['diffraction_symbol']['micro']:.1f}, "
                f"system {100 * top1['crystal_system']['micro']:.1f} %, "
                f"ECE {100 * result['ece']['space_group']:.1f} %"
            )
    return results


def _paper_groups(predictions: Predictions) -> dict | None:
    """Return the figures for, and among, the groups of Tiong et al. (2020)."""
    predictions = predictions.restricted(PAPER_SPACE_GROUPS)
    if len(predictions.space_group) == 0:
        return None
    figures = summarise(
        predictions.probabilities, predictions.classes, predictions.space_group
    )
    kept = ("n_crystals", "top1", "top5", "ece", "ece_by_chance")
    return {key: figures[key] for key in kept}


def finish(
    trained: str | Path,
    store: str | Path,
    out: str | Path,
    *,
    record: dict,
    limit: int | None = 3000,
    n_workers: int = 0,
    progress: Callable[[str], None] | None = None,
) -> list[dict]:
    """Calibrate a trained model, measure it, and write it with its record.

    Parameters
    ----------
    trained
        Checkpoint that :func:`~pyxem_symnet.training.run.train` wrote.
    store
        Reflection store it was trained on.
    out
        Checkpoint to write.
    record
        What to add to the record: ``summary``, ``data``, ``split``,
        ``protocol``, ``limits``.
    limit
        Largest number of crystals to calibrate on and to measure on.
    n_workers
        Number of processes that draw views.
    progress
        Called with lines that tell how far it is.

    Returns
    -------
    figures
        What was measured.
    """
    report_line = progress or (lambda line: None)
    model = load_checkpoint(trained)
    axes = model.ordered_views
    try:
        validation = load_crystals(store, "validation", limit)
    except NoCrystalsError:
        report_line("not calibrated: no crystal is in the validation split")
    else:
        model.calibration = fit_calibration(
            model,
            validation,
            **({} if axes is None else {"protocols": ["axes"], "views": [axes]}),
            n_workers=n_workers,
            progress=lambda done, total: report_line(f"calibration {done} of {total}"),
        )
    if getattr(model, "lattice", None) is not None:
        _learn_to_weigh(model, store, Path(trained).parent, n_workers, report_line)
    figures = measure(
        model,
        store,
        [
            dataclasses.replace(item, limit=_affordable(model, item.views))
            for item in measurements(CARD if axes is None else [("axes", axes)])
        ],
        name=Path(out).stem,
        limit=limit,
        n_workers=n_workers,
        progress=progress,
    )
    learnt = {"trained_range": _trained_range(model.record), "figures": figures}
    save_checkpoint(out, model, {**model.record, **record, **learnt})
    return figures


def _trained_range(record: dict) -> dict[str, list[float]]:
    """Return smallest and largest settings of the protocols trained with."""
    protocols = [PROTOCOLS[name] for name in record["training"]["protocols"]]
    ranges = {}
    for name in ("beam_energy", "reciprocal_radius"):
        low, high = zip(*(getattr(each, name) for each in protocols), strict=True)
        ranges[name] = [min(low), max(high)]
    return ranges


def _affordable(model: nn.Module, views: int) -> int | None:
    """Return how many crystals to measure on at most, if not on all."""
    looks = views > 1 and getattr(model, "lattice", None) is not None
    return _LATTICE_LIMIT if looks else None


def _learn_to_weigh(
    model: nn.Module,
    store: str | Path,
    folder: Path,
    n_workers: int,
    report_line: Callable[[str], None],
) -> None:
    """Teach a model how far to believe lattices, on the validation split."""
    try:
        # Another choice than the crystals that calibrate, which are of seed 0
        crystals = load_crystals(store, "validation", _LATTICE_CRYSTALS, seed=1)
    except NoCrystalsError:
        report_line("lattices are not used: no crystal is in the validation split")
        return
    for kind, head, n_samples, seed in (
        ("views", model.evidence, _LATTICE_SAMPLES, _LATTICE_SEED),
        ("series", model.evidence_of_series, _SERIES_SAMPLES, _SERIES_SEED),
        ("single", model.evidence_of_one, _SINGLE_SAMPLES, _SINGLE_SEED),
    ):
        if head is None:
            continue
        files = find_evidence(
            crystals,
            model.lattice,
            folder / "evidence",
            n_samples,
            kind=kind,
            seed=seed,
            n_workers=n_workers,
            progress=lambda done, total, kind=kind: report_line(
                f"lattices of {kind} {done} of {total}"
            ),
        )
        try:
            samples = gather_samples(model, crystals, files, seed, kind=kind)
        except NoCrystalsError as error:
            report_line(f"lattices of {kind} are not used: {error}")
            continue
        if head is not model.evidence:
            # What is alike in both is known already
            head.load_state_dict(model.evidence.state_dict())
        loss = fit_head(head, samples)
        before = nn.functional.nll_loss(samples.log_probabilities, samples.target)
        report_line(f"loss {before:.3f} by the network, {loss:.3f} with lattices")
