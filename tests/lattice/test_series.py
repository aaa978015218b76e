# SPDX-License-Identifier: GPL-3.0-or-later
"""Lattices of rotation series, whose axis and step nobody knows."""

import numpy as np
import pytest
import scipy.linalg

from pyxem_symnet.lattice import (
    SeriesFit,
    find_series_lattice,
    lattice_groups,
    space_group_evidence,
)
from pyxem_symnet.lattice.metric import reduce_metric
from pyxem_symnet.lattice.periods import find_periods, hemisphere
from pyxem_symnet.lattice.series_geometry import (
    FIRST_WEIGHTS,
    SeriesGeometry,
    SeriesPoints,
    turn_about_axis,
)
from pyxem_symnet.lattice.strain import strain_information, symmetry_evidence

from .cells import direct_basis
from .patterns import series_of_lattice, views_of_lattice

STEP, AZIMUTH = 2.2, 37.0


@pytest.fixture(scope="module")
def direct():
    return direct_basis((6.1, 8.2, 9.7, 90, 103, 90))


@pytest.fixture(scope="module")
def views(direct):
    return series_of_lattice(direct, 36, STEP, AZIMUTH)


@pytest.fixture(scope="module")
def fit(views):
    return find_series_lattice(views)


def lengths_of(direct_metric):
    return np.sort(np.sqrt(np.diag(reduce_metric(direct_metric))))


def assert_found(fit, direct, rel):
    assert fit.volume == pytest.approx(abs(np.linalg.det(direct)), rel=rel)
    found = lengths_of(np.linalg.inv(fit.metric))
    assert found == pytest.approx(lengths_of(direct @ direct.T), rel=rel)


def test_axis_step_and_cell(fit, direct):
    assert isinstance(fit, SeriesFit)
    assert_found(fit, direct, rel=0.02)
    assert fit.step == pytest.approx(STEP, rel=0.01)
    # With a nearly flat Ewald sphere, the senses differ by a mirror image
    assert (fit.axis - AZIMUTH + 90) % 180 - 90 == pytest.approx(0, abs=0.5)
    assert fit.n_matched > 0.95 * fit.n_spots


def test_step_that_is_known_is_kept(views, direct):
    fit = find_series_lattice(views, step=STEP)
    assert fit.step == STEP
    assert_found(fit, direct, rel=0.01)
    # What bends the lattice when the step is not known
    best = {group.system: group.deviation for group in lattice_groups(fit.metric)}
    assert best["m"] < 0.5


@pytest.mark.parametrize("bravais", ["cF", "hP", "tI"])
def test_centred_lattices(bravais):
    cells = {
        "cF": (9.3, 9.3, 9.3, 90, 90, 90),
        "hP": (5.2, 5.2, 8.9, 90, 90, 120),
        "tI": (5.6, 5.6, 11.4, 90, 90, 90),
    }
    direct = direct_basis(cells[bravais], bravais[1])
    fit = find_series_lattice(series_of_lattice(direct, 40, 2.0, 110.0), step=2.0)
    assert_found(fit, direct, rel=0.02)


def test_reversed_series_turns_the_other_way(views, fit):
    back = find_series_lattice(views[::-1])
    assert back.volume == pytest.approx(fit.volume, rel=0.01)
    assert back.n_matched > 0.95 * back.n_spots


def test_turned_patterns_turn_the_axis(views, fit):
    quarter = [view[:, [1, 0, 2]] * (-1, 1, 1) for view in views]
    turned = find_series_lattice(quarter)
    assert turned.volume == pytest.approx(fit.volume, rel=0.01)
    apart = (turned.axis - fit.axis - 90 + 90) % 180 - 90
    assert apart == pytest.approx(0, abs=0.5)


def test_centre_that_is_off_is_found(views, direct):
    shifted = [view + (0.004, -0.006, 0) for view in views]
    fit = find_series_lattice(shifted, step=STEP)
    assert_found(fit, direct, rel=0.02)
    assert fit.centre == pytest.approx((0.004, -0.006), abs=0.0015)


