# SPDX-License-Identifier: GPL-3.0-or-later
"""The function: same answer whatever the route, clear errors."""

import copy
import os
import signal as signal_module

import dask.array as da
import hyperspy.api as hs
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from orix.crystal_map import Phase, PhaseList

import pyxem_symnet
from pyxem_symnet import LazySpaceGroupProbabilities, SpaceGroupProbabilities
from tests.signals import scans

SHAPES = [(), (5,), (3, 4), (2, 3, 2)]


def classify(signal, model, **kwargs):
    kwargs = {"show_progressbar": False, "device": "cpu"} | kwargs
    return pyxem_symnet.classify_space_group(signal, model=model, **kwargs)


@pytest.fixture(scope="module")
def signal():
    return scans.scan((3, 4))


@pytest.fixture(scope="module")
def answer(signal, model):
    return classify(signal, model).data


@pytest.mark.parametrize("shape", SHAPES)
def test_eager_equals_lazy(shape, model, close):
    signal = scans.scan(shape)
    eager = classify(signal, model)
    lazy = classify(signal.as_lazy(), model)
    assert type(eager) is SpaceGroupProbabilities
    assert type(lazy) is LazySpaceGroupProbabilities
    assert isinstance(lazy.data, da.Array)
    assert eager.data.shape == (*shape, 7)
    assert eager.data.dtype == lazy.data.dtype == np.float32
    assert eager.axes_manager.navigation_shape == signal.axes_manager.navigation_shape
    assert eager.space_groups == scans.SPACE_GROUPS
    lazy.compute(show_progressbar=False)
    assert type(lazy) is SpaceGroupProbabilities
    close(lazy.data, eager.data)


def test_answers_differ_and_are_probabilities(answer):
    total = answer.sum(-1)
    assert (answer >= 0).all()
    # The class "not crystalline" is left out of the axis
    assert (total < 1).all() and (total > 0.01).all()
    flat = answer.reshape(-1, answer.shape[-1])
    assert np.ptp(flat, axis=0).max() > 0.05


def test_one_pattern_alone_has_the_same_answer(signal, model, answer, close):
    close(classify(signal.inav[2, 1], model).data, answer[1, 2])


@given(data=st.data())
def test_any_chunking(data, model, answer, close):
    images = scans.patterns((3, 4))
    chunks = tuple(
        data.draw(st.lists(st.integers(1, size), min_size=1, max_size=3))
        for size in images.shape
    )
    # Cut or filled up to the axis' length
    chunks = tuple(_fill(c, size) for c, size in zip(chunks, images.shape, strict=True))
    signal = scans.calibrate(
        pyxem_signal(da.from_array(images, chunks=chunks)), scans.PIXEL_SIZE
    )
    lazy = classify(signal, model, batch_size=data.draw(st.integers(1, 13)))
    close(lazy.data.compute(scheduler="sync"), answer)


def _fill(sizes, total):
    kept = []
    for size in sizes:
        size = min(size, total - sum(kept))
        if size:
            kept.append(size)
    rest = total - sum(kept)
    return (*kept, rest) if rest else tuple(kept)


def pyxem_signal(array):
    from pyxem.signals import LazyDiffraction2D

    return LazyDiffraction2D(array)


@pytest.mark.parametrize("batch_size", [1, 5, 100])
def test_batch_size_changes_nothing(signal, model, answer, batch_size, close):
    close(classify(signal, model, batch_size=batch_size).data, answer)


@pytest.mark.parametrize("dtype", ["u1", ">u2", "u4", "i4", "f4", ">f4", "f8"])
def test_detector_types(signal, model, answer, dtype, close):
    images = signal.data.clip(0, 255).astype(dtype)
    other = signal._deepcopy_with_new_data(images)
    reference = signal._deepcopy_with_new_data(images.astype("f4"))
    close(classify(other, model).data, classify(reference, model).data)


def test_counts_above_the_signed_range(model, close):
    images = scans.patterns().astype(np.uint32) * 80
    assert images.max() > 2**15
    signal = scans.calibrate(hs.signals.Signal2D(images.clip(0, 65535).astype("u2")))
    signal.set_signal_type("electron_diffraction")
    other = signal._deepcopy_with_new_data(signal.data.astype("f4"))
    close(classify(signal, model).data, classify(other, model).data)


