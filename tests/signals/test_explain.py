# SPDX-License-Identifier: GPL-3.0-or-later
"""Explanations: the same answer, its evidence, what it hangs on."""

import numpy as np
import pytest
import torch

import pyxem_symnet
from pyxem_symnet.descriptors.spots import Spots
from pyxem_symnet.lattice import IndexedView, LatticeFit
from pyxem_symnet.models import load_checkpoint
from pyxem_symnet.models.sums import combine
from pyxem_symnet.signals import Explanation
from pyxem_symnet.signals.explain_figure import pretty
from pyxem_symnet.signals.explain_influence import SCALES, ring_width, shares
from pyxem_symnet.signals.explain_place import MAX_PATTERNS
from pyxem_symnet.symmetry import LEVELS, members
from tests.signals import scans

COLUMNS = [scans.CLASSES.index(number) for number in scans.SPACE_GROUPS]


def classify(signal, model, **kwargs):
    # What is found to be a mask depends on the scan, and is tested elsewhere
    options = {"show_progressbar": False, "device": "cpu", "signal_mask": False}
    options |= kwargs
    return pyxem_symnet.classify_space_group(signal, model=model, **options)


def expected(model, views):
    """Return the answer for lists of (kx, ky, intensity), one a view."""
    network = load_checkpoint(model)
    spots = []
    for table in views:
        table = torch.as_tensor(np.asarray(table, "f4").reshape(-1, 3))
        spots.append(Spots(table[None, :, :2], table[None, :, 2]))
    total = combine(network.accumulate(view) for view in spots)
    return network.probabilities(total)[0, COLUMNS].numpy()


def tables(explanation):
    return [np.column_stack((v.vectors, v.intensities)) for v in explanation.views]


@pytest.fixture(scope="module")
def signal():
    return scans.scan((3, 4))


@pytest.fixture(scope="module")
def sym(signal, model):
    return classify(signal, model)


@pytest.fixture(scope="module")
def labels():
    labels = np.array([[0, 0, 7, 7], [0, 7, 7, 7], [-1, -1, 7, 0]])
    return labels


@pytest.fixture(scope="module")
def regions(signal, model, labels):
    return classify(signal, model, regions=labels)


@pytest.fixture(scope="module")
def pooled(regions, signal):
    return regions.explain(signal, region=7)


