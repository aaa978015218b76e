# SPDX-License-Identifier: GPL-3.0-or-later
"""Simulated 4D-STEM scans whose truth is known."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from pyxem_symnet.simulation import microscope as effects
from pyxem_symnet.simulation.example_phases import example_phases
from pyxem_symnet.simulation.grains import AMORPHOUS, VACUUM, voronoi_grains
from pyxem_symnet.simulation.imaging import Microscope
from pyxem_symnet.simulation.reflections import compute_reflections
from pyxem_symnet.simulation.rotations import random_rotations, tilt_series
from pyxem_symnet.simulation.sampler import Reflections
from pyxem_symnet.simulation.scan_renderer import ScanRenderer
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

#: Largest chunk of a lazy scan in bytes, if not told otherwise
_CHUNK_BYTES = 32 * 2**20


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
    renderer = ScanRenderer(
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
    renderer: ScanRenderer,
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
    renderer: ScanRenderer, index: np.ndarray, chunks: int | tuple[int, int] | None
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
