# SPDX-License-Identifier: GPL-3.0-or-later
"""Training samples, drawn afresh at every step.

A batch is a function of the seed and of its number alone. So a training
goes on after a kill with the batches it would have had, whatever the number
of loader processes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from pyxem_symnet.descriptors.spots import Spots
from pyxem_symnet.simulation.packed import PackedReflections
from pyxem_symnet.simulation.protocols import PROTOCOLS
from pyxem_symnet.simulation.rotations import (
    axis_rotations,
    random_rotations,
    tilt_series,
    zone_rotations,
)
from pyxem_symnet.simulation.spot_defects import amorphous_spots
from pyxem_symnet.simulation.variants import draw_variant
from pyxem_symnet.training.config import TrainingConfig

#: Spots of a view without a crystal at most
_MAX_NOISE_SPOTS = 96

#: Mistilt from a zone axis in degrees (standard deviation)
ZONE_MISTILT = 0.5

#: Narrowest and widest range of a tilt series in degrees
TILT_RANGE = (10.0, 140.0)

#: Tilt between views of one grain in degrees (standard deviation)
_GRAIN_SPREAD = 0.5

#: Views accumulated at once, of one crystal at least: keeps pair maps small
_VIEWS_AT_ONCE = 256


def draw_rotations(
    orientation: str,
    conventional_lattice: np.ndarray,
    n_views: int,
    generator: torch.Generator,
) -> Tensor:
    """Return crystal-to-laboratory matrices of shape (views, 3, 3).

    Parameters
    ----------
    orientation
        ``"random"``: uniform. ``"zone"``: different low-index zone axes
        in random order, in-plane rotation and handedness, with a small
        mistilt. ``"axes"``: along a, b and c in turn. ``"tilt"``: evenly
        spaced over a tilt range of a stage, from a random orientation.
    conventional_lattice
        Vectors of the conventional cell as rows in Å, of shape (3, 3).
    n_views
        Number of views.
    generator
        Source of randomness.

    Raises
    ------
    ValueError
        If the orientation is not known.
    """
    if orientation == "random":
        return random_rotations(n_views, generator)
    if orientation == "tilt":
        return _tilt_rotations(n_views, generator)
    lattice = torch.from_numpy(np.asarray(conventional_lattice, dtype=np.float32))
    if orientation == "zone":
        return zone_rotations(lattice, n_views, ZONE_MISTILT, generator)
    if orientation == "axes":
        turns = -(-n_views // 3)
        return axis_rotations(lattice).repeat(turns, 1, 1)[:n_views]
    raise ValueError(
        f"The protocol must be 'random', 'zone', 'axes' or 'tilt', not {orientation!r}."
    )


def _tilt_rotations(n_views: int, generator: torch.Generator) -> Tensor:
    start = random_rotations(1, generator)[0]
    uniform = torch.rand(2, generator=generator)
    direction = 2 * math.pi * uniform[0]
    axis = torch.stack([direction.cos(), direction.sin(), torch.zeros(())])
    narrowest, widest = TILT_RANGE
    width = narrowest + (widest - narrowest) * uniform[1]
    return tilt_series(start, axis, torch.linspace(0, 1, n_views) * width)


def accumulate_views(
    features_of: Callable[..., dict[str, Tensor]], views: Sequence[Spots]
) -> dict[str, Tensor]:
    """Return the features of several crystals from the views of each.

    Parameters
    ----------
    features_of
        The model's method ``accumulate`` or ``training_features``.
    views
        Views of each crystal.
    """
    features = []
    last = torch.tensor([len(spots.intensities) for spots in views]).cumsum(0)
    parts = ((last - 1) // _VIEWS_AT_ONCE).bincount().tolist()
    for some in _consecutive(views, parts):
        sizes = torch.tensor([len(spots.intensities) for spots in some])
        groups = torch.arange(len(some)).repeat_interleave(sizes)
        features.append(features_of(Spots.concatenate(some), groups, len(some)))
    return {name: torch.cat([part[name] for part in features]) for name in features[0]}


def _consecutive(items: Sequence, sizes: Sequence[int]) -> Iterator[Sequence]:
    first = 0
    for size in sizes:
        if size:
            yield items[first : first + size]
        first += size


class TrainingBatches(Dataset):
    """Batches of training samples by number.

    Parameters
    ----------
    crystals
        Reflections of the training crystals.
    classes
        Space-group numbers in the order of the logits.
    features_of
        Method of a model that turns views into features.
    config
        Configuration.
    """

    def __init__(
        self,
        crystals: PackedReflections,
        classes: Sequence[int],
        features_of: Callable[..., dict[str, Tensor]],
        config: TrainingConfig,
    ):
        self.crystals = crystals
        self.features_of = features_of
        self.config = config
        target_of = {number: index for index, number in enumerate(classes)}
        self.targets = np.array([target_of.get(n, -1) for n in crystals.space_group])
        self.usable = np.flatnonzero(self.targets >= 0)
        self.no_crystal_target = target_of.get(0)
        if config.no_crystal > 0 and self.no_crystal_target is None:
            raise ValueError("no_crystal > 0 needs the class 0 among the classes.")

    def __len__(self) -> int:
        return self.config.steps

    def crystals_of(self, batch: int) -> np.ndarray:
        """Return the crystals of a batch: each once before any twice.

        Parameters
        ----------
        batch
            Number of the batch.
        """
        size = self.config.batch_size // self.config.samples_a_crystal
        return in_random_order(self.usable, batch, size, self.config.seed)

    @torch.no_grad()
    def __getitem__(self, batch: int) -> tuple[dict[str, Tensor], Tensor]:
        generator = torch.Generator().manual_seed(
            (self.config.seed << 32) + 2 * batch + 1
        )
        views, targets = [], []
        for crystal in self.crystals_of(batch):
            spots, target = self._draw(int(crystal), generator)
            some = _in_equal_parts(spots, self.config.samples_a_crystal)
            views += some
            targets += [target] * len(some)
        features = accumulate_views(self.features_of, views)
        return features, torch.tensor(targets)

    def _draw(self, crystal: int, generator: torch.Generator) -> tuple[Spots, int]:
        config = self.config
        n_views = self._draw_count(generator) * config.samples_a_crystal
        if float(torch.rand(1, generator=generator)) < config.no_crystal:
            spots = amorphous_spots(n_views, _MAX_NOISE_SPOTS, generator=generator)
            return spots, self.no_crystal_target
        protocol = PROTOCOLS[choose(config.protocols, generator)]
        # Without variants no number is drawn, as in trainings before there were any
        if (
            config.variants
            and float(torch.rand(1, generator=generator)) < config.variants
        ):
            reflections, lattice = draw_variant(self.crystals, crystal, generator)
        else:
            reflections = self.crystals[crystal]
            lattice = self.crystals.conventional_lattice[crystal]
        orientation = choose(config.orientations, generator)
        rotations = draw_rotations(orientation, lattice, n_views, generator)
        if float(torch.rand(1, generator=generator)) < config.repeated_views:
            rotations = repeat_grains(rotations, generator)
        spots = protocol.draw(reflections, rotations, generator)
        return spots, int(self.targets[crystal])

    def _draw_count(self, generator: torch.Generator) -> int:
        fewest, most = self.config.views
        uniform = float(torch.rand(1, generator=generator))
        # Log-uniform over the numbers from the fewest to the most
        return min(most, int(fewest * ((most + 1) / fewest) ** uniform))


def _in_equal_parts(spots: Spots, n_parts: int) -> list[Spots]:
    columns = (column.chunk(n_parts) for column in spots)
    return [Spots(*part) for part in zip(*columns, strict=True)]


def in_random_order(items: np.ndarray, batch: int, size: int, seed: int) -> np.ndarray:
    """Return the items of a batch, each once before any twice.

    Parameters
    ----------
    items
        Items to choose from.
    batch
        Number of the batch.
    size
        Items in a batch.
    seed
        Seed of the order, another one each time that all were chosen.
    """
    place = np.arange(batch * size, (batch + 1) * size)
    epochs = place // len(items)
    chosen = np.empty(size, dtype=items.dtype)
    for epoch in np.unique(epochs):
        order = _shuffled(len(items), seed, int(epoch))
        inside = epochs == epoch
        chosen[inside] = items[order[place[inside] % len(items)]]
    return chosen


# A batch may be of two epochs
@lru_cache(maxsize=2)
def _shuffled(length: int, seed: int, epoch: int) -> np.ndarray:
    return np.random.default_rng([seed, epoch]).permutation(length)


def choose(shares: dict[str, float], generator: torch.Generator) -> str:
    """Return one of the names, by their shares.

    Parameters
    ----------
    shares
        Share of each name; they need not add up to one.
    generator
        Source of randomness.
    """
    names = list(shares)
    weights = torch.tensor([float(shares[name]) for name in names])
    return names[int(torch.multinomial(weights, 1, generator=generator))]


def repeat_grains(rotations: Tensor, generator: torch.Generator) -> Tensor:
    """Return as many views, but of few grains, in very unequal numbers.

    Parameters
    ----------
    rotations
        Orientations to choose from, of shape (views, 3, 3).
    generator
        Source of randomness.
    """
    n_views = len(rotations)
    weights = torch.rand(n_views, generator=generator).pow(8) + 1e-6
    grains = torch.multinomial(weights, n_views, replacement=True, generator=generator)
    # A small rotation vector v turns by the matrix exp([v]x)
    vector = torch.randn(n_views, 3, generator=generator) * math.radians(_GRAIN_SPREAD)
    zero = torch.zeros(n_views)
    x, y, z = vector.unbind(-1)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).view(-1, 3, 3)
    return torch.linalg.matrix_exp(cross) @ rotations[grains]
