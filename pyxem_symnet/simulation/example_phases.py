# SPDX-License-Identifier: GPL-3.0-or-later
"""Well-known structures at hand for demonstrations and tests."""

from __future__ import annotations

import numpy as np

from pyxem_symnet.simulation.structures import Crystal, label
from pyxem_symnet.simulation.wyckoff import orbit

# Hall number, a, b, c (Å), alpha, beta, gamma (degrees), and sites: atomic
# number and coordinates. Hall numbers name the setting the coordinates are in.
_STRUCTURES = {
    # Textbook values
    "ferrite": (529, (2.8665, 2.8665, 2.8665, 90, 90, 90), [(26, 0, 0, 0)]),
    "austenite": (523, (3.5910, 3.5910, 3.5910, 90, 90, 90), [(26, 0, 0, 0)]),
    "silicon": (525, (5.4310, 5.4310, 5.4310, 90, 90, 90), [(14, 0, 0, 0)]),
    "magnesium": (
        488,
        (3.2094, 3.2094, 5.2105, 90, 90, 120),
        [(12, 1 / 3, 2 / 3, 1 / 4)],
    ),
    # Wurtzite GaN: H. Schulz, K. H. Thiemann, Solid State Commun. 23, 815 (1977)
    "gallium nitride": (
        480,
        (3.190, 3.190, 5.189, 90, 90, 120),
        [(31, 1 / 3, 2 / 3, 0), (7, 1 / 3, 2 / 3, 0.377)],
    ),
    # P3_221: L. Levien, C. T. Prewitt, D. J. Weidner, Am. Mineral. 65, 920 (1980)
    "quartz": (
        443,
        (4.9160, 4.9160, 5.4054, 90, 90, 120),
        [(14, 0.4697, 0, 2 / 3), (8, 0.4135, 0.2669, 0.7858)],
    ),
    # Textbook values
    "calcite": (
        460,
        (4.991, 4.991, 17.062, 90, 90, 120),
        [(20, 0, 0, 0), (6, 0, 0, 1 / 4), (8, 0.2567, 0, 1 / 4)],
    ),
    "corundum": (
        460,
        (4.757, 4.757, 12.988, 90, 90, 120),
        [(13, 0, 0, 0.3522), (8, 0.3064, 0, 1 / 4)],
    ),
    # C. J. Howard, T. M. Sabine, F. Dickson, Acta Cryst. B 47, 462 (1991)
    "rutile": (
        419,
        (4.5937, 4.5937, 2.9587, 90, 90, 90),
        [(22, 0, 0, 0), (8, 0.3048, 0.3048, 0)],
    ),
    "anatase": (
        426,
        (3.7845, 3.7845, 9.5143, 90, 90, 90),
        [(22, 0, 0, 0), (8, 0, 0, 0.2081)],
    ),
    # alpha-MoO3 in Pbnm: L. Kihlborg, Ark. Kemi 21, 357 (1963)
    "molybdite": (
        294,
        (3.9628, 13.855, 3.6964, 90, 90, 90),
        [
            (42, 0.0867, 0.1016, 1 / 4),
            (8, 0.4994, 0.4351, 1 / 4),
            (8, 0.5212, 0.0866, 1 / 4),
            (8, 0.0373, 0.2214, 1 / 4),
        ],
    ),
    # Monoclinic ZrO2: C. J. Howard et al., Acta Cryst. B 44, 116 (1988)
    "baddeleyite": (
        81,
        (5.1505, 5.2116, 5.3173, 90, 99.230, 90),
        [
            (40, 0.2754, 0.0395, 0.2083),
            (8, 0.0700, 0.3317, 0.3447),
            (8, 0.4496, 0.7569, 0.4792),
        ],
    ),
}


def example_phases() -> dict[str, Crystal]:
    """Return a dozen well-known crystals by name.

    Elements, oxides, a carbonate and a nitride from the cubic to the
    monoclinic system, with lattice parameters and coordinates as
    published.

    Examples
    --------
    >>> from pyxem_symnet.simulation import example_phases
    >>> example_phases()["molybdite"].space_group
    62
    """
    return {name: _crystal(name, *data) for name, data in _STRUCTURES.items()}


def _crystal(name: str, hall_number: int, cell, sites) -> Crystal:
    from diffpy.structure import Lattice

    numbers, positions = [], []
    for number, *position in sites:
        atoms = orbit(np.array(position), hall_number)
        numbers += [number] * len(atoms)
        positions.append(atoms)
    return label(
        Crystal(
            material_id=name,
            lattice=Lattice(*cell).base,
            numbers=numbers,
            positions=np.concatenate(positions),
        )
    )
