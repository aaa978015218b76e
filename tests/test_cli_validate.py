# SPDX-License-Identifier: GPL-3.0-or-later
"""``pyxem-symnet validate``."""

import json
import re

import pytest
import tifffile
from click.testing import CliRunner

from pyxem_symnet.cli import main
from pyxem_symnet.signals import validate
from tests.signals import folders, scans


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "random.safetensors"
    return str(scans.save_model(path, (0, 14, 62, 136, 225, 229)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return folders.write_folder(tmp_path_factory.mktemp("labelled"))


@pytest.fixture
def run(model):
    def invoke(*arguments):
        texts = [str(argument) for argument in arguments]
        return CliRunner().invoke(main, ["validate", *texts, "--model", model])

    return invoke


def test_table_json_and_figures(run, folder, model, tmp_path):
    out, figures = tmp_path / "sub" / "real.json", tmp_path / "figures"
    out.parent.mkdir()
    out.write_text("older")
    result = run(folder, "--device", "cpu", "--json", out, "--figures", figures)
    assert result.exit_code == 0, result.output
    written = json.loads(out.read_text())
    expected = [v.to_dict() for v in validate(folder, model=model, device="cpu")]
    assert [each["name"] for each in written] == [
        "stack of rutile",
        "frames",
        "one",
        "film",
    ]
    for ours, theirs in zip(written, expected, strict=True):
        for key in ("name", "kind", "n_patterns", "rank", "rank_single", "abstained"):
            assert ours[key] == theirs[key]
        for level, value in theirs["confidence"].items():
            assert ours["confidence"][level] == pytest.approx(value, abs=2e-5)
    assert list(out.parent.iterdir()) == [out]
    assert sorted(path.name for path in figures.iterdir()) == [
        "film.png",
        "frames.png",
        "frames_single.png",
        "one.png",
        "stack_of_rutile.png",
        "stack_of_rutile_single.png",
    ]
    assert all(p.read_bytes()[:4] == b"\x89PNG" for p in figures.iterdir())
    for each in written:
        (line,) = re.findall(rf"^{each['name']} .*", result.output, re.MULTILINE)
        ranks = each["rank"]
        numbers = "-" * 6 if ranks is None else list(ranks.values())
        assert re.search(r"\s+".join(map(str, numbers)), line)
        assert ("none (" in line) == each["abstained"]
        assert each["best"]["crystal_system"] in line
    assert result.output.count("alone, median") == 2


def test_without_labels(run, tmp_path):
    result = run(tmp_path, "--json", tmp_path / "out.json")
    assert result.exit_code == 2
    assert "labels.yaml can't be read" in result.output
    assert len(result.output.strip().splitlines()) == 1
    assert not (tmp_path / "out.json").exists()


def test_if_all_fail(run, tmp_path):
    tifffile.imwrite(tmp_path / "good.tif", scans.patterns())
    folders.write_labels(
        tmp_path,
        folders.entry("one", "none.tif"),
        folders.entry("two", "good.tif", units="px"),
    )
    result = run(tmp_path, "--json", tmp_path / "out.json")
    assert result.exit_code == 2
    assert "failed: there is no file 'none.tif'" in result.output
    assert "failed: units must be 1/A, 1/nm or mrad, not 'px'." in result.output
    assert "None of the sets could be classified" in result.output
    written = json.loads((tmp_path / "out.json").read_text())
    assert [each["name"] for each in written] == ["one", "two"]


@pytest.mark.parametrize("option, value", [("--model", "resnet"), ("--device", "xpu9")])
def test_what_is_wrong_for_all_is_said_once(folder, model, option, value):
    arguments = ["validate", str(folder), "--model", model, option, value]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert value in result.output
    assert "Entry" not in result.output
    assert len(result.output.strip().splitlines()) == 1


def test_results_of_the_others_are_kept(run, tmp_path):
    tifffile.imwrite(tmp_path / "good.tif", scans.patterns())
    folders.write_labels(
        tmp_path, folders.entry("bad", "none.tif"), folders.entry("good", "good.tif")
    )
    figures = tmp_path / "figures"
    result = run(tmp_path, "--json", tmp_path / "out.json", "--figures", figures)
    assert result.exit_code == 0, result.output
    assert re.search("^bad +failed: there is no file 'none.tif'", result.output, re.M)
    assert "Warning: not classified, see above: 'bad'." in result.output
    bad, good = json.loads((tmp_path / "out.json").read_text())
    # What the format promises of every entry
    for key in ("name", "kind", "n_patterns", "rank", "rank_single", "abstained"):
        assert key in bad and key in good
    assert bad["error"].startswith("there is no file") and "error" not in good
    assert good["rank"]["space_group"] >= 1
    assert [path.name for path in figures.iterdir()] == ["good.png"]
