# SPDX-License-Identifier: GPL-3.0-or-later
"""The paper's shaped patterns and network input, in batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from pyxem_symnet.descriptors.shaped_reference import (
    BOX,
    FEW_DISTANCES,
    MIN_DISTANCE,
    SIZE,
    SPOT_THRESHOLD,
    TOLERANCE,
    WRITE_BACK,
)

# Pairs of pixels, and points on lines, that are held at once.
_MAX_PAIRS = 2**20
_MAX_LINES = 2**14


def shape_patterns(images: Tensor) -> Tensor:
    """Join the spots of patterns by lines, as the paper does.

    Equal pixel for pixel to `shape_pattern_reference`, where the rule
    and its source are given.

    Parameters
    ----------
    images
        8-bit patterns of shape (B, 256, 256).

    Returns
    -------
    shaped
        uint8 of shape (B, 256, 256).

    Raises
    ------
    ValueError
        If the patterns are of another size.
    """
    return _to_8_bit(_shape(*_scale(images)))


def shaped_input(images: Tensor, axes: str | Sequence[str], size: int = 224) -> Tensor:
    """Return what the paper's network reads.

    The shaped pattern is put into the channel of its axis (red for x,
    green for y, blue for z), the scaled pattern into the other two. As
    in the authors' code the result is reduced to *size* by taking the
    nearest pixel, and divided by 255.

    Parameters
    ----------
    images
        8-bit patterns of shape (B, 256, 256).
    axes
        "x", "y" or "z": the axis along which all patterns were taken,
        or one for each.
    size
        Pixels along each side of the result.

    Returns
    -------
    channels
        float32 of shape (B, 3, size, size), in 0..1.

    Raises
    ------
    ValueError
        If the patterns are of another size, or *axes* do not fit them.
    """
    axes = [axes] * len(images) if axes in ("x", "y", "z") else list(axes)
    if len(axes) != len(images) or not set(axes) <= {"x", "y", "z"}:
        raise ValueError(
            f'axes must be "x", "y" or "z", or one of them for each of the '
            f"{len(images)} patterns, not {axes}"
        )
    scaled, empty = _scale(images)
    channels = _to_8_bit(scaled)[:, None].repeat(1, 3, 1, 1)
    place = torch.tensor(["xyz".index(axis) for axis in axes], device=images.device)
    every = torch.arange(len(images), device=images.device)
    channels[every, place] = _to_8_bit(_shape(scaled, empty))
    # In whole numbers: in single precision points between two pixels
    # would go either way.
    nearest = torch.arange(size, device=images.device) * 2 + 1
    nearest = nearest * SIZE // (2 * size)
    return channels[:, :, nearest][..., nearest].float() / 255


def _scale(images: Tensor) -> tuple[Tensor, Tensor]:
    """Return patterns scaled to 0..256 and which of them are empty."""
    if images.ndim != 3 or tuple(images.shape[1:]) != (SIZE, SIZE):
        raise ValueError(
            f"shaping takes patterns of the shape (B, {SIZE}, {SIZE}), not "
            f"{tuple(images.shape)}; resample or render them first"
        )
    original = images.to(torch.float32)
    scaled = original.clone()
    scaled[:, BOX, BOX] = 0
    highest = scaled.amax((1, 2), keepdim=True)
    empty = highest == 0
    scaled = scaled / torch.where(empty, 1.0, highest) * 256
    scaled[:, BOX, BOX] = original[:, BOX, BOX]
    return torch.where(empty, original, scaled), empty.flatten()


def _shape(scaled: Tensor, empty: Tensor) -> Tensor:
    """Draw the lines between spots, and the spots over them."""
    if scaled.device.type == "mps":  # which has no double precision
        return _shape(scaled.cpu(), empty.cpu()).to(scaled.device)
    is_spot = (scaled >= SPOT_THRESHOLD) & ~empty[:, None, None]
    image, row, column = is_spot.nonzero().unbind(1)
    n_images = len(scaled)
    counts = torch.zeros(n_images, dtype=torch.long, device=scaled.device)
    nearest = torch.full(
        (n_images,), torch.inf, dtype=torch.float64, device=scaled.device
    )
    for first, second in _pairs(image, row, column, n_images):
        squares = _squared_distance(row, column, first, second)
        distance = (squares - 2).double().sqrt()
        far = distance >= MIN_DISTANCE
        owner, distance = image[first][far], distance[far]
        # Each pair stands for both orders.
        counts.index_add_(0, owner, torch.full_like(owner, 2))
        nearest.scatter_reduce_(0, owner, distance, "amin")
    farthest = torch.where(counts > FEW_DISTANCES, TOLERANCE * nearest, torch.inf)

    lines = torch.zeros(scaled.numel(), dtype=torch.bool, device=scaled.device)
    for first, second in _pairs(image, row, column, n_images):
        squares = _squared_distance(row, column, first, second)
        near = squares.double().sqrt() <= farthest[image[first]]
        first, second = first[near], second[near]
        for start in range(0, len(first), _MAX_LINES):
            part = slice(start, start + _MAX_LINES)
            ends = torch.stack((row, column, image), 1)
            _draw(lines, ends[first[part]], ends[second[part]])
            _draw(lines, ends[second[part]], ends[first[part]])
    lines = lines.view_as(scaled) & (scaled <= WRITE_BACK)
    return torch.where(lines, 255.0, scaled)


def _pairs(
    image: Tensor, row: Tensor, column: Tensor, n_images: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield pairs of spots of one image, sharing neither row nor column.

    Each pair comes in one order only; spots are ordered by image.
    """
    total = torch.bincount(image, minlength=n_images).cumsum(0)
    index = torch.arange(len(image), device=image.device)
    partners = total[image] - index - 1
    until = partners.cumsum(0)
    # Cut where the number of pairs passes a multiple of the limit.
    cuts = (until // _MAX_PAIRS).diff().nonzero().flatten() + 1
    for spots in torch.tensor_split(index, cuts.cpu()):
        number = partners[spots]
        first = spots.repeat_interleave(number)
        start = (number.cumsum(0) - number).repeat_interleave(number)
        step = torch.arange(len(first), device=image.device) - start
        second = first + 1 + step
        apart = (row[first] != row[second]) & (column[first] != column[second])
        yield first[apart], second[apart]


def _squared_distance(
    row: Tensor, column: Tensor, first: Tensor, second: Tensor
) -> Tensor:
    return (row[first] - row[second]) ** 2 + (column[first] - column[second]) ** 2


def _draw(lines: Tensor, begin: Tensor, end: Tensor) -> None:
    """Mark the pixels of lines from *begin* to *end*, (row, column, image).

    The steps are those of `numpy.linspace`, in double precision, so
    that points halfway between pixels go to the same side.
    """
    difference = end - begin
    number = difference[:, :2].abs().amax(1)
    owner = torch.arange(len(begin), device=begin.device).repeat_interleave(number)
    first = (number.cumsum(0) - number).repeat_interleave(number)
    step = torch.arange(len(owner), device=begin.device) - first
    spacing = difference[:, :2].double() / (number - 1).clamp(min=1)[:, None]
    points = step[:, None].double() * spacing[owner] + begin[owner, :2].double()
    last = (step == number[owner] - 1) & (number[owner] > 1)
    points = torch.where(last[:, None], end[owner, :2].double(), points)
    pixels = points.round().long()
    lines[(begin[owner, 2] * SIZE + pixels[:, 0]) * SIZE + pixels[:, 1]] = True


def _to_8_bit(values: Tensor) -> Tensor:
    return (values.to(torch.int32) % 256).to(torch.uint8)
