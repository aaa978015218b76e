# SPDX-License-Identifier: GPL-3.0-or-later
"""
Imperfections, one by one
=========================

What is wrong with real crystals, microscopes and spot finders, as the forge
makes it for training, on one crystal of molybdite (MoO\\ :sub:`3`, *Pnma*) seen
along the long axis of its cell.
"""

import dataclasses

import matplotlib.pyplot as plt
import numpy as np
import torch

from pyxem_symnet.descriptors.spots import Spots
from pyxem_symnet.simulation import (
    PROTOCOLS,
    Microscope,
    Reflections,
    axis_rotations,
    compute_reflections,
    crystal_defects,
    example_phases,
    microscope,
    random_rotations,
    sample_patterns,
    spot_defects,
)
from pyxem_symnet.simulation.imaging import expose

RADIUS = 1.28


def draw(ax, spots, title, before=None):
    """Draw the first pattern, and rings where its spots were before."""
    if before is not None:
        there = before.intensities[0] > 1e-3 * before.intensities[0].max()
        x, y = before.positions[0][there].T
        ax.scatter(x, y, s=30, facecolors="none", edgecolors="tab:blue", lw=0.5)
    x, y = spots.positions[0].T
    size = 40 * spots.relative_intensities()[0].sqrt()
    ax.scatter(x, y, s=size, c="k", lw=0)
    ax.set(xlim=(-RADIUS, RADIUS), ylim=(RADIUS, -RADIUS), aspect="equal")
    ax.set(xticks=[], yticks=[])
    ax.set_title(title, fontsize=8)


def grid(rows, columns):
    """Return a figure's axes as a flat array."""
    _, axes = plt.subplots(
        rows, columns, figsize=(2 * columns, 2.15 * rows), layout="constrained"
    )
    return axes.ravel()


def reflections_of(crystal):
    """Return a crystal's reflections, in double precision."""
    half = compute_reflections(crystal, 1.3, standardise=False)
    return Reflections.from_half(
        torch.as_tensor(half.hkl @ half.reciprocal_basis),
        torch.as_tensor(half.intensity),
    )


# %%
# The perfect pattern
# -------------------
#
# All that follows starts from these spots. Reflections with h + l odd are absent.

crystal = example_phases()["molybdite"]
reflections = reflections_of(crystal)
along_b = axis_rotations(crystal.lattice)[1:2].double()
spots = sample_patterns(reflections, along_b, reciprocal_radius=RADIUS)
generator = torch.Generator().manual_seed(1)

_, ax = plt.subplots(figsize=(3, 3), layout="constrained")
draw(ax, spots, "clean")

# %%
# On lists of spots
# -----------------
#
# Exaggerated where it would not be seen. Blue rings are the spots of before.

tilted = sample_patterns(reflections, random_rotations(1, generator).double())
effects = {
    "scale +5 %": spot_defects.scale_positions(spots, 1.05),
    "ellipticity 8 %": spot_defects.stretch_positions(spots, 1.08, 30.0),
    "centre shift": spot_defects.shift_positions(spots, 0.03, generator),
    "position jitter": spot_defects.jitter_positions(spots, 0.015, generator),
    "intensity jitter": spot_defects.jitter_intensities(spots, 0.8, generator),
    "thermal, B = 2 Å²": spot_defects.damp_intensities(spots, 2.0),
    "dynamical, gamma = 0.4": spot_defects.compress_intensities(spots, 0.4),
    "saturation at 20 %": spot_defects.saturate_intensities(spots, 0.2),
    "two decades found": spot_defects.drop_weak(spots, 2.0, generator=generator),
    "20 % missed": spot_defects.drop_random(spots, 0.2, generator),
    "detector and beam stop": spot_defects.limit_radius(spots, 0.3, 0.9),
    "gap between tiles": spot_defects.hide_cross(spots, 0.08),
    "10 spurious": spot_defects.add_spurious(spots, 10, generator=generator),
    "overlap": spot_defects.overlap(spots, tilted, 0.5),
}
axes = grid(3, 5)
for ax, (title, changed) in zip(axes, effects.items(), strict=False):
    draw(ax, changed, title, before=spots)

# In this zone of molybdite no two reflections add up to an absent one. In rutile
# along c, (210) and (-1-10) give (100).
rutile = example_phases()["rutile"]
along_c = axis_rotations(rutile.lattice)[2:].double()
before = sample_patterns(reflections_of(rutile), along_c, reciprocal_radius=RADIUS)
doubled = spot_defects.double_diffraction(before, 0.5, n_beams=20, radius=RADIUS)
draw(axes[-1], doubled, "double diffraction, rutile", before=before)