class TestAnswer:
    @pytest.mark.parametrize("index", [(0, 0), (3, 1), (-1, -1)])
    def test_of_a_point(self, sym, signal, close, index):
        explanation = sym.explain(signal, index=index)
        assert isinstance(explanation, Explanation)
        x, y = index
        np.testing.assert_array_equal(explanation.probabilities, sym.data[y, x])
        close(explanation.recomputed, sym.data[y, x])
        assert explanation.index == (x % 4, y % 3)
        assert explanation.region is None
        assert explanation.n_patterns == len(explanation.views) == 1
        for level in LEVELS:
            assert explanation.ranking(level, 3) == sym.ranking(level, 3, (x, y))
        abstained = bool(sym.abstained().data[y, x])
        assert explanation.abstained == abstained
        close(explanation.not_crystalline, 1 - sym.data[y, x].sum())

    def test_current_point_is_the_default(self, sym, signal):
        sym.axes_manager.indices = (2, 1)
        try:
            assert sym.explain(signal).index == (2, 1)
        finally:
            sym.axes_manager.indices = (0, 0)

    @pytest.mark.parametrize(
        "shape, index", [((), ()), ((5,), 3), ((2, 2, 2), (1, 0, 1))]
    )
    def test_navigation_shapes(self, model, close, shape, index):
        signal = scans.scan(shape)
        sym = classify(signal, model)
        explanation = sym.explain(signal, index=index)
        place = (index,) if isinstance(index, int) else index[::-1]
        close(explanation.recomputed, sym.data[place])

    def test_of_a_region(self, regions, signal, pooled, labels, close):
        close(pooled.probabilities, regions.data[0, 2])
        close(pooled.recomputed, regions.data[0, 2])
        assert pooled.region == 7 and pooled.index is None
        assert pooled.n_patterns == len(pooled.views) == (labels == 7).sum()
        points = [view.index for view in pooled.views]
        assert points == [(x, y) for y, x in np.argwhere(labels == 7)]
        by_point = regions.explain(signal, index=(2, 0))
        by_row = regions.to_regions().explain(signal, index=1)
        for other in (by_point, by_row):
            assert other.region == 7
            np.testing.assert_array_equal(other.probabilities, pooled.probabilities)
            np.testing.assert_array_equal(other.recomputed, pooled.recomputed)

    def test_lazy_equals_eager(self, regions, signal, pooled, model, labels, close):
        lazy = classify(signal.as_lazy(), model, regions=labels)
        assert lazy._lazy
        explanation = lazy.explain(signal.as_lazy(), region=7)
        close(explanation.probabilities, pooled.probabilities)
        close(explanation.recomputed, pooled.recomputed)
        for ours, theirs in zip(explanation.views, pooled.views, strict=True):
            close(ours.vectors, theirs.vectors)
        for ours, theirs in zip(explanation.influences, pooled.influences, strict=True):
            assert ours.name == theirs.name
            close(ours.probabilities, theirs.probabilities)

    def test_all_settings_are_taken_from_the_result(self, model, close):
        signal = scans.scan((2, 2))
        for axis in signal.axes_manager.signal_axes:
            axis.scale, axis.units = 1.0, "px"
        mask = np.zeros((48, 48), bool)
        mask[:20, :20] = True
        options = {
            "pixel_size": (0.05, 0.04),
            "centre": (23.0, 24.0),
            "reciprocal_radius": 0.6,
            "candidates": [14, 62, 225],
            "signal_mask": mask,
        }
        sym = classify(signal, model, **options)
        explanation = sym.explain(signal, (1, 0))
        assert explanation.space_groups == (14, 62, 225)
        close(explanation.recomputed, sym.data[0, 1])
        (view,) = explanation.views
        assert view.lengths.max() <= 0.6
        assert view.preparation.centre == (23, 24)
        np.testing.assert_array_equal(view.preparation.mask, mask)
        # 1/Å in x and y are pixels of two sizes
        pixels = view.vectors / (0.05, 0.04) + (23, 24)
        np.testing.assert_allclose(view.pixels, pixels, atol=1e-3)

    def test_further_views(self, signal, model, close):
        other = scans.scan((3, 4), seed=1)
        sym = classify(signal, model, views=other)
        explanation = sym.explain(signal, (1, 2), views=other)
        close(explanation.recomputed, sym.data[2, 1])
        assert [view.signal for view in explanation.views] == [0, 1]
        assert explanation.n_patterns == 2

    def test_saved_and_loaded(self, sym, signal, tmp_path):
        import hyperspy.api as hs

        sym.save(tmp_path / "sym.zspy")
        loaded = hs.load(tmp_path / "sym.zspy", lazy=True)
        explanation = loaded.explain(signal, (1, 1))
        np.testing.assert_array_equal(explanation.probabilities, sym.data[1, 1])

    def test_cut_alike(self, sym, signal, close):
        explanation = sym.inav[1:3, 2].explain(signal.inav[1:3, 2], index=1)
        close(explanation.recomputed, sym.data[2, 2])

    def test_large_regions_are_sampled(self, model):
        images = np.tile(scans.patterns((3,)), (MAX_PATTERNS, 1, 1))
        signal = scans.calibrate(type(scans.scan())(images))
        sym = classify(signal, model, regions=np.zeros(len(images), int))
        explanation = sym.explain(signal, region=0)
        assert explanation.n_patterns == 3 * MAX_PATTERNS
        assert len(explanation.views) == MAX_PATTERNS
        assert {view.index[0] for view in explanation.views} >= {0, len(images) - 1}
        np.testing.assert_array_equal(explanation.probabilities, sym.data[0])
        assert f"{MAX_PATTERNS} of them were looked at" in str(explanation)


