# SPDX-License-Identifier: GPL-3.0-or-later
"""Rotation series, classified as one crystal that is turned."""

import numpy as np
import pytest
import torch
from pyxem.signals import DiffractionVectors

from pyxem_symnet import classify_space_group
from pyxem_symnet.descriptors.spots import Spots
from pyxem_symnet.inference.blocks import class_probabilities
from pyxem_symnet.inference.devices import get_model
from pyxem_symnet.inference.plan import ModelReference, Plan
from pyxem_symnet.lattice import find_series_lattice
from tests.lattice.cells import direct_basis
from tests.lattice.patterns import series_of_lattice
from tests.signals import scans

STEP = 2.5


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("series") / "random.safetensors"
    scans.save_model(path, lattice={"n_views": 16})
    return str(path)


@pytest.fixture(scope="module")
def views():
    direct = direct_basis((6.1, 8.2, 9.7, 90, 103, 90))
    views = series_of_lattice(direct, 30, STEP, 37.0)
    return [view[np.argsort(-view[:, 2])[:40]] for view in views]


def make_signal(views):
    lists = np.empty(len(views), object)
    for i, view in enumerate(views):
        lists[i] = view[:, [1, 0, 2]]
    units = ["1/Å", "1/Å", "a.u."]
    return DiffractionVectors(lists, ragged=True, units=units)


@pytest.fixture(scope="module")
def signal(views):
    return make_signal(views)


@pytest.fixture(scope="module")
def sym(signal, model):
    return classify(signal, model, rotation_step=STEP)


def classify(signal, model, **kwargs):
    return classify_space_group(
        signal, model=model, device="cpu", show_progressbar=False, **kwargs
    )


def series_record(sym):
    return sym.metadata.get_item("Symmetry.series").as_dictionary()


def test_lattice_is_recorded(sym, views):
    record = series_record(sym)
    fit = find_series_lattice(views, step=STEP)
    assert record["found"] and record["rotation_step"] == STEP
    assert record["reduced_cell"] == pytest.approx(fit.cell, abs=1e-3)
    assert record["n_matched"] > 0.95 * record["n_spots"]


def test_all_patterns_have_the_answer_of_the_region(sym):
    assert sym.data == pytest.approx(np.tile(sym.data[:1], (30, 1)))
    assert sym.to_regions().data.shape == (1, 7)


def test_answer_is_that_of_the_lattice(views, sym, model, close):
    reference, _ = ModelReference.find(model)
    network = get_model(reference, torch.device("cpu"))
    spots = Spots.concatenate(
        [
            Spots(
                torch.tensor(v[None, :, :2]).float(),
                torch.tensor(v[None, :, 2]).float(),
            )
            for v in views
        ]
    )
    with torch.no_grad():
        features = network.accumulate(spots, torch.zeros(30, dtype=torch.long), 1)
        fit = find_series_lattice(spots.to_arrays(), step=STEP)
        features = network.read_lattices(features, [fit])
    plan = Plan(reference, "cpu", (), (), sym.space_groups)
    close(class_probabilities(network, features, plan)[0], sym.data[0])


def test_lazy_equals_eager(signal, sym, model, close):
    lazy = classify(signal.as_lazy(), model, rotation_step=STEP)
    assert lazy._lazy
    close(lazy.data.compute(), sym.data)
    assert series_record(lazy) == series_record(sym)


def test_excluded_patterns_keep_their_place(signal, model):
    mask = np.zeros(30, bool)
    mask[[4, 5, 17]] = True
    sym = classify(signal, model, rotation_step=STEP, navigation_mask=mask)
    record = series_record(sym)
    assert record["step"] == STEP
    assert record["n_matched"] > 0.95 * record["n_spots"]
    assert np.isnan(sym.data[mask]).all()


def test_explanation_says_the_cell(signal, sym):
    explanation = sym.explain(signal, region=0, device="cpu")
    assert explanation.recomputed == pytest.approx(sym.data[0], abs=1e-4)
    (text,) = [line for line in explanation.findings() if "A lattice explains" in line]
    assert "each turned by 2.50 degrees from the last" in text
    cell = series_record(sym)["reduced_cell"]
    assert f"{cell[0]:.2f}, {cell[1]:.2f} and {cell[2]:.2f} Å" in text


def test_no_series(views, model, close):
    order = np.random.default_rng(0).permutation(len(views))
    signal = make_signal([views[i] for i in order])
    with pytest.warns(UserWarning, match="No lattice explains the patterns as a rot"):
        sym = classify(signal, model, rotation_step=STEP)
    assert series_record(sym) == {"rotation_step": STEP, "found": False}
    close(sym.data, classify(signal, model, regions=np.zeros(30, int)).data)


@pytest.mark.parametrize("step", [0, -20, 16.0, True, "fast", float("nan")])
def test_impossible_steps(signal, model, step):
    with pytest.raises(ValueError, match="rotation_step must be the angle .* 'auto'"):
        classify(signal, model, rotation_step=step)


def test_errors(signal, model, tmp_path):
    with pytest.raises(ValueError, match="without regions and views"):
        classify(signal, model, rotation_step=1.0, regions=np.zeros(30, int))
    with pytest.raises(ValueError, match="one navigation axis.*this signal has 2"):
        classify(scans.vectors(), model, rotation_step=1.0)
    blind = scans.save_model(tmp_path / "blind.safetensors")
    with pytest.raises(ValueError, match="does not look for lattices"):
        classify(signal, str(blind), rotation_step=1.0)
