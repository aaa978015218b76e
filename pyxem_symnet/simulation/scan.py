# SPDX-License-Identifier: GPL-3.0-or-later
"""Simulated 4D-STEM scans whose truth is known."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from pyxem_symnet.descriptors.spots import Spots
from pyxem_symnet.simulation import microscope as effects
from pyxem_symnet.simulation import spot_defects
from pyxem_symnet.simulation.example_phases import example_phases
from pyxem_symnet.simulation.grains import AMORPHOUS, VACUUM, voronoi_grains
from pyxem_symnet.simulation.imaging import Microscope, expose
from pyxem_symnet.simulation.reflections import compute_reflections
from pyxem_symnet.simulation.rotations import random_rotations, tilt_series
from pyxem_symnet.simulation.sampler import Reflections, sample_patterns
from pyxem_symnet.simulation.structures import (
    Crystal,
    from_phase,
    label,
    read_cif,
)

if TYPE_CHECKING:
    from orix.quaternion import Rotation
    from pyxem.signals import ElectronDiffraction2D

__all__ = ["AMORPHOUS", "VACUUM", "Scan", "example_phases", "make_scan"]

#: What `Scan.truth` says where there is no crystal
NOT_CRYSTALLINE = "not crystalline"

#: What is left of the background's halo in vacuum
_VACUUM_HALO = 0.1

#: Patterns rendered at once
_BATCH = 128

#: Largest chunk of a lazy scan in bytes, if not told otherwise
_CHUNK_BYTES = 32 * 2**20

#: Spots of a pattern that are drawn, the strongest
_MAX_SPOTS = 400


@dataclasses.dataclass(frozen=True)
class Scan:
    """A simulated scan and the truth about it.

    Parameters
    ----------
    signal
        Calibrated patterns (x, y | kx, ky).
    phases
        Crystals in the scan.
    phase_map
        Index into `phases` of shape (rows, columns), or -1 where the
        specimen is amorphous and -2 in vacuum.
    grain_map
        Number of the grain of shape (rows, columns), or -1 and -2.
    second_grain_map
        Grain that is seen too, at a boundary, else the grain itself.
    rotations
        Rotations from the laboratory's to the crystal's frame, of shape
        (rows, columns), as diffsims and orix have them. No rotation
        where there is no crystal.
    microscope
        Settings the scan was made with.
    """

    signal: ElectronDiffraction2D
    phases: tuple[Crystal, ...]
    phase_map: np.ndarray
    grain_map: np.ndarray
    second_grain_map: np.ndarray
    rotations: Rotation
    microscope: Microscope

    @property
    def space_groups(self) -> np.ndarray:
        """Space-group numbers of shape (rows, columns), 0 without crystal."""
        numbers = np.array([0, 0] + [phase.space_group for phase in self.phases])
        return numbers[self.phase_map + 2]

    def truth(self, level: str = "space_group") -> np.ndarray:
        """Return the label of each position at a level of symmetry.

        Parameters
        ----------
        level
            One of :data:`pyxem_symnet.symmetry.LEVELS`.

        Returns
        -------
        labels
            Strings of shape (rows, columns), ``"not crystalline"``
            where there is no crystal.
        """
        from pyxem_symnet.symmetry import level_of

        numbers, place = np.unique(self.space_groups, return_inverse=True)
        labels = [
            level_of(level, int(number)) if number else NOT_CRYSTALLINE
            for number in numbers
        ]
        return np.array(labels)[place.reshape(self.phase_map.shape)]


def make_scan(
    phases: Sequence[Any],
    shape: tuple[int, int] = (32, 32),
    *,
    grains: int = 12,
    fractions: Sequence[float] | None = None,
    overlap: float = 0.0,
    mosaic: float = 0.0,
    amorphous_fraction: float = 0.0,
    vacuum_fraction: float = 0.0,
    step: float = 1.0,
    microscope: Microscope | None = None,
    seed: int = 0,
    lazy: bool = False,
    chunks: int | tuple[int, int] | None = None,
    **settings: Any,
) -> Scan:
    """Simulate a scan of a polycrystal.

    Patterns are kinematic, with discs, background and counting noise.
    The same arguments give the same scan, lazy or not and whatever the
    chunks.

    Parameters
    ----------
    phases : sequence of Crystal, orix.crystal_map.Phase, str or Path
        Crystals, phases with atoms, or CIF files.
    shape
        Rows and columns of the scan.
    grains
        Number of grains. Each phase has at least one.
    fractions
        Share of the grains of each phase. Equal by default.
    overlap
        Width in scan positions of the zone around grain boundaries in
        which both grains are seen.
    mosaic
        Largest random misorientation of a position within its grain in
        degrees.
    amorphous_fraction, vacuum_fraction
        Fractions of the scan that are amorphous or vacuum.
    step
        Distance of scan positions in nm.
    microscope
        Settings of the microscope. The defaults if not given.
    seed
        Seed of everything random.
    lazy
        Whether the signal is lazy.
    chunks
        Scan positions in a chunk along each axis if lazy. As many as
        32 MiB hold by default.
    **settings
        Settings of the microscope to change, see
        :class:`~pyxem_symnet.simulation.imaging.Microscope`.

    Returns
    -------
    scan
        The signal and its truth. The signal holds counted electrons as
        integers, or expected ones as floats if the dose is None.

    Raises
    ------
    ValueError
        If there are no phases, fewer grains than phases, or the
        fractions do not fit.
    StructureError
        If a phase has no atoms or cannot be read.

    Examples
    --------
    >>> from pyxem_symnet.simulation import example_phases, make_scan
    >>> known = example_phases()
    >>> scan = make_scan([known["ferrite"], known["austenite"]], (8, 8))
    >>> scan.signal
    <ElectronDiffraction2D, title: Simulated scan, dimensions: (8, 8|128, 128)>
    """
    shares = _check(
        phases, shape, grains, fractions, amorphous_fraction, vacuum_fraction
    )
    microscope = dataclasses.replace(microscope or Microscope(), **settings)
    crystals = tuple(_crystal(phase) for phase in phases)
    random = np.random.default_rng(seed)
    generator = torch.Generator().manual_seed(seed)
    grain_map = voronoi_grains(
        shape,
        grains,
        random,
        overlap=overlap,
        amorphous_fraction=amorphous_fraction,
        vacuum_fraction=vacuum_fraction,
    )
    grain_phase = random.permutation(_phases_of_grains(shares, grains))
    grain_rotation = random_rotations(grains, generator)
    tilt = _mosaic(shape, mosaic, generator)
    offset = torch.tensor(microscope.centre) + torch.tensor(microscope.centre_offset)
    renderer = _Renderer(
        microscope=microscope,
        masks=microscope.detector_masks(generator),
        reflections=[_reflections(crystal, microscope) for crystal in crystals],
        grain_phase=grain_phase,
        grain_rotation=grain_rotation,
        tilt=tilt,
        label=grain_map.label.ravel(),
        neighbour=grain_map.neighbour.ravel(),
        share=grain_map.share.ravel(),
        centres=offset
        + effects.descan_shifts(shape, microscope.descan, generator).reshape(-1, 2),
        seed=seed,
    )
    crystalline = grain_map.label >= 0
    rotations = np.tile(np.eye(3), (*shape, 1, 1))
    there = torch.as_tensor(np.flatnonzero(crystalline))
    rotations[crystalline] = renderer.rotations(
        there, torch.as_tensor(grain_map.label[crystalline])
    )
    return Scan(
        signal=_signal(renderer, shape, step, lazy, chunks),
        phases=crystals,
        phase_map=np.where(crystalline, grain_phase[grain_map.label], grain_map.label),
        grain_map=grain_map.label,
        second_grain_map=np.where(
            grain_map.share > 0, grain_map.neighbour, grain_map.label
        ),
        rotations=_orix_rotations(rotations),
        microscope=microscope,
    )


@dataclasses.dataclass(eq=False)
class _Renderer:
    """Renders scan positions, given by flat index, independently of each other."""

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


def _check(
    phases, shape, grains, fractions, amorphous_fraction, vacuum_fraction
) -> np.ndarray:
    if len(phases) == 0:
        raise ValueError("make_scan needs at least one phase.")
    if len(shape) != 2 or min(shape) < 1:
        raise ValueError(f"shape must be (rows, columns) of a scan, not {shape}.")
    if grains < len(phases):
        raise ValueError(
            f"{grains} grains cannot hold {len(phases)} phases. Ask for more grains."
        )
    shares = np.ones(len(phases)) if fractions is None else np.asarray(fractions, float)
    if shares.shape != (len(phases),) or not (shares > 0).all():
        raise ValueError("fractions must be one positive number for each phase.")
    elsewhere = (amorphous_fraction, vacuum_fraction)
    if min(elsewhere) < 0 or sum(elsewhere) > 1:
        raise ValueError(
            "amorphous_fraction and vacuum_fraction must not be negative, nor more "
            "than 1 together."
        )
    return shares / shares.sum()


def _phases_of_grains(shares: np.ndarray, grains: int) -> np.ndarray:
    """Return a phase for each grain, in shares as near as can be."""
    phases = list(range(len(shares)))
    while len(phases) < grains:
        counts = np.bincount(phases, minlength=len(shares))
        phases.append(int(np.argmax(shares * (len(phases) + 1) - counts)))
    return np.array(phases)


def _crystal(phase: Any) -> Crystal:
    if isinstance(phase, (str, Path)):
        return read_cif(phase)
    if isinstance(phase, Crystal):
        return phase if phase.space_group else label(phase)
    return from_phase(phase)


def _reflections(crystal: Crystal, microscope: Microscope) -> Reflections:
    half = compute_reflections(crystal, microscope.corner_radius)
    g = half.hkl @ half.reciprocal_basis
    return Reflections.from_half(torch.as_tensor(g), torch.as_tensor(half.intensity))


def _mosaic(
    shape: tuple[int, int], mosaic: float, generator: torch.Generator
) -> torch.Tensor | None:
    if mosaic == 0:
        return None
    n = shape[0] * shape[1]
    axes = torch.nn.functional.normalize(torch.randn(n, 3, generator=generator), dim=-1)
    angles = mosaic * torch.rand(n, generator=generator) ** (1 / 3)
    return tilt_series(torch.eye(3), axes, angles)


def _orix_rotations(matrices: np.ndarray) -> Rotation:
    from orix.quaternion import Rotation

    return ~Rotation.from_matrix(matrices)


def _signal(
    renderer: _Renderer,
    shape: tuple[int, int],
    step: float,
    lazy: bool,
    chunks: int | tuple[int, int] | None,
) -> ElectronDiffraction2D:
    from pyxem.signals import ElectronDiffraction2D, LazyElectronDiffraction2D

    microscope = renderer.microscope
    index = np.arange(shape[0] * shape[1]).reshape(shape)
    if lazy:
        signal = LazyElectronDiffraction2D(_lazy_data(renderer, index, chunks))
    else:
        signal = ElectronDiffraction2D(renderer(index))
    signal.metadata.General.title = "Simulated scan"
    signal.set_experimental_parameters(beam_energy=microscope.beam_energy)
    for axis, name in zip(signal.axes_manager.navigation_axes, "xy", strict=True):
        axis.name, axis.scale, axis.units = name, step, "nm"
    for axis, name, centre in zip(
        signal.axes_manager.signal_axes, ("kx", "ky"), microscope.centre, strict=True
    ):
        axis.name, axis.units = name, r"$\AA^{-1}$"
        axis.scale = microscope.pixel_size
        axis.offset = -centre * microscope.pixel_size
    return signal


def _lazy_data(
    renderer: _Renderer, index: np.ndarray, chunks: int | tuple[int, int] | None
):
    import dask.array as da

    detector = renderer.microscope.detector
    if chunks is None:
        pattern_bytes = detector[0] * detector[1] * renderer.dtype.itemsize
        chunks = max(1, int((_CHUNK_BYTES / pattern_bytes) ** 0.5))
    index = da.from_array(index, chunks=chunks)
    return da.map_blocks(
        renderer,
        index,
        dtype=renderer.dtype,
        chunks=(*index.chunks, *((n,) for n in detector)),
        new_axis=[2, 3],
        meta=np.empty((0, 0, 0, 0), renderer.dtype),
    )
