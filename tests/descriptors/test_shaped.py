# SPDX-License-Identifier: GPL-3.0-or-later
"""The batched shaping rule equals the literal one."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pyxem_symnet.descriptors import (
    Spots,
    render_for_shaping,
    shape_pattern_reference,
    shape_patterns,
    shaped_input,
)


def draw(points, value=200):
    image = np.zeros((256, 256), dtype=np.uint8)
    for row, column in points:
        image[row, column] = value
    return image


def shape_one(image):
    return shape_patterns(torch.from_numpy(image)[None])[0].numpy()


pixels = st.tuples(
    st.integers(0, 255), st.integers(0, 255), st.sampled_from([3, 6, 49, 120, 255])
)
# Rows and columns of a coarse grid are shared by many spots.
aligned = st.tuples(
    st.integers(0, 15).map(lambda i: 17 * i),
    st.integers(0, 15).map(lambda i: 17 * i),
    st.sampled_from([60, 200]),
)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(pixels, max_size=30, unique_by=lambda p: p[:2]),
    st.lists(aligned, max_size=8),
    st.tuples(st.integers(100, 140), st.integers(100, 140)),
)
def test_equals_the_literal_rule(free, on_grid, corner):
    image = np.zeros((256, 256), dtype=np.uint8)
    for row, column, value in free + on_grid:
        image[row, column] = value
    # A spot of several pixels: neighbours, diagonal or on one row
    image[corner[0] : corner[0] + 2, corner[1] : corner[1] + 3] = 180
    np.testing.assert_array_equal(shape_one(image), shape_pattern_reference(image))


def test_equals_the_literal_rule_in_both_branches():
    generator = np.random.default_rng(3)
    few = draw(generator.integers(0, 110, (8, 2)))
    many = draw(generator.integers(0, 256, (40, 2)))
    batch = torch.from_numpy(np.stack([few, many, np.zeros_like(few)]))
    shaped = shape_patterns(batch).numpy()
    for ours, image in zip(shaped, batch.numpy(), strict=True):
        np.testing.assert_array_equal(ours, shape_pattern_reference(image))
    # 28 pairs are all joined, 780 are not: the far ones are left out.
    assert (shaped[0] == 255).sum() > 500
    everything = 0.5 * np.hypot(*np.diff(np.argwhere(many), axis=0).T).sum() * 39
    assert 0 < (shaped[1] == 255).sum() < everything / 3


def test_spots_on_one_row_or_column_are_not_joined():
    on_row = draw([(40, 20), (40, 80)])
    on_column = draw([(20, 40), (80, 40)])
    for image in (on_row, on_column):
        assert (shape_one(image) == 255).sum() == 0
    assert (shape_one(draw([(40, 20), (41, 80)])) == 255).sum() >= 58


def test_line_runs_straight_from_spot_to_spot():
    shaped = shape_one(draw([(20, 30), (60, 70)]))
    rows, columns = np.nonzero(shaped == 255)
    np.testing.assert_array_equal(rows - 20, columns - 30)
    # Samples are fewer than pixels by one: one step is skipped, and the
    # ends show the spots, whose 256 wraps to 0.
    assert 37 <= len(rows) <= 39
    assert shaped[20, 30] == 0


def test_weak_pixels_hide_lines_only_above_five():
    image = draw([(20, 30), (60, 70)])
    # The 256 of the scale over the maximum of 200: 4 becomes 5.12
    image[39, 49], image[43, 53] = 3, 4
    shaped = shape_one(image)
    assert shaped[39, 49] == 255
    assert shaped[43, 53] == 5


def test_central_box_is_not_scaled_and_does_not_count_for_the_scale():
    image = draw([(20, 30), (60, 71)], value=100)
    image[127, 127] = 250
    shaped = shape_one(image)
    assert shaped[127, 127] == 250
    assert shaped[20, 30] == 0  # 256 in 8 bits


def test_pattern_with_nothing_but_its_beam_is_returned():
    image = draw([(120, 120), (130, 131)], value=90)
    np.testing.assert_array_equal(shape_one(image), image)


def test_many_spots_are_handled_in_pieces(monkeypatch):
    from pyxem_symnet.descriptors import shaped

    image = draw(np.random.default_rng(1).integers(0, 256, (60, 2)))
    batch = torch.from_numpy(np.stack([image, image.T]))
    whole = shape_patterns(batch)
    monkeypatch.setattr(shaped, "_MAX_PAIRS", 50)
    monkeypatch.setattr(shaped, "_MAX_LINES", 7)
    assert torch.equal(shape_patterns(batch), whole)


def test_input_channels():
    images = torch.from_numpy(
        np.stack([draw([(20, 30), (60, 70)]), draw([(30, 200), (90, 20)])])
    )
    shaped = shape_patterns(images)
    channels = shaped_input(images, ["z", "x"], size=256)
    assert channels.shape == (2, 3, 256, 256)
    torch.testing.assert_close(channels[0, 2], shaped[0].float() / 255)
    torch.testing.assert_close(channels[1, 0], shaped[1].float() / 255)
    for pattern, channel in ((0, 0), (0, 1), (1, 1), (1, 2)):
        assert (channels[pattern, channel] == 1).sum() == 0
    assert torch.equal(channels[0, 0], channels[0, 1])


def test_input_is_resized_like_pillow_does():
    from PIL import Image

    image = np.random.default_rng(0).integers(0, 40, (256, 256)).astype(np.uint8)
    image[30, 40] = 255
    ours = shaped_input(torch.from_numpy(image)[None], "y")[0, 0] * 255
    full = shaped_input(torch.from_numpy(image)[None], "y", size=256)[0, 0] * 255
    pillow = Image.fromarray(full.round().byte().numpy()).resize(
        (224, 224), Image.Resampling.NEAREST
    )
    # Every seventh point falls between two pixels; Pillow takes either.
    clear = np.arange(224) % 7 != 3
    np.testing.assert_array_equal(
        ours.round().byte().numpy()[clear][:, clear],
        np.asarray(pillow)[clear][:, clear],
    )


def test_wrong_shapes_and_axes_are_refused():
    with pytest.raises(ValueError, match="256"):
        shape_patterns(torch.zeros(1, 128, 128))
    with pytest.raises(ValueError, match="256"):
        shape_pattern_reference(np.zeros((128, 128)))
    for axes in ("xy", "w", ["x", "y"]):
        with pytest.raises(ValueError, match="axes"):
            shaped_input(torch.zeros(1, 256, 256), axes)


def test_rendered_spots_can_be_shaped():
    angle = torch.arange(6) * torch.pi / 3 + 0.2
    positions = torch.stack((angle.cos(), angle.sin()), -1)[None] * 0.5
    image = render_for_shaping(Spots(positions, torch.ones(1, 6)), radius=1.0)
    shaped = shape_patterns(image)
    np.testing.assert_array_equal(
        shaped[0].numpy(), shape_pattern_reference(image[0].numpy())
    )
    assert (shaped == 255).sum() > 300
