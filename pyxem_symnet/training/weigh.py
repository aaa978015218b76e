# SPDX-License-Identifier: GPL-3.0-or-later
"""Learn how far to believe a crystal's lattice, on the validation split.

Finding lattices takes most of the time and does not depend on a network's
weights. So what was found is kept in files, and goes on where it stopped.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from pyxem_symnet.descriptors.kept_views import KeptViews
from pyxem_symnet.descriptors.spots import Spots
from pyxem_symnet.models.evidence import TABLE_SHAPE, read_lattice, read_series
from pyxem_symnet.simulation.packed import NoCrystalsError, PackedReflections
from pyxem_symnet.simulation.protocols import PROTOCOLS
from pyxem_symnet.simulation.rotations import random_rotations, tilt_series
from pyxem_symnet.training.data import choose, draw_rotations, repeat_grains
from pyxem_symnet.training.parts import write_parts

#: What samples are drawn from, with their shares
_PROTOCOLS = {"clean-2": 0.33, "noisy-2": 0.36, "thick-1": 0.11, "thick-clean-1": 0.2}
_ORIENTATIONS = {"random": 0.57, "zone": 0.3, "tilt": 0.13}
_REPEATED = 0.1

#: Fewest and most views, log-uniform between, and most of zone axes
_VIEWS = (2, 40)
_MOST_ZONES = 6

#: The same of rotation series; from the first view to the last, in degrees; and the
#: strongest spots of a view, as many as are found in patterns
_SERIES_PROTOCOLS = {
    "clean-2": 0.2,
    "noisy-2": 0.5,
    "thick-1": 0.2,
    "thick-clean-1": 0.1,
}
_SERIES_VIEWS = (15, 80)
_SERIES_SPANS = (25.0, 140.0)
_SERIES_SPOTS = 96

#: The same of single views: of patterns that are not precise no lattice is found
_SINGLE_PROTOCOLS = {
    "clean-2": 0.5,
    "noisy-2": 0.12,
    "thick-1": 0.03,
    "thick-clean-1": 0.35,
}
_SINGLE_ORIENTATIONS = {"random": 0.7, "zone": 0.3}

#: What samples are of: views of any number, rotation series or single views
KINDS = ("views", "series", "single")

#: Samples between one seed and the next
_APART = 2_000_000

#: Samples of a file
_PART = 100

#: Share of the crystals that choose when to stop
_HELD_BACK = 0.2


class Samples(NamedTuple):
    """Crystals with both opinions on them.

    Parameters
    ----------
    log_probabilities
        Of the network, calibrated, of shape (samples, classes).
    table, summary
        As :func:`~pyxem_symnet.models.evidence.read_lattice` returns
        them, of shape (samples, 230, columns) and (samples, values).
    target
        Class indices of shape (samples,).
    crystal
        Which crystal each is of, of shape (samples,).
    """

    log_probabilities: Tensor
    table: Tensor
    summary: Tensor
    target: Tensor
    crystal: Tensor


class _Evidence:
    """What lattices say, a part of the samples at a time."""

    def __init__(
        self, crystals: PackedReflections, keep: KeptViews, seed: int, kind: str
    ):
        self.crystals = crystals
        self.keep = keep
        self.seed = seed
        self.kind = kind

    @torch.no_grad()
    def __call__(self, part: int) -> dict[str, np.ndarray]:
        numbers, tables, summaries = [], [], []
        for number in range(part * _PART, (part + 1) * _PART):
            evidence = self._read(number)
            if evidence is not None:
                numbers.append(number)
                tables.append(evidence[0])
                summaries.append(evidence[1])
        return {
            "number": np.array(numbers, np.int64),
            "table": np.array(tables, np.float32).reshape(-1, *TABLE_SHAPE),
            "summary": np.array(summaries, np.float32).reshape(len(numbers), -1),
        }

    def _read(self, number: int) -> tuple[np.ndarray, np.ndarray] | None:
        if self.kind == "series":
            _, spots, step, energy = draw_series(self.crystals, number, self.seed)
            return read_series(spots.to_arrays(), step, energy)
        draw = draw_single if self.kind == "single" else draw_sample
        spots = draw(self.crystals, number, self.seed)[1]
        together = torch.zeros(len(spots.intensities), dtype=torch.long)
        kept = self.keep(spots, together, 1)[0]
        alike = self.keep.count_alike(spots, together, 1)[0]
        return read_lattice(self.keep.views(kept, alike))


def draw_sample(
    crystals: PackedReflections, number: int, seed: int
) -> tuple[int, Spots]:
    """Return the crystal of a sample and its views.

    Parameters
    ----------
    crystals
        Crystals to draw from, each once before any twice.
    number
        Number of the sample, which decides everything.
    seed
        Seed of all samples.
    """
    crystal, generator = _choose_crystal(crystals, number, seed)
    n_views = _choose_views(*_VIEWS, generator)
    protocol = PROTOCOLS[choose(_PROTOCOLS, generator)]
    orientation = choose(_ORIENTATIONS, generator)
    if orientation == "zone":
        n_views = min(n_views, _MOST_ZONES)
    rotations = draw_rotations(
        orientation, crystals.conventional_lattice[crystal], n_views, generator
    )
    if float(torch.rand(1, generator=generator)) < _REPEATED:
        rotations = repeat_grains(rotations, generator)
    return crystal, protocol.draw(crystals[crystal], rotations, generator)


def draw_single(
    crystals: PackedReflections, number: int, seed: int
) -> tuple[int, Spots]:
    """Return the crystal of a sample and its only view.

    Parameters
    ----------
    crystals, number, seed
        As for :func:`draw_sample`.
    """
    crystal, generator = _choose_crystal(crystals, number, seed)
    protocol = PROTOCOLS[choose(_SINGLE_PROTOCOLS, generator)]
    orientation = choose(_SINGLE_ORIENTATIONS, generator)
    lattice = crystals.conventional_lattice[crystal]
    rotations = draw_rotations(orientation, lattice, 1, generator)
    return crystal, protocol.draw(crystals[crystal], rotations, generator)


def draw_series(
    crystals: PackedReflections, number: int, seed: int
) -> tuple[int, Spots, float, float]:
    """Return the crystal of a sample, its rotation series, step and beam energy.

    Parameters
    ----------
    crystals, number, seed
        As for :func:`draw_sample`.

    Returns
    -------
    crystal, spots, step, beam_energy
        The step in degrees, and the beam energy in kV.
    """
    crystal, generator = _choose_crystal(crystals, number, seed)
    n_views = _choose_views(*_SERIES_VIEWS, generator)
    protocol = PROTOCOLS[choose(_SERIES_PROTOCOLS, generator)]
    uniform = torch.rand(3, generator=generator).tolist()
    low, high = protocol.beam_energy
    energy = low + (high - low) * uniform[0]
    low, high = _SERIES_SPANS
    step = (low + (high - low) * uniform[1]) / (n_views - 1)
    azimuth = 2 * math.pi * uniform[2]
    axis = torch.tensor([math.cos(azimuth), math.sin(azimuth), 0.0])
    start = random_rotations(1, generator)[0]
    rotations = tilt_series(start, axis, step * torch.arange(n_views))
    # Who records a series knows the energy of the beam
    protocol = dataclasses.replace(protocol, beam_energy=(energy, energy))
    spots = protocol.draw(crystals[crystal], rotations, generator)
    strongest = spots.intensities.argsort(-1, descending=True)[:, :_SERIES_SPOTS]
    positions = spots.positions.gather(1, strongest[..., None].expand(-1, -1, 2))
    spots = Spots(positions, spots.intensities.gather(1, strongest))
    return crystal, spots, step, energy


def _choose_crystal(
    crystals: PackedReflections, number: int, seed: int
) -> tuple[int, torch.Generator]:
    order = np.random.default_rng(seed).permutation(len(crystals))
    generator = torch.Generator().manual_seed(_APART * seed + number)
    return int(order[number % len(crystals)]), generator


def _choose_views(fewest: int, most: int, generator: torch.Generator) -> int:
    """Return a number of views, log-uniform."""
    uniform = float(torch.rand(1, generator=generator))
    return min(most, int(fewest * ((most + 1) / fewest) ** uniform))


def find_evidence(
    crystals: PackedReflections,
    keep: KeptViews,
    folder: str | Path,
    n_samples: int,
    *,
    kind: str = "views",
    seed: int = 0,
    n_workers: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> list[Path]:
    """Write what lattices say of samples, and return the files.

    Files that are there already are left as they are, so an interrupted
    run goes on.

    Parameters
    ----------
    crystals
        Crystals of the validation split.
    keep
        Of the model. Of rotation series, all views count.
    folder
        Where to write. It is made if it does not exist.
    n_samples
        Number of samples, rounded up to hundreds.
    kind
        One of :data:`KINDS`.
    seed
        Seed of the samples.
    n_workers
        Number of processes.
    progress
        Called with the number of files done and their total.
    """
    folder = Path(folder)
    n_parts = -(-n_samples // _PART)
    name = "evidence" if kind == "views" else kind
    files = [folder / f"{name}-{seed}-{part:04d}.npz" for part in range(n_parts)]
    make = _Evidence(crystals, keep, seed, kind)
    write_parts(make, files, n_workers=n_workers, progress=progress)
    return files


@torch.no_grad()
def gather_samples(
    model: nn.Module,
    crystals: PackedReflections,
    files: list[Path],
    seed: int = 0,
    *,
    kind: str = "views",
) -> Samples:
    """Return samples with what the network says of them.

    Parameters
    ----------
    model
        Calibrated model.
    crystals
        Those the files were made from.
    files
        As :func:`find_evidence` returned them.
    seed
        Seed they were made with.
    kind
        One of :data:`KINDS`.

    Raises
    ------
    NoCrystalsError
        If lattices of fewer than two crystals were found.
    """
    model.eval()
    draw = dict(zip(KINDS, (draw_sample, draw_series, draw_single), strict=True))[kind]
    columns: list[list[Tensor]] = [[] for _ in Samples._fields]
    class_of = {number: index for index, number in enumerate(model.classes)}
    for file in files:
        with np.load(file) as arrays:
            part = {name: torch.from_numpy(arrays[name]) for name in arrays.files}
        for row, number in enumerate(part["number"].tolist()):
            crystal, spots, *_ = draw(crystals, number, seed)
            target = class_of.get(int(crystals.space_group[crystal]))
            if target is None:
                continue
            together = torch.zeros(len(spots.intensities), dtype=torch.long)
            features = model.accumulate(spots, together, 1)
            logits = model(features).float() / model.calibration(features["n_views"])
            sample = (
                logits.log_softmax(-1)[0],
                part["table"][row],
                part["summary"][row],
                torch.tensor(target),
                torch.tensor(crystal),
            )
            for column, value in zip(columns, sample, strict=True):
                column.append(value)
    if len({int(crystal) for crystal in columns[-1]}) < 2:
        raise NoCrystalsError("Lattices were found of fewer than two crystals.")
    return Samples(*(torch.stack(column) for column in columns))


def fit_head(
    head: nn.Module,
    samples: Samples,
    *,
    epochs: int = 40,
    batch_size: int = 32,
    learning_rate: float = 3e-3,
    weight_decay: float = 0.05,
    seed: int = 0,
) -> float:
    """Train the head, and leave it as it was after its best epoch.

    Parameters
    ----------
    head
        :class:`~pyxem_symnet.models.evidence.EvidenceHead` to train.
    samples
        What to train it on. A fifth of the crystals is held back.
    epochs, batch_size, learning_rate, weight_decay
        Of the training.
    seed
        Seed of the crystals held back and of the order.

    Returns
    -------
    loss
        Mean negative log-likelihood of the crystals held back.
    """
    generator = torch.Generator().manual_seed(seed)
    crystals = samples.crystal.unique()
    order = torch.randperm(len(crystals), generator=generator)
    held = crystals[order[: max(1, int(len(crystals) * _HELD_BACK))]]
    is_held = torch.isin(samples.crystal, held)
    rest = torch.nonzero(~is_held).flatten()
    optimizer = torch.optim.AdamW(
        head.parameters(), lr=learning_rate, weight_decay=weight_decay
    )
    n_batches = max(1, len(rest) // batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, learning_rate, total_steps=epochs * n_batches
    )
    best, best_state = float("inf"), None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for _ in range(epochs):
            head.train()
            shuffled = rest[torch.randperm(len(rest), generator=generator)]
            for batch in shuffled[: n_batches * batch_size].chunk(n_batches):
                loss = _loss(head, samples, batch)
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(head.parameters(), 1.0)
                optimizer.step()
                schedule.step()
            head.eval()
            with torch.no_grad():
                held_loss = float(_loss(head, samples, is_held))
            if held_loss < best:
                best = held_loss
                best_state = {k: v.clone() for k, v in head.state_dict().items()}
    head.load_state_dict(best_state)
    return best


def _loss(head: nn.Module, samples: Samples, which: Tensor) -> Tensor:
    logits = head(
        samples.log_probabilities[which], samples.table[which], samples.summary[which]
    )
    return nn.functional.cross_entropy(logits, samples.target[which])
