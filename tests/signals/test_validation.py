# SPDX-License-Identifier: GPL-3.0-or-later
"""Labelled folders: what is read, what is answered, what is refused."""

import json

import numpy as np
import pytest
import tifffile
from pyxem.signals import ElectronDiffraction2D

import pyxem_symnet
from pyxem_symnet.signals import validate
from pyxem_symnet.signals.evidence import MAX_PATTERNS, find_evidence
from pyxem_symnet.signals.labels import LabelError, load_entry, read_labels
from pyxem_symnet.signals.validation import Validation, ValidationError
from pyxem_symnet.symmetry import LEVELS, level_of
from tests.signals import folders, scans


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
        assert np.isnan(results["one"].evidence.image[:3]).all()
        assert results["one"].evidence.centre == (27.5, 31.5)

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
    validation = Validation(entry, (225, 229, 62), values[None], values, None)
    assert validation.abstained is abstained


class TestEvidence:
    def test_spots_are_on_bright_pixels(self, results):
        evidence = results["stack of rutile"].evidence
        assert evidence.n_spots.shape == (4,)
        assert evidence.n_spots.max() == len(evidence.pixels) > 4
        assert evidence.number == evidence.n_spots.argmax()
        assert evidence.lengths.size == evidence.n_spots.sum()
        x, y = np.rint(evidence.pixels).astype(int).T
        inside = (x > 0) & (x < 55) & (y > 0) & (y < 63)
        around = np.median(evidence.image)
        assert (evidence.image[y[inside], x[inside]] > around).mean() > 0.9
        # Pixels from the beam and 1/Å from the beam are the same vectors
        np.testing.assert_allclose(
            (evidence.pixels - evidence.centre) * folders.PIXEL_SIZE,
            evidence.vectors,
            atol=1e-5,
        )

    def test_part_of_a_large_signal(self, model):
        one = scans.patterns((3,))
        signal = ElectronDiffraction2D(np.tile(one, (MAX_PATTERNS, 1, 1)))
        evidence = find_evidence(signal, model, device="cpu", pixel_size=0.04)
        assert len(evidence.n_spots) == MAX_PATTERNS

    def test_figure(self, results):
        for each in results.values():
            figure = each.plot()
            assert each.entry.name in figure.get_suptitle()
            circles = [c for ax in figure.axes for c in ax.collections]
            offsets = [len(c.get_offsets()) for c in circles]
            assert len(each.evidence.pixels) in offsets
            text = [t.get_text() for ax in figure.axes for t in ax.get_yticklabels()]
            assert each.best["crystal_system"][0] in text
            assert each.best["diffraction_symbol"][0] in text
            assert "not crystalline" in text


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

    def test_name_with_brackets_is_no_glob(self, labelled):
        (entry,) = self.read(labelled, folders.entry("a", "b[1].tif"))
        assert load_entry(entry).signal.data.shape == (1, 32, 48)

    @pytest.mark.parametrize(
        "changes, message",
        [
            ({"units": "px"}, "units must be 1/A or 1/nm, not 'px'"),
            ({"units": "leave out"}, "key 'units' is missing"),
            ({"space_group": "leave out"}, r"'space_group' is missing \(null for none"),
            ({"space_group": 231}, "number from 1 to 230, or null, not 231"),
            ({"space_group": 0}, "not 0"),
            ({"space_group": "Pnma"}, "not 'Pnma'"),
            ({"pixel_size": 0}, "pixel_size must be positive"),
            ({"pixel_size": "small"}, "pixel_size must be a number, not 'small'"),
            ({"kind": "powder"}, "kind must be one of pattern, series, rings, amo"),
            ({"centre": "middle"}, "centre must be 'auto' or"),
            ({"centre": [1, 2, 3]}, "centre must be 'auto' or"),
            ({"centre": [1, None]}, "centre must be a number"),
            ({"beam_energy": "high"}, "beam_energy must be a number"),
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
        with pytest.raises(LabelError, match=f"^Entry 'bad': .*{message}"):
            self.read(labelled, good, bad)

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
        with pytest.raises(LabelError, match=f"^Entry 'bad': .*{message}"):
            load_entry(entry)

    def test_vectors_are_refused(self, labelled):
        scans.vectors().save(labelled / "vectors.hspy")
        (entry,) = self.read(labelled, folders.entry("v", "vectors.hspy"))
        with pytest.raises(LabelError, match="holds diffraction vectors, not patterns"):
            load_entry(entry)

    def test_same_name(self, labelled):
        entries = [folders.entry(name, "a.tif") for name in ("a b", "a/b")]
        with pytest.raises(LabelError, match="'a b' and 'a/b'"):
            self.read(labelled, *entries)

    @pytest.mark.parametrize(
        "text, message",
        [
            ("", "must be a list of entries"),
            ("name: a", "must be a list of entries"),
            ("- a", "Entry number 1 of labels.yaml must have keys"),
            ("- kind: rings", "Entry number 1: the key 'name' is missing"),
            ("- {", "is not YAML: .*line 1"),
        ],
    )
    def test_text(self, tmp_path, text, message):
        (tmp_path / "labels.yaml").write_text(text)
        with pytest.raises(LabelError, match=message):
            read_labels(tmp_path)

    def test_no_labels(self, tmp_path):
        with pytest.raises(LabelError, match=r"labels.yaml can't be read \(No such"):
            read_labels(tmp_path)


class TestFailures:
    def test_all_is_checked_before_anything_is_classified(self, folder, tmp_path):
        folders.write_folder(tmp_path)
        (tmp_path / "film.tif").write_text("nothing")
        with pytest.raises(LabelError, match="Entry 'film': .*can't be read"):
            next(validate(tmp_path, model="there is no such model"))

    def test_patterns_that_fail_later_do_not_stop_the_others(self, tmp_path, model):
        good = scans.patterns()
        bad = good.astype(np.float32)
        bad[3, 4] = np.nan
        tifffile.imwrite(tmp_path / "good.tif", good)
        tifffile.imwrite(tmp_path / "bad.tif", bad)
        folders.write_labels(
            tmp_path,
            folders.entry("bad", "bad.tif"),
            folders.entry("good", "good.tif"),
        )
        answers = validate(tmp_path, model=model, device="cpu")
        assert next(answers).entry.name == "good"
        with pytest.raises(ValidationError, match="Entry 'bad': .*not finite"):
            next(answers)

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
        with pytest.raises(LabelError, match="'grey': .*grey.png: .*real numbers"):
            next(validate(tmp_path, model=model))
