# SPDX-License-Identifier: GPL-3.0-or-later
"""Samples of `paper.py`: drawn once, kept in files, the same for all networks."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import lightning
import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Subset
from tqdm import tqdm

from pyxem_symnet.simulation.packed import PackedReflections
from pyxem_symnet.simulation.protocols import PROTOCOLS
from pyxem_symnet.training import TrainingConfig, select_split
from pyxem_symnet.training.data import TrainingBatches

#: Batches in a file
_BATCHES_A_PART = 16


@dataclasses.dataclass(frozen=True)
class SampleSet:
    """Which samples are drawn.

    Parameters
    ----------
    name
        Name.
    split
        Split the crystals are of.
    protocols
        Protocols with the share of crystals drawn with each.
    n_samples
        Number of samples, each of another crystal.
    seed
        Seed.
    """

    name: str
    split: str
    protocols: dict[str, float]
    n_samples: int
    seed: int


def draw_samples(
    sets: list[SampleSet],
    store: str,
    folder: Path,
    classes: list[int],
    readers: list,
    config: TrainingConfig,
    n_workers: int,
) -> None:
    """Draw what is not in the folder yet.

    Parameters
    ----------
    sets
        What to draw.
    store
        Reflection store.
    folder
        Where to keep them.
    classes
        Space-group numbers in the order of the logits.
    readers
        Modules whose `accumulate` turns views into features, and whose
        `settings` say how.
    config
        Orientations, views and batch size.
    n_workers
        Number of processes that draw.
    """
    folder.mkdir(parents=True, exist_ok=True)
    check_settings(
        folder / "settings.json",
        {
            # More samples go on where fewer ended
            "sets": [dataclasses.asdict(item) | {"n_samples": None} for item in sets],
            "protocols": {n: PROTOCOLS[n].to_dict() for n in ("clean", "noisy")},
            "readers": [reader.settings for reader in readers],
            "batch_size": config.batch_size,
        },
    )

    def accumulate(*views) -> dict[str, Tensor]:
        features = {}
        for reader in readers:
            features |= reader.accumulate(*views)
        # Half precision: half the size
        return {
            k: v.half() if v.is_floating_point() else v for k, v in features.items()
        }

    for split in dict.fromkeys(item.split for item in sets):
        missing = [
            (item, part, path)
            for item in sets
            for part, path in _parts(item, folder, config)
            if item.split == split and not path.exists()
        ]
        if not missing:
            continue
        crystals = PackedReflections.from_store(
            store, lambda names, types, s=split: select_split(names, types, s)
        )
        for item, part, path in tqdm(missing, f"Samples ({split})", unit="file"):
            drawn = dataclasses.replace(
                config,
                protocols=item.protocols,
                steps=item.n_samples // config.batch_size,
                seed=item.seed,
            )
            batches = TrainingBatches(crystals, classes, accumulate, drawn)
            if len(batches.usable) < item.n_samples:
                raise SystemExit(
                    f"{item.name} has {len(batches.usable)} crystals, fewer than "
                    f"{item.n_samples}: give a smaller number."
                )
            _write_part(Subset(batches, part), path, n_workers)


def load_samples(
    item: SampleSet, folder: Path, config: TrainingConfig, names: list[str]
) -> dict[str, Tensor]:
    """Return features by name and, as "target", the class indices."""
    parts = [load_file(path) for _, path in _parts(item, folder, config)]
    return {name: torch.cat([p[name] for p in parts]) for name in [*names, "target"]}


def check_settings(path: Path, settings: dict) -> None:
    """Write settings beside what was made with them, or compare them."""
    text = json.dumps(settings, indent=1, sort_keys=True)
    if not path.exists():
        path.write_text(text, encoding="utf-8")
    elif path.read_text(encoding="utf-8") != text:
        raise SystemExit(
            f"{path.parent} was begun with other settings. Delete it or give another "
            "--work folder."
        )


class CachedBatches(lightning.LightningDataModule):
    """Batches of cached samples, in an order that follows from the seed.

    Parameters
    ----------
    samples
        What :func:`load_samples` returned.
    config
        Seed, batch size, steps and steps between checkpoints.
    """

    def __init__(self, samples: dict[str, Tensor], config: TrainingConfig):
        super().__init__()
        self.batches = _Batches(samples, config)
        self.config = config

    def train_dataloader(self) -> DataLoader:
        epoch = self.trainer.current_epoch
        # What else is drawn in this epoch: dropout
        torch.manual_seed((self.config.seed << 32) + epoch)
        length = self.config.checkpoint_every
        last = min((epoch + 1) * length, self.config.steps)
        return self.first(epoch * length, last)

    def first(self, start: int, stop: int) -> DataLoader:
        """Return the batches of some steps."""
        return DataLoader(Subset(self.batches, range(start, stop)), batch_size=None)


class _Batches(Dataset):
    def __init__(self, samples: dict[str, Tensor], config: TrainingConfig):
        self.samples = samples
        n_samples = len(samples["target"])
        n_epochs = -(-config.steps * config.batch_size // n_samples)
        orders = [
            np.random.default_rng([config.seed, epoch]).permutation(n_samples)
            for epoch in range(n_epochs)
        ]
        self.order = torch.from_numpy(np.concatenate(orders)).split(config.batch_size)

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, step: int) -> tuple[dict[str, Tensor], Tensor]:
        return select(self.samples, self.order[step])


def select(samples: dict[str, Tensor], index) -> tuple[dict[str, Tensor], Tensor]:
    """Return the features, in single precision, and targets of samples."""
    chosen = {name: value[index] for name, value in samples.items()}
    target = chosen.pop("target")
    single = {k: v.float() if v.is_floating_point() else v for k, v in chosen.items()}
    return single, target


def _parts(item: SampleSet, folder: Path, config: TrainingConfig):
    n_batches = item.n_samples // config.batch_size
    for number, start in enumerate(range(0, n_batches, _BATCHES_A_PART)):
        stop = min(start + _BATCHES_A_PART, n_batches)
        name = f"{item.name}-{number:03d}-{stop - start}.safetensors"
        yield range(start, stop), folder / name


def _write_part(batches: Dataset, path: Path, n_workers: int) -> None:
    loader = DataLoader(
        batches,
        batch_size=None,
        num_workers=n_workers,
        worker_init_fn=lambda _: torch.set_num_threads(1),
        multiprocessing_context="fork" if n_workers else None,
    )
    drawn = [features | {"target": target} for features, target in loader]
    part = {name: torch.cat([batch[name] for batch in drawn]) for name in drawn[0]}
    unfinished = path.with_suffix(".part")
    save_file(part, unfinished)
    os.replace(unfinished, path)
