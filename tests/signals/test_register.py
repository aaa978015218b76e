# SPDX-License-Identifier: GPL-3.0-or-later
"""Setting the method on pyxem's classes and taking it away."""

import subprocess
import sys

import pytest
from pyxem import signals

from pyxem_symnet import register, unregister

NAME = "classify_space_group"


@pytest.fixture(autouse=True)
def restored():
    yield
    register()


def run_python(code):
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "classify_space_group" not in done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "name",
    [
        "Diffraction2D",
        "LazyDiffraction2D",
        "ElectronDiffraction2D",
        "LazyElectronDiffraction2D",
        "InSituDiffraction2D",
        "DiffractionVectors",
    ],
)
def test_classes_that_have_it(name):
    method = getattr(getattr(signals, name), NAME)
    assert callable(method) and method.__doc__


def test_others_do_not():
    for name in ("Diffraction1D", "PolarDiffraction2D", "VirtualDarkFieldImage"):
        assert not hasattr(getattr(signals, name), NAME)


def test_idempotent():
    before = signals.Diffraction2D.classify_space_group
    assert register() and register()
    assert signals.Diffraction2D.classify_space_group is before


def test_reversible():
    unregister()
    assert not hasattr(signals.LazyElectronDiffraction2D, NAME)
    assert not hasattr(signals.DiffractionVectors, NAME)
    unregister()
    assert register()
    assert hasattr(signals.LazyElectronDiffraction2D, NAME)


def test_foreign_attribute_is_kept(monkeypatch):
    unregister()
    monkeypatch.setattr(signals.Diffraction2D, NAME, "pyxem's own", raising=False)
    with pytest.warns(UserWarning, match="pyxem's Diffraction2D already has"):
        assert not register()
    assert signals.Diffraction2D.classify_space_group == "pyxem's own"
    assert callable(signals.DiffractionVectors.classify_space_group)
    unregister()
    assert signals.Diffraction2D.classify_space_group == "pyxem's own"


@pytest.mark.parametrize(
    "imports",
    [
        "import pyxem_symnet; from pyxem.signals import Diffraction2D",
        "from pyxem.signals import Diffraction2D; import pyxem_symnet",
        "import pyxem_symnet; from pyxem.signals.diffraction2d import Diffraction2D",
    ],
)
def test_order_of_imports(imports):
    code = f"{imports}; print(callable(Diffraction2D.{NAME}))"
    assert run_python(code).strip() == "True"


def test_signals_from_a_file_have_it(tmp_path):
    import hyperspy.api as hs
    import numpy as np

    path = tmp_path / "scan.hspy"
    signals.ElectronDiffraction2D(np.zeros((2, 8, 8))).save(path)
    printed = run_python(
        "import hyperspy.api as hs, pyxem_symnet\n"
        f"s = hs.load({str(path)!r}, lazy=True)\n"
        f"print(type(s).__name__, callable(s.inav[0].{NAME}))"
    )
    assert printed.split() == ["LazyElectronDiffraction2D", "True"]
    assert hs.load(path).data.shape == (2, 8, 8)