# %%
# All at once
# -----------
#
# The frozen protocols draw every strength at random. These are five draws of each
# of the same orientation.

latest = [PROTOCOLS[name] for name in ("clean", "noisy", "harsh")]
axes = grid(len(latest), 5)
for row, protocol in zip(axes.reshape(-1, 5), latest, strict=True):
    for seed, ax in enumerate(row):
        seeded = torch.Generator().manual_seed(seed)
        draw(ax, protocol.draw(reflections, along_b, seeded), protocol.name)

# %%
# What they contain, a range for each strength:

names = [field.name for field in dataclasses.fields(PROTOCOLS["clean"])][1:]
print(" " * 24 + "".join(f"{p.name:>18}" for p in latest))
for name in names:
    values = [
        "-".join(map(str, value)) if isinstance(value, tuple) else str(value)
        for value in (getattr(p, name) for p in latest)
    ]
    print(f"{name:24}" + "".join(f"{value:>18}" for value in values))

# %%
# In the crystal
# --------------
#
# Defects of the structure are made in a supercell. Diffuse scattering between the
# spots is theirs.

random = np.random.default_rng(0)
large = crystal_defects.supercell(crystal, (4, 1, 4))
structures = {
    "10 % vacancies": crystal_defects.vacancies(large, 0.1, random),
    "20 % of sites tungsten": crystal_defects.substitute(large, 0.2, 74, random),
    "displacements 0.15 Å": crystal_defects.displace(large, 0.15, random),
    "strain 5 %": crystal_defects.strain(crystal, 0.05),
    "shear": crystal_defects.strain(crystal, shear=(0, 0.05, 0)),
}
shapes = {
    "40 Å large": crystal_defects.finite_size(reflections, 40.0, 24, generator),
    "mosaic spread 2°": crystal_defects.mosaic_spread(reflections, 2.0, 24, generator),
    "stacking faults": crystal_defects.stacking_fault_streaks(
        reflections, torch.tensor([1.0, 0, 0]), torch.tensor([0, 0, 1.85]), 0.8, 0.25
    ),
}
changed = {name: reflections_of(structure) for name, structure in structures.items()}
axes = grid(2, 4)
for ax, (title, defective) in zip(axes, (changed | shapes).items(), strict=True):
    draw(ax, sample_patterns(defective, along_b), title, before=spots)

# %%
# In the microscope
# -----------------
#
# Images are made of the spots, with the settings of a :class:`Microscope`.

share = Spots(spots.positions.float(), spots.intensities.float())
share = spot_defects.damp_intensities(share, 0.5)
share = share._replace(
    intensities=0.3 * share.intensities / share.intensities.sum(-1, keepdim=True)
)


def photograph(**settings):
    """Return one image."""
    camera = Microscope(**settings)
    image = expose(share, camera, camera.detector_masks(generator))
    if camera.dose is not None:
        image = microscope.counting_noise(image, generator)
    return image[0]


plain = {"dose": None, "background": 0.0}
images = {
    "discs": photograph(**plain),
    "larger convergence": photograph(**plain, disc_radius=0.09),
    "blur": photograph(**plain, blur=3.0),
    "halo": photograph(dose=None, background=0.4),
    "amorphous film": photograph(**plain, film=0.4),
    "100 000 electrons": photograph(dose=1e5),
    "2 000 electrons": photograph(dose=2e3),
    "beam off centre": photograph(**plain, centre_offset=(9, -5)),
    "ellipticity 10 %": photograph(**plain, ellipticity=1.1, ellipse_angle=30),
    "dead and hot pixels": photograph(dose=1e5, dead_fraction=0.02, hot_fraction=2e-3),
    "gap and beam stop": photograph(**plain, cross_width=4, stop_radius=0.12),
    "distorted afterwards": microscope.distort(
        photograph(**plain)[None], scale=1.1, ratio=1.1, shift=(6.0, 0.0)
    )[0],
}
axes = grid(3, 4)
for ax, (title, image) in zip(axes, images.items(), strict=True):
    ax.imshow(image.sqrt(), cmap="magma", vmax=float(image.sqrt().quantile(0.995)))
    ax.set_axis_off()
    ax.set_title(title, fontsize=8)
