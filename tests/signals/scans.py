# SPDX-License-Identifier: GPL-3.0-or-later
"""Small scans and a small network with random weights."""

import numpy as np
import torch
from pyxem.signals import Diffraction2D, DiffractionVectors

from pyxem_symnet.models import TemperatureTable, ViewSetMSDN, save_checkpoint

CLASSES = (0, 225, 1, 2, 14, 62, 63, 229)
SPACE_GROUPS = (1, 2, 14, 62, 63, 225, 229)
PIXEL_SIZE = 0.04

_SMALL = {"blocks": [1], "growth": [4], "bottleneck": 4, "stem_channels": 4}


def save_model(path, classes=CLASSES, seed=0, lattice=None, single=False):
    """Write a checkpoint whose answers differ from pattern to pattern."""
    torch.manual_seed(seed)
    model = ViewSetMSDN(
        classes,
        finder={"working_size": 64},
        radial={"n_bins": 64},
        pairs={"n_radii": 8, "n_angles": 6},
        network={
            "radial": _SMALL,
            "pairs": _SMALL,
            "grid": {"radial": 4, "pairs": 2},
            "width": 16,
            "hidden": 16,
        },
        lattice=lattice,
        single=single,
    )
    with torch.no_grad():
        model.join[-1].weight.mul_(20)
        if single:
            torch.nn.init.normal_(model.evidence_of_one.weigh[-1].weight)
    model.calibration = TemperatureTable((1, 4, 16), (1.5, 1.0, 0.7))
    save_checkpoint(path, model, {"summary": "Random weights", "seed": seed})
    return path


def patterns(shape=(), seed=0, size=48, dtype=np.uint16):
    """Return Poisson counts of a beam and ten spots, of shape (..., size, size)."""
    rng = np.random.default_rng(seed)
    row, column = np.mgrid[:size, :size]
    images = np.empty((*shape, size, size), dtype)
    for index in np.ndindex(shape):
        image = np.full((size, size), 0.5)
        middle = (size - 1) / 2 + rng.uniform(-0.5, 0.5, 2)
        spots = rng.uniform(5, size - 6, (10, 2))
        heights = [600, *rng.uniform(60, 200, 10)]
        for (y, x), height in zip([middle, *spots], heights, strict=True):
            distance = (row - y) ** 2 + (column - x) ** 2
            image += height * np.exp(-distance / 2 / 1.3**2)
        images[index] = rng.poisson(image)
    return images


def calibrate(signal, pixel_size=PIXEL_SIZE, units="1/Å"):
    for axis in signal.axes_manager.signal_axes:
        axis.scale, axis.units = pixel_size, units
    return signal


def scan(shape=(), **kwargs):
    """Return a calibrated signal of a navigation shape."""
    return calibrate(Diffraction2D(patterns(shape, **kwargs)))


def vectors(shape=(3, 4), seed=0):
    """Return a ragged signal of (ky, kx, intensity), one list of them empty."""
    rng = np.random.default_rng(seed)
    lists = np.empty(shape, object)
    for number, index in enumerate(np.ndindex(shape)):
        n_spots = rng.integers(4, 15) if number != 1 else 0
        positions = rng.uniform(-0.9, 0.9, (n_spots, 2))
        lists[index] = np.column_stack((positions, rng.uniform(1, 9, n_spots)))
    return DiffractionVectors(
        lists,
        ragged=True,
        units=["1/Å", "1/Å", "a.u."],
        column_names=["ky", "kx", "intensity"],
    )
