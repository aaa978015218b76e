# SPDX-License-Identifier: GPL-3.0-or-later
"""Frozen protocols: how patterns for training and evaluation are drawn.

A :class:`~pyxem_symnet.simulation.spot_protocol.Protocol` says how a crystal's
reflections become spots. Its version is in its name and changes with any of its
numbers, so a figure that names a protocol can be repeated. Orientations are not
part of it (see :mod:`~pyxem_symnet.simulation.rotations`).
"""

from __future__ import annotations

import dataclasses

from pyxem_symnet.simulation.spot_protocol import Protocol

#: Perfect kinematic patterns at 200 kV, cut to the strongest spots
CLEAN_1 = Protocol("clean-1")

#: The same with more spots: a zone axis of a cell of 8 Å has some 300 within
#: the radius, and the weak ones tell absences
CLEAN_2 = dataclasses.replace(CLEAN_1, name="clean-2", max_spots=256)

#: Ranges set by judgement, before anything was measured
NOISY_1 = Protocol(
    "noisy-1",
    beam_energy=(60.0, 300.0),
    excitation_error=(0.01, 0.05),
    precession_probability=0.3,
    precession_angle=(0.1, 1.0),
    reciprocal_radius=(0.7, 1.28),
    inner_radius=(0.03, 0.12),
    scale=(0.97, 1.03),
    ellipticity=(1.0, 1.03),
    b_factor=(0.2, 1.5),
    position_jitter=(0.002, 0.006),
    centre_shift=(0.0, 0.003),
    intensity_jitter=(0.1, 0.5),
    cross_probability=0.1,
    cross_width=(0.01, 0.04),
    cross_offset=(-0.1, 0.1),
    saturation_probability=0.2,
    saturation=(0.1, 0.8),
    gamma=(0.3, 1.0),
    decades=(1.5, 3.0),
    missed=(0.03, 0.1),
    spurious=(0, 6),
    overlap_probability=0.1,
    overlap=(0.05, 0.8),
    double_probability=0.3,
    double_strength=(0.01, 0.2),
)

#: Ranges that contain what `benchmarks/real_ranges.py` measures in real patterns,
#: from good data to that; each is explained in the user guide
NOISY_2 = dataclasses.replace(
    NOISY_1,
    name="noisy-2",
    excitation_error=(0.008, 0.05),
    reciprocal_radius=(0.6, 1.28),
    ellipticity=(1.0, 1.06),
    b_factor=(0.2, 4.0),
    position_jitter=(0.002, 0.009),
    centre_shift=(0.0, 0.006),
    intensity_jitter=(0.1, 1.0),
    cross_probability=0.2,
    gamma=(0.2, 1.0),
    decades=(1.0, 3.0),
    missed=(0.0, 0.1),
    spurious=(0, 2),
    double_probability=0.4,
    max_spots=256,
)

#: Worse than most data: what is left of weak or badly calibrated patterns
HARSH = dataclasses.replace(
    NOISY_1,
    name="harsh-1",
    ellipticity=(1.0, 1.06),
    position_jitter=(0.002, 0.010),
    decades=(0.5, 2.5),
    missed=(0.05, 0.25),
    spurious=(0, 10),
    overlap_probability=0.2,
    double_probability=0.5,
    double_strength=(0.05, 0.4),
)

#: Crystals of 5 to 100 nm in a parallel beam, otherwise as in noisy-2. What
#: Bloch-wave patterns differ in from kinematic ones is in the user guide.
THICK = dataclasses.replace(
    NOISY_2,
    name="thick-1",
    precession_probability=0.0,
    slab_probability=1.0,
    thickness=(50.0, 1000.0),
    gamma=(0.5, 1.0),
    double_strength=(0.001, 0.05),
)

#: Crystals of 5 to 100 nm in a parallel or precessed beam, with spots where they
#: belong: what thickness does to intensities, and to how far from the Ewald sphere
#: reflections are seen, without any other defect
THICK_CLEAN = dataclasses.replace(
    CLEAN_2,
    name="thick-clean-1",
    excitation_error=(0.008, 0.05),
    precession_probability=0.3,
    precession_angle=(0.1, 1.0),
    slab_probability=1.0,
    thickness=(50.0, 1000.0),
    b_factor=(0.2, 1.5),
    intensity_jitter=(0.0, 1.0),
    gamma=(0.5, 1.0),
    decades=(2.0, 3.0),
    double_probability=0.5,
    double_strength=(0.001, 0.05),
)

#: Latest versions by name, then every version under its own
PROTOCOLS: dict[str, Protocol] = {
    "clean": CLEAN_2,
    "noisy": NOISY_2,
    "harsh": HARSH,
    "thick": THICK,
    "thick-clean": THICK_CLEAN,
}
PROTOCOLS |= {
    p.name: p for p in (CLEAN_1, CLEAN_2, NOISY_1, NOISY_2, HARSH, THICK, THICK_CLEAN)
}
