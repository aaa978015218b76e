# SPDX-License-Identifier: GPL-3.0-or-later
"""Series of patterns that a detector records, with what is true of them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import torch
from _detector_cameras import LARGE, Camera

from pyxem_symnet.descriptors import Spots
from pyxem_symnet.simulation import example_phases, microscope
from pyxem_symnet.simulation.imaging import Microscope, expose
from pyxem_symnet.simulation.reflections import ReflectionList, compute_reflections
from pyxem_symnet.simulation.rotations import random_rotations, zone_rotations
from pyxem_symnet.simulation.sampler import Reflections, sample_patterns
from pyxem_symnet.simulation.structures import Crystal
from pyxem_symnet.simulation.wyckoff import orbit

#: Degrees between two patterns of a tilt series
STEP = 2.0


def large_cell() -> Crystal:
    """Return a monoclinic crystal of 24 light atoms, P2_1."""
    from diffpy.structure import Lattice

    rng = np.random.default_rng(0)
    sites = [orbit(position, 6) for position in rng.uniform(size=(12, 3))]
    numbers = np.repeat(rng.choice([6, 7, 8], 12), [len(site) for site in sites])
    return Crystal(
        material_id=LARGE,
        lattice=Lattice(10.73, 7.28, 11.11, 90, 108.06, 90).base,
        numbers=numbers.tolist(),
        positions=np.concatenate(sites),
    )


@dataclass(eq=False)
class Series:
    """Simulated patterns, and what is true of them."""

    images: np.ndarray
    centre: tuple[float, float]
    #: Of each pattern: (x, y) in pixels, ratio of signal to noise
    spots: list[tuple[np.ndarray, np.ndarray]]
    #: Pixels that count nothing or too much
    defects: np.ndarray
    #: Radius of the spots in pixels
    radius: float
    camera: Camera = field(repr=False, default=None)


def simulate(camera: Camera, seed: int) -> Series:
    """Return the patterns of a camera."""
    generator = torch.Generator().manual_seed(seed)
    spots = _spots(camera, generator)
    return expose_series(camera, spots, generator, np.random.default_rng(seed))


def expose_series(
    camera: Camera,
    spots: Spots,
    generator: torch.Generator,
    rng: np.random.Generator,
) -> Series:
    """Return what a camera records of spots in parts of its electrons."""
    settings = camera.optics
    masks = settings.detector_masks(generator)
    centre = tuple(np.add(settings.centre, settings.centre_offset))
    stop = torch.zeros_like(masks["hidden"])
    if camera.stop:
        stop = microscope.beam_stop(
            settings.detector, centre, camera.stop, 0.6 * camera.stop, 70.0
        )
    defects = masks["hidden"].numpy() | stop.numpy()
    lines = np.zeros_like(defects)
    for line in rng.integers(10, settings.detector[0] - 10, camera.dead_lines):
        lines[line] = True
        lines[:, (line * 7) % settings.detector[1]] = True
    hot = np.zeros_like(defects)
    hot[tuple(rng.integers(0, settings.detector[0], (2, camera.hot)))] = True

    tail = _tail(camera, centre)
    images, truth = [], []
    none = Spots(torch.zeros(1, 1, 2), torch.zeros(1, 1))
    if camera.crystal == "powder":
        tail += _rings(camera, centre)
    plain = expose(none, settings, masks)[0] + tail
    for i in range(camera.n):
        own = Spots(*(part[i : i + 1] for part in spots))
        expected = (expose(own, settings, masks)[0] + tail) * ~stop
        counted = torch.poisson(expected, generator=generator)[None]
        counts = camera.gain * microscope.blur(counted, camera.spread)[0].numpy()
        counts = counts + rng.normal(camera.pedestal, camera.read, counts.shape)
        counts[lines] = 0
        counts[hot] += rng.uniform(0.05, 1, hot.sum()) * min(camera.full, 3e4)
        counts = counts.clip(max=camera.full)
        if np.issubdtype(camera.dtype, np.integer):
            counts = counts.round().clip(np.iinfo(camera.dtype).min)
        images.append(counts.astype(camera.dtype))
        truth.append(_visible(own, camera, plain.numpy(), centre))
    return Series(
        np.stack(images), centre, truth, defects | lines | hot, _radius(camera), camera
    )


def _radius(camera: Camera) -> float:
    blur = math.hypot(camera.optics.blur, camera.spread)
    return camera.optics.disc_radius / camera.optics.pixel_size + 1.5 * blur


def _tail(camera: Camera, centre) -> torch.Tensor:
    settings = camera.optics
    if not camera.glare:
        return torch.zeros(settings.detector)
    r = microscope.radius_map(settings.detector, 1.0, centre)[0]
    core = 0.015 / settings.pixel_size
    tail = (r**2 + core**2) ** -1.5
    return camera.glare * settings.dose * tail / tail.sum()


def _spots(camera: Camera, generator: torch.Generator) -> Spots:
    """Return the spots of each pattern in parts of its electrons."""
    settings, n = camera.optics, camera.n
    if camera.crystal in ("none", "powder"):
        return Spots(torch.zeros(n, 1, 2), torch.zeros(n, 1))
    name = camera.crystal
    crystal = large_cell() if name == "large monoclinic" else example_phases()[name]
    found = compute_reflections(crystal, settings.corner_radius)
    if camera.orientation == "zone":
        lattice = torch.as_tensor(found.conventional_lattice)
        rotations = zone_rotations(lattice, n, 0.5, generator)
    else:
        rotations = _tilts(n) @ random_rotations(1, generator)
    positions, intensities = kinematic_spots(found, settings, rotations)
    intensities = intensities * torch.exp(-2.0 * positions.square().sum(-1))
    intensities *= settings.scattered / intensities.sum(-1).mean()
    intensities[list(camera.blank)] = 0
    return Spots(positions, intensities)


def kinematic_spots(
    found: ReflectionList, settings: Microscope, rotations: torch.Tensor
) -> Spots:
    """Return the spots of a crystal's reflections that a detector reaches."""
    reflections = Reflections.from_half(
        torch.as_tensor(found.hkl @ found.reciprocal_basis).double(),
        torch.as_tensor(found.intensity).double(),
    )
    spots = sample_patterns(
        reflections,
        rotations.double(),
        beam_energy=settings.beam_energy,
        reciprocal_radius=settings.corner_radius,
        max_excitation_error=settings.excitation_error,
        max_spots=400,
    )
    return Spots(*(part.float() for part in spots))