@pytest.mark.parametrize("long_axis", [AZIMUTH, AZIMUTH + 45.0, AZIMUTH - 60.0])
def test_common_distortion_is_undone(views, direct, long_axis):
    """Across the axis it shows in the spots, along it in the lattice's symmetry."""
    double = np.radians(2 * long_axis)
    ellipse = 0.02 * np.array([np.cos(double), np.sin(double)])
    e = np.array([[ellipse[0], ellipse[1]], [ellipse[1], -ellipse[0]]])
    distorted = [
        np.column_stack([view[:, :2] @ scipy.linalg.expm(e), view[:, 2]])
        for view in views
    ]
    fit = find_series_lattice(distorted, step=STEP)
    assert fit.distortion == pytest.approx(ellipse, abs=0.003)
    assert_found(fit, direct, rel=0.01)
    best = {group.system: group.deviation for group in lattice_groups(fit.metric)}
    assert best["m"] < 0.3
    # A monoclinic lattice is made no more symmetric than it is
    assert "o" not in best or best["o"] > 1


def evidence_for(fit, system):
    known = strain_information(fit)
    found = [
        symmetry_evidence(fit.metric, group.operations, known)
        for group in lattice_groups(fit.metric)
        if group.system == system
    ]
    return max(found, key=lambda chi_square_and_evidence: chi_square_and_evidence[1])


@pytest.mark.parametrize("protocol", ["clean", "thick-clean"])
def test_errors_along_the_beam_do_not_bend_the_lattice(protocol):
    """Where a reflection is along the beam is known far less exactly than across."""
    direct = direct_basis((6.66, 6.66, 6.66, 90, 90, 90))
    views = series_of_lattice(direct, 26, 2.16, 0.5, seed=5, protocol=protocol)
    fit = find_series_lattice([view[np.argsort(-view[:, 2])[:18]] for view in views])
    # The five numbers in which a lattice is not cubic
    chi_square, evidence = evidence_for(fit, "c")
    assert chi_square < 25
    assert evidence > 10


def test_beam_that_drifts(views, direct):
    """Each view's spots tell where its beam was, and the lattice is not bent by it."""
    random = np.random.default_rng(1)
    walk = np.cumsum(random.normal(size=(len(views), 2)), axis=0)
    walk = 0.006 * (walk - walk.mean(0)) / walk.std()
    drifting = [view + (*shift, 0) for view, shift in zip(views, walk, strict=True)]
    fit = find_series_lattice(drifting, step=STEP)
    assert_found(fit, direct, rel=0.003)
    chi_square, evidence = evidence_for(fit, "m")
    assert chi_square < 20
    assert evidence > 5
    errors = [view.errors(fit.reciprocal_basis)[view.matched, :2] for view in fit.views]
    assert np.median(abs(np.concatenate(errors))) < 0.001


def test_without_spots_near_the_beam():
    """Of large cells the strongest spots lie far from it, where few are alike."""
    direct = direct_basis((15.9, 15.9, 15.9, 90, 90, 90), "F")
    views = series_of_lattice(direct, 38, 2.2, 104.0)
    views = [
        view[np.hypot(view[:, 0], view[:, 1]) > 0.4][:96]
        for view in (view[np.argsort(-view[:, 2])] for view in views)
    ]
    fit = find_series_lattice(views, step=2.2)
    assert_found(fit, direct, rel=0.02)


def test_triclinic_lattice_stays_undistorted_along_the_axis():
    direct = direct_basis((6.1, 7.4, 9.7, 83, 101, 97))
    fit = find_series_lattice(series_of_lattice(direct, 36, STEP, AZIMUTH), step=STEP)
    assert fit.distortion == pytest.approx((0, 0), abs=0.003)
    assert_found(fit, direct, rel=0.01)


def test_views_without_spots_keep_their_place(views, direct):
    gaps = [np.empty((0, 3)) if i % 5 == 2 else view for i, view in enumerate(views)]
    fit = find_series_lattice(gaps, step=STEP)
    assert_found(fit, direct, rel=0.02)
    assert len(fit.views) <= len(views) - 7


def test_indexed_spots_are_where_the_lattice_has_them(fit):
    for view in fit.views:
        lattice = view.hkl @ fit.reciprocal_basis @ view.rotation.T
        away = (lattice - view.vectors)[view.matched, :2]
        assert np.hypot(*away.T).max() < 0.025
        assert view.rotation @ view.rotation.T == pytest.approx(np.eye(3), abs=1e-9)
        assert np.linalg.det(view.rotation) == pytest.approx(1)