def test_function_and_method_are_the_same(signal, model, answer, close):
    with_method = signal.classify_space_group(
        model=model, device="cpu", show_progressbar=False
    )
    close(with_method.data, answer)


@pytest.mark.parametrize("lazy_input", [False, True])
@pytest.mark.parametrize("lazy_output", [False, True])
def test_lazy_output(signal, model, answer, lazy_input, lazy_output, close):
    source = signal.as_lazy() if lazy_input else signal
    sym = classify(source, model, lazy_output=lazy_output)
    assert sym._lazy is lazy_output
    assert isinstance(sym, LazySpaceGroupProbabilities) is lazy_output
    close(np.asarray(sym.data), answer)


def test_input_is_not_changed(model):
    signal = scans.scan((2, 2), dtype=np.float32)
    signal.metadata.set_item("Acquisition_instrument.TEM.beam_energy", 200)
    mask = np.zeros((48, 48), bool)
    mask[:3] = True
    data, axes = signal.data.copy(), signal.axes_manager.as_dictionary()
    metadata = copy.deepcopy(signal.metadata.as_dictionary())
    classify(signal, model, signal_mask=mask, regions=np.eye(2, dtype=int))
    np.testing.assert_array_equal(signal.data, data)
    assert signal.axes_manager.as_dictionary() == axes
    assert signal.metadata.as_dictionary() == metadata
    assert mask.sum() == 3 * 48


def test_read_only_patterns(model, answer, signal, close):
    images = signal.data.copy()
    images.flags.writeable = False
    close(classify(signal._deepcopy_with_new_data(images), model).data, answer)


def test_navigation_axes_are_kept(model):
    signal = scans.scan((3, 4))
    x = signal.axes_manager.navigation_axes[0]
    x.name, x.scale, x.offset, x.units = "x", 2.5, 7.0, "nm"
    sym = classify(signal, model)
    kept = sym.axes_manager.navigation_axes[0]
    assert (kept.name, kept.scale, kept.offset, kept.units) == ("x", 2.5, 7.0, "nm")
    assert sym.axes_manager.signal_axes[0].name == "Space group"


class TestMasks:
    def test_navigation_mask(self, signal, model, answer, close):
        mask = np.zeros((3, 4), bool)
        mask[1, 2] = mask[0, 0] = True
        for given_mask in (mask, hs.signals.Signal2D(mask), da.from_array(mask)):
            sym = classify(signal, model, navigation_mask=given_mask)
            assert np.isnan(sym.data[mask]).all()
            close(sym.data[~mask], answer[~mask])

    def test_masked_patterns_are_not_looked_at(self, model):
        signal = scans.scan((3,), dtype=np.float32)
        signal.data[1] = np.nan
        with pytest.raises(ValueError, match="Pattern number 1 .*not finite"):
            classify(signal, model)
        sym = classify(signal, model, navigation_mask=[False, True, False])
        assert np.isnan(sym.data[1]).all() and not np.isnan(sym.data[[0, 2]]).any()

    def test_nan_is_found_when_a_lazy_map_is_computed(self, model):
        signal = scans.scan((3,), dtype=np.float32)
        signal.data[2, 5, 5] = np.inf
        sym = classify(signal.as_lazy(), model)
        with pytest.raises(ValueError, match="Pattern number 2"):
            sym.compute(show_progressbar=False)

    def test_signal_mask_hides_pixels(self, model, close):
        signal = scans.scan((2, 2), dtype=np.float32)
        mask = np.zeros((48, 48), bool)
        mask[10:16, 8:14] = True
        hidden = classify(signal, model, signal_mask=mask).data
        other = signal.deepcopy()
        other.data[..., mask] = np.nan
        close(classify(other, model, signal_mask=mask).data, hidden)
        assert not np.allclose(hidden, classify(signal, model).data, atol=1e-3)

    def test_empty_patterns_are_not_crystalline(self, model):
        signal = scans.scan((2,))
        signal.data[1] = 0
        sym = classify(signal, model)
        assert (sym.data[1] == 0).all()
        assert sym.to_map().data.tolist()[1] == 0


