# SPDX-License-Identifier: GPL-3.0-or-later
"""Patterns that are decided on one by one, each with its lattice or without."""

import numpy as np
import pytest
from pyxem.signals import DiffractionVectors

from pyxem_symnet import classify_space_group
from pyxem_symnet.signals import checks
from tests.lattice.cells import direct_basis
from tests.lattice.patterns import views_of_lattice
from tests.signals import scans


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("lattices") / "random.safetensors"
    return str(scans.save_model(path, lattice={"n_views": 4}, single=True))


@pytest.fixture(scope="module")
def signal():
    views = views_of_lattice(direct_basis((6.1, 8.2, 9.7, 90, 103, 90)), 6)
    lists = np.empty((2, 3), object)
    for place, view in zip(np.ndindex(2, 3), views, strict=True):
        lists[place] = view[:, [1, 0, 2]]
    return DiffractionVectors(lists, ragged=True, units=["1/Å", "1/Å", "a.u."])


def classify(signal, model, **kwargs):
    options = {"show_progressbar": False, "device": "cpu"} | kwargs
    return classify_space_group(signal, model=model, **options)


@pytest.fixture(scope="module")
def answers(signal, model):
    return {asked: classify(signal, model, lattices=asked) for asked in (True, False)}


def test_lattices_change_the_answer(answers, signal, model, close):
    changed = abs(answers[True].data - answers[False].data).max(-1)
    assert (changed > 1e-3).sum() >= 4
    close(classify(signal, model).data, answers[True].data)
    assert answers[True].metadata.Symmetry.lattices is True
    assert answers[False].metadata.Symmetry.lattices is False


def test_any_route_finds_the_same_lattices(answers, signal, model, close):
    lazy = classify(signal.as_lazy(), model, lattices=True)
    lazy.compute(show_progressbar=False)
    close(lazy.data, answers[True].data)
    small = classify(signal, model, lattices=True, batch_size=1, num_workers=2)
    close(small.data, answers[True].data)
    close(classify(signal.inav[1, 1], model).data, answers[True].data[1, 1])
    # A region of one pattern is that pattern
    regions = np.arange(6).reshape(2, 3)
    close(classify(signal, model, regions=regions).data, answers[True].data)


def test_explanation_has_the_lattice_that_the_answer_had(answers, signal):
    place = np.argwhere(abs(answers[True].data - answers[False].data).max(-1) > 1e-3)[0]
    index = tuple(int(i) for i in place[::-1])
    with_lattice = answers[True].explain(signal, index)
    assert with_lattice.lattice is not None
    assert "A lattice explains" in str(with_lattice)
    assert any(each.name == "no lattice" for each in with_lattice.influences)
    without = answers[False].explain(signal, index)
    assert without.lattice is None


def test_few_patterns_are_looked_at_by_default():
    assert checks.lattices("auto", 256) is True
    assert checks.lattices("auto", 257) is False
    assert checks.lattices(np.True_, 10**6) is True


@pytest.mark.parametrize("wrong", ["yes", None, 1, 0.5])
def test_anything_else_is_an_error(signal, model, wrong):
    with pytest.raises(ValueError, match="lattices must be True, False or 'auto'"):
        classify(signal, model, lattices=wrong)
