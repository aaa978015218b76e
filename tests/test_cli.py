# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line."""

import importlib
import re
import subprocess
import sys

import hyperspy.api as hs
import numpy as np
import pytest
import tifffile
from click.testing import CliRunner
from orix import io
from pyxem.signals import PolarDiffraction2D

from pyxem_symnet import SpaceGroupProbabilities
from pyxem_symnet.cli import main
from pyxem_symnet.commands._shared import UserError, replacing
from tests.signals import scans


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    classes = (0, 14, 62, 136, 225, 229)
    return str(scans.save_model(folder / "random.safetensors", classes))


@pytest.fixture
def run():
    def invoke(*arguments):
        return CliRunner().invoke(main, [str(argument) for argument in arguments])

    return invoke


@pytest.fixture
def one_pattern(tmp_path):
    path = tmp_path / "one.tif"
    tifffile.imwrite(path, scans.patterns())
    return path


@pytest.fixture
def small_scan(tmp_path):
    path = tmp_path / "scan.hspy"
    scans.scan((2, 3)).save(path)
    return path


def test_help_is_cheap():
    code = (
        "import sys\n"
        "from click.testing import CliRunner\n"
        "from pyxem_symnet.cli import main\n"
        "result = CliRunner().invoke(main, ['--help'])\n"
        "print(result.exit_code, result.output)\n"
        "print('HEAVY', [m for m in ('torch', 'hyperspy', 'pyxem', 'dask')"
        " if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("0 ")
    assert done.stdout.splitlines()[-1] == "HEAVY []"
    for name in ("classify", "demo", "models", "simulate"):
        assert re.search(rf"^  {name} +\S", done.stdout, re.MULTILINE)


def test_every_command_has_help(run):
    for name in main.list_commands(None):
        result = run(name, "--help")
        assert result.exit_code == 0, result.output
        assert importlib.import_module(f"pyxem_symnet.commands.{name}").__doc__


def test_version(run):
    assert re.fullmatch(r"pyxem-symnet, version \S+\n", run("--version").output)


def test_unknown_command(run):
    result = run("guess")
    assert result.exit_code == 2
    assert "No such command 'guess'" in result.output


class TestClassify:
    def test_one_pattern(self, run, one_pattern, model, tmp_path):
        out = tmp_path / "one.zspy"
        # fmt: off
        result = run(
            "classify", one_pattern, "--pixel-size", 0.4, "--units", "1/nm",
            "--energy", 200, "--model", model, "--out", out,
        )
        # fmt: on
        assert result.exit_code == 0, result.output
        assert "one pattern" in result.output
        assert "pixel size 0.04 1/Å, direct beam found in each pattern" in result.output
        for level in ("crystal system", "laue class", "space group", "not crystalline"):
            assert level in result.output
        sym = hs.load(out)
        assert type(sym) is SpaceGroupProbabilities
        assert sym.metadata.Symmetry.beam_energy == 200
        best, probability = sym.ranking("space_group", 1)[0]
        assert f"{best} {100 * probability:.1f}" in result.output
        assert sorted(path.name for path in tmp_path.iterdir()) == [
            "one.tif",
            "one.zspy",
        ]

    def test_same_as_the_function(self, run, small_scan, model, tmp_path):
        from pyxem_symnet import classify_space_group

        out = tmp_path / "sym.hspy"
        result = run("classify", small_scan, "--model", model, "--out", out)
        assert result.exit_code == 0, result.output
        assert "3 x 2 patterns" in result.output
        assert "each decided on alone" in result.output
        assert "All patterns taken as views of one phase" in result.output
        signal = scans.scan((2, 3))
        expected = classify_space_group(signal, model=model, show_progressbar=False)
        np.testing.assert_allclose(hs.load(out).data, expected.data, atol=2e-5)
        pooled = classify_space_group(
            signal, model=model, regions=np.zeros((2, 3), int), show_progressbar=False
        )
        best, probability = pooled.to_regions().ranking("space_group", 1)[0]
        text = result.output.split("views of one phase")[1]
        assert f"{best} {100 * probability:.1f}" in text

    def test_regions(self, run, small_scan, model, tmp_path):
        np.save(tmp_path / "labels.npy", [[1, 1, 4], [-1, 4, 4]])
        out = tmp_path / "sym.zspy"
        # fmt: off
        result = run(
            "classify", small_scan, "--model", model, "--out", out,
            "--regions", tmp_path / "labels.npy",
        )
        # fmt: on
        assert result.exit_code == 0, result.output
        assert "Region 1, 2 patterns" in result.output
        assert "Region 4, 3 patterns" in result.output
        sym = hs.load(out)
        assert sym.metadata.Symmetry.regions.labels == [1, 4]
        assert np.isnan(sym.data[1, 0]).all()

    def test_masks_candidates_and_centre(self, run, small_scan, model, tmp_path):
        mask = np.zeros((48, 48), np.uint8)
        mask[:2] = 255
        tifffile.imwrite(tmp_path / "mask.tif", mask)
        out = tmp_path / "sym.zspy"
        # fmt: off
        result = run(
            "classify", small_scan, "--model", model, "--out", out,
            "--signal-mask", tmp_path / "mask.tif", "--candidates", "225,62",
            "--centre", "23.5,24", "--ellipticity", "1.02,30",
        )
        # fmt: on
        assert result.exit_code == 0, result.output
        sym = hs.load(out)
        assert sym.space_groups == (62, 225)
        assert sym.metadata.Symmetry.excluded_detector_pixels == [96]
        assert sym.metadata.Symmetry.calibration.view_0.centre == [23.5, 24]
        done = sym.metadata.Symmetry.preparation.view_0
        assert done.ellipse == [1.02, 30] and done.ellipse_method == "given"

    def test_empty_pattern_has_no_answer(self, run, model, tmp_path):
        tifffile.imwrite(tmp_path / "empty.tif", np.zeros((48, 48), np.uint16))
        result = run(
            "classify", tmp_path / "empty.tif", "--pixel-size", 0.04, "--model", model
        )
        assert result.exit_code == 0, result.output
        assert re.search(r"not crystalline +100\.0", result.output)
        assert "take this for no answer" in result.output

    def test_without_calibration(self, run, one_pattern, model, tmp_path):
        out = tmp_path / "out.zspy"
        result = run("classify", one_pattern, "--model", model, "--out", out)
        assert result.exit_code == 2
        assert result.output.startswith("Error: The signal axis")
        assert "--pixel-size 0.01 --units 1/A" in result.output
        assert len(result.output.strip().splitlines()) == 1
        assert not out.exists()

    @pytest.mark.parametrize(
        "arguments, message",
        [
            (("--units", "px", "--pixel-size", 0.04), "--units must be 1/A or 1/nm"),
            (("--pixel-size", 0.04, "--energy", 200000), "must be in kV"),
            (("--pixel-size", 0.04, "--centre", "middle"), "--centre must be"),
            (("--pixel-size", 0.04, "--ellipticity", "1.02"), "--ellipticity must be"),
            (
                ("--pixel-size", 0.04, "--ellipticity", "30,1.02"),
                "ratio of the axes, 0.5 to 2, not 30",
            ),
            (("--pixel-size", 0.04, "--candidates", "Fm-3m"), "--candidates must be"),
            (("--pixel-size", 0.04, "--device", "abacus"), "no device 'abacus'"),
            (("--pixel-size", 0.04, "--model", "resnet"), "no model or file 'resnet'"),
            (("--pixel-size", 0.04, "--out", "a.txt"), "must end in .zspy or .hspy"),
        ],
    )
    def test_errors(self, run, one_pattern, model, arguments, message):
        result = run("classify", one_pattern, "--model", model, *arguments)
        assert result.exit_code == 2, result.output
        assert message in result.output
        assert "Traceback" not in result.output

    def test_files_of_something_else(self, run, model, tmp_path):
        text = tmp_path / "scan.hspy"
        text.write_text("nothing")
        result = run("classify", text, "--model", model)
        assert result.exit_code == 2
        assert "can't be read by HyperSpy" in result.output
        polar = tmp_path / "polar.hspy"
        PolarDiffraction2D(np.zeros((9, 9))).save(polar)
        result = run("classify", polar, "--model", model)
        assert result.exit_code == 2
        assert "PolarDiffraction2D cannot be classified" in result.output
        line = tmp_path / "line.hspy"
        hs.signals.Signal1D(np.zeros(9)).save(line)
        result = run("classify", line, "--model", model)
        assert result.exit_code == 2
        assert "exactly one is needed" in result.output

    def test_nothing_is_overwritten(self, run, small_scan, model, tmp_path):
        out = tmp_path / "sym.zspy"
        assert (
            run("classify", small_scan, "--model", model, "--out", out).exit_code == 0
        )
        before = hs.load(out).data
        arguments = ("classify", small_scan, "--model", model, "--out", out)
        candidates = ("--candidates", "62,225")
        result = run(*arguments, *candidates)
        assert result.exit_code == 2
        assert "exists already. Add --overwrite" in result.output
        np.testing.assert_array_equal(hs.load(out).data, before)
        assert run(*arguments, *candidates, "--overwrite").exit_code == 0
        assert hs.load(out).space_groups == (62, 225)


class TestReplacing:
    @pytest.mark.parametrize("folder", [False, True])
    def test_failure_keeps_what_was_there(self, tmp_path, folder):
        def write(path, text):
            if folder:
                path.mkdir()
                path = path / "part"
            path.write_text(text)

        path = tmp_path / "result.x"
        write(path, "old")
        with pytest.raises(KeyboardInterrupt), replacing(path, True) as temporary:
            write(temporary, "new")
            raise KeyboardInterrupt
        read = path / "part" if folder else path
        assert read.read_text() == "old"
        assert list(tmp_path.iterdir()) == [path]
        with replacing(path, True) as temporary:
            write(temporary, "new")
        assert read.read_text() == "new"
        assert list(tmp_path.iterdir()) == [path]
        with pytest.raises(UserError, match="--overwrite"), replacing(path, False):
            pass


@pytest.fixture(scope="module")
def demo(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo") / "out"
    # fmt: off
    arguments = [
        "demo", "--out", str(folder), "--size", "6", "--grains", "2",
        "--model", model,
    ]
    # fmt: on
    return folder, arguments, CliRunner().invoke(main, arguments)


class TestDemo:
    def test_files(self, demo):
        folder, _, result = demo
        assert result.exit_code == 0, result.output
        assert sorted(path.name for path in folder.iterdir()) == [
            "crystal_map.h5",
            "iron_crystal_map.h5",
            "iron_symmetry.zspy",
            "map.png",
            "symmetry.zspy",
        ]
        assert (folder / "map.png").read_bytes()[:4] == b"\x89PNG"
        sym = hs.load(folder / "symmetry.zspy")
        assert type(sym) is SpaceGroupProbabilities
        assert sym.axes_manager.navigation_shape == (6, 6)
        assert io.load(str(folder / "crystal_map.h5")).shape == (6, 6)

    def test_table_is_the_maps_agreement_with_the_truth(self, demo):
        from pyxem_symnet.commands.demo import _oxides

        folder, _, result = demo
        truth = _oxides(6, 2, 0).space_groups
        assert set(np.unique(truth)) == {14, 141}
        codes = hs.load(folder / "symmetry.zspy").to_map("space_group").data
        share = 100 * (codes == truth).mean()
        printed = re.search(r"space group +([\d.]+) %", result.output)
        # The table ranks space groups only; the map may say "not indexed"
        assert float(printed[1]) >= round(share, 1)
        assert result.output.count("crystal system") == 2

    def test_refuses_to_overwrite(self, demo):
        folder, arguments, _ = demo
        before = (folder / "map.png").stat().st_mtime_ns
        result = CliRunner().invoke(main, arguments)
        assert result.exit_code == 2
        assert "map.png exists already" in result.output
        assert (folder / "map.png").stat().st_mtime_ns == before

    def test_truth_of_pyxems_iron(self):
        """Points of one grain have one pattern; the seed sets all of it."""
        from pyxem_symnet.commands.demo import _iron

        example = _iron(8, 2, 3)
        assert set(np.unique(example.space_groups)) == {225, 229}
        patterns = example.signal.data.reshape(64, -1)
        kinds, kind = np.unique(patterns, axis=0, return_inverse=True)
        truth = example.space_groups.ravel()
        assert len(kinds) <= 4
        for i in range(len(kinds)):
            assert len(set(truth[kind.ravel() == i])) == 1
        np.testing.assert_array_equal(_iron(8, 2, 3).signal.data, example.signal.data)


class TestModels:
    def test_list(self, run, monkeypatch, model):
        from pathlib import Path

        from pyxem_symnet.models import registry

        monkeypatch.setattr(registry, "_WEIGHTS", Path(model).parent)
        result = run("models")
        assert result.exit_code == 0
        assert "random: ViewSetMSDN, 6 classes" in result.output
        assert "Random weights" in result.output

    def test_none(self, run, monkeypatch, tmp_path):
        from pyxem_symnet.models import registry

        monkeypatch.setattr(registry, "_WEIGHTS", tmp_path)
        assert "No models are shipped" in run("models").output

    def test_card(self, run, model):
        result = run("models", model)
        assert result.exit_code == 0
        assert result.output.startswith("# random")

    def test_unknown(self, run):
        result = run("models", "resnet")
        assert result.exit_code == 2
        assert "no model or file 'resnet'" in result.output


class TestSimulate:
    @pytest.fixture
    def cifs(self, tmp_path):
        from diffpy.structure import Atom, Lattice, Structure

        folder = tmp_path / "cifs"
        folder.mkdir()
        for name, a in (("iron", 2.866), ("polonium", 3.35)):
            structure = Structure([Atom("Fe", [0, 0, 0])], Lattice(a, a, a, 90, 90, 90))
            structure.write(str(folder / f"{name}.cif"), "cif")
        return folder

    def test_store(self, run, cifs, tmp_path):
        import pyarrow.parquet as pq

        store = tmp_path / "store"
        result = run("simulate", cifs, "--out", store, "--radius", 0.8)
        assert result.exit_code == 0, result.output
        assert "2 crystals, 0 of them" in result.output
        table = pq.read_table(store / "part-00000.parquet").to_pylist()
        assert [row["material_id"] for row in table] == ["iron", "polonium"]
        basis = np.reshape(table[0]["reciprocal_basis"], (3, 3))
        lengths = np.linalg.norm(np.reshape(table[0]["hkl"], (-1, 3)) @ basis, axis=1)
        assert 0.7 < lengths.max() <= 0.8
        again = run("simulate", cifs, "--out", store, "--radius", 0.8)
        assert again.exit_code == 0

    def test_store_of_other_settings(self, run, cifs, tmp_path):
        store = tmp_path / "store"
        assert run("simulate", cifs, "--out", store, "--radius", 0.6).exit_code == 0
        result = run("simulate", cifs, "--out", store, "--radius", 0.7)
        assert result.exit_code == 2
        assert "differs in: settings" in result.output
