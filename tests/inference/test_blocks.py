# SPDX-License-Identifier: GPL-3.0-or-later
"""Blocks, chunks, devices, threads and sums on their own."""

import dataclasses
import threading

import dask.array as da
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pyxem_symnet.descriptors.geometry import PatternGeometry
from pyxem_symnet.descriptors.spots import Spots
from pyxem_symnet.inference import (
    ModelReference,
    Plan,
    align_blocks,
    classify_block,
    device_lock,
    devices,
    get_model,
    resolve_device,
    sum_block,
    torch_threads,
)
from pyxem_symnet.inference.chunks import memory_chunks
from pyxem_symnet.inference.plan import VectorGeometry
from pyxem_symnet.inference.regions import (
    RegionSums,
    classify_sums,
    merge,
    region_table,
)
from pyxem_symnet.models import load_checkpoint
from pyxem_symnet.models.sums import combine
from tests.signals import scans


@pytest.fixture(scope="session")
def plan(model):
    reference, _ = ModelReference.find(model)
    return Plan(
        model=reference,
        device="cpu",
        geometries=(PatternGeometry(scans.PIXEL_SIZE),),
        masks=(None,),
        classes=scans.SPACE_GROUPS,
    )


@pytest.fixture(scope="session")
def keeping(plan, tmp_path_factory):
    """Path of a model that keeps views, and its plan for two lists of vectors."""
    path = tmp_path_factory.mktemp("keeping") / "keeping.safetensors"
    reference, _ = ModelReference.find(scans.save_model(path, lattice={}))
    geometry = VectorGeometry((1.0, 1.0), intensity_column=2)
    changes = {"geometries": (geometry,) * 2, "masks": (None,) * 2}
    return path, dataclasses.replace(plan, model=reference, **changes)


def spots_of(vectors):
    table = torch.tensor(vectors, dtype=torch.float32)
    return Spots(table[None, :, [1, 0]], table[None, :, 2])


class TestChunks:
    def test_previous_chunks_are_no_reason_to_exceed_the_limit(self):
        array = da.zeros((6, 8, 10), chunks=(5, 8, 10), dtype="u1")
        (aligned,) = align_blocks([array], 1, 4 * 80)
        assert aligned.chunksize == (4, 8, 10)

    @given(data=st.data())
    def test_blocks_hold_whole_patterns_under_the_limit(self, data):
        shape = tuple(data.draw(st.lists(st.integers(1, 12), max_size=3)))
        detector = (8, 10)
        chunks = tuple(data.draw(st.integers(1, size)) for size in (*shape, *detector))
        array = da.zeros((*shape, *detector), chunks=chunks, dtype="u2")
        other = da.zeros((*shape, 5, 5), dtype="f8")
        limit = data.draw(st.integers(1, 20)) * 8 * 10 * 2 + 160 * 2
        aligned = align_blocks([array, other], len(shape), limit)
        assert [each.shape for each in aligned] == [array.shape, other.shape]
        assert aligned[0].chunks[: len(shape)] == aligned[1].chunks[: len(shape)]
        assert aligned[0].chunksize[len(shape) :] == detector
        assert aligned[1].chunksize[len(shape) :] == (5, 5)
        assert max(each.blocks[_zero(each)].nbytes for each in aligned) <= limit

    def test_sensible_chunks_are_kept(self):
        array = da.zeros((64, 64, 16, 16), chunks=(8, 16, 16, 16), dtype="u2")
        (aligned,) = align_blocks([array], 2)
        assert aligned.chunks == array.chunks

    def test_single_patterns_are_joined(self):
        array = da.zeros((64, 64, 16, 16), chunks=(1, 1, 16, 16), dtype="u2")
        (aligned,) = align_blocks([array], 2)
        assert aligned.npartitions < 64

    def test_a_pattern_above_the_limit_is_a_block(self):
        array = da.zeros((2, 3, 16, 16), dtype="u2")
        (aligned,) = align_blocks([array], 2, block_bytes=10)
        assert aligned.chunksize == (1, 1, 16, 16)

    def test_scans_in_memory_are_cut_for_several_cores(self):
        chunks = memory_chunks((256, 256), 256 * 256 * 2)
        assert max(map(max, chunks)) ** 2 * 256 * 256 * 2 <= 64 * 2**20
        small = memory_chunks((32, 32), 100)
        assert np.prod([len(sizes) for sizes in small]) > 1


