# SPDX-License-Identifier: GPL-3.0-or-later
"""The package as a whole: what importing it costs, and who may import whom."""

import ast
import importlib
import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import pyxem_symnet

PACKAGE = Path(pyxem_symnet.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))

# Which rooms a room may import; the arrows of docs/dev/architecture.rst
ROOMS = {
    "symmetry": set(),
    "lattice": {"symmetry"},
    "descriptors": {"symmetry"},
    "models": {"descriptors", "lattice", "symmetry"},
    "inference": {"models", "descriptors", "lattice", "symmetry"},
    "signals": {"inference", "models", "descriptors", "lattice", "symmetry"},
    "simulation": {"descriptors", "lattice", "symmetry"},
    "training": {"simulation", "descriptors", "models", "lattice", "symmetry"},
}
# The command line: knows every room, and no room knows it
FRONT = {"cli", "commands"}
# A training node has only torch, numpy, pyarrow and lightning
NODE_MODULES = ("descriptors", "models", "training", "simulation.sampler")
NOT_ON_A_NODE = ("diffsims", "hyperspy", "orix", "pyxem")


def run_python(code):
    """Return what `code` prints in a new interpreter."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def dotted_name(path):
    """Return the dotted name of the module at `path`."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room_of(name):
    """Return the room of a dotted name, None outside the rooms."""
    parts = name.split(".")
    return parts[1] if parts[0] == PACKAGE.name and len(parts) > 1 else None


def imported_names(path):
    """Yield every dotted name that the file imports, relative ones resolved."""
    package = dotted_name(path).split(".")
    if path.name != "__init__.py":
        package = package[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            base += node.module.split(".") if node.module else []
            # `from package import room` names the room in the alias
            yield from (".".join([*base, alias.name]) for alias in node.names)


def test_import_is_cheap():
    loaded = run_python(
        "import sys, pyxem_symnet\n"
        "print(*sorted({m.split('.')[0] for m in sys.modules}))"
    ).split()
    heavy = {"dask", "diffsims", "hyperspy", "numpy", "orix", "pyxem", "torch"}
    assert "pyxem_symnet" in loaded
    assert not heavy & set(loaded)


def test_listing_names_is_cheap():
    printed = run_python(
        "import sys, pyxem_symnet\n"
        "dir(pyxem_symnet)\n"
        "print([m for m in ('torch', 'pyxem', 'hyperspy') if m in sys.modules])"
    )
    assert printed.strip() == "[]"


@pytest.mark.parametrize("first", ["pyxem_symnet", "pyxem.signals"])
def test_method_is_there_whoever_is_imported_first(first):
    printed = run_python(
        f"import {first}\n"
        "import pyxem_symnet\n"
        "from pyxem.signals import DiffractionVectors, ElectronDiffraction2D\n"
        "for cls in (DiffractionVectors, ElectronDiffraction2D):\n"
        "    print(callable(cls.classify_space_group))\n"
        "import sys\n"
        "print('torch' in sys.modules)"
    )
    assert printed.split() == ["True", "True", "False"]


def test_version_is_that_of_the_distribution():
    assert pyxem_symnet.__version__ == importlib.metadata.version("pyxem-symnet")


def test_public_names():
    assert set(pyxem_symnet.__all__) == {
        "LazySpaceGroupProbabilities",
        "SpaceGroupProbabilities",
        "__version__",
        "classify_space_group",
        "register",
        "unregister",
    }
    for name in pyxem_symnet.__all__:
        assert getattr(pyxem_symnet, name) is not None


@pytest.mark.parametrize("room", ROOMS)
def test_public_names_of_rooms(room):
    module = importlib.import_module(f"pyxem_symnet.{room}")
    assert module.__doc__
    assert module.__all__
    for name in module.__all__:
        assert hasattr(module, name)


def test_every_folder_is_a_known_room():
    folders = {path.parent.name for path in PACKAGE.glob("*/*.py")}
    assert folders - FRONT == set(ROOMS)


@pytest.mark.parametrize("room", ROOMS)
def test_import_arrows(room):
    wrong = [
        (dotted_name(path), name)
        for path in (PACKAGE / room).rglob("*.py")
        for name in imported_names(path)
        if room_of(name) in (set(ROOMS) | FRONT) - ROOMS[room] - {room}
    ]
    assert not wrong


def test_only_signals_and_simulated_scans_know_hyperspy():
    users = {
        dotted_name(path).removeprefix("pyxem_symnet.")
        for path in MODULES
        for name in imported_names(path)
        if name.split(".")[0] in {"hyperspy", "pyxem"}
    }
    allowed = re.compile(r"(signals|cli|commands)(\..+)?|simulation\.scan")
    assert users, "the walk found no import at all"
    assert not {user for user in users if not allowed.fullmatch(user)}


def test_what_a_training_node_imports_needs_no_pyxem_family():
    names = [
        dotted_name(path)
        for path in MODULES
        if any(
            f"{dotted_name(path)}.".startswith(f"pyxem_symnet.{part}.")
            for part in NODE_MODULES
        )
    ]
    assert len(names) > len(NODE_MODULES)
    run_python(
        "import importlib, sys\n"
        f"sys.modules.update(dict.fromkeys({NOT_ON_A_NODE!r}))\n"
        f"for name in {names!r}:\n"
        "    importlib.import_module(name)"
    )


@pytest.mark.parametrize("path", MODULES, ids=dotted_name)
def test_no_code_is_read_from_data(path):
    assert not {
        name
        for name in imported_names(path)
        if name.split(".")[0] in {"cloudpickle", "dill", "joblib", "pickle", "shelve"}
        or name == "torch.load"
    }
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and node.attr == "load":
            assert not (isinstance(node.value, ast.Name) and node.value.id == "torch")
        if isinstance(node, ast.keyword):
            assert node.arg != "allow_pickle"


def test_hyperspy_finds_the_signals():
    listed = yaml.safe_load((PACKAGE / "hyperspy_extension.yaml").read_text())[
        "signals"
    ]
    assert set(listed) == {"SpaceGroupProbabilities", "LazySpaceGroupProbabilities"}
    for name, entry in listed.items():
        cls = getattr(importlib.import_module(entry["module"]), name)
        assert cls._signal_type == entry["signal_type"]
        assert cls._signal_dimension == entry["signal_dimension"]
        assert cls._lazy is entry["lazy"]
    (entry_point,) = (
        point
        for point in importlib.metadata.entry_points(group="hyperspy.extensions")
        if point.value == "pyxem_symnet"
    )
    assert entry_point.name == "pyxem_symnet"


def test_shipped_models_have_their_cards():
    """The committed cards are those of the committed weights.

    Building the documentation writes them anew.
    """
    from pyxem_symnet.models import DEFAULT_MODEL, available_models, model_card

    folder = PACKAGE.parent / "docs" / "models"
    models = available_models()
    assert DEFAULT_MODEL in models
    assert {path.stem for path in folder.glob("*.md")} == set(models)
    for name, model in models.items():
        card = (folder / f"{name}.md").read_text(encoding="utf-8")
        assert card == model_card(model["path"])


def test_licence_line():
    line = "# SPDX-License-Identifier: GPL-3.0-or-later"
    files = {
        path: path.read_text(encoding="utf-8").splitlines()
        for path in [*MODULES, *Path(__file__).parent.rglob("*.py")]
    }
    assert not {path for path, lines in files.items() if lines and lines[0] != line}
