# SPDX-License-Identifier: GPL-3.0-or-later
"""The patterns of a simulated scan, position by position."""

from __future__ import annotations

import dataclasses
import uuid

import numpy as np
import torch

from pyxem_symnet.descriptors.spots import Spots
from pyxem_symnet.simulation import microscope as effects
from pyxem_symnet.simulation import spot_defects
from pyxem_symnet.simulation.grains import AMORPHOUS, VACUUM
from pyxem_symnet.simulation.imaging import Microscope, expose
from pyxem_symnet.simulation.rotations import random_rotations
from pyxem_symnet.simulation.sampler import Reflections, sample_patterns

#: What is left of the background's halo in vacuum
_VACUUM_HALO = 0.1

#: Patterns rendered at once
_BATCH = 128

#: Spots of a pattern that are drawn, the strongest
_MAX_SPOTS = 400


@dataclasses.dataclass(eq=False)
class ScanRenderer:
    """Renders scan positions, each independently of the others.

    Parameters
    ----------
    microscope
        Settings.
    masks
        Defects of the detector.
    reflections
        Of each phase.
    grain_phase, grain_rotation
        Phase and crystal-to-laboratory matrix of each grain.
    tilt
        Matrix of each position on top of that, or None.
    label, neighbour, share
        Grain of each position, the second one, and its share.
    centres
        Direct beam of each position in pixels.
    seed
        Seed of the noise.
    """

    microscope: Microscope
    masks: dict[str, torch.Tensor]
    reflections: list[Reflections]
    grain_phase: np.ndarray
    grain_rotation: torch.Tensor
    tilt: torch.Tensor | None
    label: np.ndarray
    neighbour: np.ndarray
    share: np.ndarray
    centres: torch.Tensor
    seed: int

    def __post_init__(self) -> None:
        self._token = uuid.uuid4().hex
        # The mean pattern of a phase scatters the given fraction of electrons
        directions = random_rotations(200, torch.Generator().manual_seed(0))
        self._norm = [
            float(self._sample(phase, directions).intensities.sum(-1).mean())
            for phase in range(len(self.reflections))
        ]

    def __dask_tokenize__(self) -> str:
        return self._token

    @property
    def dtype(self) -> np.dtype:
        """Type of the detector's values."""
        dose = self.microscope.dose
        if dose is None:
            return np.dtype(np.float32)
        return np.dtype(np.uint16 if dose < 50_000 else np.uint32)

    def __call__(self, block: np.ndarray) -> np.ndarray:
        """Return the images (rows, columns, ky, kx) of a block of indices."""
        index = block.ravel()
        images = np.empty((index.size, *self.microscope.detector), self.dtype)
        for start in range(0, index.size, _BATCH):
            batch = slice(start, start + _BATCH)
            images[batch] = self._render(index[batch])
        return images.reshape(*block.shape, *self.microscope.detector)

    def rotations(self, index: torch.Tensor, grain: torch.Tensor) -> torch.Tensor:
        """Return the crystal-to-laboratory matrices of grains at positions."""
        rotations = self.grain_rotation[grain]
        return rotations if self.tilt is None else self.tilt[index] @ rotations

    def _render(self, index: np.ndarray) -> np.ndarray:
        label, share = self.label[index], self.share[index]
        first = self._spots(index, np.where(label >= 0, label, -1), 1 - share)
        second = self._spots(
            index, np.where(share > 0, self.neighbour[index], -1), share
        )
        spots = Spots(
            torch.cat([first.positions, second.positions], 1),
            torch.cat([first.intensities, second.intensities], 1),
        )
        settings = self.microscope
        specimen = label != VACUUM
        images = expose(
            spots,
            settings,
            self.masks,
            centres=self.centres[index] if settings.descan else None,
            halo=_float(np.where(specimen, 1.0, _VACUUM_HALO) * settings.background),
            rings=_float(
                specimen * settings.film + (label == AMORPHOUS) * settings.scattered
            ),
        )
        if self.microscope.dose is not None:
            images = self._count(images, index)
        if self.microscope.saturation is not None:
            images = effects.saturate(images, self.microscope.saturation)
        return images.numpy()

    def _count(self, images: torch.Tensor, index: np.ndarray) -> torch.Tensor:
        # A seed for each position, or the noise would depend on the chunks
        seeds = [
            np.random.SeedSequence([self.seed, int(i)]).generate_state(1)[0]
            for i in index
        ]
        generator = torch.Generator()
        return torch.stack(
            [
                effects.counting_noise(image, generator.manual_seed(int(seed)))
                for image, seed in zip(images, seeds, strict=True)
            ]
        )

    def _spots(self, index: np.ndarray, grain: np.ndarray, weight: np.ndarray) -> Spots:
        """Return the spots of one grain at each position, none for grain -1."""
        groups = []
        phases = np.where(grain >= 0, self.grain_phase[grain], -1)
        for phase in np.unique(phases[phases >= 0]):
            rows = torch.as_tensor(np.flatnonzero(phases == phase))
            rotations = self.rotations(
                torch.as_tensor(index)[rows], torch.as_tensor(grain)[rows]
            )
            found = self._sample(phase, rotations)
            factor = self.microscope.scattered / self._norm[phase]
            factor = factor * _float(weight)[rows]
            groups.append((rows, found, factor[:, None]))
        n_slots = max([found.intensities.shape[1] for _, found, _ in groups], default=1)
        spots = Spots(
            torch.zeros(len(index), n_slots, 2), torch.zeros(len(index), n_slots)
        )
        for rows, found, factor in groups:
            slots = found.intensities.shape[1]
            spots.positions[rows, :slots] = found.positions
            spots.intensities[rows, :slots] = found.intensities * factor
        return spots

    def _sample(self, phase: int, rotations: torch.Tensor) -> Spots:
        # In double precision: what is computed together with a pattern, and so
        # the chunks, must not change it
        spots = sample_patterns(
            self.reflections[phase],
            rotations.double(),
            beam_energy=self.microscope.beam_energy,
            reciprocal_radius=self.microscope.corner_radius,
            max_excitation_error=self.microscope.excitation_error,
            precession_angle=self.microscope.precession_angle,
            max_spots=_MAX_SPOTS,
        )
        spots = spot_defects.damp_intensities(spots, self.microscope.b_factor)
        return spot_defects.compress_intensities(spots, self.microscope.gamma).to(
            torch.float32
        )


def _float(array: np.ndarray) -> torch.Tensor:
    return torch.as_tensor(array, dtype=torch.float32)