class TestVectors:
    @pytest.mark.parametrize("lazy", [False, True])
    def test_spots_are_the_vectors(self, model, close, lazy):
        signal = scans.vectors((3, 4))
        given = signal.data[2, 1][:, [1, 0, 2]].astype(float)
        signal = signal.as_lazy() if lazy else signal
        sym = classify(signal, model)
        explanation = sym.explain(signal, (1, 2))
        close(explanation.recomputed, np.asarray(sym.data[2, 1]))
        (table,) = tables(explanation)
        assert explanation.shown.preparation is None
        near = np.hypot(*given[:, :2].T) < 0.04
        np.testing.assert_allclose(
            table[np.argsort(table[:, 2])],
            given[~near][np.argsort(given[~near, 2])],
            rtol=1e-5,
        )
        assert explanation.plot().axes

    def test_no_spots(self, model):
        signal = scans.vectors((3, 4))
        explanation = classify(signal, model).explain(signal, (1, 0))
        assert explanation.abstained
        assert explanation.not_crystalline == 1
        assert "No spots were found" in str(explanation)
        assert explanation.profile.peaks == () == explanation.influences
        assert explanation.plot().axes

    def test_without_navigation_axes(self, model, close):
        signal = scans.vectors((3,)).inav[0]
        sym = classify(signal, model)
        close(sym.explain(signal).recomputed, sym.data.ravel())


class TestInfluences:
    """Each answer without something, against that of spots without it."""

    def of_kind(self, explanation, kind):
        return [each for each in explanation.influences if each.kind == kind]

    def test_rings(self, pooled, model, close):
        rings = self.of_kind(pooled, "ring")
        assert len(rings) == len(pooled.profile.peaks) > 5
        for ring, radius in zip(rings, pooled.profile.peaks, strict=True):
            assert f"{1 / radius:.2f} Å" in ring.name
            less = [
                table[abs(np.hypot(*table[:, :2].T) - radius) >= ring_width(radius)]
                for table in tables(pooled)
            ]
            assert sum(map(len, less)) < sum(map(len, tables(pooled)))
            close(ring.probabilities, expected(model, less))

    def test_views(self, pooled, model, close):
        views = self.of_kind(pooled, "view")
        assert len(views) == len(pooled.views)
        for i, without in enumerate(views):
            x, y = pooled.views[i].index
            assert without.name == f"without pattern ({x}, {y})"
            rest = tables(pooled)[:i] + tables(pooled)[i + 1 :]
            close(without.probabilities, expected(model, rest))

    def test_views_of_a_model_that_keeps_views(self, signal, labels, tmp_path, close):
        model = scans.save_model(tmp_path / "keeping.safetensors", lattice={})
        pooled = classify(signal, model, regions=labels).explain(signal, region=7)
        close(pooled.recomputed, pooled.probabilities)
        self.test_views(pooled, model, close)

    def test_no_view_is_left_out_of_one(self, sym, signal):
        assert not self.of_kind(sym.explain(signal, (0, 0)), "view")

    def test_scales(self, pooled, model, close):
        for scale, changed in zip(SCALES, self.of_kind(pooled, "scale"), strict=True):
            moved = [table * (scale, scale, 1) for table in tables(pooled)]
            close(changed.probabilities, expected(model, moved))
        assert self.of_kind(pooled, "scale")[0].name == "all distances −2 %"

    def test_streams(self, pooled, model, close):
        radial, pairs = self.of_kind(pooled, "stream")
        # Empty pair maps, all else as it was
        network = load_checkpoint(model)
        total = None
        for table in tables(pooled):
            table = torch.from_numpy(table)
            features = network.accumulate(Spots(table[None, :, :2], table[None, :, 2]))
            total = (
                features
                if total is None
                else {key: total[key] + value for key, value in features.items()}
            )
        total["pairs"] = torch.zeros_like(total["pairs"])
        answer = network.probabilities(total)[0, COLUMNS].numpy()
        close(pairs.probabilities, answer)
        assert np.abs(radial.probabilities - pairs.probabilities).max() > 1e-3

    def test_the_network_is_left_as_it_was(self, pooled, signal, model, sym, close):
        close(classify(signal, model).data, sym.data)

    def test_order(self, pooled):
        changes = pooled.most_influential(100)
        assert len(changes) == len(pooled.influences)
        base, _ = shares(pooled.recomputed, pooled.space_groups, "crystal_system")
        kinds = [each.kind for each, _ in changes]
        assert kinds[:4] == ["stream", "stream", "scale", "scale"]
        sizes = [abs(change) for _, change in changes[4:]]
        assert sizes == sorted(sizes, reverse=True) and sizes[0] > 1e-3
        for each, change in changes:
            values, _ = shares(
                each.probabilities, pooled.space_groups, "crystal_system"
            )
            assert change == pytest.approx((values - base)[base.argmax()])
        assert len(pooled.most_influential(6)) == 6

    def test_peaks_hold_most_of_the_profile(self, pooled):
        profile = pooled.profile
        lengths = np.concatenate([view.lengths for view in pooled.views])
        held = []
        for peak in profile.peaks:
            near = abs(lengths - peak) < ring_width(peak)
            assert near.any()
            held.append(
                profile.heights[abs(profile.radii - peak) < ring_width(peak)].sum()
            )
        assert held[0] > held[-1]