class TestRegions:
    labels = np.array([[0, 0, 5, 5], [0, -1, 5, 7], [7, 7, -3, 0]])

    def manual(self, signal, model, label):
        """Return the answer from a sum that is made in the open."""
        from pyxem_symnet.descriptors.geometry import PatternGeometry
        from pyxem_symnet.models import load_checkpoint

        network = load_checkpoint(model)
        images = torch.from_numpy(signal.data[self.labels == label].astype("f4"))
        geometry = PatternGeometry(scans.PIXEL_SIZE)
        features = network.accumulate(network.prepare(images, geometry))
        total = {name: value.sum(0, keepdim=True) for name, value in features.items()}
        columns = [scans.CLASSES.index(number) for number in scans.SPACE_GROUPS]
        return network.probabilities(total)[0, columns].numpy()

    @pytest.mark.parametrize("lazy", [False, True])
    def test_equal_to_a_sum_by_hand(self, signal, model, lazy, close):
        source = signal.as_lazy() if lazy else signal
        sym = classify(source, model, regions=self.labels)
        data = np.asarray(sym.data)
        for label in (0, 5, 7):
            rows = data[self.labels == label]
            close(rows, np.broadcast_to(rows[0], rows.shape))
            close(rows[0], self.manual(signal, model, label))
        assert np.isnan(data[self.labels < 0]).all()

    @given(data=st.data())
    def test_blocks_and_batches_leave_the_answer(self, data, model, close):
        images = scans.patterns((3, 4))
        rows = data.draw(st.sampled_from([(3,), (1, 2), (1, 1, 1)]))
        columns = data.draw(st.sampled_from([(4,), (1, 3), (2, 2), (1, 1, 1, 1)]))
        whole = classify(
            scans.calibrate(pyxem_signal(da.from_array(images))),
            model,
            regions=self.labels,
            lazy_output=False,
        )
        from pyxem_symnet.inference import chunks

        # Such small blocks would be joined otherwise
        old, chunks.MIN_PATTERNS = chunks.MIN_PATTERNS, 1
        try:
            cut = classify(
                scans.calibrate(
                    pyxem_signal(
                        da.from_array(images, chunks=(rows, columns, 48, (20, 28)))
                    )
                ),
                model,
                regions=self.labels,
                batch_size=data.draw(st.integers(1, 5)),
            )
        finally:
            chunks.MIN_PATTERNS = old
        assert cut.data.numblocks[:2] == (len(rows), len(columns))
        close(cut.data.compute(scheduler="sync"), whole.data)

    def test_order_of_labels_does_not_matter(self, signal, model, close):
        renamed = np.select(
            [self.labels == 0, self.labels == 5, self.labels == 7], [900, 2, 31], -1
        )
        close(
            classify(signal, model, regions=renamed).data,
            classify(signal, model, regions=hs.signals.Signal2D(self.labels)).data,
        )

    def test_regions_of_one_pattern_are_patterns(self, signal, model, answer, close):
        labels = np.arange(12).reshape(3, 4)
        close(classify(signal, model, regions=labels).data, answer)

    def test_masked_patterns_do_not_count(self, signal, model, close):
        mask = self.labels == 7
        mask[0, 0] = True
        sym = classify(signal, model, regions=self.labels, navigation_mask=mask)
        without = np.where(mask, -1, self.labels)
        close(sym.data, classify(signal, model, regions=without).data)
        assert sym.metadata.Symmetry.regions.labels == [0, 5]
        assert sym.metadata.Symmetry.regions.n_patterns == [3, 3]

    def test_table_of_regions(self, signal, model, close):
        for source in (signal, signal.as_lazy()):
            sym = classify(source, model, regions=self.labels)
            table = sym.to_regions()
            assert type(table) is type(sym)
            assert table.axes_manager.navigation_shape == (3,)
            assert table.metadata.Symmetry.regions.labels == [0, 5, 7]
            data = np.asarray(sym.data)
            for i, label in enumerate((0, 5, 7)):
                close(np.asarray(table.data)[i], data[self.labels == label][0])

    def test_no_navigation_axes(self, model, close):
        signal = scans.scan()
        close(
            classify(signal, model, regions=3).data,
            classify(signal, model).data,
        )

    @pytest.mark.parametrize(
        "labels, message",
        [
            (np.zeros((4, 3), int), r"regions has the shape \(4, 3\)"),
            (np.zeros((3, 4)), "integers"),
            (np.full((3, 4), -1), "No pattern is left"),
        ],
    )
    def test_errors(self, signal, model, labels, message):
        with pytest.raises(ValueError, match=message):
            classify(signal, model, regions=labels)


