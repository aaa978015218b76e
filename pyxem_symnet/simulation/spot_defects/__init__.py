# SPDX-License-Identifier: GPL-3.0-or-later
"""What specimen, microscope and spot finding do to lists of spots.

Each function makes one imperfection, for all patterns of a batch at once.
Strengths are numbers, or tensors with one number a pattern. With a strength
of zero (or one, for factors) spots come back as they were. Empty slots stay
empty; functions that add spots add slots, which
:meth:`~pyxem_symnet.descriptors.spots.Spots.strongest` brings back to the
wanted number. Randomness comes from the given generator, Torch's own if none
is given.
"""

from pyxem_symnet.simulation.spot_defects.added import (
    add_spurious,
    amorphous_spots,
    double_diffraction,
    overlap,
)
from pyxem_symnet.simulation.spot_defects.intensities import (
    compress_intensities,
    damp_intensities,
    jitter_intensities,
    saturate_intensities,
)
from pyxem_symnet.simulation.spot_defects.missed import (
    drop_random,
    drop_weak,
    hide_cross,
    limit_radius,
)
from pyxem_symnet.simulation.spot_defects.positions import (
    jitter_positions,
    scale_positions,
    shift_positions,
    stretch_positions,
)

__all__ = [
    "add_spurious",
    "amorphous_spots",
    "compress_intensities",
    "damp_intensities",
    "double_diffraction",
    "drop_random",
    "drop_weak",
    "hide_cross",
    "jitter_intensities",
    "jitter_positions",
    "limit_radius",
    "overlap",
    "saturate_intensities",
    "scale_positions",
    "shift_positions",
    "stretch_positions",
]
