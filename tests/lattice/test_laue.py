# SPDX-License-Identifier: GPL-3.0-or-later
"""Equivalent reflections, absences, and likelihoods of intensities."""

import dataclasses

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from pyxem_symnet.lattice.laue import (
    VARIANCES,
    forbidden,
    left_cosets,
    log_likelihoods,
    reflection_keys,
    rescaled,
    resolve_views,
)
from pyxem_symnet.lattice.observations import _spreads, observe
from pyxem_symnet.simulation import example_phases
from pyxem_symnet.symmetry.absences import (
    absent_reflections,
    laue_rotations,
    reflection_box,
)
from pyxem_symnet.symmetry.operations import standard_operations

from .fits import WAVELENGTH, known_fit


def proper_rotations(number):
    rotations = laue_rotations(standard_operations(number)[0])
    return rotations[np.linalg.det(rotations) > 0].astype(np.int64)


@pytest.fixture
def rng():
    return np.random.default_rng(4)


@pytest.mark.parametrize(
    "number", [1, 14, 43, 88, 92, 142, 161, 178, 205, 220, 228, 230]
)
def test_forbidden_reflections_are_the_absent_ones(number):
    rotations, translations = standard_operations(number)
    hkl = reflection_box()
    expected = absent_reflections(rotations, translations, hkl)
    assert (forbidden(rotations.astype(np.int64), translations, hkl) == expected).all()


@pytest.mark.parametrize("number, multiplicity", [(2, 2), (10, 4), (83, 8), (225, 48)])
def test_keys_are_shared_by_equivalents_only(number, multiplicity):
    rotations = proper_rotations(number)
    hkl = np.array([[1, 2, 4], [-40, 3, 7]])
    star = np.concatenate([hkl @ rotations, -(hkl @ rotations)])
    for i in range(2):
        assert len(set(reflection_keys(star[:, i], rotations).tolist())) == 1
    box = reflection_box(4)
    keys = reflection_keys(box, rotations)
    same = keys == reflection_keys(hkl[:1], rotations)[0]
    assert same.sum() == multiplicity
    assert {tuple(h) for h in box[same].tolist()} == {
        tuple(h) for h in star[:, 0].tolist()
    }


def test_cosets_fill_the_group():
    group, subgroup = proper_rotations(225), proper_rotations(200)
    ways = left_cosets(group, subgroup)
    assert len(ways) == 2
    products = {(w @ s).tobytes() for w in ways for s in subgroup}
    assert products == {w.tobytes() for w in group}
    assert len(left_cosets(group, group)) == 1


def test_likelihood_is_that_of_a_normal_distribution(rng):
    """Observations of one reflection share its mean, which has variance 1."""
    keys = np.array([0, 1, 0, 2, 0, 1, 2])
    values = rng.normal(size=7)
    found = log_likelihoods(keys, values, 5, VARIANCES)
    for likelihood, variance in zip(found, VARIANCES, strict=True):
        covariance = variance * np.eye(7) + (keys[:, None] == keys)
        expected = multivariate_normal(cov=covariance).logpdf(values)
        assert likelihood == pytest.approx(expected + 3.5 * np.log(2 * np.pi))


def test_views_are_brought_to_agree(rng):
    """Views of 4/m intensities, each indexed in one of two ways of 4/mmm."""
    group, subgroup = proper_rotations(123), proper_rotations(83)
    ways = left_cosets(group, subgroup)
    box = reflection_box(3)
    intensity = dict(enumerate(rng.normal(size=len(box))))
    _, place = np.unique(reflection_keys(box, subgroup), return_inverse=True)
    true = rng.integers(2, size=12)
    keys, values = [], []
    for way in true:
        shown = rng.choice(len(box), 20, replace=False)
        # ways are their own inverses up to the subgroup, of index 2
        hkl = box[shown] @ ways[way]
        keys.append([reflection_keys(hkl @ other, subgroup) for other in ways])
        noise = 0.2 * rng.normal(size=20)
        values.append([intensity[place[i]] for i in shown] + noise)
    keys = np.concatenate(keys, axis=1)
    known, dense = np.unique(keys, return_inverse=True)
    start = np.arange(13) * 20
    chosen = resolve_views(
        dense.reshape(keys.shape), np.concatenate(values), start, len(known), 0.05
    )
    # all of them may be indexed the other way round
    assert len(set((chosen == true).tolist())) == 1