class TestViews:
    def test_order_does_not_matter(self, signal, model, answer, close):
        other = scans.scan((3, 4), seed=1, size=56)
        third = scans.scan((3, 4), seed=2)
        first = classify(signal, model, views=[other, third]).data
        close(classify(third, model, views=[signal, other]).data, first)
        close(classify(signal.as_lazy(), model, views=[other, third]).data, first)
        assert not np.allclose(first, answer, atol=1e-3)

    def test_views_of_pixels_equal_regions_of_pixels(self, signal, model, close):
        other = scans.scan((3, 4), seed=1)
        both = scans.scan((6, 4))
        both.data = np.concatenate([signal.data, other.data], 0)
        labels = np.tile(np.arange(12).reshape(3, 4), (2, 1))
        # More patterns tell better where the beam is
        options = {"centre": (23.5, 23.5)}
        pooled = classify(both, model, regions=labels, **options).data[:3]
        close(classify(signal, model, views=other, **options).data, pooled)

    def test_patterns_and_vectors_together(self, model):
        sym = classify(scans.scan((3, 4)), model, views=[scans.vectors((3, 4))])
        assert sorted(sym.metadata.Symmetry.calibration.keys()) == ["view_0", "view_1"]

    def test_another_shape_is_an_error(self, signal, model):
        with pytest.raises(ValueError, match="navigation shape"):
            classify(signal, model, views=[scans.scan((4, 3))])


class TestCandidates:
    def test_probabilities_are_shared_out(self, signal, model, answer, close):
        sym = classify(signal, model, candidates=[225, 14])
        assert sym.space_groups == (14, 225)
        two = answer[..., [2, 5]]
        crystalline = answer.sum(-1, keepdims=True)
        expected = two / two.sum(-1, keepdims=True) * crystalline
        np.testing.assert_allclose(sym.data, expected, rtol=1e-3, atol=1e-4)
        assert sym.metadata.Symmetry.candidates == [14, 225]

    @pytest.mark.parametrize(
        "candidates",
        [
            (14, np.int64(225)),
            [Phase(space_group=14), 225],
            PhaseList([Phase("a", space_group=14), Phase("b", space_group=225)]),
        ],
    )
    def test_ways_to_name_them(self, signal, model, candidates):
        sym = classify(signal, model, candidates=candidates, lazy_output=True)
        assert sym.space_groups == (14, 225)

    @pytest.mark.parametrize(
        "candidates, message",
        [
            ([], "empty"),
            ([14, 231], "1 to 230"),
            (["Fm-3m"], "1 to 230"),
            ([14, 227], r"no class for the space groups \[227\]"),
            ([Phase("x", point_group="m-3m")], "'x' has no space group"),
        ],
    )
    def test_errors(self, signal, model, candidates, message):
        with pytest.raises(ValueError, match=message):
            classify(signal, model, candidates=candidates)