def _tilts(n: int) -> torch.Tensor:
    """Return rotations about y, which lies across the beam."""
    angle = torch.deg2rad(STEP * torch.arange(n))
    zero, one = torch.zeros(n), torch.ones(n)
    cosine, sine = angle.cos(), angle.sin()
    rows = (cosine, zero, sine, zero, one, zero, -sine, zero, cosine)
    return torch.stack(rows, -1).reshape(n, 3, 3)


def _rings(camera: Camera, centre) -> torch.Tensor:
    """Return the rings of a fine powder."""
    settings = camera.optics
    found = compute_reflections(example_phases()["austenite"], settings.corner_radius)
    lengths = np.linalg.norm(found.hkl @ found.reciprocal_basis, axis=1)
    r = microscope.radius_map(settings.detector, settings.pixel_size, centre)[0]
    width = settings.blur * settings.pixel_size
    rings = torch.zeros(settings.detector)
    for length, intensity in zip(lengths.tolist(), found.intensity, strict=True):
        profile = torch.exp(-0.5 * ((r - length) / width) ** 2)
        rings += float(intensity) * math.exp(-2 * length**2) / length**2 * profile
    return settings.scattered * settings.dose * rings / rings.sum()


def _visible(spots: Spots, camera: Camera, plain: np.ndarray, centre):
    """Return spots on the detector and their ratio of signal to noise."""
    settings = camera.optics
    positions = spots.positions[0].numpy() / settings.pixel_size + np.array(centre)
    electrons = spots.intensities[0].numpy() * settings.dose
    index = positions.round().astype(int)
    inside = ((index >= 0) & (index < settings.detector[::-1])).all(1)
    inside &= electrons > 0
    positions, electrons, index = positions[inside], electrons[inside], index[inside]
    area = math.pi * (_radius(camera) + 0.5) ** 2
    behind = plain[index[:, 1], index[:, 0]] + (camera.read / camera.gain) ** 2
    return positions, electrons / np.sqrt(electrons + area * behind)
