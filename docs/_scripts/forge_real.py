# SPDX-License-Identifier: GPL-3.0-or-later
"""Draw docs/_static/forge_real.png: real patterns beside simulated ones.

Needs the real patterns in the folder PYXEM_SYMNET_DATA names; the documentation
shows the picture this wrote. From the repository's root:

    python docs/_scripts/forge_real.py
"""

import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import tifffile
import torch

from pyxem_symnet.descriptors.spots import Spots
from pyxem_symnet.simulation import (
    Microscope,
    Reflections,
    axis_rotations,
    compute_reflections,
    example_phases,
    generate_crystal,
    microscope,
    sample_patterns,
    spot_defects,
)
from pyxem_symnet.simulation.imaging import expose
from pyxem_symnet.simulation.rotations import random_rotations, tilt_series

DATA = Path(os.environ["PYXEM_SYMNET_DATA"]) / "experimental"
PICTURE = Path(__file__).parents[1] / "_static" / "forge_real.png"


def photograph(crystal, rotation, gamma, generator, **settings):
    half = compute_reflections(crystal, 1.3, standardise=False)
    reflections = Reflections.from_half(
        torch.as_tensor(half.hkl @ half.reciprocal_basis),
        torch.as_tensor(half.intensity),
    )
    camera = Microscope(**settings)
    spots = sample_patterns(reflections, rotation.double()[None])
    spots = spot_defects.damp_intensities(spots, camera.b_factor)
    spots = spot_defects.compress_intensities(spots, gamma)
    share = camera.scattered * spots.intensities / spots.intensities.sum()
    spots = Spots(spots.positions.float(), share.float())
    image = expose(spots, camera, camera.detector_masks(generator))
    return microscope.counting_noise(image, generator)[0].numpy()


def show(ax, image, title, quantile):
    shown = np.sqrt(np.clip(image, 0, None))
    ax.imshow(shown, cmap="magma", vmax=np.quantile(shown, quantile))
    ax.set_title(title, fontsize=9)
    ax.set_axis_off()


generator = torch.Generator().manual_seed(0)
molybdite = example_phases()["molybdite"]
along_b = axis_rotations(molybdite.lattice)[1]
turned = tilt_series(along_b, torch.tensor([0.0, 0, 1]), torch.tensor([80.0]))
tilted = tilt_series(turned[0], torch.tensor([1.0, 0, 0]), torch.tensor([1.0]))[0]
organic = generate_crystal(
    4, np.random.default_rng(1), n_sites=(24, 24), special_fraction=0, min_distance=1.3
)

_, axes = plt.subplots(1, 4, figsize=(10, 2.8), layout="constrained")
show(axes[0], tifffile.imread(DATA / "moo3_20cm.tif"), "MoO$_3$, real", 0.997)
show(
    axes[1],
    photograph(
        molybdite,
        tilted,
        0.4,
        generator,
        detector=(256, 256),
        pixel_size=0.01024,
        dose=3e5,
        disc_radius=0.02,
        ellipticity=1.05,
        background=0.3,
    ),
    "MoO$_3$, simulated",
    0.997,
)
frame = sorted((DATA / "cinchonine").glob("*.tif"))[0]
show(axes[2], tifffile.imread(frame).astype(float), "cinchonine, real", 0.9995)
show(
    axes[3],
    photograph(
        organic,
        random_rotations(1, generator)[0],
        0.8,
        generator,
        detector=(512, 512),
        pixel_size=0.00495,
        dose=3e4,
        disc_radius=0.006,
        blur=1.0,
        b_factor=4.0,
        background=0.6,
        background_width=0.2,
        scattered=0.15,
        cross_width=4,
    ),
    "generated $P2_1$ crystal, simulated",
    0.9995,
)
PICTURE.parent.mkdir(exist_ok=True)
plt.savefig(PICTURE, dpi=90)
