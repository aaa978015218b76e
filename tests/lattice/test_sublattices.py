# SPDX-License-Identifier: GPL-3.0-or-later
import numpy as np
import pytest

from pyxem_symnet.lattice.sublattices import coarser_bases, finer_bases


def same_lattice(one, other):
    change = one @ np.linalg.inv(other)
    return abs(change - change.round()).max() < 1e-9


@pytest.mark.parametrize("prime", [2, 3, 5])
@pytest.mark.parametrize("bases, index", [(finer_bases, -1), (coarser_bases, 1)])
def test_every_lattice_of_an_index_once(prime, bases, index):
    """There are p² + p + 1 sublattices of prime index p."""
    found = bases(prime)
    assert len(found) == prime**2 + prime + 1
    assert np.linalg.det(found) == pytest.approx(float(prime) ** index)
    for i, one in enumerate(found):
        assert not [j for j in range(i) if same_lattice(one, found[j])]


@pytest.mark.parametrize("prime", [2, 3, 5])
def test_finer_ones_contain_the_lattice_and_it_the_coarser_ones(prime):
    for basis in finer_bases(prime):
        inverse = np.linalg.inv(basis)
        assert inverse == pytest.approx(inverse.round())
    coarser = coarser_bases(prime)
    assert (coarser == coarser.round()).all()
