# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure a model on crystals it was not trained on."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from pyxem_symnet.simulation.packed import NoCrystalsError, PackedReflections
from pyxem_symnet.simulation.protocols import PROTOCOLS
from pyxem_symnet.simulation.store import StoreSettings, compute_row
from pyxem_symnet.simulation.structures import Crystal, StructureError, read_table
from pyxem_symnet.training.data import accumulate_views, draw_rotations
from pyxem_symnet.training.metrics import summarise
from pyxem_symnet.training.splits import name_fraction, split_of

PROTOCOL_NAMES = ("random", "zone", "axes", "tilt")


@dataclasses.dataclass(frozen=True)
class Predictions:
    """What a model said of each crystal.

    Parameters
    ----------
    material_id
        Names, of shape (crystals,).
    space_group, space_group_tight
        True space groups at both tolerances, of shape (crystals,).
    probabilities
        Of shape (crystals, classes).
    classes
        Space-group numbers in the order of the last axis.
    """

    material_id: np.ndarray
    space_group: np.ndarray
    space_group_tight: np.ndarray
    probabilities: np.ndarray
    classes: tuple[int, ...]

    def restricted(self, groups: Sequence[int]) -> Predictions:
        """Return the predictions for crystals of, and among, some groups."""
        allowed = np.isin(self.classes, list(groups))
        kept = np.isin(self.space_group, list(groups))
        probabilities = self.probabilities[kept][:, allowed]
        total = probabilities.sum(1, keepdims=True)
        return Predictions(
            self.material_id[kept],
            self.space_group[kept],
            self.space_group_tight[kept],
            probabilities / np.maximum(total, np.finfo(float).tiny),
            tuple(np.asarray(self.classes)[allowed].tolist()),
        )


def load_crystals(
    source: str | Path,
    split: str = "test",
    limit: int | None = None,
    seed: int = 0,
) -> PackedReflections:
    """Return reflections of a split of a store or of a structure table.

    Parameters
    ----------
    source
        Folder of a reflection store, or a Parquet structure table, whose
        reflections are then computed.
    split
        One of :data:`~pyxem_symnet.training.splits.SPLITS`, or ``"all"``.
    limit
        Largest number of crystals, chosen by name and seed. All if not
        given.
    seed
        Seed of that choice.

    Raises
    ------
    NoCrystalsError
        If no crystal is left.
    StructureError
        If the reflections of one cannot be computed.
    """

    def select(names: Sequence[str], types: Sequence[str]) -> np.ndarray:
        chosen = [
            index
            for index, (name, kind) in enumerate(zip(names, types, strict=True))
            if split in ("all", split_of(name, kind))
        ]
        return np.array(chosen, dtype=np.int64)

    source = Path(source)
    if source.is_dir():
        crystals = PackedReflections.from_store(source, select)
        return crystals.take(choose_by_name(crystals.material_id, limit, seed))
    chosen = [
        crystal
        for crystal in read_table(source)
        if split in ("all", split_of(crystal.material_id, crystal.structure_type))
    ]
    if not chosen:
        raise NoCrystalsError(f"{source.name} holds no crystal of the split {split!r}.")
    kept = choose_by_name([crystal.material_id for crystal in chosen], limit, seed)
    return _compute([chosen[index] for index in kept])


def choose_by_name(names: Sequence[str], limit: int | None, seed: int) -> np.ndarray:
    """Return where the crystals are that come first by name and seed, in order.

    Parameters
    ----------
    names
        Names of the crystals.
    limit
        Largest number. All if None.
    seed
        Seed. With a smaller limit, it is some of the same crystals.
    """
    if limit is None or limit >= len(names):
        return np.arange(len(names))
    order = np.argsort([name_fraction(f"{seed}:{name}") for name in names])
    return np.sort(order[:limit])


def _compute(crystals: Sequence[Crystal]) -> PackedReflections:
    settings = StoreSettings()
    rows = [
        compute_row({}, lambda crystal=crystal: crystal, settings)
        for crystal in crystals
    ]
    failures = [row for row in rows if row["failure"] is not None]
    if failures:
        raise StructureError(
            f"{len(failures)} crystals have no reflections; the first: "
            f"{failures[0]['failure']}"
        )
    return PackedReflections.from_rows(rows, dataclasses.asdict(settings))


