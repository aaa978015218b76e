# SPDX-License-Identifier: GPL-3.0-or-later
"""Arrays that take long to make, in files that are made one after another."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset


class _Missing(Dataset):
    def __init__(self, make: Callable[[int], dict[str, np.ndarray]], parts: list[int]):
        self.make = make
        self.parts = parts

    def __len__(self) -> int:
        return len(self.parts)

    def __getitem__(self, index: int) -> tuple[int, dict[str, np.ndarray]]:
        part = self.parts[index]
        return part, self.make(part)


def write_parts(
    make: Callable[[int], dict[str, np.ndarray]],
    files: Sequence[Path],
    *,
    n_workers: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write arrays to files that are not there yet, each when it is whole.

    So an interrupted run goes on.

    Parameters
    ----------
    make
        Called with the number of a file, returns its arrays by name.
    files
        Files to write, NumPy archives.
    n_workers
        Number of processes.
    progress
        Called with the number of files that are done and their total.
    """
    missing = [part for part, file in enumerate(files) if not file.exists()]
    loader = DataLoader(
        _Missing(make, missing),
        batch_size=None,
        num_workers=n_workers,
        worker_init_fn=lambda _: torch.set_num_threads(1),
        multiprocessing_context="fork" if n_workers else None,
    )
    for done, (part, arrays) in enumerate(loader, len(files) - len(missing) + 1):
        files[part].parent.mkdir(parents=True, exist_ok=True)
        temporary = files[part].with_suffix(".tmp")
        with open(temporary, "wb") as file:
            np.savez_compressed(file, **arrays)
        os.replace(temporary, files[part])
        if progress is not None:
            progress(done, len(files))
