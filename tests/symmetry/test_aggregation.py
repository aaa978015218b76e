# SPDX-License-Identifier: GPL-3.0-or-later
import dask.array as da
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pyxem_symnet.symmetry import (
    LEVELS,
    PAPER_SPACE_GROUPS,
    aggregate,
    aggregation_matrix,
    level_labels,
    level_of,
    members,
    rank_of_truth,
)

levels = st.sampled_from(LEVELS)
nested = st.sampled_from(
    [
        ("diffraction_symbol", "laue_class"),
        ("diffraction_symbol", "bravais_lattice"),
        ("point_group", "crystal_system"),
        ("laue_class", "crystal_system"),
    ]
)
class_lists = st.lists(st.integers(0, 230), min_size=1, max_size=40, unique=True)


@st.composite
def predictions(draw):
    """Classes and probabilities over them, of any leading shape."""
    classes = draw(class_lists)
    shape = (*draw(hnp.array_shapes(min_dims=0, max_dims=3, max_side=4)), len(classes))
    weights = draw(hnp.arrays(float, shape, elements=st.floats(1e-3, 1)))
    return weights / weights.sum(axis=-1, keepdims=True), tuple(classes)


class TestMatrix:
    @given(class_lists, levels)
    def test_each_class_has_one_label(self, classes, level):
        matrix, labels = aggregation_matrix(classes, level)
        assert matrix.shape == (len(classes), len(labels))
        for row, number in zip(matrix, classes, strict=True):
            if number == 0:
                assert not row.any()
            else:
                assert row.sum() == 1
                assert labels[row.argmax()] == level_of(level, number)

    @given(class_lists, levels)
    def test_only_labels_present_and_in_table_order(self, classes, level):
        matrix, labels = aggregation_matrix(classes, level)
        assert (matrix.sum(axis=0) > 0).all()
        all_labels = level_labels(level)
        places = [all_labels.index(label) for label in labels]
        assert places == sorted(set(places))

    def test_paper_classes(self):
        shape = {
            lv: aggregation_matrix(PAPER_SPACE_GROUPS, lv)[0].shape for lv in LEVELS
        }
        assert shape["diffraction_symbol"] == (72, 47)
        assert shape["crystal_system"] == (72, 7)
        assert shape["space_group"] == (72, 72)

    @pytest.mark.parametrize(
        "classes, message",
        [
            ((62, 231), "got 231"),
            ((-1, 62), "got -1"),
            ((62, 62), "only once"),
            ((62.5,), "integers"),
            ([[1, 2]], "flat sequence"),
            ((), "flat sequence"),
        ],
    )
    def test_bad_classes(self, classes, message):
        with pytest.raises(ValueError, match=message):
            aggregation_matrix(classes, "laue_class")

    def test_bad_level(self):
        with pytest.raises(ValueError, match="Unknown level 'genus', use one of cry"):
            aggregation_matrix((1, 2), "genus")


