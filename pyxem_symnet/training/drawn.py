# SPDX-License-Identifier: GPL-3.0-or-later
"""Samples drawn before a training, which looks at them again and again.

A network that reads numbers is done with a sample in less time than it takes
to draw one. Its samples are kept in the training's folder, so that drawing
goes on where it was interrupted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from pyxem_symnet.training.config import TrainingConfig
from pyxem_symnet.training.data import TrainingBatches, in_random_order
from pyxem_symnet.training.parts import write_parts

#: Batches in one file
_BATCHES_A_PART = 10


class DrawnBatches(Dataset):
    """Batches, by number, of samples that were drawn before.

    Parameters
    ----------
    files
        What :func:`draw_batches` returned.
    config
        Configuration.
    """

    def __init__(self, files: Sequence[Path], config: TrainingConfig):
        self.config = config
        parts = []
        for file in files:
            with np.load(file) as arrays:
                parts.append(dict(arrays))
        self.arrays = {
            name: np.concatenate([part[name] for part in parts]) for name in parts[0]
        }
        self.samples = np.arange(len(self.arrays["target"]))

    def __len__(self) -> int:
        return self.config.steps

    def __getitem__(self, batch: int) -> tuple[dict[str, Tensor], Tensor]:
        size, seed = self.config.batch_size, self.config.seed
        rows = in_random_order(self.samples, batch, size, seed)
        features = {
            name: torch.from_numpy(value[rows]) for name, value in self.arrays.items()
        }
        target = features.pop("target")
        return {
            name: value.float() if value.is_floating_point() else value
            for name, value in features.items()
        }, target


def draw_batches(
    batches: TrainingBatches,
    folder: str | Path,
    n_workers: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> list[Path]:
    """Draw the first batches of a training, and keep them.

    Files that are there already are not made again.

    Parameters
    ----------
    batches
        Batches, of whose features the first axis is that of samples.
    folder
        Folder of the files, of one configuration only.
    n_workers
        Number of processes.
    progress
        Called with the number of files that are done and their total.

    Returns
    -------
    files
        NumPy archives of features by name, in half precision, and
        ``target``. There are as many batches as the configuration's
        ``drawn`` says, rounded up to whole files.
    """

    def draw(part: int) -> dict[str, np.ndarray]:
        first = part * _BATCHES_A_PART
        some = [batches[number] for number in range(first, first + _BATCHES_A_PART)]
        arrays = {
            name: torch.cat([features[name] for features, _ in some])
            for name in some[0][0]
        }
        # Half of a number's digits are more than a pattern gives
        return {"target": torch.cat([target for _, target in some]).numpy()} | {
            name: (value.half() if value.is_floating_point() else value).numpy()
            for name, value in arrays.items()
        }

    n_parts = -(-batches.config.drawn // _BATCHES_A_PART)
    files = [Path(folder) / f"part-{number:05d}.npz" for number in range(n_parts)]
    write_parts(draw, files, n_workers=n_workers, progress=progress)
    return files
