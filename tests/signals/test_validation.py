# SPDX-License-Identifier: GPL-3.0-or-later
"""Labelled folders: what is read, what is answered, what is refused."""

import json
import re

import numpy as np
import pytest
import tifffile
from pyxem.signals import ElectronDiffraction2D

import pyxem_symnet
from pyxem_symnet.signals import validate
from pyxem_symnet.signals.labels import (
    BrokenEntry,
    LabelError,
    load_entry,
    read_labels,
)
from pyxem_symnet.signals.validation import FailedValidation, Validation
from pyxem_symnet.symmetry import LEVELS, level_of
from tests.signals import folders, scans


def write_mrc(path, images):
    """Write a stack as MRC2014, mode 6: unsigned 16-bit integers."""
    header = np.zeros(256, "<i4")
    header[:4] = (*images.shape[::-1], 6)
    header[7:10] = images.shape[::-1]
    header[16:19] = (1, 2, 3)
    header[52] = int.from_bytes(b"MAP ", "little")
    header[53] = 0x4444
    path.write_bytes(header.tobytes() + images.astype("<u2").tobytes())


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Answers differ from pattern to pattern."""
    path = tmp_path_factory.mktemp("model") / "random.safetensors"
    return scans.save_model(path, (0, 2, 14, 62, 136, 141, 225, 229))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return folders.write_folder(tmp_path_factory.mktemp("labelled"))


@pytest.fixture(scope="module")
def results(folder, model):
    return {
        each.entry.name: each for each in validate(folder, model=model, device="cpu")
    }


def place(values, space_groups, level, number):
    """Return the rank of the truth, worked out by hand."""
    totals = {}
    for value, group in zip(values, space_groups, strict=True):
        label = level_of(level, group)
        totals[label] = totals.get(label, 0) + float(value)
    truth = totals.pop(level_of(level, number))
    return 1 + sum(value >= truth for value in totals.values())


class TestResults:
    def test_order_and_numbers_of_patterns(self, results):
        assert {name: len(each.single) for name, each in results.items()} == {
            "stack of rutile": 4,
            "frames": 4,
            "one": 1,
            "film": 1,
        }

    def test_answers_are_those_of_the_function(self, results, folder, model, close):
        images = np.stack([tifffile.imread(p) for p in sorted(folder.glob("frames/*"))])
        signal = ElectronDiffraction2D(images)
        options = {
            "model": model,
            "device": "cpu",
            "pixel_size": folders.PIXEL_SIZE,
            "centre": "auto",
            "show_progressbar": False,
        }
        alone = pyxem_symnet.classify_space_group(signal, **options)
        pooled = pyxem_symnet.classify_space_group(
            signal, regions=np.zeros(4, int), **options
        )
        close(results["frames"].single, alone.data)
        close(results["frames"].pooled, pooled.data[0])
        assert results["frames"].abstained == bool(pooled.abstained().data[0])
        # The test would be idle if pooling did nothing
        assert np.abs(alone.data - pooled.data).max() > 1e-3

    def test_stack_and_frames_are_the_same(self, results, close):
        close(results["stack of rutile"].single, results["frames"].single)
        close(results["stack of rutile"].pooled, results["frames"].pooled)

    def test_ranks(self, results):
        seen = set()
        for each in results.values():
            number = each.entry.space_group
            if number is None:
                continue
            for level in LEVELS:
                groups = each.space_groups
                rank = place(each.pooled, groups, level, number)
                assert each.rank[level] == rank
                alone = [place(row, groups, level, number) for row in each.single]
                assert each.rank_single[level] == np.median(alone)
                seen.add(rank)
        assert len(seen) > 1

    def test_mask_and_centre_are_used(self, results, folder, model, close):
        signal = ElectronDiffraction2D(tifffile.imread(folder / "one.tif"))
        mask = np.zeros((64, 56), bool)
        mask[:3] = True
        expected = pyxem_symnet.classify_space_group(
            signal,
            model=model,
            device="cpu",
            pixel_size=folders.PIXEL_SIZE,
            centre=(27.5, 31.5),
            signal_mask=mask,
            show_progressbar=False,
        )
        close(results["one"].pooled, expected.data)
        close(results["one"].single[0], expected.data)
        prepared = results["one"].explanation.shown.preparation
        np.testing.assert_array_equal(prepared.mask, mask)
        assert prepared.centre == (27.5, 31.5)

    def test_json(self, results):
        for name, each in results.items():
            plain = json.loads(json.dumps(each.to_dict()))
            assert plain["name"] == name
            assert plain["kind"] == each.entry.kind
            assert plain["n_patterns"] == len(each.single)
            assert isinstance(plain["abstained"], bool)
            assert list(plain["confidence"]) == list(plain["best"]) == list(LEVELS)
            for level in LEVELS:
                group_sums = {}
                for value, group in zip(each.pooled, each.space_groups, strict=True):
                    label = level_of(level, group)
                    group_sums[label] = group_sums.get(label, 0) + float(value)
                best = max(group_sums, key=group_sums.get)
                assert plain["best"][level] == best
                assert plain["confidence"][level] == pytest.approx(group_sums[best])
            if each.entry.space_group is None:
                assert plain["rank"] is None and plain["rank_single"] is None
            else:
                assert list(plain["rank"]) == list(plain["rank_single"]) == list(LEVELS)
                assert all(isinstance(rank, int) for rank in plain["rank"].values())

    def test_no_spots_are_no_answer(self, results):
        assert results["film"].to_dict()["n_spots"] == 0
        assert results["film"].abstained
        assert results["film"].not_crystalline == 1


@pytest.mark.parametrize(
    "pooled, abstained",
    [
        ((0.6, 0.1, 0.1), False),  # cubic 0.6
        ((0.3, 0.3, 0.1), False),  # cubic 0.6 of two groups
        ((0.4, 0.0, 0.4), True),  # nothing reaches one half
        ((0.1, 0.1, 0.0), True),  # not crystalline 0.8
    ],
)
def test_abstained(pooled, abstained):
    values = np.array(pooled, np.float32)
    entry = folders.entry("a", [])
    validation = Validation(entry, (225, 229, 62), values[None], values, None, None)
    assert validation.abstained is abstained


class TestExplanations:
    def test_answers_are_those_of_the_validation(self, results, close):
        for each in results.values():
            close(each.explanation.recomputed, each.pooled)
            (number,) = each.explanation.shown.index
            close(each.explanation_single.recomputed, each.single[number])

    def test_single_is_the_pattern_with_most_spots(self, results):
        each = results["stack of rutile"]
        counts = [len(view.vectors) for view in each.explanation.views]
        assert len(counts) == 4 and max(counts) > 4
        assert each.explanation_single.index == (int(np.argmax(counts)),)
        assert each.to_dict()["n_spots"] == np.median(counts)
        assert results["one"].explanation_single is results["one"].explanation

    def test_figures(self, results):
        for each in results.values():
            figure = each.plot()
            assert each.entry.name in figure.get_suptitle()
            text = [t.get_text() for ax in figure.axes for t in ax.texts]
            assert any(each.best["crystal_system"][0] in line for line in text)
        title = results["frames"].plot().get_suptitle()
        assert title == "frames (series, space group 136): 4 patterns pooled"
        single = results["frames"].plot(single=True)
        assert single.get_suptitle().endswith("alone")

    def test_truth_is_marked(self, results):
        marked = {
            "stack of rutile": "tetragonal ✓",
            "one": "orthorhombic ✓",
            "film": "not crystalline ✓",
        }
        for name, label in marked.items():
            figure = results[name].plot()
            assert label in [t.get_text() for ax in figure.axes for t in ax.texts]


class TestLabels:
    @pytest.fixture
    def labelled(self, tmp_path):
        image = np.zeros((32, 48), np.uint16)
        for name in ("a.tif", "b[1].tif"):
            tifffile.imwrite(tmp_path / name, image)
        tifffile.imwrite(tmp_path / "other.tif", np.zeros((32, 40), np.uint16))
        (tmp_path / "text.tif").write_text("nothing")
        np.save(tmp_path / "mask.npy", np.zeros((32, 40)))
        return tmp_path

    def read(self, folder, *entries):
        folders.write_labels(folder, *entries)
        return read_labels(folder)

    def test_defaults(self, labelled):
        (entry,) = self.read(
            labelled,
            folders.entry("a", "a.tif", beam_energy="leave out", centre="leave out"),
        )
        assert entry.centre == "auto"
        assert entry.beam_energy is None
        assert entry.mask is None
        assert entry.ellipticity is None

    @pytest.mark.parametrize(
        "asked, expected", [([1.02, 30], (1.02, 30.0)), ("auto", "auto")]
    )
    def test_ellipticity(self, labelled, asked, expected):
        (entry,) = self.read(labelled, folders.entry("a", "a.tif", ellipticity=asked))
        assert entry.ellipticity == expected

    def test_values(self, labelled):
        text = (
            "- {name: 7, files: [a.tif, 'b*.tif'], pixel_size: 1e-1, units: nm^-1,\n"
            "   centre: [1, 2.5], space_group: null, kind: rings, note: b. is a copy}\n"
        )
        (labelled / "labels.yaml").write_text(text)
        (entry,) = read_labels(labelled)
        assert entry.name == "7"
        assert entry.pixel_size == pytest.approx(0.01)
        assert entry.centre == (1, 2.5)
        assert [path.name for path in entry.files] == ["a.tif", "b[1].tif"]
        assert load_entry(entry).signal.data.shape == (2, 32, 48)

    def test_unknown_keys_are_told_and_not_used(self, labelled):
        described = folders.entry("mine", "a.tif", thickness=40)
        with pytest.warns(UserWarning, match="'mine': the key 'thickness' is not used"):
            (entry,) = self.read(labelled, described)
        assert entry.name == "mine"

    def test_unknown_kinds_are_told_and_classified(self, labelled):
        described = folders.entry("mine", "a.tif", kind="zone axis")
        with pytest.warns(UserWarning, match="'mine': the kind 'zone axis' is none of"):
            (entry,) = self.read(labelled, described)
        assert entry.kind == "zone axis"

    @pytest.mark.parametrize(
        "size, units, expected",
        [
            (0.1, "1/nm", 0.01),
            (0.1, "nm^-1", 0.01),
            (0.1, "nm⁻¹", 0.01),
            (0.01, "Å^-1", 0.01),
            ([0.01, 0.02], "1/A", (0.01, 0.02)),
            # de Broglie: 0.02508 Å at 200 kV
            (0.2508, "mrad", 0.01),
        ],
    )
    def test_units(self, labelled, size, units, expected):
        described = folders.entry("a", "a.tif", pixel_size=size, units=units)
        (entry,) = self.read(labelled, described)
        assert entry.pixel_size == pytest.approx(expected, rel=1e-4)
        assert load_entry(entry).signal.data.shape == (1, 32, 48)

    def test_without_a_space_group_there_is_no_rank(self, labelled):
        described = folders.entry("a", "a.tif", space_group="leave out")
        (entry,) = self.read(labelled, described)
        assert entry.space_group is None

    def test_a_folder_is_a_series(self, labelled):
        (labelled / "series").mkdir()
        for number in range(3):
            image = np.full((32, 48), number, np.uint16)
            tifffile.imwrite(labelled / "series" / f"{number}.tif", image)
        (labelled / "series" / ".hidden").write_text("nothing")
        (entry,) = self.read(labelled, folders.entry("s", "series"))
        data = load_entry(entry).signal.data.compute()
        np.testing.assert_array_equal(data[:, 0, 0], [0, 1, 2])

    def test_absolute_paths(self, labelled):
        path = str(labelled / "a.tif")
        wanted = [path, str(labelled / "[a].tif"), "a.tif"]
        (entry,) = self.read(labelled, folders.entry("a", wanted))
        # Once, whatever it was called by
        assert entry.files == (labelled / "a.tif",)

    def test_name_with_brackets_is_no_glob(self, labelled):
        (entry,) = self.read(labelled, folders.entry("a", "b[1].tif"))
        assert load_entry(entry).signal.data.shape == (1, 32, 48)

    @pytest.mark.parametrize(
        "changes, message",
        [
            ({"units": "px"}, "units must be 1/A, 1/nm or mrad, not 'px'"),
            ({"units": "mrad", "beam_energy": None}, "need the key 'beam_energy'"),
            ({"units": "leave out"}, "key 'units' is missing"),
            ({"space_group": 231}, "number from 1 to 230, or null, not 231"),
            ({"space_group": 0}, "not 0"),
            ({"space_group": "Pnma"}, "not 'Pnma'"),
            ({"pixel_size": 0}, "pixel_size must be positive"),
            ({"pixel_size": "small"}, "pixel_size must be a number, not 'small'"),
            ({"kind": "leave out"}, "key 'kind' is missing"),
            ({"pixel_size": [1, 2, 3]}, "one number or .x, y., not .1, 2, 3."),
            ({"centre": "middle"}, "centre must be 'auto' or"),
            ({"centre": [1, 2, 3]}, "centre must be 'auto' or"),
            ({"centre": [1, None]}, "centre must be a number"),
            ({"beam_energy": "high"}, "beam_energy must be a number"),
            ({"ellipticity": 1.02}, "ellipticity must be"),
            ({"ellipticity": [30, 1.02]}, "ratio of the axes, 0.5 to 2, not 30"),
            ({"files": "none.tif"}, "no file 'none.tif'"),
            ({"files": ["a.tif", "x/*.tif"]}, r"no file 'x/\*.tif'"),
            ({"files": []}, "a path, a glob or a list"),
            ({"files": 3}, "a path, a glob or a list"),
            ({"mask": "none.npy"}, "no file 'none.npy'"),
        ],
    )
    def test_entries(self, labelled, changes, message):
        good = folders.entry("good", "a.tif")
        bad = folders.entry("bad", **{"files": "a.tif"} | changes)
        first, second = self.read(labelled, good, bad)
        assert first.name == "good" and load_entry(first)
        assert isinstance(second, BrokenEntry) and second.name == "bad"
        assert re.search(message, second.reason)

    @pytest.mark.parametrize(
        "changes, message",
        [
            ({"files": "text.tif"}, "can't be read by HyperSpy"),
            ({"files": "*[ar].tif"}, "a.tif have 48 x 32 pixels, .* other.tif 40 x 32"),
            ({"centre": [100, 3]}, "outside the detector"),
            ({"pixel_size": 3}, "no diffraction pattern does"),
            ({"beam_energy": 200000}, "must be in kV"),
            ({"mask": "mask.npy"}, "signal_mask has the shape"),
            ({"mask": "text.tif"}, "can't be read by HyperSpy"),
        ],
    )
    def test_files(self, labelled, changes, message):
        bad = folders.entry("bad", **{"files": "a.tif"} | changes)
        (entry,) = self.read(labelled, bad)
        with pytest.raises(LabelError, match=message):
            load_entry(entry)

    def test_vectors_are_refused(self, labelled):
        scans.vectors().save(labelled / "vectors.hspy")
        (entry,) = self.read(labelled, folders.entry("v", "vectors.hspy"))
        with pytest.raises(LabelError, match="holds diffraction vectors, not patterns"):
            load_entry(entry)

    def test_names_of_files_differ(self, labelled):
        names = ["a b", "a/b", "A b", "a b"]
        entries = self.read(labelled, *(folders.entry(n, "a.tif") for n in names))
        assert [entry.name for entry in entries] == names
        assert [entry.slug for entry in entries] == ["a_b", "a_b_2", "A_b_3", "a_b_4"]

    @pytest.mark.parametrize(
        "text, message",
        [
            ("", "must be a list of entries"),
            ("name: a", "must be a list of entries"),
            ("- {", "is not YAML: .*line 1"),
        ],
    )
    def test_text(self, tmp_path, text, message):
        (tmp_path / "labels.yaml").write_text(text)
        with pytest.raises(LabelError, match=message):
            read_labels(tmp_path)

    @pytest.mark.parametrize(
        "text, kind, message",
        [
            ("- a", None, "must have keys such as 'name: ...', not be 'a'"),
            ("- kind: rings", "rings", "the key 'name' is missing"),
        ],
    )
    def test_entries_without_a_name(self, tmp_path, text, kind, message):
        (tmp_path / "labels.yaml").write_text(text)
        (entry,) = read_labels(tmp_path)
        assert (entry.name, entry.kind) == ("number 1", kind)
        assert message in entry.reason

    def test_no_labels(self, tmp_path):
        with pytest.raises(LabelError, match=r"labels.yaml can't be read \(No such"):
            read_labels(tmp_path)


class TestFailures:
    def test_the_others_are_classified(self, tmp_path, model):
        tifffile.imwrite(tmp_path / "good.tif", scans.patterns())
        images = np.full((2, 48, 48), np.nan, np.float32)
        images[0] = scans.patterns()
        np.save(tmp_path / "bad.npy", images)
        (tmp_path / "text.tif").write_text("nothing")
        # A given mask is not added to
        np.save(tmp_path / "mask.npy", np.eye(48))
        folders.write_labels(
            tmp_path,
            folders.entry("label", "good.tif", units="px"),
            folders.entry("file", "none.tif"),
            folders.entry("reader", "text.tif"),
            folders.entry("values", "bad.npy", mask="mask.npy"),
            folders.entry("good", "good.tif"),
        )
        *failed, last = validate(tmp_path, model=model, device="cpu")
        assert last.entry.name == "good" and last.to_dict()["rank"]
        reasons = {each.name: each.reason for each in failed}
        assert "units must be" in reasons["label"]
        assert "no file 'none.tif'" in reasons["file"]
        assert "can't be read" in reasons["reader"]
        assert "not finite" in reasons["values"]
        for each in failed:
            assert isinstance(each, FailedValidation)
            plain = json.loads(json.dumps(each.to_dict()))
            assert plain["kind"] == "series"
            assert plain["error"] == each.reason
            assert set(plain) == {*last.to_dict(), "error"}
            assert plain["abstained"] and plain["n_patterns"] == 0
            assert plain["rank"] is plain["rank_single"] is plain["confidence"] is None

    def test_what_is_wrong_for_all_is_raised(self, folder):
        with pytest.raises(ValueError, match="no model or file"):
            next(validate(folder, model="there is no such model"))

    @pytest.mark.parametrize("suffix", ["hspy", "zspy", "npy", "mrc", "tif"])
    def test_formats(self, tmp_path, suffix):
        images = scans.patterns((2,), dtype=np.uint16)
        path = tmp_path / f"stack.{suffix}"
        if suffix == "npy":
            np.save(path, images)
        elif suffix == "tif":
            tifffile.imwrite(path, images)
        elif suffix == "mrc":
            write_mrc(path, images)
        else:
            ElectronDiffraction2D(images).save(path)
        folders.write_labels(tmp_path, folders.entry("stack", path.name))
        (entry,) = read_labels(tmp_path)
        data = load_entry(entry).signal.data.compute()
        np.testing.assert_array_equal(data, images)

    def test_pictures(self, tmp_path, model):
        """8-bit images are read, coloured ones are refused."""
        from PIL import Image

        image = scans.patterns().clip(0, 255).astype(np.uint8)
        Image.fromarray(image).save(tmp_path / "grey.png")
        folders.write_labels(tmp_path, folders.entry("grey", "grey.png"))
        (answer,) = validate(tmp_path, model=model, device="cpu")
        assert answer.to_dict()["n_spots"] > 0
        coloured = np.stack([image, image // 2, image // 3], -1)
        Image.fromarray(coloured).save(tmp_path / "grey.png")
        (answer,) = validate(tmp_path, model=model)
        assert "real numbers" in answer.reason
