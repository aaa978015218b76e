# SPDX-License-Identifier: GPL-3.0-or-later
"""The 230 space groups at six levels, and sums of probabilities over them.

A diffraction pattern with kinematic intensities cannot show more than the
diffraction symbol of a crystal: its Laue class and its systematic absences.
This room knows which space groups share a symbol, a Laue class and so on,
and adds up the probabilities of a model accordingly.

Which level follows from which:

- space group -> diffraction symbol -> Laue class -> crystal system
- space group -> point group -> Laue class -> crystal system
- space group -> diffraction symbol -> Bravais lattice

Not nested, in either direction: point group with diffraction symbol (*P* 1
and *P* -1 share a symbol, *P* 2 and *P* 2_1 a point group), and the Bravais
lattice with point group, Laue class and crystal system (hP is trigonal or
hexagonal, trigonal is hP or hR).
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach(
    __name__,
    submod_attrs={
        "aggregation": ["aggregate", "aggregation_matrix", "rank_of_truth"],
        "groups": [
            "LEVELS",
            "PAPER_SPACE_GROUPS",
            "SpaceGroup",
            "level_labels",
            "level_of",
            "members",
            "space_group",
        ],
    },
)