class TestWords:
    def test_what_kinematic_data_can_tell(self, pooled):
        text = " ".join(pooled.findings())
        symbol = pooled.ranking("diffraction_symbol", 1)[0][0]
        groups = members("diffraction_symbol", symbol)
        if pooled.not_crystalline < 0.5:
            assert symbol in text
            assert ("cannot tell" in text) == (len(groups) > 1)

    @pytest.mark.parametrize(
        "number, words",
        [
            (62, "cannot tell its space groups 33 and 62 apart"),
            (14, "one space group, 14"),
            (225, "no absences but those of the centring"),
        ],
    )
    def test_each_symbol(self, pooled, number, words):
        from dataclasses import replace

        values = np.zeros(7, np.float32)
        values[scans.SPACE_GROUPS.index(number)] = 0.9
        certain = replace(pooled, probabilities=values, recomputed=values)
        assert words in " ".join(certain.findings())
        assert not certain.abstained
        assert certain.findings()[0].startswith("Answer: ")

    def test_no_crystal(self, pooled):
        from dataclasses import replace

        values = np.full(7, 0.01, np.float32)
        words = replace(pooled, probabilities=values, recomputed=values).findings()
        assert words[0].startswith("No answer: not a crystal 93 %")
        assert "symbol" not in " ".join(words)

    def test_the_lattice(self, pooled):
        from dataclasses import replace

        view = IndexedView(
            np.zeros((4, 3)),
            np.ones(4),
            np.eye(3),
            np.zeros((4, 3), int),
            np.array([True, True, True, False]),
        )
        fit = LatticeFit(np.diag([1 / 16, 1 / 25, 1 / 36.0]), (view,), 6, 1.0, False)
        words = " ".join(replace(pooled, lattice=fit).findings())
        assert "A lattice explains 50 % of 6 spots in 1 pattern" in words
        assert "4.00, 5.00 and 6.00 Å, 90.0, 90.0 and 90.0 degrees" in words
        assert "ellipse" not in words
        assert "lattice explains" not in " ".join(pooled.findings())
        fit = replace(fit, distortion=(0.0, 0.01))
        words = " ".join(replace(pooled, lattice=fit).findings())
        assert "distorted to an ellipse of 1.020 along 45°" in words
        assert "other lattice" not in words
        half = LatticeFit(np.diag([1 / 16, 1 / 25, 1 / 9.0]), (view,), 6, 1.0, False)
        words = " ".join(
            replace(pooled, lattice=replace(fit, alternatives=(half,))).findings()
        )
        assert "Its volume is 120 Å³; 1 other lattice, of 60 Å³, explains this" in words

    def test_preparation(self, pooled):
        text = " ".join(pooled.preparation())
        assert "Pixel size 0.04 1/Å" in text
        x, y = pooled.shown.preparation.centre
        assert f"({x:.1f}, {y:.1f})" in text