def test_scales_are_those_of_a_dense_solution(rng):
    """With each reflection's own log intensity integrated out, by brute force."""
    n, n_keys, n_views = 60, 25, 4
    keys, views = rng.integers(n_keys, size=n), np.sort(rng.integers(n_views, size=n))
    values, falls = rng.normal(size=n), rng.normal(size=n)
    found = rescaled(keys, values, falls, views, n_keys, n_views)
    noise, slope_error = 0.05, 0.15
    covariance = noise * np.eye(n) + (keys[:, None] == keys)
    design = np.column_stack([views[:, None] == np.arange(n_views), falls]).astype(
        float
    )
    counts = np.bincount(views, minlength=n_views)
    prior = np.diag([*counts, 1 / slope_error**2])
    weighted = np.linalg.solve(covariance, design)
    change = np.linalg.solve(design.T @ weighted + prior, weighted.T @ values)
    assert found == pytest.approx(values - design @ change)


def test_scales_of_views_come_to_agree(rng):
    log_intensity = rng.normal(size=30)
    views = np.repeat(np.arange(6), 15)
    keys = np.concatenate([rng.choice(30, 15, replace=False) for _ in range(6)])
    falls = rng.uniform(0, 1, size=90)
    offsets = 0.3 * rng.normal(size=6)
    values = log_intensity[keys] + offsets[views] - 0.2 * falls
    scaled = rescaled(keys, values, falls, views, 30, 6)

    def spread(values):
        means = np.bincount(keys, values) / np.maximum(np.bincount(keys), 1)
        return (values - means[keys]).std()

    assert spread(scaled) < 0.2 * spread(values)


class TestObservations:
    fit = known_fit(example_phases()["calcite"], 8)

    def test_spots_and_what_is_not_seen(self):
        observed = observe(self.fit, WAVELENGTH)
        assert observed.seen.sum() == self.fit.n_matched == len(observed.values)
        assert observed.n_views == 8
        assert (np.diff(observed.view) >= 0).all()
        for number, view in enumerate(self.fit.views):
            own = observed.view == number
            spots = {tuple(h) for h in view.hkl[view.matched].tolist()}
            seen = {tuple(h) for h in observed.hkl[own & observed.seen].tolist()}
            missed = observed.hkl[own & ~observed.seen]
            assert seen == spots
            assert not spots & {tuple(h) for h in missed.tolist()}
            vectors = missed @ self.fit.reciprocal_basis @ view.rotation.T
            radius = np.linalg.norm(vectors - [0, 0, 1 / WAVELENGTH], axis=1)
            assert abs(radius - 1 / WAVELENGTH).max(initial=0) < 0.0101

    def test_values_are_scaled(self):
        observed = observe(self.fit, WAVELENGTH)
        assert abs(observed.values).max() <= 3
        assert observed.values.std() == pytest.approx(1, abs=0.05)
        views = observed.view[observed.seen]
        for view in range(8):
            assert observed.values[views == view].mean() == pytest.approx(0, abs=0.1)
        # lorentzian, a power of one
        assert observed.slope == pytest.approx(1, abs=0.25)

    def test_compressed_views_are_stretched(self):
        """Of patterns that are not precise, each by as much as it is compressed."""
        powers = np.tile([0.3, 1.0], 4)
        views = [
            dataclasses.replace(view, intensities=view.intensities**power)
            for view, power in zip(self.fit.views, powers, strict=True)
        ]
        fit = dataclasses.replace(self.fit, views=tuple(views))
        ratios = []
        for coarse in (False, True):
            observed = observe(dataclasses.replace(fit, coarse=coarse), WAVELENGTH)
            view = observed.view[observed.seen]
            spreads = [observed.values[view == number].std() for number in range(8)]
            ratios.append(np.median(spreads[1::2]) / np.median(spreads[::2]))
        assert ratios[0] > 2
        assert ratios[1] == pytest.approx(1, abs=0.25)

    def test_views_that_differ_by_chance_are_left_alone(self):
        random = np.random.default_rng(0)
        view = np.repeat(np.arange(40), 12)
        spreads = [_spreads(random.normal(size=480), view) for _ in range(20)]
        assert np.std(spreads) < 0.05

    def test_coarse_fits_miss_more(self):
        coarse = dataclasses.replace(self.fit, coarse=True)
        n_coarse = len(observe(coarse, WAVELENGTH).hkl)
        assert n_coarse > len(observe(self.fit, WAVELENGTH).hkl)
