# SPDX-License-Identifier: GPL-3.0-or-later
"""The result signal: levels, maps, crystal map, files, plots."""

import subprocess
import sys

import hyperspy.api as hs
import matplotlib.pyplot as plt
import numpy as np
import pytest
from orix import io

from pyxem_symnet import (
    LazySpaceGroupProbabilities,
    SpaceGroupProbabilities,
    classify_space_group,
)
from pyxem_symnet.signals.plot import colours
from pyxem_symnet.signals.results import from_array
from pyxem_symnet.symmetry import LEVELS, level_labels
from tests.signals import scans

# Cubic where 225 and 229 together are the most
TABLE = np.array(
    [
        # 1    2    14   62   63   225  229
        [0.1, 0.1, 0.3, 0.1, 0.0, 0.2, 0.2],
        [0.6, 0.1, 0.1, 0.1, 0.0, 0.1, 0.0],
        [0.0, 0.0, 0.1, 0.3, 0.2, 0.1, 0.2],
        [0.1, 0.0, 0.0, 0.0, 0.0, 0.1, 0.0],
        [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
        [np.nan] * 7,
    ],
    np.float32,
)


def probabilities(shape=(2, 3), lazy=False):
    data = TABLE[: int(np.prod(shape, dtype=int))].reshape(*shape, 7)
    source = scans.scan(shape)
    for i, axis in enumerate(source.axes_manager.navigation_axes):
        axis.scale, axis.units, axis.name = 2.0 + i, "nm", "xy"[i] if i < 2 else "z"
    sym = from_array(data, scans.SPACE_GROUPS, source, {"model": {"name": "none"}})
    return sym.as_lazy() if lazy else sym


@pytest.mark.parametrize("lazy", [False, True])
class TestLevels:
    def test_classes_of_lazy_and_eager(self, lazy):
        sym = probabilities(lazy=lazy)
        kind = LazySpaceGroupProbabilities if lazy else SpaceGroupProbabilities
        assert type(sym) is kind
        assert sym.space_groups == scans.SPACE_GROUPS
        assert sym.isig[225.0].data.shape == (2, 3)

    def test_crystal_systems(self, lazy):
        sym = probabilities(lazy=lazy)
        codes = sym.to_map()
        assert codes._lazy is lazy
        names = codes.metadata.Symmetry.labels
        found = [names[code] for code in np.asarray(codes.data).ravel()]
        assert found == [
            "cubic",
            "triclinic",
            "orthorhombic",
            "not indexed",
            "not indexed",
            "not indexed",
        ]

    def test_space_group_codes_are_numbers(self, lazy):
        codes = np.asarray(probabilities(lazy=lazy).to_map("space_group").data)
        # 0.3 of 62 stands against 0.1 that is not crystalline
        np.testing.assert_array_equal(codes, [[14, 1, 62], [0, 0, 0]])

    def test_threshold(self, lazy):
        sym = probabilities(lazy=lazy)
        codes = np.asarray(sym.to_map("space_group", threshold=0.5).data)
        np.testing.assert_array_equal(codes, [[0, 1, 0], [0, 0, 0]])
        abstained = np.asarray(sym.abstained(0.5, "space_group").data)
        np.testing.assert_array_equal(abstained, codes == 0)
        assert abstained.dtype == bool

    def test_confidence(self, lazy):
        sym = probabilities(lazy=lazy)
        confidence = np.asarray(sym.confidence("crystal_system").data)
        expected = [[0.4, 0.7, 0.5], [0.1, 0, np.nan]]
        np.testing.assert_allclose(confidence, expected, atol=1e-6)

    @pytest.mark.parametrize("level", LEVELS)
    def test_level_probabilities_add_up(self, lazy, level):
        sym = probabilities(lazy=lazy)
        summed = sym.level_probabilities(level)
        assert summed._lazy is lazy
        assert summed.axes_manager.signal_axes[0].name == level
        labels = summed.metadata.Symmetry.labels
        assert len(labels) == summed.data.shape[-1] <= 7
        assert set(labels) <= set(level_labels(level))
        np.testing.assert_allclose(
            np.asarray(summed.data).sum(-1), np.asarray(sym.data).sum(-1), rtol=1e-6
        )

    @pytest.mark.parametrize("shape", [(), (3,), (2, 3), (1, 2, 2)])
    def test_navigation_dimensions(self, lazy, shape):
        sym = probabilities(shape, lazy)
        codes = sym.to_map()
        assert np.asarray(codes.data).shape == (shape or (1,))
        manager = codes.axes_manager
        assert manager.signal_dimension == min(len(shape), 2)
        assert manager.navigation_dimension == max(len(shape) - 2, 0)
        scales = [axis.scale for axis in codes.axes_manager._axes]
        kept = [a.scale for a in sym.axes_manager._axes if a.navigate]
        assert scales == (kept or [1.0])

    def test_ranking(self, lazy):
        sym = probabilities(lazy=lazy)
        ranking = sym.ranking(n=2, index=(1, 0))
        assert [label for label, _ in ranking] == ["P1", "P-1"]
        assert ranking[0][1] == pytest.approx(0.6)
        sym.axes_manager.indices = (2, 0)
        assert sym.ranking("crystal_system", 1)[0][0] == "orthorhombic"
        mean = dict(sym.ranking("crystal_system", 9, "mean"))
        assert mean["triclinic"] == pytest.approx((0.2 + 0.7 + 0.1) / 5)

    def test_to_crystal_map(self, lazy):
        xmap = probabilities(lazy=lazy).to_crystal_map(
            threshold=0.3, level="space_group", n_ranked=3
        )
        assert xmap.shape == (2, 3)
        np.testing.assert_array_equal(xmap.phase_id, [14, 1, 62, -1, -1, -1])
        assert xmap.phases.ids == [-1, 1, 14, 62]
        assert xmap.phases[62].space_group.number == 62
        assert all(xmap.phases.names)
        assert xmap.scan_unit == "nm"
        np.testing.assert_array_equal(xmap.x, [0, 2, 4, 0, 2, 4])
        np.testing.assert_array_equal(xmap.y, [0, 0, 0, 3, 3, 3])
        ranked = xmap.prop["ranked_space_groups"]
        np.testing.assert_array_equal(ranked[0], [14, 225, 229])


@pytest.mark.parametrize("level", ["symmetry", "Crystal_System", ""])
def test_unknown_level(level):
    sym = probabilities()
    for method in (sym.to_map, sym.confidence, sym.plot_map, sym.ranking):
        with pytest.raises(ValueError, match="level"):
            method(level)


@pytest.mark.parametrize("threshold", [-0.1, 1.1, np.nan])
def test_impossible_threshold(threshold):
    with pytest.raises(ValueError, match="from 0 to 1"):
        probabilities().abstained(threshold)


def test_ranking_at_no_point():
    with pytest.raises(ValueError, match="'mean'"):
        probabilities().ranking(index="middle")


def test_regions_without_regions():
    with pytest.raises(ValueError, match="no regions"):
        probabilities().to_regions()


@pytest.mark.parametrize("shape", [(), (3,), (2, 3)])
def test_crystal_map_survives_a_file(shape, tmp_path):
    xmap = probabilities(shape).to_crystal_map(threshold=0.3)
    path = tmp_path / "map.h5"
    io.save(str(path), xmap)
    loaded = io.load(str(path))
    assert loaded.shape == xmap.shape
    np.testing.assert_array_equal(loaded.phase_id, xmap.phase_id)
    assert loaded.phases.names == xmap.phases.names
    for name in xmap.prop:
        np.testing.assert_array_equal(loaded.prop[name], xmap.prop[name])


def test_crystal_map_of_too_many_axes():
    with pytest.raises(ValueError, match="two axes at most"):
        probabilities((1, 2, 2)).to_crystal_map()


@pytest.fixture(scope="module")
def sym(model):
    labels = np.array([[0, 0], [3, -1]])
    mask = np.zeros((48, 48), bool)
    mask[0] = True
    return classify_space_group(
        scans.scan((2, 2)),
        model=model,
        regions=labels,
        signal_mask=mask,
        beam_energy=200,
        candidates=[1, 14, 225],
        show_progressbar=False,
        device="cpu",
    )


class TestFiles:
    def test_record(self, sym, model):
        from pyxem_symnet.models import load_checkpoint

        record = sym.metadata.Symmetry.as_dictionary()
        network = load_checkpoint(model)
        assert record["model"]["name"] == str(model)
        assert record["model"]["record"]["summary"] == "Random weights"
        assert record["preprocessing"] == network.settings
        assert record["calibration"]["view_0"]["pixel_size"] == [0.04, 0.04]
        assert record["beam_energy"] == 200
        assert record["candidates"] == [1, 14, 225]
        assert record["excluded_detector_pixels"] == [48]
        assert record["excluded_patterns"] == 1
        assert_plain(record)

    @pytest.mark.parametrize("extension", ["zspy", "hspy"])
    @pytest.mark.parametrize("lazy", [False, True])
    def test_round_trip(self, sym, extension, lazy, tmp_path):
        path = tmp_path / f"sym.{extension}"
        sym.save(path)
        loaded = hs.load(path, lazy=lazy)
        assert type(loaded) is (
            LazySpaceGroupProbabilities if lazy else SpaceGroupProbabilities
        )
        np.testing.assert_array_equal(np.asarray(loaded.data), sym.data)
        assert loaded.space_groups == sym.space_groups
        np.testing.assert_equal(
            loaded.metadata.Symmetry.as_dictionary(),
            sym.metadata.Symmetry.as_dictionary(),
        )
        np.testing.assert_array_equal(
            np.asarray(loaded.to_regions().data), sym.to_regions().data
        )

    @pytest.mark.parametrize("lazy", [False, True])
    def test_fresh_process_that_never_imported_the_package(self, sym, lazy, tmp_path):
        path = tmp_path / "sym.zspy"
        sym.save(path)
        code = (
            "import sys\n"
            "import hyperspy.api as hs\n"
            "assert 'pyxem_symnet' not in sys.modules\n"
            f"s = hs.load({str(path)!r}, lazy={lazy})\n"
            "print(type(s).__name__, s.space_groups, s.to_map().data.shape)\n"
            "print('torch' in sys.modules)"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        name = "LazySpaceGroupProbabilities" if lazy else "SpaceGroupProbabilities"
        expected = [f"{name} (1, 14, 225) (2, 2)", "False"]
        assert done.stdout.splitlines() == expected

    def test_maps_are_saved_too(self, sym, tmp_path):
        codes = sym.to_map("laue_class")
        codes.save(tmp_path / "map.zspy")
        loaded = hs.load(tmp_path / "map.zspy")
        np.testing.assert_array_equal(loaded.data, codes.data)
        assert loaded.metadata.Symmetry.labels == codes.metadata.Symmetry.labels


def assert_plain(value):
    if isinstance(value, dict):
        for name, item in value.items():
            assert isinstance(name, str)
            assert_plain(item)
    elif isinstance(value, list | tuple):
        for item in value:
            assert_plain(item)
    else:
        assert value is None or isinstance(value, str | int | float | bool | np.ndarray)


class TestPlots:
    @pytest.fixture(autouse=True)
    def closed(self):
        yield
        plt.close("all")

    @pytest.mark.parametrize("shape", [(), (3,), (2, 3)])
    @pytest.mark.parametrize("lazy", [False, True])
    def test_ranking_follows_the_cursor(self, shape, lazy):
        sym = probabilities(shape, lazy)
        sym.plot(level="crystal_system", n=3)
        panel = sym._plot.signal_plot.figure.axes[-1]

        def best():
            return panel.get_yticklabels()[0].get_text()

        assert best() == "P2_1/c"
        if shape:
            sym.axes_manager.indices = (1,) + (0,) * (len(shape) - 1)
            assert best() == "P1"
        sym._plot.close()
        assert sym.ranking()

    @pytest.mark.parametrize("lazy", [False, True])
    def test_navigator_is_the_map(self, lazy):
        sym = probabilities(lazy=lazy)
        sym.plot(level="space_group")
        image = sym._plot.navigator_plot.ax.images[0].get_array()
        np.testing.assert_array_equal(image, sym.to_map("space_group").data)

    @pytest.mark.parametrize("lazy", [False, True])
    def test_plot_as_hyperspy_does(self, lazy):
        sym = probabilities(lazy=lazy)
        sym.plot(level=None)
        assert len(sym._plot.signal_plot.figure.axes) == 1

    @pytest.mark.parametrize("shape", [(), (3,), (2, 3)])
    def test_map_with_legend(self, shape, tmp_path):
        figure = probabilities(shape).plot_map("crystal_system")
        (ax,) = figure.axes
        assert ax.images[0].get_array().shape[:2] == ((1,) * (2 - len(shape)) + shape)
        labels = [text.get_text() for text in ax.get_legend().get_texts()]
        assert any(label.startswith("cubic") for label in labels)
        figure.savefig(tmp_path / "map.png")
        assert not plt.get_fignums()

    def test_colours_depend_on_the_level_only(self):
        sym = probabilities()
        image = np.asarray(sym.plot_map().axes[0].images[0].get_array())
        np.testing.assert_allclose(image[1, 1], colours("crystal_system")[0])
        cubic = 1 + level_labels("crystal_system").index("cubic")
        strength = 0.25 + 0.75 * 0.4
        expected = 1 - strength * (1 - colours("crystal_system")[cubic])
        np.testing.assert_allclose(image[0, 0], expected, atol=1e-6)

    @pytest.mark.parametrize("level", LEVELS)
    def test_colours_are_distinct(self, level):
        palette = colours(level)
        assert len(palette) == len(level_labels(level)) + 1
        assert ((palette >= 0) & (palette <= 1)).all()
        assert len(np.unique(palette.round(4), axis=0)) == len(palette)