class TestFigure:
    def test_what_is_drawn(self, pooled, tmp_path):
        figure = pooled.plot("My title", truth=62)
        assert figure.get_suptitle() == "My title"
        figure.savefig(tmp_path / "a.png", dpi=50)
        pattern, spots, *_ = figure.axes
        circles = [p for p in pattern.patches if type(p).__name__ == "Circle"]
        centres = np.array([circle.center for circle in circles])
        np.testing.assert_allclose(centres, pooled.shown.pixels)
        (beam,) = pattern.lines
        np.testing.assert_allclose(
            np.ravel(beam.get_data()), pooled.shown.preparation.centre
        )
        drawn = [c.get_offsets() for c in spots.collections]
        np.testing.assert_allclose(drawn[-1], pooled.shown.vectors, rtol=1e-6)
        text = [t.get_text() for ax in figure.axes for t in ax.texts]
        assert any("orthorhombic ✓" in each for each in text)
        assert "not crystalline" in text

    def test_spots_are_on_bright_pixels(self, pooled):
        x, y = np.rint(pooled.shown.pixels).astype(int).T
        image = pooled.shown.preparation.image
        assert (image[y, x] > np.median(image)).mean() > 0.9

    @pytest.mark.parametrize(
        "label, text",
        [
            ("cubic", "cubic"),
            ("not crystalline", "not crystalline"),
            ("Pnma", "$Pnma$"),
            ("P2_1/c", "$P2_1/c$"),
            ("m-3m", r"$m\bar{3}m$"),
            ("mmm P n - a", r"$mmm\ P\ n\ \mathrm{-}\ a$"),
        ],
    )
    def test_symbols(self, label, text):
        assert pretty(label) == text


class TestErrors:
    @pytest.mark.parametrize(
        "index, message",
        [
            ((4, 0), "index 4 is outside the navigation axis .* of 4 points"),
            ((0, -4), "index -4 is outside"),
            ((1,), "must have 2 numbers"),
            (3, "must have 2 numbers"),
            ((1.5, 0), "must hold integers"),
        ],
    )
    def test_index(self, sym, signal, index, message):
        with pytest.raises(ValueError, match=message):
            sym.explain(signal, index=index)

    def test_other_signals(self, sym, signal, model):
        with pytest.raises(ValueError, match=r"shape \(4, 3\), but \(3, 4\) were"):
            sym.explain(scans.scan((4, 3)))
        with pytest.raises(ValueError, match="not those that were classified"):
            sym.explain(scans.scan((3, 4), seed=5), (1, 1))
        with pytest.raises(ValueError, match="made from patterns, not from .*vectors"):
            sym.explain(scans.vectors((3, 4)))
        with pytest.raises(TypeError, match="cannot be classified"):
            sym.explain(signal.data)

    def test_views(self, sym, signal):
        other = scans.scan((3, 4), seed=1)
        with pytest.raises(ValueError, match="made from 1 signals: give .* 0 of them"):
            sym.explain(signal, (0, 0), views=other)

    def test_regions(self, sym, regions, signal, labels):
        with pytest.raises(ValueError, match="has no regions"):
            sym.explain(signal, region=7)
        with pytest.raises(ValueError, match="no region 3; the labels are .0, 7."):
            regions.explain(signal, region=3)
        with pytest.raises(ValueError, match="not both"):
            regions.explain(signal, (0, 0), region=7)
        with pytest.raises(ValueError, match=r"\(1, 2\) belongs to no region"):
            regions.explain(signal, (1, 2))
        with pytest.raises(ValueError, match="cut after it was made with regions"):
            regions.inav[:2].explain(signal, (0, 0))

    def test_excluded_point(self, signal, model):
        mask = np.zeros((3, 4), bool)
        mask[1, 2] = True
        sym = classify(signal, model, navigation_mask=mask)
        with pytest.raises(ValueError, match=r"\(2, 1\) was excluded"):
            sym.explain(signal, (2, 1))

    def test_level_and_threshold(self, sym, signal):
        with pytest.raises(ValueError, match="level"):
            sym.explain(signal, level="symmetry")
        with pytest.raises(ValueError, match="from 0 to 1"):
            sym.explain(signal, threshold=2)

    def test_model_that_changed(self, signal, tmp_path):
        path = scans.save_model(tmp_path / "a.safetensors", seed=1)
        sym = classify(signal, path)
        scans.save_model(path, seed=2)
        with pytest.raises(ValueError, match="other weights"):
            sym.explain(signal, (0, 0))

    def test_no_record(self, signal):
        from pyxem_symnet.signals.results import from_array

        data = np.zeros((3, 4, 7), np.float32)
        sym = from_array(data, scans.SPACE_GROUPS, signal, {})
        with pytest.raises(ValueError, match="does not say how it was made"):
            sym.explain(signal, (0, 0))