def _zero(array):
    return (0,) * array.ndim


class TestDevices:
    def test_auto_is_something(self):
        assert resolve_device("auto").type in ("cuda", "mps", "cpu")
        assert resolve_device("cpu") == torch.device("cpu")

    @pytest.mark.parametrize("name", ["abacus", "cuda:99", "meta", 3.5])
    def test_unknown(self, name):
        with pytest.raises(ValueError, match="Use device='auto' or 'cpu'"):
            resolve_device(name)

    def test_one_network_a_process(self, plan):
        device = torch.device("cpu")
        found = []
        threads = [
            threading.Thread(target=lambda: found.append(get_model(plan.model, device)))
            for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(found) == 8 and len(set(map(id, found))) == 1
        assert not found[0].training
        assert not any(p.requires_grad for p in found[0].parameters())

    def test_few_networks_are_kept(self, tmp_path):
        for seed in range(devices.MAX_MODELS + 2):
            path = scans.save_model(tmp_path / f"{seed}.safetensors", seed=seed)
            get_model(ModelReference.find(path)[0], torch.device("cpu"))
        assert len(devices._models) == devices.MAX_MODELS

    def test_accelerators_are_taken_in_turns(self):
        first, second = device_lock(torch.device("cuda:0")), torch.device("cuda:1")
        assert first is device_lock(torch.device("cuda:0"))
        assert first is not device_lock(second)
        with first:
            assert first.locked()


class TestThreads:
    def test_set_and_restored(self):
        before = torch.get_num_threads()
        with torch_threads(before + 1):
            assert torch.get_num_threads() == before + 1
        assert torch.get_num_threads() == before
        with torch_threads(None):
            assert torch.get_num_threads() == before

    def test_restored_after_an_error(self):
        before = torch.get_num_threads()
        with pytest.raises(KeyError), torch_threads(before + 1):
            raise KeyError
        assert torch.get_num_threads() == before

    def test_overlapping_blocks_restore_the_first_number(self):
        before = torch.get_num_threads()
        inside, leave = threading.Barrier(3), threading.Event()
        after = []

        def work():
            with torch_threads(before + 2):
                inside.wait(10)
                leave.wait(10)

        threads = [threading.Thread(target=work) for _ in range(2)]
        for thread in threads:
            thread.start()
        inside.wait(10)
        leave.set()
        for thread in threads:
            thread.join()
        late = threading.Thread(target=lambda: after.append(torch.get_num_threads()))
        late.start()
        late.join()
        assert after == [before]
        assert torch.get_num_threads() == before


class TestBlocks:
    def test_excluded_patterns_are_nan(self, plan):
        images = scans.patterns((2, 3))
        selection = np.array([[0, -1, 2], [-1, 4, 5]])
        answer = classify_block(selection, images, plan=plan)
        assert answer.shape == (2, 3, 7)
        assert answer.dtype == np.float32
        np.testing.assert_array_equal(np.isnan(answer).all(-1), selection < 0)

    def test_block_without_patterns_needs_no_network(self, plan):
        images = scans.patterns((2,))
        missing = Plan(
            **{**vars(plan), "model": ModelReference("nowhere.safetensors", "")}
        )
        answer = classify_block(np.array([-1, -1]), images, plan=missing)
        assert np.isnan(answer).all()
        sums = sum_block(np.array([-1]), np.array([3]), images[:1], plan=missing)
        assert sums.labels.size == 0

    def test_sums_add_up_over_blocks(self, plan, close):
        images = scans.patterns((12,))
        selection, labels = np.arange(12), np.arange(12) * 7 % 5
        whole = sum_block(selection, labels, images, plan=plan)
        parts = [
            sum_block(
                selection[i : i + 5], labels[i : i + 5], images[i : i + 5], plan=plan
            )
            for i in range(0, 12, 5)
        ]
        for order in (parts, parts[::-1]):
            merged = merge(order)
            np.testing.assert_array_equal(merged.labels, whole.labels)
            assert set(merged.features) == set(whole.features)
            for name, value in whole.features.items():
                close(merged.features[name], value)
        assert classify_sums(merge(parts), plan).shape == (5, 7)

    def test_sums_do_not_lose_small_parts(self):
        # Float32 would: a million patterns of one region
        one = RegionSums(np.array([0]), {"radial": np.array([[1.0]])})
        many = RegionSums(np.array([0]), {"radial": np.array([[2.0**24]])})
        assert merge([many, one]).features["radial"][0, 0] == 2**24 + 1

    def test_empty_and_full_blocks_merge(self):
        empty = RegionSums(np.array([], int), {})
        full = RegionSums(np.array([4]), {"n_views": np.ones((1, 1))})
        assert merge([empty, full, full]).features["n_views"].tolist() == [[2]]

    def test_kept_views_of_any_blocks_and_batches(self, keeping):
        path, plan = keeping
        lists = [scans.vectors((12,), seed=seed).data for seed in (0, 1)]
        selection, labels = np.arange(12), np.arange(12) * 7 % 3
        selection[[2, 5]] = -1
        (whole,) = self.sums(selection, labels, lists, plan, 12)
        for size in (1, 5):
            parts = self.sums(selection, labels, lists, plan, size, batch_size=3)
            for order in (parts, parts[::-1]):
                merged = merge(order)
                np.testing.assert_array_equal(
                    merged.features["kept"], whole.features["kept"]
                )
                assert merged.features["kept"].dtype == np.float32
        # Of a view at a time
        layer = load_checkpoint(path).lattice
        for label, kept in zip(whole.labels, whole.features["kept"], strict=True):
            expected = combine(
                {"kept": layer(spots_of(vectors[place]))}
                for vectors in lists
                for place in np.flatnonzero((labels == label) & (selection >= 0))
                if len(vectors[place])
            )
            assert len(layer.views(kept)) > 1
            np.testing.assert_array_equal(kept, expected["kept"][0].numpy())

    def sums(self, selection, labels, lists, plan, size, **changes):
        plan = dataclasses.replace(plan, **changes)
        return [
            sum_block(
                selection[i : i + size],
                labels[i : i + size],
                *(vectors[i : i + size] for vectors in lists),
                plan=plan,
            )
            for i in range(0, 12, size)
        ]

    def test_regions_with_kept_views_in_several_chunks(
        self, keeping, close, monkeypatch
    ):
        # Random spots have no lattice, and to look for it everywhere takes long
        monkeypatch.setattr("pyxem_symnet.lattice.find.COARSE", ())
        _, plan = keeping
        lists = [scans.vectors((3, 4), seed=seed).data for seed in (0, 1)]
        labels = np.array([[0, 0, 7, 7], [0, 7, 7, 7], [5, 5, 7, 0]])
        selection = np.arange(12).reshape(3, 4)
        tables = [
            region_table(
                selection,
                labels,
                [da.from_array(vectors, chunks=chunks) for vectors in lists],
                plan,
            ).compute(scheduler="sync")
            for chunks in ((3, 4), (1, 2))
        ]
        assert tables[0].shape == (3, 7)
        assert np.isfinite(tables[0]).all()
        close(tables[1], tables[0])

    def test_memory_shortage_makes_batches_smaller(self, plan, monkeypatch, close):
        images = scans.patterns((7,))
        expected = classify_block(np.arange(7), images, plan=plan)
        network = get_model(plan.model, torch.device("cpu"))
        prepare, sizes = network.prepare, []

        def scarce(patterns, *args):
            sizes.append(len(patterns))
            if len(patterns) > 2:
                raise torch.OutOfMemoryError("no memory")
            return prepare(patterns, *args)

        monkeypatch.setattr(network, "prepare", scarce)
        close(classify_block(np.arange(7), images, plan=plan), expected)
        assert max(sizes) == 7 and sizes[-1] <= 2

    def test_memory_shortage_of_one_pattern_is_an_error(self, plan, monkeypatch):
        network = get_model(plan.model, torch.device("cpu"))

        def scarce(*_):
            raise torch.OutOfMemoryError("no memory")

        monkeypatch.setattr(network, "prepare", scarce)
        with pytest.raises(torch.OutOfMemoryError):
            classify_block(np.arange(3), scans.patterns((3,)), plan=plan)