def test_views_in_no_order_are_no_series(views, direct):
    random = np.random.default_rng(0)
    shuffled = [views[i] for i in random.permutation(len(views))]
    assert find_series_lattice(shuffled) is None
    assert find_series_lattice(views_of_lattice(direct, n_views=36)) is None


def test_chance_is_no_lattice():
    random = np.random.default_rng(1)
    views = [
        np.column_stack([random.uniform(-1, 1, (12, 2)), np.ones(12)])
        for _ in range(30)
    ]
    assert find_series_lattice(views) is None


def test_too_little_is_no_series(views):
    assert find_series_lattice([]) is None
    assert find_series_lattice(views[:4]) is None
    assert find_series_lattice([view[:0] for view in views]) is None


@pytest.mark.parametrize("step", [0.0, 16.0, -20.0, float("nan")])
def test_impossible_steps(views, step):
    with pytest.raises(ValueError, match="step must be an angle in degrees up to 15"):
        find_series_lattice(views, step=step)


def test_one_orientation_leaves_no_choice_of_indexing(fit):
    """Laue classes below the lattice's symmetry pay for choices in each view."""
    evidence = space_group_evidence(fit)
    # -1 has 1 of the 2 rotations of a monoclinic lattice
    assert evidence.table[1, 5] == pytest.approx(0, abs=1e-6)
    assert evidence.summary["nv"] == len(fit.views)


def test_slopes_are_those_of_the_errors():
    random = np.random.default_rng(0)
    places = random.integers(-9, 10, 40).astype(float)
    points = SeriesPoints(random.uniform(-1, 1, (40, 2)), np.ones(40), places, 0.025)
    hkl = random.integers(-4, 5, (40, 3)).astype(float)
    basis = np.diag([0.1, 0.12, 0.15]) + 0.01 * random.normal(size=(3, 3))
    centre = np.array([0.003, -0.002])
    geometry = SeriesGeometry(0.7, 0.03, basis, centre, 0.008, 0.012)
    whole, step = geometry.to_vector(), 1e-6
    changed = [
        [
            geometry.with_vector(whole + sign * step * unit).errors(
                points, hkl, FIRST_WEIGHTS
            )
            for sign in (1, -1)
        ]
        for unit in np.eye(len(whole))
    ]
    slopes = np.array([(after - before) / (2 * step) for after, before in changed]).T
    # A distortion turns with the axis, and the sphere is not flat: to first order
    found = geometry.slopes(points, hkl, FIRST_WEIGHTS)
    assert found == pytest.approx(slopes, abs=0.05)
    exact = [*range(1, 11)]
    assert found[:, exact] == pytest.approx(slopes[:, exact], abs=1e-6)


def test_turning_about_an_axis():
    vectors = np.random.default_rng(2).normal(size=(20, 3))
    turned = turn_about_axis(vectors, 0.7, np.full(20, 0.4))
    axis = np.array([np.cos(0.7), np.sin(0.7), 0])
    assert turned @ axis == pytest.approx(vectors @ axis)
    assert turned @ turned.T == pytest.approx(vectors @ vectors.T)
    # Right-handed: what lies along z goes towards axis x z
    up = turn_about_axis(np.array([[0, 0, 1.0]]), 0.0, np.array([0.4]))[0]
    assert up == pytest.approx([0, -np.sin(0.4), np.cos(0.4)])
    back = turn_about_axis(turned, 0.7, np.full(20, -0.4))
    assert back == pytest.approx(vectors)


def test_periods_of_a_lattice():
    direct = direct_basis((6.0, 7.0, 9.0, 90, 90, 90))
    hkl = np.stack(np.meshgrid(*[np.arange(-4, 5)] * 3), -1).reshape(-1, 3)
    points = hkl @ np.linalg.inv(direct).T
    found = find_periods(points, hemisphere(3000), 256)
    assert found.score > 0.5 * len(points)
    # Each is a translation, near enough to be refined
    cycles = found.translations @ np.linalg.inv(direct)
    assert abs(cycles - cycles.round()).max() < 0.2
    random = np.random.default_rng(0).uniform(-0.7, 0.7, (300, 3))
    assert find_periods(random, hemisphere(3000), 256).score < 24
