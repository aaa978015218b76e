# SPDX-License-Identifier: GPL-3.0-or-later
"""Diffraction vectors with the columns that pyxem and its users give them."""

import numpy as np
import pytest
from pyxem.signals import DiffractionVectors, PolarVectors

import pyxem_symnet
from tests.signals import scans


def classify(signal, model, **kwargs):
    options = {"show_progressbar": False, "device": "cpu"} | kwargs
    return pyxem_symnet.classify_space_group(signal, model=model, **options)


def with_columns(change, names, units):
    """Return vectors whose lists were changed."""
    signal = scans.vectors((2, 2))
    lists = np.empty((2, 2), object)
    for index in np.ndindex(2, 2):
        lists[index] = change(signal.data[index])
    return DiffractionVectors(lists, ragged=True, column_names=names, units=units)


@pytest.fixture(scope="module")
def answer(model):
    return classify(scans.vectors((2, 2)), model).data


def test_without_intensities_all_spots_are_as_strong(model, answer, close):
    positions = with_columns(lambda v: v[:, :2], ["ky", "kx"], ["1/Å", "1/Å"])
    even = with_columns(
        lambda v: np.column_stack((v[:, :2], np.full(len(v), 7.0))),
        ["ky", "kx", "intensity"],
        ["1/Å", "1/Å", "a.u."],
    )
    without = classify(positions, model).data
    close(without, classify(even, model).data)
    assert np.abs(without - answer).max() > 1e-3


def test_intensity_is_found_by_name(model, answer, close):
    signal = with_columns(
        lambda v: np.column_stack((v[:, :2], np.arange(len(v)), v[:, 2])),
        ["ky", "kx", "cluster", "intensity"],
        ["1/Å", "1/Å", "n.a.", "a.u."],
    )
    close(classify(signal, model).data, answer)


def test_third_column_without_a_name_is_the_intensity(model, answer, close):
    signal = with_columns(lambda v: v, None, ["1/Å", "1/Å", "a.u."])
    close(classify(signal, model).data, answer)


def test_order_of_kx_and_ky_makes_a_mirror_image(model, answer, close):
    signal = with_columns(
        lambda v: v[:, [1, 0, 2]], ["kx", "ky", "intensity"], ["1/Å", "1/Å", "a.u."]
    )
    close(classify(signal, model).data, answer)


@pytest.mark.parametrize("units", ["1/Å", "$A^{-1}$", "1/A", "Å⁻¹", "A^-1"])
def test_spellings_of_units(model, answer, close, units):
    signal = with_columns(
        lambda v: v, ["ky", "kx", "intensity"], [units, units, "a.u."]
    )
    close(classify(signal, model).data, answer)


def test_ellipticity_is_undone(model, answer, close):
    distortion = 1.04 * np.eye(2) - 0.04 * np.ones((2, 2)) / 2
    # The long axis lies at 135 degrees from x, and y comes first
    distortion = distortion / np.sqrt(np.linalg.det(distortion))
    signal = with_columns(
        lambda v: np.column_stack((v[:, :2] @ distortion.T, v[:, 2])),
        ["ky", "kx", "intensity"],
        ["1/Å", "1/Å", "a.u."],
    )
    given = classify(signal, model, ellipticity=(1.04, 135.0))
    close(given.data, answer)
    assert np.abs(classify(signal, model).data - answer).max() > 1e-3
    # And in what explains the answer
    view = given.explain(signal, (0, 0), device="cpu").views[0]
    true = scans.vectors((2, 2)).data[0, 0]
    strongest = true[true[:, 2].argmax(), 1::-1]
    np.testing.assert_allclose(view.vectors[0], strongest, atol=1e-5)


def test_polar_vectors_are_refused(model):
    polar = scans.vectors((2, 2)).to_polar()
    assert isinstance(polar, PolarVectors)
    with pytest.raises(TypeError, match="other than Cartesian coordinates"):
        polar.classify_space_group(model=model)
    # By their columns, if not by their type
    signal = with_columns(lambda v: v, ["r", "theta", "intensity"], ["1/Å", "rad", ""])
    with pytest.raises(ValueError, match="no reciprocal lengths"):
        classify(signal, model)


def test_explained(model, close):
    signal = with_columns(lambda v: v[:, :2], ["ky", "kx"], ["1/Å", "1/Å"])
    sym = classify(signal, model)
    explanation = sym.explain(signal, index=(1, 1))
    close(explanation.recomputed, sym.data[1, 1])
    assert (explanation.shown.intensities == 1).all()