class TestVectors:
    @pytest.mark.parametrize("shape", [(5,), (3, 4), (2, 2, 2)])
    def test_eager_equals_lazy(self, shape, model, close):
        signal = scans.vectors(shape)
        eager = classify(signal, model)
        lazy = classify(signal.as_lazy(), model)
        assert eager.data.shape == (*shape, 7)
        close(lazy.data.compute(), eager.data)
        # The second list is empty
        assert (eager.data.reshape(-1, 7)[1] == 0).all()

    def test_equal_to_spots_by_hand(self, model, close):
        from pyxem_symnet.descriptors.spots import Spots
        from pyxem_symnet.models import load_checkpoint

        signal = scans.vectors((2, 2))
        network = load_checkpoint(model)
        table = torch.from_numpy(signal.data[1, 1].astype("f4"))
        spots = Spots(table[None, :, [1, 0]], table[None, :, 2])
        columns = [scans.CLASSES.index(number) for number in scans.SPACE_GROUPS]
        expected = network.probabilities(network.accumulate(spots))[0, columns]
        close(classify(signal, model).data[1, 1], expected.numpy())

    def test_units_and_pixels(self, model, close):
        signal = scans.vectors()
        expected = classify(signal, model).data
        in_nm = scans.vectors()
        in_nm.metadata.VectorMetadata.units = ["nm^-1", "nm^-1", "a.u."]
        in_pixels = scans.vectors()
        in_pixels.metadata.VectorMetadata.units = ["px", "px", "a.u."]
        for index in np.ndindex(3, 4):
            in_nm.data[index][:, :2] *= 10
            in_pixels.data[index][:, :2] *= 100
            in_pixels.data[index][:, :2] += (30, 20)
        close(classify(in_nm, model).data, expected)
        close(
            classify(in_pixels, model, pixel_size=0.01, centre=(20, 30)).data, expected
        )
        with pytest.raises(ValueError, match="no reciprocal lengths"):
            classify(in_pixels, model)

    def test_the_direct_beam_is_no_spot(self, model, close):
        signal, other = scans.vectors(), scans.vectors()
        for index in np.ndindex(3, 4):
            other.data[index] = np.vstack([other.data[index], (0.01, -0.01, 1e4)])
        close(classify(other, model).data, classify(signal, model).data)

    def test_regions(self, model, close):
        signal = scans.vectors()
        labels = np.arange(12).reshape(3, 4) % 2
        close(
            classify(signal.as_lazy(), model, regions=labels).data.compute(),
            classify(signal, model, regions=labels).data,
        )

    def test_found_by_pyxem(self, model):
        signal = scans.scan((2, 2))
        signal.set_signal_type("electron_diffraction")
        signal.calibration.center = None
        found = signal.get_diffraction_vectors(
            method="difference_of_gaussian", show_progressbar=False
        )
        sym = classify(found, model)
        assert sym.data.shape == (2, 2, 7)
        assert not np.isnan(sym.data).any()

    def test_not_finite(self, model):
        signal = scans.vectors()
        signal.data[1, 0][2, 0] = np.nan
        with pytest.raises(ValueError, match="pattern number 4 .*not finite"):
            classify(signal, model)

    def test_signal_mask_is_an_error(self, model):
        with pytest.raises(ValueError, match="no.* Remove unwanted vectors|detector"):
            classify(scans.vectors(), model, signal_mask=np.zeros((48, 48), bool))


class TestErrors:
    def test_signal_types(self, model):
        images = scans.patterns((2,))
        with pytest.raises(TypeError, match="set_signal_type"):
            classify(hs.signals.Signal2D(images), model)
        with pytest.raises(TypeError, match="Pass a pyxem Diffraction2D"):
            classify(hs.signals.Signal1D(images), model)
        with pytest.raises(TypeError, match="ndarray cannot be classified"):
            classify(images, model)

    def test_variance_has_the_method_but_is_refused(self, model):
        from pyxem.signals import DiffractionVariance2D

        signal = scans.calibrate(DiffractionVariance2D(scans.patterns((2,))))
        with pytest.raises(TypeError, match="variances"):
            signal.classify_space_group(model=model)

    def test_flat_vectors(self, model):
        flat = scans.vectors().flatten_diffraction_vectors()
        with pytest.raises(TypeError, match="ragged"):
            classify(flat, model)

    def test_complex_patterns(self, signal, model):
        other = signal._deepcopy_with_new_data(signal.data.astype("c8"))
        with pytest.raises((TypeError, ValueError), match="complex|cannot be class"):
            classify(other, model)

    def test_unknown_model(self, signal, tmp_path):
        with pytest.raises(ValueError, match="no model or file 'resnet'"):
            classify(signal, "resnet")
        wrong = tmp_path / "wrong.safetensors"
        wrong.write_bytes(b"nothing")
        with pytest.raises(ValueError, match="not a safetensors file"):
            classify(signal, wrong)

    def test_model_that_reads_axes(self, signal, tmp_path):
        from pyxem_symnet.models import MSDN, save_checkpoint

        path = tmp_path / "axes.safetensors"
        save_checkpoint(path, MSDN((1, 2)), {})
        with pytest.raises(ValueError, match="not scans"):
            classify(signal, path)

    def test_model_file_that_changed(self, signal, tmp_path):
        path = scans.save_model(tmp_path / "a.safetensors", seed=1)
        sym = classify(signal, path, lazy_output=True)
        scans.save_model(path, seed=2)
        with pytest.raises(ValueError, match="other weights"):
            sym.compute(show_progressbar=False)

    @pytest.mark.parametrize(
        "kwargs, message",
        [
            ({"navigation_mask": np.ones((3, 4), bool)}, "No pattern is left"),
            ({"navigation_mask": np.ones((4, 3), bool)}, "navigation shape"),
            ({"navigation_mask": np.full((3, 4), 0.5)}, "must be boolean"),
            ({"signal_mask": np.ones((48, 48), bool)}, "every detector pixel"),
            ({"signal_mask": np.ones((48, 47), bool)}, "signal shape"),
            ({"beam_energy": 200_000}, "kV, from 30 to 1500"),
            ({"beam_energy": 5}, "kV, from 30 to 1500"),
            ({"device": "abacus"}, "no device 'abacus'"),
            ({"device": "meta"}, "not available"),
            ({"batch_size": 0}, "batch_size must be a positive integer"),
            ({"num_workers": 1.5}, "num_workers must be a positive integer"),
            ({"reciprocal_radius": -1}, "reciprocal_radius must be a positive"),
            ({"pixel_size": 0}, "must be positive"),
            ({"pixel_size": "0.1"}, "pixel_size must be"),
            ({"pixel_size": 3}, "no diffraction pattern does"),
            ({"centre": "middle"}, "centre must be 'auto'"),
            ({"centre": (100, 3)}, "outside the detector"),
        ],
    )
    def test_arguments(self, signal, model, kwargs, message):
        with pytest.raises(ValueError, match=message):
            classify(signal, model, **{"device": "cpu"} | kwargs)

    def test_missing_calibration(self, model):
        from pyxem.signals import Diffraction2D

        signal = Diffraction2D(scans.patterns())
        with pytest.raises(ValueError, match="signal.calibration"):
            classify(signal, model)
        signal.calibration(scale=scans.PIXEL_SIZE, units="1/Å")
        assert classify(signal, model).data.shape == (7,)

    def test_energy_in_the_metadata(self, model):
        signal = scans.scan()
        signal.metadata.set_item("Acquisition_instrument.TEM.beam_energy", 200000)
        with pytest.raises(ValueError, match="in the metadata is 200000"):
            classify(signal, model)


