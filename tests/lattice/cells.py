# SPDX-License-Identifier: GPL-3.0-or-later
"""One lattice of each Bravais type, and reduced bases of them."""

import itertools

import numpy as np
from diffpy.structure import Lattice

# Primitive direct vectors in terms of the conventional cell's
PRIMITIVE = {
    "P": np.eye(3),
    "A": np.array([[1, 0, 0], [0, 0.5, 0.5], [0, -0.5, 0.5]]),
    "C": np.array([[0.5, 0.5, 0], [-0.5, 0.5, 0], [0, 0, 1]]),
    "I": np.array([[-0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0.5, 0.5, -0.5]]),
    "F": np.array([[0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]),
    "R": np.array([[2, 1, 1], [-1, 1, 1], [-1, -2, 1]]) / 3,
}

# By Bravais lattice: system letter of the lattice, conventional cell
BRAVAIS = {
    "aP": ("a", (4, 5.5, 7, 80, 103, 95)),
    "mP": ("m", (4, 5.5, 7, 90, 103, 90)),
    "mS": ("m", (12, 3.5, 5, 90, 118, 90)),
    "oP": ("o", (4, 5.5, 7, 90, 90, 90)),
    "oS": ("o", (4, 5.5, 7, 90, 90, 90)),
    "oI": ("o", (4, 5.5, 7, 90, 90, 90)),
    "oF": ("o", (4, 5.5, 7, 90, 90, 90)),
    "tP": ("t", (4, 4, 7, 90, 90, 90)),
    "tI": ("t", (4, 4, 11, 90, 90, 90)),
    "hR": ("r", (5, 5, 13, 90, 90, 120)),
    "hP": ("h", (3, 3, 5, 90, 90, 120)),
    "cP": ("c", (4, 4, 4, 90, 90, 90)),
    "cI": ("c", (4, 4, 4, 90, 90, 90)),
    "cF": ("c", (4, 4, 4, 90, 90, 90)),
}


def direct_basis(cell, centring="P"):
    """Return primitive direct vectors as rows in Å."""
    return PRIMITIVE["C" if centring == "S" else centring] @ Lattice(*cell).base


def reduced_metric(direct):
    """Return the reciprocal metric in a basis of shortest vectors."""
    basis = reduced_basis(direct)
    return basis @ basis.T


def reduced_basis(direct):
    """Return shortest reciprocal vectors as rows, right-handed."""
    basis = np.linalg.inv(direct).T
    while True:
        for i in range(3):
            j, k = [n for n in range(3) if n != i]
            shifts = [
                basis[i] + m * basis[j] + n * basis[k]
                for m, n in itertools.product(range(-3, 4), repeat=2)
            ]
            shortest = min(shifts, key=lambda vector: vector @ vector)
            if shortest @ shortest < basis[i] @ basis[i] * (1 - 1e-9):
                basis[i] = shortest
                break
        else:
            return basis * np.sign(np.linalg.det(basis))


def random_unimodular(rng):
    """Return an integer matrix of determinant 1."""
    matrix = np.eye(3, dtype=int)
    for _ in range(4):
        i, j = rng.choice(3, 2, replace=False)
        matrix[i] += rng.integers(-2, 3) * matrix[j]
    return matrix