class _EvaluationBatches(Dataset):
    """Features of crystals, each drawn from its own name and the seed."""

    def __init__(
        self,
        crystals: PackedReflections,
        accumulate: Callable[..., dict[str, Tensor]],
        protocol: str,
        views: int,
        noise: str,
        seed: int,
        batch_size: int,
    ):
        self.crystals = crystals
        self.accumulate = accumulate
        self.protocol = protocol
        self.views = views
        self.noise = PROTOCOLS[noise]
        self.seed = seed
        self.batch_size = batch_size

    def __len__(self) -> int:
        return -(-len(self.crystals) // self.batch_size)

    @torch.no_grad()
    def __getitem__(self, batch: int) -> tuple[int, dict[str, Tensor]]:
        first = batch * self.batch_size
        last = min(first + self.batch_size, len(self.crystals))
        views = [self._draw(index) for index in range(first, last)]
        return batch, accumulate_views(self.accumulate, views)

    def _draw(self, index: int):
        name = self.crystals.material_id[index]
        fraction = name_fraction(f"{self.seed}:{self.protocol}:{name}")
        generator = torch.Generator().manual_seed(int(fraction * 2**62))
        rotations = draw_rotations(
            self.protocol,
            self.crystals.conventional_lattice[index],
            self.views,
            generator,
        )
        return self.noise.draw(self.crystals[index], rotations, generator)


@torch.no_grad()
def compute_logits(
    model: nn.Module,
    crystals: PackedReflections,
    protocol: str,
    views: int,
    noise: str,
    *,
    seed: int = 0,
    batch_size: int = 4,
    n_workers: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Tensor, Tensor]:
    """Return uncalibrated logits and numbers of views seen.

    Parameters
    ----------
    model
        Model with ``accumulate`` and a forward pass over features.
    crystals
        Reflections of the crystals.
    protocol
        One of :data:`PROTOCOL_NAMES`.
    views
        Number of views of each crystal.
    noise
        ``"clean"`` or ``"noisy"``.
    seed
        Seed. A crystal's views depend on it, the protocol and the
        crystal's name, not on the other crystals.
    batch_size
        Crystals a forward pass, and that a process draws at a time. Few,
        so that no process is idle while others look for the last
        lattices.
    n_workers
        Number of processes that draw views.
    progress
        Called with the number of crystals done and their total.

    Returns
    -------
    logits
        Of shape (crystals, classes).
    n_views
        Number of views with any spot, of shape (crystals,).
    """
    model.eval()

    def answer(features: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        return model(features).float().cpu(), features["n_views"].flatten().cpu()

    drawn = (crystals, protocol, views, noise, seed, batch_size, n_workers, progress)
    logits, n_views = zip(
        *_answers(model, model.accumulate, answer, *drawn), strict=True
    )
    return torch.cat(logits), torch.cat(n_views)


@torch.no_grad()
def compute_probabilities(
    model: nn.Module,
    crystals: PackedReflections,
    protocol: str,
    views: int,
    noise: str,
    *,
    seed: int = 0,
    batch_size: int = 4,
    n_workers: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Tensor:
    """Return the model's answers, of shape (crystals, classes).

    Unlike logits, they are calibrated, and lattices are taken into
    account where the model looks for them.

    Parameters
    ----------
    model, crystals, protocol, views, noise, seed, batch_size, n_workers, progress
        As for :func:`compute_logits`.
    """
    model.eval()
    # By the processes that draw views, if there are any
    read = getattr(model, "read_lattices", lambda features: features)

    def features_of(*views) -> dict[str, Tensor]:
        return read(model.accumulate(*views))

    def answer(features: dict[str, Tensor]) -> Tensor:
        return model.probabilities(features).cpu()

    drawn = (crystals, protocol, views, noise, seed, batch_size, n_workers, progress)
    return torch.cat(_answers(model, features_of, answer, *drawn))


def _answers(
    model: nn.Module,
    features_of: Callable[..., dict[str, Tensor]],
    answer: Callable[[dict[str, Tensor]], Any],
    crystals: PackedReflections,
    protocol: str,
    views: int,
    noise: str,
    seed: int,
    batch_size: int,
    n_workers: int,
    progress: Callable[[int, int], None] | None,
) -> list[Any]:
    """Return answers to the features of batches, on the model's device, in order."""
    if protocol not in PROTOCOL_NAMES:
        raise ValueError(f"protocol must be one of {PROTOCOL_NAMES}, not {protocol!r}.")
    if noise not in PROTOCOLS:
        raise ValueError(f"noise must be one of {tuple(PROTOCOLS)}, not {noise!r}.")
    batches = _EvaluationBatches(
        crystals, features_of, protocol, views, noise, seed, batch_size
    )
    loader = DataLoader(
        batches,
        batch_size=None,
        num_workers=n_workers,
        worker_init_fn=lambda _: torch.set_num_threads(1),
        multiprocessing_context="fork" if n_workers else None,
        # The next batch is for whoever is free: lattices take unequally long
        in_order=False,
        prefetch_factor=1 if n_workers else None,
    )
    device = next(model.parameters()).device
    answers = {}
    for batch, features in loader:
        answers[batch] = answer({k: value.to(device) for k, value in features.items()})
        if progress is not None:
            progress(min(len(answers) * batch_size, len(crystals)), len(crystals))
    return [answers[batch] for batch in sorted(answers)]


def predict(
    model: nn.Module,
    crystals: PackedReflections,
    protocol: str,
    views: int,
    noise: str,
    **options,
) -> tuple[Predictions, int]:
    """Return calibrated predictions and the number of crystals outside.

    Parameters
    ----------
    model, crystals, protocol, views, noise, options
        As for :func:`compute_logits`.

    Returns
    -------
    predictions
        Those for crystals of a group that the model has a class for.
    n_outside
        Number of the other crystals.
    """
    inside = np.flatnonzero(np.isin(crystals.space_group, model.classes))
    n_outside = len(crystals) - len(inside)
    if len(inside) == 0:
        raise StructureError("The model has a class for none of the crystals.")
    crystals = crystals.take(inside)
    probabilities = compute_probabilities(
        model, crystals, protocol, views, noise, **options
    )
    predictions = Predictions(
        crystals.material_id,
        crystals.space_group,
        crystals.space_group_tight,
        probabilities.double().numpy(),
        tuple(model.classes),
    )
    return predictions, n_outside


def report(predictions: Predictions) -> dict:
    """Return the figures of predictions, for all and for agreeing crystals.

    Parameters
    ----------
    predictions
        Predictions.

    Returns
    -------
    figures
        As :func:`~pyxem_symnet.training.metrics.summarise` gives them,
        and under ``agreeing`` the same for the crystals whose space group
        is the same at both tolerances, or None if there are none.
    """
    figures = summarise(
        predictions.probabilities, predictions.classes, predictions.space_group
    )
    agreeing = predictions.space_group == predictions.space_group_tight
    figures["agreeing"] = None
    if agreeing.any():
        figures["agreeing"] = summarise(
            predictions.probabilities[agreeing],
            predictions.classes,
            predictions.space_group[agreeing],
        )
    return figures
