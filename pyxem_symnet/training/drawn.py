# SPDX-License-Identifier: GPL-3.0-or-later
"""Single views drawn before a training, which looks at them again and again.

A network that reads numbers is done with a pattern in less time than it takes
to draw one. Its samples are drawn once, and kept in the training's folder in
parts, so that drawing goes on where it was interrupted.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from pyxem_symnet.descriptors.spots import Spots
from pyxem_symnet.simulation.packed import PackedReflections
from pyxem_symnet.simulation.protocols import PROTOCOLS
from pyxem_symnet.training.config import TrainingConfig
from pyxem_symnet.training.data import choose, draw_rotations, in_random_order
from pyxem_symnet.training.parts import write_parts

#: Crystals whose views are in one file
_CRYSTALS_A_PART = 2000


class DrawnBatches(Dataset):
    """Batches, by number, of samples that were drawn before.

    Parameters
    ----------
    files
        What :func:`draw_samples` returned.
    config
        Configuration.
    """

    def __init__(self, files: list[Path], config: TrainingConfig):
        self.config = config
        parts = []
        for file in files:
            with np.load(file) as arrays:
                parts.append(dict(arrays))
        self.arrays = {
            name: np.concatenate([part[name] for part in parts]) for name in parts[0]
        }

    def __len__(self) -> int:
        return self.config.steps

    def __getitem__(self, batch: int) -> tuple[dict[str, Tensor], Tensor]:
        samples = np.arange(len(self.arrays["target"]))
        rows = in_random_order(samples, batch, self.config.batch_size, self.config.seed)
        features = {
            name: torch.from_numpy(value[rows]) for name, value in self.arrays.items()
        }
        target = features.pop("target")
        return {
            name: value.float() if value.is_floating_point() else value
            for name, value in features.items()
        }, target


class _Drawing:
    """Views of some crystals, a part of them at a time."""

    def __init__(
        self,
        crystals: PackedReflections,
        targets: np.ndarray,
        features_of: Callable[..., dict[str, Tensor]],
        config: TrainingConfig,
    ):
        self.crystals = crystals
        self.targets = targets
        self.features_of = features_of
        self.config = config
        self.usable = np.flatnonzero(targets >= 0)

    @torch.no_grad()
    def __call__(self, part: int) -> dict[str, np.ndarray]:
        seed = self.config.seed
        generator = torch.Generator().manual_seed((seed << 32) + part)
        views, targets = [], []
        for crystal in in_random_order(self.usable, part, _CRYSTALS_A_PART, seed):
            spots = self._draw(int(crystal), generator)
            spots = Spots(*(tensor[spots.counts > 0] for tensor in spots))
            each = torch.arange(len(spots.intensities))
            views.append(self.features_of(spots, each, len(each)))
            targets += len(each) * [int(self.targets[crystal])]
        arrays = {name: torch.cat([some[name] for some in views]) for name in views[0]}
        # Half of a number's digits are more than a pattern gives
        return {"target": np.array(targets)} | {
            name: (value.half() if value.is_floating_point() else value).numpy()
            for name, value in arrays.items()
        }

    def _draw(self, crystal: int, generator: torch.Generator) -> Spots:
        """Return some views of a crystal, all from one experiment."""
        config = self.config
        lattice = self.crystals.conventional_lattice[crystal]
        rotations = [
            draw_rotations(
                choose(config.orientations, generator), lattice, 1, generator
            )
            for _ in range(config.views_a_pass)
        ]
        protocol = PROTOCOLS[choose(config.protocols, generator)]
        return protocol.draw(self.crystals[crystal], torch.cat(rotations), generator)


def draw_samples(
    crystals: PackedReflections,
    targets: np.ndarray,
    features_of: Callable[..., dict[str, Tensor]],
    config: TrainingConfig,
    folder: str | Path,
    n_workers: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> list[Path]:
    """Draw single views of every crystal, and keep what a network takes of them.

    Files that are there already are not made again.

    Parameters
    ----------
    crystals
        Reflections of the training crystals.
    targets
        Class index of each, or -1 for none.
    features_of
        Method of a model that turns views into features.
    config
        Configuration.
    folder
        Folder of the files, of this configuration only.
    n_workers
        Number of processes.
    progress
        Called with the number of files that are done and their total.

    Returns
    -------
    files
        NumPy archives of features by name, in half precision, and
        ``target``.
    """
    n_drawn = int((targets >= 0).sum()) * config.passes
    n_parts = -(-n_drawn // _CRYSTALS_A_PART)
    files = [Path(folder) / f"part-{number:05d}.npz" for number in range(n_parts)]
    make = _Drawing(crystals, targets, features_of, config)
    write_parts(make, files, n_workers=n_workers, progress=progress)
    return files