class TestAggregate:
    @given(predictions(), levels)
    def test_sums_the_members_of_each_label(self, prediction, level):
        probabilities, classes = prediction
        summed, labels = aggregate(probabilities, classes, level)
        assert summed.shape == (*probabilities.shape[:-1], len(labels))
        for i, label in enumerate(labels):
            mask = np.isin(classes, members(level, label))
            np.testing.assert_allclose(
                summed[..., i], probabilities[..., mask].sum(axis=-1), atol=1e-12
            )

    @given(predictions(), levels)
    def test_keeps_total_probability_of_the_crystalline(self, prediction, level):
        probabilities, classes = prediction
        summed, _ = aggregate(probabilities, classes, level)
        crystalline = probabilities[..., np.array(classes) != 0].sum(axis=-1)
        np.testing.assert_allclose(summed.sum(axis=-1), crystalline, atol=1e-12)

    @given(predictions(), nested)
    def test_of_a_level_between_is_of_the_space_groups(self, prediction, pair):
        probabilities, classes = prediction
        fine, coarse = pair
        between, fine_labels = aggregate(probabilities, classes, fine)
        direct, labels = aggregate(probabilities, classes, coarse)
        for i, label in enumerate(labels):
            below = [members(fine, f)[0] in members(coarse, label) for f in fine_labels]
            np.testing.assert_allclose(
                between[..., below].sum(axis=-1), direct[..., i], atol=1e-12
            )

    @given(predictions(), levels, st.randoms(use_true_random=False))
    def test_order_of_classes_does_not_matter(self, prediction, level, random):
        probabilities, classes = prediction
        order = list(range(len(classes)))
        random.shuffle(order)
        expected, labels = aggregate(probabilities, classes, level)
        summed, same_labels = aggregate(
            probabilities[..., order], [classes[i] for i in order], level
        )
        assert labels == same_labels
        np.testing.assert_allclose(summed, expected, atol=1e-12)

    @pytest.mark.parametrize("chunks", [(2, 3, 72), (3, 2, 10)])
    @pytest.mark.parametrize("level", LEVELS)
    def test_dask_stays_lazy_and_equals_numpy(self, level, chunks):
        rng = np.random.default_rng(0)
        probabilities = rng.random((4, 3, 72), dtype=np.float32)
        lazy = da.from_array(probabilities, chunks=chunks)
        expected, labels = aggregate(probabilities, PAPER_SPACE_GROUPS, level)
        summed, lazy_labels = aggregate(lazy, PAPER_SPACE_GROUPS, level)
        assert isinstance(summed, da.Array)
        assert summed.shape == expected.shape
        assert summed.dtype == np.float32
        assert lazy_labels == labels
        np.testing.assert_allclose(summed.compute(), expected, rtol=1e-5)

    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_keeps_floating_type(self, dtype):
        summed, _ = aggregate(np.ones((2, 2), dtype), (1, 2), "laue_class")
        assert summed.dtype == dtype
        assert summed.tolist() == [[2], [2]]

    def test_accepts_lists_and_integers(self):
        summed, labels = aggregate([1, 2, 4], (225, 0, 2), "crystal_system")
        assert labels == ("triclinic", "cubic")
        assert summed.tolist() == [4, 1]

    @pytest.mark.parametrize("shape", [(3,), (2, 3), ()])
    def test_classes_do_not_match(self, shape):
        n_outputs = shape[-1] if shape else 0
        with pytest.raises(ValueError, match=f"{n_outputs} entries .* but 2 classes"):
            aggregate(np.ones(shape), (1, 2), "laue_class")


class TestRankOfTruth:
    classes = (0, 33, 62, 225, 216)
    probabilities = np.array([0.1, 0.2, 0.15, 0.3, 0.25])

    @pytest.mark.parametrize(
        "level, number, rank",
        [
            ("space_group", 225, 1),
            ("space_group", 216, 2),
            ("space_group", 33, 3),
            ("space_group", 62, 4),
            ("diffraction_symbol", 62, 2),
            ("diffraction_symbol", 216, 1),
            ("laue_class", 16, 2),
        ],
    )
    def test_one_prediction(self, level, number, rank):
        assert rank_of_truth(self.probabilities, self.classes, level, number) == rank

    def test_label_that_no_class_has(self):
        args = (self.probabilities, self.classes)
        assert rank_of_truth(*args, "space_group", 1) == 5
        assert rank_of_truth(*args, "crystal_system", 1) == 3

    def test_many_predictions_and_truths(self):
        probabilities = np.stack([self.probabilities, self.probabilities[::-1]])
        ranks = rank_of_truth(probabilities, self.classes, "space_group", [225, 1])
        assert ranks.tolist() == [1, 5]
        ranks = rank_of_truth(probabilities, self.classes, "space_group", 33)
        assert ranks.tolist() == [3, 1]

    def test_flat_or_nan_is_not_right(self):
        flat = np.full(5, 0.2)
        assert rank_of_truth(flat, self.classes, "space_group", 33) == 4
        assert rank_of_truth(flat * np.nan, self.classes, "space_group", 33) == 4

    @given(predictions(), levels)
    def test_ranks_are_a_permutation_where_there_are_no_ties(self, prediction, level):
        probabilities, classes = prediction
        summed, labels = aggregate(probabilities, classes, level)
        for i, label in enumerate(labels):
            ranks = rank_of_truth(
                probabilities, classes, level, members(level, label)[0]
            )
            expected = (summed >= summed[..., i : i + 1]).sum(axis=-1)
            np.testing.assert_array_equal(ranks, expected)

    def test_truth_must_be_a_space_group(self):
        with pytest.raises(ValueError, match="from 1 to 230, got 0"):
            rank_of_truth(self.probabilities, self.classes, "laue_class", 0)
