# SPDX-License-Identifier: GPL-3.0-or-later
"""Views of lattices that are nearly of higher symmetry."""

import numpy as np
import pytest
import torch

from pyxem_symnet.lattice.fit import IndexedView
from pyxem_symnet.lattice.indexing import STRAINS
from pyxem_symnet.lattice.pseudosymmetry import (
    _nearest_rotations,
    _quadratic_forms,
    nearly_symmetric,
)
from pyxem_symnet.simulation.rotations import random_rotations

# Nearly cubic, in 1/Å²
NEARLY = np.diag([0.04, 0.0404, 0.0398]) + 2e-4 * (1 - np.eye(3))
PRECISION = np.array([0.005, 0.005, 0.02]) ** -2.0


@pytest.fixture
def view():
    """A view of some reflections near to the beam, whatever their excitation."""
    random = np.random.default_rng(4)
    turn = random_rotations(1, torch.Generator().manual_seed(4))[0].double().numpy()
    hkl = random.integers(-3, 4, (20, 3))
    vectors = hkl @ np.linalg.cholesky(NEARLY) @ turn.T
    vectors += random.normal(0, 0.005, (20, 3))
    return IndexedView(vectors, np.ones(20), turn, hkl, np.arange(20) % 5 > 0)


def least_square(basis, view, operation, turn, strain):
    """Return the least sum of squares over rotations, literally by least squares."""
    weight = np.sqrt(PRECISION)
    rotation = view.rotation @ turn
    crystal = view.hkl[view.matched] @ operation @ basis
    strained = (crystal + crystal @ strain) @ rotation.T
    slopes = [np.cross(axis, crystal @ rotation.T) * weight for axis in np.eye(3)]
    slopes = np.stack([slope.ravel() for slope in slopes], -1)
    left = ((view.vectors[view.matched] - strained) * weight).ravel()
    solved = np.linalg.lstsq(slopes, left, rcond=None)[0]
    return ((left - slopes @ solved) ** 2).sum()


def test_quadratic_forms_are_those_of_least_squares(view):
    random = np.random.default_rng(5)
    basis = np.linalg.cholesky(NEARLY)
    operations = nearly_symmetric(NEARLY)
    assert len(operations) == 24
    turns = _nearest_rotations(np.linalg.solve(basis, operations @ basis))
    forms = _quadratic_forms(basis, view, operations, turns, STRAINS, PRECISION)
    for parameters in random.normal(0, 0.01, (3, 6)):
        strain = np.tensordot(parameters, STRAINS, 1)
        for operation, turn, *form in zip(operations, turns, *forms, strict=True):
            square, linear, constant = form
            found = parameters @ square @ parameters - 2 * linear @ parameters
            expected = least_square(basis, view, operation, turn, strain)
            assert found + constant == pytest.approx(expected, rel=1e-6)