def test_reciprocal_radius_leaves_out_spots(model, close):
    signal, near = scans.vectors(), scans.vectors()
    for index in np.ndindex(3, 4):
        near.data[index] = near.data[index][np.hypot(*near.data[index][:, :2].T) <= 0.6]
    limited = classify(signal, model, reciprocal_radius=0.6).data
    close(limited, classify(near, model).data)
    assert not np.allclose(limited, classify(signal, model).data, atol=1e-3)


def test_progress_is_shown_if_asked(signal, model, capsys):
    classify(signal, model, show_progressbar=False)
    assert "classify_space_group" not in capsys.readouterr().err
    classify(signal, model, show_progressbar=True)
    assert "classify_space_group" in capsys.readouterr().err


def test_keyboard_interrupt_stops_the_map(model, monkeypatch, request):
    from pyxem_symnet.inference import ModelReference, get_model

    network = get_model(ModelReference.find(model)[0], torch.device("cpu"))
    prepare, calls = network.prepare, []
    # A process that a shell started in the background ignores the signal
    before = signal_module.signal(
        signal_module.SIGINT, signal_module.default_int_handler
    )
    request.addfinalizer(lambda: signal_module.signal(signal_module.SIGINT, before))

    def interrupted(*args):
        calls.append(1)
        if len(calls) == 1:
            os.kill(os.getpid(), signal_module.SIGINT)
        return prepare(*args)

    monkeypatch.setattr(network, "prepare", interrupted)
    # 40 blocks of 32 patterns
    images = da.from_array(
        np.tile(scans.patterns((32,)), (40, 1, 1)), chunks=(32, 48, 48)
    )
    long_scan = scans.calibrate(pyxem_signal(images))
    with pytest.raises(KeyboardInterrupt):
        classify(long_scan, model, lazy_output=False, num_workers=1)
    assert len(calls) < 20


def test_no_network_and_no_threads_are_left_in_the_graph(signal, model):
    import pickle

    before = torch.get_num_threads()
    lazy = classify(signal.as_lazy(), model)
    graph = dict(lazy.data.__dask_graph__())
    assert not [v for v in graph.values() if isinstance(v, torch.nn.Module)]
    assert len(pickle.dumps(lazy.data)) < 2e6
    lazy.compute(show_progressbar=False)
    assert torch.get_num_threads() == before


def test_distributed_client(signal, model, answer, close):
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        lazy = classify(signal.as_lazy(), model)
        close(client.compute(lazy.data).result(), answer)
        close(classify(signal.as_lazy(), model, lazy_output=False).data, answer)
        close(classify(signal, model).data, answer)
