# SPDX-License-Identifier: GPL-3.0-or-later
"""
A first map
===========

A simulated scan over a polycrystal of two phases is mapped, pixel by pixel and
then phase by phase, and compared with the truth.
"""

import matplotlib.pyplot as plt
import numpy as np

import pyxem_symnet  # noqa: F401  adds classify_space_group() to pyxem's signals
from pyxem_symnet.simulation import example_phases, make_scan

# %%
# The scan
# --------
#
# Rutile is tetragonal and baddeleyite, an oxide of zirconium, monoclinic. The scan is
# a calibrated pyxem signal, as one from a microscope would be.

known = example_phases()
scan = make_scan(
    [known["rutile"], known["baddeleyite"]], shape=(24, 24), grains=14, seed=4
)
print(scan.signal)

fig, axes = plt.subplots(1, 3, figsize=(9, 3), layout="constrained")
axes[0].imshow(scan.phase_map, cmap="Set2")
axes[0].set_title("phases")
for ax, (y, x) in zip(axes[1:], [(4, 4), (18, 18)], strict=True):
    ax.imshow(np.sqrt(scan.signal.data[y, x]), cmap="magma")
    ax.set_title(f"pattern at ({x}, {y})")
for ax in axes:
    ax.set_axis_off()

# %%
# One pixel at a time
# -------------------
#
# Each pixel is one view at an orientation that is not known. The colours are pale
# where the confidence is low.

sym = scan.signal.classify_space_group(show_progressbar=False)
fig, ax = plt.subplots(figsize=(6, 4), layout="constrained")
sym.plot_map("crystal_system", ax=ax)

# %%
# How often is the answer that of the truth?


def agreement(sym, level):
    """Return the share of the scan that is named rightly."""
    named = sym.to_map(level)
    labels = np.array(named.metadata.Symmetry.labels)
    return (labels[named.data] == scan.truth(level)).mean()


for level in ("crystal_system", "laue_class", "diffraction_symbol"):
    print(f"{level:20s} {agreement(sym, level):.0%}")

# %%
# Many views at once
# ------------------
#
# If it is known which pixels are of one phase, all of their patterns decide
# together.

pooled = scan.signal.classify_space_group(
    regions=scan.phase_map, show_progressbar=False
)
fig, ax = plt.subplots(figsize=(6, 4), layout="constrained")
pooled.plot_map("crystal_system", ax=ax)

for level in ("crystal_system", "laue_class", "diffraction_symbol"):
    print(f"{level:20s} {agreement(pooled, level):.0%}")

# %%
# A region's answer is a ranking. The space groups of one diffraction symbol cannot
# be told apart by kinematic diffraction: read the symbol first.

regions = pooled.to_regions()
for i, phase in enumerate(scan.phases):
    print(f"{phase.material_id}: space group {phase.space_group}")
    for level in ("diffraction_symbol", "space_group"):
        for label, probability in regions.ranking(level, n=3, index=(i,)):
            print(f"    {level:20s} {label:12s} {probability:.2f}")

# %%
# Where to go from here: an orix crystal map, whose unsure points are not indexed.

print(pooled.to_crystal_map())
