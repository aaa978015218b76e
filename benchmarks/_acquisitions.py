# SPDX-License-Identifier: GPL-3.0-or-later
"""Acquisitions of ``acquisitions.py``: a crystal, a microscope and a detector."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import torch
import yaml
from _detector_cameras import Camera, optics
from _detector_series import (
    Series,
    expose_series,
    kinematic_spots,
)

from pyxem_symnet.descriptors import Spots
from pyxem_symnet.simulation.reflections import compute_reflections
from pyxem_symnet.simulation.rotations import (
    random_rotations,
    tilt_series,
    zone_rotations,
)
from pyxem_symnet.simulation.structures import Crystal

#: Energies in kV, widths of detectors in pixels, and kinds of detectors
ENERGIES = (80.0, 120.0, 200.0, 200.0, 300.0)
SIZES = (256, 256, 512, 512, 1024)
DETECTORS = ("counting", "CCD", "CMOS")


@dataclasses.dataclass(frozen=True)
class Acquisition:
    """What was recorded, and how.

    Parameters
    ----------
    crystal
        The crystal.
    kind
        "series" for a rotation series, or "pattern" for one near a zone axis.
    detector
        Kind and width of the detector.
    camera
        It and the optics.
    step
        Degrees between the patterns of a series.
    azimuth
        Of its axis in radians.
    mistilt
        Standard deviation of the angle from a zone axis in degrees.
    b_factor, gamma, scatter
        Intensities are the kinematic ones times exp(-B g² / 2), to the power
        gamma, times a log-normal number of this width: what a crystal that is
        not thin makes of them.
    scale, ellipticity, ellipse_angle
        What the camera length is wrong by, the ratio of axes that a ring has,
        and the angle of the long one in radians.
    """

    crystal: Crystal
    kind: str
    detector: str
    camera: Camera
    step: float
    azimuth: float
    mistilt: float
    b_factor: float
    gamma: float
    scatter: float
    scale: float
    ellipticity: float
    ellipse_angle: float

    def record(self, seed: int) -> Series:
        """Return the patterns."""
        generator = torch.Generator().manual_seed(seed)
        random = np.random.default_rng(seed)
        return expose_series(self.camera, self._spots(generator), generator, random)

    def _spots(self, generator: torch.Generator) -> Spots:
        settings = self.camera.optics
        found = compute_reflections(self.crystal, settings.corner_radius)
        n = self.camera.n
        if self.kind == "pattern":
            lattice = torch.as_tensor(found.conventional_lattice)
            rotations = zone_rotations(lattice, n, self.mistilt, generator)
        else:
            axis = torch.tensor([math.cos(self.azimuth), math.sin(self.azimuth), 0.0])
            start = random_rotations(1, generator)[0]
            rotations = tilt_series(start, axis, self.step * torch.arange(n))
        positions, intensities = kinematic_spots(found, settings, rotations)
        seen = intensities > 0
        fall = torch.exp(-0.5 * self.b_factor * positions.square().sum(-1))
        scatter = self.scatter * torch.randn(intensities.shape, generator=generator)
        intensities = (intensities * fall) ** self.gamma * scatter.exp() * seen
        intensities *= settings.scattered / intensities.sum(-1).mean()
        # No pattern has more electrons in its spots than there are
        total = intensities.sum(-1, keepdim=True)
        intensities *= (0.5 / total.clamp(min=0.5)).where(total > 0.5, 1.0)
        c, s = math.cos(self.ellipse_angle), math.sin(self.ellipse_angle)
        turn = torch.tensor([[c, s], [-s, c]])
        axes = torch.tensor([self.ellipticity**0.5, self.ellipticity**-0.5])
        stretch = self.scale * turn.T @ axes.diag() @ turn
        return Spots(positions @ stretch.T, intensities)


def draw_acquisition(crystal: Crystal, kind: str, seed: int) -> Acquisition:
    """Return an acquisition with everything but the crystal drawn by lot."""
    random = np.random.default_rng(seed)
    size = int(random.choice(SIZES))
    pixel = random.uniform(0.8, 1.5) / (size / 2)
    detector = str(random.choice(DETECTORS))
    off = random.uniform(-0.12, 0.12, 2) * size * (random.uniform() < 0.5)
    sharp = kind == "series" or size > 256 or random.uniform() < 0.5
    settings = optics(
        size,
        pixel,
        10 ** random.uniform(4.3, 6),
        random.uniform(0.55, 0.95) * size / 256,
        disc_radius=0.0 if sharp else random.uniform(1.5, 4),
        beam_energy=float(random.choice(ENERGIES)),
        excitation_error=random.uniform(0.004, 0.015),
        centre_offset=tuple(off.tolist()),
        background=random.uniform(0.05, 0.3),
        film=float(random.choice([0.0, 0.15])),
        scattered=random.uniform(0.1, 0.35),
        cross_width=4 if detector == "counting" and size == 512 else 0,
    )
    stop = random.uniform(0.06, 0.12) / pixel if random.uniform() < 0.35 else 0.0
    readout = {}
    if detector != "counting":
        readout = {
            "gain": random.uniform(5, 30),
            "read": random.uniform(3, 10),
            "pedestal": float(random.choice([0, 50, 100])),
            "spread": 1.0,
            "glare": random.uniform(0, 0.2),
            "full": 65535.0,
            "hot": int(random.integers(0, 50)),
        }
        # Without a pedestal there are negative counts
        readout["dtype"] = np.uint16 if readout["pedestal"] else np.float32
    n = int(random.integers(24, 60)) if kind == "series" else 1
    camera = Camera(settings, crystal.material_id, n=n, stop=stop, **readout)
    return Acquisition(
        crystal,
        kind,
        f"{detector} {size}",
        camera,
        step=random.uniform(1, 2.5),
        azimuth=random.uniform(0, 2 * np.pi),
        mistilt=random.uniform(0, 1),
        b_factor=random.uniform(1, 5),
        gamma=random.uniform(0.5, 1),
        scatter=random.uniform(0.2, 0.6),
        scale=random.uniform(0.98, 1.02),
        ellipticity=random.uniform(1, 1.04),
        ellipse_angle=random.uniform(0, np.pi),
    )


def write_set(
    folder: Path, acquisitions: list[Acquisition], seeds: list[int]
) -> list[dict]:
    """Write patterns and their labels, as `pyxem-symnet validate` reads them.

    Each is of another kind, after which it is named. Returns what is known of
    each acquisition.
    """
    labels, known = [], []
    for number, acquisition in enumerate(acquisitions):
        series = acquisition.record(seeds[number])
        file = folder / f"{number}.npy"
        np.save(file, series.images)
        camera = acquisition.camera
        n_true = np.median([(ratio > 3).sum() for _, ratio in series.spots])
        labels.append(
            {
                "name": acquisition.kind,
                "files": file.name,
                "pixel_size": float(camera.optics.pixel_size),
                "units": "1/A",
                "beam_energy": float(camera.optics.beam_energy),
                "centre": "auto",
                "space_group": int(acquisition.crystal.space_group),
                "kind": acquisition.kind,
            }
        )
        known.append(
            {
                "crystal": acquisition.crystal.material_id,
                "detector": acquisition.detector,
                "beam_energy": camera.optics.beam_energy,
                "stop": camera.stop > 0,
                "off_centre": any(camera.optics.centre_offset),
                "n_true": float(n_true),
                "centre": list(series.centre),
            }
        )
    (folder / "labels.yaml").write_text(yaml.safe_dump(labels))
    (folder / "known.json").write_text(json.dumps(known))
    return known
