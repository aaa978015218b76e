# SPDX-License-Identifier: GPL-3.0-or-later
"""Finer and coarser lattices with a basis in common with a given one."""

from __future__ import annotations

import itertools

import numpy as np


def finer_bases(prime: int) -> np.ndarray:
    """Return bases of the lattices that a lattice is a sublattice of.

    Parameters
    ----------
    prime
        Number of points of the finer lattice for each of the given one.

    Returns
    -------
    ndarray
        In terms of the given basis, of shape (lattices, 3, 3), with
        determinant 1 / prime. There are prime² + prime + 1.
    """
    bases = []
    for first in (2, 1, 0):
        for rest in itertools.product(range(prime), repeat=2 - first):
            basis = np.eye(3)
            # The point that is added, a fraction of a lattice vector
            basis[first, first:] = np.array((1, *rest)) / prime
            bases.append(basis)
    return np.array(bases)


def coarser_bases(prime: int) -> np.ndarray:
    """Return bases of the sublattices of a lattice.

    Parameters
    ----------
    prime
        Number of points of the given lattice for each of the coarser one.

    Returns
    -------
    ndarray
        In terms of the given basis, of shape (lattices, 3, 3), with
        determinant `prime`.
    """
    # The dual of a finer lattice is coarser than the dual lattice
    return np.rint(np.linalg.inv(finer_bases(prime))).transpose(0, 2, 1).copy()
