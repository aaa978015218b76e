# SPDX-License-Identifier: GPL-3.0-or-later
"""The forge: from crystal structures to patterns as a microscope shows them.

Structures become reflections once (`reflections`, kept on disk by `store`),
reflections become spots in any orientation (`sampler`, `rotations`), spots get
the imperfections of specimen, microscope and spot finding (`spot_defects`), as
a protocol says (`spot_protocol`); the frozen ones have names (`protocols`).
`scan` makes 4D-STEM data with known truth, `microscope` and `crystal_defects`
what is wrong with images and crystals, `generate` crystals of any space group,
and `variants` strains those of a table.

The sampler, the rotations, the spot defects and the protocols need torch only.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach(
    __name__,
    submod_attrs={
        "example_phases": ["example_phases"],
        "generate": ["generate_crystal", "generate_crystals"],
        "imaging": ["Microscope"],
        "protocols": ["PROTOCOLS"],
        "reflections": ["ReflectionList", "compute_reflections"],
        "rotations": [
            "axis_rotations",
            "random_rotations",
            "tilt_series",
            "zone_rotations",
        ],
        "sampler": ["Reflections", "sample_patterns"],
        "scan": ["Scan", "make_scan"],
        "spot_protocol": ["Protocol"],
        "store": ["StoreError", "StoreSettings", "write_store"],
        "structures": [
            "Crystal",
            "StructureError",
            "from_phase",
            "read_cif",
            "read_table",
        ],
        "variants": ["draw_variant"],
    },
)
