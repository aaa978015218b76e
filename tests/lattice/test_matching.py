# SPDX-License-Identifier: GPL-3.0-or-later
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from pyxem_symnet.lattice.matching import (
    FIRST,
    LAST,
    improve_rotation,
    match_spots,
    matched_spots,
)

BASES = {
    "small cell": np.linalg.cholesky(
        [[0.09, 0.01, 0], [0.01, 0.06, 0.02], [0, 0.02, 0.07]]
    ),
    "large cell": np.linalg.cholesky(np.diag([0.0025, 0.002, 0.0015])),
    "long axis": np.linalg.cholesky(np.diag([0.08, 0.06, 0.0004])),
}


def matched_one_by_one(forth, vectors, reach, factors, excitation_error):
    """The rule in words: of the reflections next to a spot, and a little above and
    below it where these are dense along the beam, the nearest within both limits."""
    back = np.linalg.inv(forth)
    error = factors[1] * excitation_error
    dense = error * abs(back[:, 2]).max() >= 0.3
    hkl = np.zeros((len(vectors), 3))
    matched = np.zeros(len(vectors), bool)
    for index, vector in enumerate(vectors):
        nearest = np.inf
        for side in (-0.7, 0, 0.7) if dense else (0,):
            place = back @ (vector + [0, 0, side * error])
            indices = np.round(place)
            miss = forth @ indices - vector
            distance = np.hypot(*miss[:2])
            within = distance <= factors[0] * reach[index] and abs(miss[2]) <= error
            if indices.any() and within and distance < nearest:
                nearest = distance
                hkl[index] = indices
                matched[index] = True
    return hkl, matched


@given(
    st.sampled_from(sorted(BASES)),
    st.integers(0, 2**32 - 1),
    st.integers(0, 70),
    st.sampled_from([FIRST, LAST]),
    st.floats(0.01, 0.05),
)
@settings(max_examples=60, deadline=None)
def test_equal_to_the_rule_one_spot_at_a_time(name, seed, n_spots, factors, error):
    basis = BASES[name]
    random = np.random.default_rng(seed)
    forth = Rotation.random(random_state=seed).as_matrix() @ basis.T
    vectors = random.normal(0, 0.4, (n_spots, 3)) * [1, 1, 0.1]
    reach = random.uniform(0.002, 0.05, n_spots)
    hkl, matched = np.empty((3, n_spots)), np.empty(n_spots, bool)
    n = match_spots(
        forth,
        np.linalg.inv(forth).T.copy(),
        vectors.T.copy(),
        reach,
        factors,
        error,
        hkl,
        matched,
    )
    expected = matched_one_by_one(forth, vectors, reach, factors, error)
    np.testing.assert_array_equal(hkl.T, expected[0])
    np.testing.assert_array_equal(matched, expected[1])
    assert n == matched.sum()


@pytest.mark.parametrize("name", BASES)
def test_reflections_themselves_are_found(name):
    """Displaced by less than half of their distances, and none at the beam."""
    basis = BASES[name]
    random = np.random.default_rng(3)
    rotation = Rotation.random(random_state=4).as_matrix()
    hkl = random.integers(-3, 4, (50, 3))
    vectors = hkl @ basis @ rotation.T
    shift = 0.2 * np.sqrt((basis**2).sum(1)).min()
    vectors[:, :2] += random.uniform(-shift, shift, (50, 2)) / np.sqrt(2)
    found, matched = matched_spots(basis, rotation, vectors, np.full(50, shift), 1e-3)
    np.testing.assert_array_equal(found, hkl)
    np.testing.assert_array_equal(matched, hkl.any(1))


def test_rotation_becomes_the_true_one():
    """From two degrees off, by the spots in the plane of the detector alone."""
    basis = BASES["small cell"]
    random = np.random.default_rng(0)
    true = Rotation.random(random_state=1)
    hkl = random.integers(-3, 4, (30, 3)).astype(float)
    vectors = hkl @ basis @ true.as_matrix().T
    start = Rotation.from_rotvec([0.02, -0.015, 0.025]) * true
    points, columns = vectors.T.copy(), basis.T.copy()
    matched = np.arange(30) < 25
    points[:, 25:] += 1  # not matched, and so of no account
    rotation = start.as_matrix()
    for _ in range(3):
        rotation = improve_rotation(columns, rotation, points, hkl.T.copy(), matched)
    np.testing.assert_allclose(rotation, true.as_matrix(), atol=1e-5)
