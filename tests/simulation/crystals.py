# SPDX-License-Identifier: GPL-3.0-or-later
"""One textbook crystal of each crystal system."""

from diffpy.structure import Atom, Lattice, Structure
from orix.crystal_map import Phase

CELLS = {
    "triclinic": ((5.1, 6.3, 7.4, 83, 97, 105), 2, [("Na", 0.11, 0.23, 0.31)]),
    "monoclinic": (
        (5.15, 5.21, 5.32, 90, 99.2, 90),
        14,
        [("Zr", 0.275, 0.040, 0.208), ("O", 0.070, 0.332, 0.345)],
    ),
    "orthorhombic": (
        (13.86, 3.70, 3.96, 90, 90, 90),
        62,
        [("Mo", 0.1016, 0.25, 0.0867), ("O", 0.4354, 0.25, 0.4994)],
    ),
    "tetragonal": (
        (4.594, 4.594, 2.959, 90, 90, 90),
        136,
        [("Ti", 0, 0, 0), ("O", 0.305, 0.305, 0)],
    ),
    "trigonal": (
        (4.759, 4.759, 12.99, 90, 90, 120),
        167,
        [("Al", 0, 0, 0.352), ("O", 0.306, 0, 0.25)],
    ),
    "hexagonal": (
        (3.25, 3.25, 5.207, 90, 90, 120),
        186,
        [("Zn", 1 / 3, 2 / 3, 0), ("O", 1 / 3, 2 / 3, 0.382)],
    ),
    "cubic": ((3.905, 3.905, 3.905, 90, 90, 90), 221, [("Ti", 0, 0, 0)]),
}


def make_phase(system: str) -> Phase:
    """Return the phase of a crystal system, all atoms of its cell listed."""
    parameters, space_group, sites = CELLS[system]
    atoms = [Atom(element, xyz) for element, *xyz in sites]
    structure = Structure(atoms, Lattice(*parameters))
    phase = Phase(name=system, space_group=space_group, structure=structure)
    return phase.expand_asymmetric_unit()
