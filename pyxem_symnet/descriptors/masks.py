# SPDX-License-Identifier: GPL-3.0-or-later
"""Detector pixels that say nothing of the specimen, found in its patterns.

This is done once for a scan, from a few of its patterns, so it may take
its time: the maps are NumPy arrays, and shapes are measured with SciPy.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import torch
from scipy import ndimage

from pyxem_symnet.descriptors.noise import electron_gain, remove_pedestal

# A pixel is dead if it counted nothing where so many electrons (of all
# patterns looked at) were to be expected from its neighbours: by chance
# that happens to one of 10¹³.
_EXPECTED = 30.0
# Part of the pixels that count something in a pattern of single electrons
_SPARSE = 0.5
# Sides of the squares that are looked at together where counts are rare
_SQUARES = (1, 3, 7, 15, 31)
# Side of the windows that the background is seen in
_WINDOW = 9
# A saturated pixel is the beam's if its neighbours hold this part of it
_BEAM_EDGE = 0.02
# Patterns that make a constant value a defect instead of a coincidence
_CONSTANT = 4
# Constant pixels, so many together, that fall to this part of their brightest one at
# their edge, are a beam that was simulated without noise
_FEWEST_OF_BEAM, _FALLEN = 9, 0.2
# Shadows are looked for in a map of about so many blocks along its longer
# side, of at least so many pixels each
_BLOCKS, _BLOCK = 64, 4
# Parts that shadows may cut the detector into, and be of
_PARTS = 5
# Intensity 4 pixels inside of a shadow's edge over that 4 pixels outside
_SHADOW_STEP = 0.15
# What intensity may change by from the second to the third block beside one
_SHADOW_SLOPE = 1.5
# Part of the detector that may be in the shadow
_MOST_SHADOW = 0.7
# Least size of a shadow in blocks
_SHADOW_BLOCKS = 6
# Intensity just inside of a shadow's edge over that just outside
_SHADOW_DEPTH = 0.4
# Part of a shadow's edge that has to be sharp
_SHADOW_EDGE = 0.7
# Spots in a shadow, so many times brighter than what is beyond its edge, and how many
# of them make it the dark between reflections instead
_SPOT_IN_SHADOW, _SPOTS_IN_SHADOW = 2.0, 3
# The direct beam is seen where all is darker than this part of it, so many blocks away
_AROUND_BEAM, _BEAM_BLOCKS = 0.1, 4
# Part of the detector's longer side that a beam stop is narrower than
_STOP_WIDTH = 0.22


@dataclass(frozen=True, eq=False)
class DetectorMasks:
    """Excluded pixels (True) by reason, boolean maps of one shape.

    Parameters
    ----------
    dead
        Pixels that don't count: gaps, edges, constant or saturated
        pixels and areas, and values that are not finite.
    hot
        Single pixels that count too much.
    shadow
        What something in front of the detector hides: a beam stop, the
        holder, an aperture.
    """

    dead: np.ndarray
    hot: np.ndarray
    shadow: np.ndarray
    combined: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "combined", self.dead | self.hot | self.shadow)


def find_masks(images: Iterable[np.ndarray]) -> DetectorMasks:
    """Find dead and hot pixels and shadows.

    Only what is the same in all patterns is found. Without a doubt a
    pixel stays in: a dead pixel that is left costs a spot at most, a
    shadow that is none costs all spots in it.

    Parameters
    ----------
    images
        Some patterns of a scan, each of shape (H, W), any real type.

    Returns
    -------
    masks
        Boolean maps of shape (H, W).

    Raises
    ------
    ValueError
        If there are no patterns.
    """
    scan = _Summary.of(images)
    dead = _dead(scan)
    hot = _hot(scan, dead)
    shadow = _shadow(scan, dead | hot)
    return DetectorMasks(dead, hot, shadow & ~dead & ~hot)


@dataclass(frozen=True, eq=False)
class _Summary:
    """What is kept of the patterns that were looked at."""

    n: int
    mean: np.ndarray  # counts above the floor, 0 where not finite
    constant: np.ndarray
    nothing: np.ndarray  # no count in any pattern
    broken: np.ndarray  # not finite in most patterns
    top: np.ndarray  # at the largest value of all, in every pattern
    gain: float  # counts of an electron
    pedestal: float  # counts above the floor where hardly an electron was seen

    @classmethod
    def of(cls, images: Iterable[np.ndarray]) -> _Summary:
        n, gains, pedestals, unseen = 0, [], [], 0
        for image in images:
            image = np.asarray(image)
            finite = np.isfinite(image)
            image = np.where(finite, image, 0).astype(np.float32)
            if n == 0:
                total = np.zeros(image.shape)
                low = np.full(image.shape, np.inf, np.float32)
                high = -low
            n += 1
            total += image
            low, high = np.minimum(low, image), np.maximum(high, image)
            unseen = unseen + ~finite
            gains.append(_gain(image))
            pedestals.append(_pedestal(image, finite))
        if n == 0:
            raise ValueError("masks can't be found without a pattern")
        # Some patterns' broken values are no fault of the detector
        broken = unseen > n / 2
        good = ~broken
        # Negative counts are what a dark correction leaves of none
        floor_value = float(low[good].min()) if good.any() else 0.0
        floor = max(0.0, floor_value)
        peak = float(high[good].max()) if good.any() else 0.0
        return cls(
            n=n,
            mean=np.where(good, (total / n - floor).clip(min=0), 0).astype(np.float32),
            constant=good & (low == high),
            nothing=good & (low == high) & ((low == 0) | (low == floor_value)),
            broken=broken,
            top=good & (low == peak) & (peak > floor),
            gain=float(np.median(gains)),
            pedestal=max(0.0, float(np.median(pedestals)) - floor),
        )

    @property
    def light(self) -> np.ndarray:
        """Mean counts that electrons made."""
        return (self.mean - self.pedestal).clip(min=0)

    def electrons(self, counts):
        """Return the electrons that mean counts are, in all patterns."""
        return counts * (self.n / self.gain)


def _gain(image: np.ndarray) -> float:
    """Return the counts of an electron."""
    counted = image[image > 0]
    if counted.size == 0 or min(image.shape) < 16:
        return 1.0
    if counted.size < _SPARSE * image.size:
        # Most pixels that counted did so once
        return float(np.median(counted))
    return float(electron_gain(torch.from_numpy(image.clip(min=0))[None])[0])


def _pedestal(image: np.ndarray, finite: np.ndarray) -> float:
    """Return the counts of a camera that no electron made."""
    if min(image.shape) < 16:
        return 0.0
    counts, weights = torch.from_numpy(image), torch.from_numpy(finite)
    return float(remove_pedestal(counts[None], weights[None].float()).pedestal[0])


def _dead(scan: _Summary) -> np.ndarray:
    """Return pixels that don't count."""
    nothing = scan.nothing
    dead = scan.broken | _saturated(scan)
    if scan.n >= _CONSTANT:
        # One value, and not that of a pixel that simply saw no electron
        dead |= _constant(scan)
    usable = ~dead & ~nothing
    if not usable.any():
        return scan.broken
    # Of squares of any size without a count: would their neighbours
    # have made us expect some?
    # Spots don't count, as where there is none is not where none can be:
    # they fill less of a window than its background does
    counts = ndimage.percentile_filter(np.where(dead, 0, scan.mean), 40, _WINDOW)
    for side in _SQUARES:
        if 3 * side > min(nothing.shape):
            break
        empty = ndimage.minimum_filter(nothing, side) if side > 1 else nothing
        mean = _facing_neighbours(counts, ~dead, side)
        found = empty & (scan.electrons(mean) * side**2 >= _EXPECTED)
        if found.any():
            if side > 1:
                found = ndimage.maximum_filter(found, side)
            dead |= found & nothing
    # The inside of an area too large for the squares, where counts are
    # so many that none would be left empty by chance
    if np.quantile(scan.electrons(scan.mean[usable]), 0.02) >= _EXPECTED:
        dead |= nothing
    return dead


def _facing_neighbours(counts, usable, side: int) -> np.ndarray:
    """Return the darker of two squares that face each other, of the better pair.

    A gap has counts on both sides of it. Towards the detector's edge they
    may just fall to nothing, which makes no pixel there a dead one.
    """
    share = ndimage.uniform_filter(usable.astype(np.float32), side)
    mean = ndimage.uniform_filter(counts, side) / np.maximum(share, 0.05)
    padded = np.pad(mean, side)
    height, width = counts.shape

    def moved(y: int, x: int) -> np.ndarray:
        return padded[y : y + height, x : x + width]

    vertical = np.minimum(moved(0, side), moved(2 * side, side))
    horizontal = np.minimum(moved(side, 0), moved(side, 2 * side))
    return np.maximum(vertical, horizontal)


def _constant(scan: _Summary) -> np.ndarray:
    """Return areas of constant values that are not a direct beam without noise."""
    labels, _ = ndimage.label(scan.constant & ~scan.nothing, np.ones((3, 3)))
    found = (labels > 0) & ~scan.top
    inside = ndimage.minimum_filter(labels, 3, mode="nearest") > 0
    for label, place in enumerate(ndimage.find_objects(labels), start=1):
        area = labels[place] == label
        values = scan.mean[place]
        edge = values[area & ~inside[place]]
        is_blob = area.sum() >= _FEWEST_OF_BEAM and edge.size < area.sum()
        if is_blob and np.median(edge) < _FALLEN * values[area].max():
            found[place][area] = False
    return found


def _saturated(scan: _Summary) -> np.ndarray:
    """Return areas at the largest value that are not the direct beam."""
    labels, count = ndimage.label(scan.top, np.ones((3, 3)))
    found = np.zeros_like(scan.top)
    if count == 0:
        return found
    peak = float(scan.mean[scan.top].max())
    around = ndimage.maximum_filter(labels, 3)
    around[scan.top | scan.broken] = 0
    for label in range(1, count + 1):
        ring = scan.mean[around == label]
        if ring.size and np.median(ring) < _BEAM_EDGE * peak:
            found |= labels == label
    return found


def _hot(scan: _Summary, dead: np.ndarray) -> np.ndarray:
    """Return pixels brighter than a spot as sharp as can be would be."""
    mean = np.where(dead, 0, scan.mean)
    cross = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]], bool)
    corners = np.array([[1, 0, 1], [0, 0, 0], [1, 0, 1]], bool)
    brightest = ndimage.maximum_filter(mean, footprint=cross, mode="reflect")
    darkest = ndimage.minimum_filter(mean, footprint=corners, mode="reflect")
    limit = darkest + 5 * (brightest - darkest).clip(min=0)
    noise = np.sqrt((brightest + scan.gain / scan.n) * scan.gain / scan.n)
    # Of readout noise, too
    rough = np.abs(mean - ndimage.median_filter(mean, 3))
    noise += 1.5 * ndimage.uniform_filter(rough.clip(max=3 * np.median(rough)), 9)
    return ~dead & (mean > limit + 6 * noise)


def _shadow(scan: _Summary, excluded: np.ndarray) -> np.ndarray:
    """Return areas much darker than what is beyond their sharp edge."""
    found, light = np.zeros_like(excluded), scan.light
    height, width = excluded.shape
    side = max(_BLOCK, round(max(height, width) / _BLOCKS))
    if min(height, width) < 16 * side:
        return found
    blocks = _quiet_blocks(light, excluded, side)
    blocks = ndimage.median_filter(blocks, 3)
    window = 2 * round(_STOP_WIDTH * max(blocks.shape) / 2) + 1
    filled = ndimage.grey_closing(blocks, (window, window), mode="nearest")
    bright = np.quantile(filled, 0.5)
    enough = scan.electrons(filled) * side**2 >= 2 * _EXPECTED
    candidates = [(blocks < 0.5 * filled) & enough]
    for level in (0.5, 0.25, 0.12):
        for reference in (bright, float(np.quantile(filled, 0.8))):
            if scan.electrons(reference) * side**2 >= 2 * _EXPECTED:
                candidates.append(blocks < level * reference)
    for candidate in candidates:
        # What a background is to the discs of a lattice is no shadow
        lit, n_lit = ndimage.label(~candidate)
        labels, count = ndimage.label(candidate)
        if n_lit == 0 or max(_n_parts(lit), _n_parts(labels)) > _PARTS:
            continue
        for label in range(1, count + 1):
            # A line of blocks is the slope at a detector's edge
            part = ndimage.binary_opening(labels == label, np.ones((2, 2)))
            if part.sum() < _SHADOW_BLOCKS or not _is_sharp(part, blocks, filled):
                continue
            outline = _outline(part, light, excluded, filled, side)
            steep = _is_steep(outline, light, excluded)
            if steep and not _holds_spots(outline, scan, excluded, side):
                found |= ndimage.binary_dilation(outline, iterations=2) & ~excluded
    return found if found.mean() < _MOST_SHADOW else np.zeros_like(found)


def _n_parts(labels: np.ndarray) -> int:
    """Return the number of labelled parts of more than a few blocks."""
    return int((np.bincount(labels.ravel())[1:] >= _SHADOW_BLOCKS // 2).sum())


def _quiet_blocks(mean: np.ndarray, excluded: np.ndarray, side: int) -> np.ndarray:
    """Return what square blocks hold beside their brightest quarter."""
    height, width = (-(-n // side) for n in mean.shape)
    pad = ((0, height * side - mean.shape[0]), (0, width * side - mean.shape[1]))
    values = np.pad(np.where(excluded, np.nan, mean), pad, constant_values=np.nan)
    values = values.reshape(height, side, width, side).swapaxes(1, 2)
    values = np.sort(values.reshape(height, width, -1), -1)  # NaN last
    count = np.isfinite(values).sum(-1)
    kept = np.maximum(1, np.floor(0.75 * count)).astype(int)
    sums = np.nancumsum(values, -1)
    blocks = np.take_along_axis(sums, (kept - 1)[..., None], -1)[..., 0] / kept
    empty = count < 0.3 * side**2
    if empty.all():
        return np.zeros_like(blocks, np.float32)
    # Gaps take the value of the nearest block
    index = ndimage.distance_transform_edt(
        empty, return_distances=False, return_indices=True
    )
    return blocks[tuple(index)].astype(np.float32)


def _is_sharp(part: np.ndarray, blocks: np.ndarray, filled: np.ndarray) -> bool:
    """Tell a shadow from a valley, whose sides are not steep."""
    outside = ~ndimage.binary_dilation(part)
    if not outside.any():
        return False
    # The blocks of the edge itself are partly covered: two steps apart
    row, column = np.nonzero(ndimage.binary_dilation(part) & ~part)
    if row.size < 4:
        return False
    inner = ndimage.minimum_filter(np.where(part, blocks, np.inf), 3)
    outer = ndimage.maximum_filter(np.where(part, -np.inf, blocks), 3)
    steep = inner[row, column] <= _SHADOW_DEPTH * outer[row, column]
    # Beyond a shadow's edge it is light at once, beside a ring it gets so
    steps = [ndimage.binary_dilation(part, iterations=n) for n in (1, 2, 3)]
    near, far = (blocks[steps[i + 1] & ~steps[i]] for i in (0, 1))
    level = far.size == 0 or np.median(far) <= _SHADOW_SLOPE * np.median(near)
    few = part.mean() < _MOST_SHADOW and level
    touches = part[0].any() or part[-1].any() or part[:, 0].any() or part[:, -1].any()
    solid = ndimage.binary_fill_holes(part).sum() <= 1.2 * part.sum()
    # Nothing hangs free beside a beam that is seen but the gap around it
    held = touches or (solid and not _is_beam_seen(blocks))
    return bool(steep.mean() >= _SHADOW_EDGE and few and held)


def _is_beam_seen(blocks: np.ndarray) -> bool:
    """Tell whether the brightest place is a spot, as what is left of a halo is not."""
    row, column = np.unravel_index(blocks.argmax(), blocks.shape)
    rows, columns = np.indices(blocks.shape)
    distance = np.hypot(rows - row, columns - column).round()
    around = blocks[distance == _BEAM_BLOCKS]
    return bool(around.size and around.max() < _AROUND_BEAM * blocks[row, column])


def _outline(part, mean, excluded, filled, side: int) -> np.ndarray:
    """Return a shadow in pixels, to half of what is beyond its edge."""
    height, width = mean.shape

    def enlarge(blocks):
        pixels = np.repeat(np.repeat(blocks, side, 0), side, 1)
        return pixels[:height, :width]

    near = enlarge(ndimage.binary_dilation(part, iterations=1))
    inside = enlarge(ndimage.binary_erosion(part, border_value=1))
    smooth = ndimage.median_filter(mean, 5)
    outer = ndimage.maximum_filter(np.where(part, 0, filled), 5)
    dark = smooth < 0.5 * enlarge(np.where(outer > 0, outer, filled))
    return near & (dark | inside)


def _is_steep(outline: np.ndarray, mean: np.ndarray, excluded: np.ndarray) -> bool:
    """Tell a shadow's edge, which falls within few pixels, from a ring's."""
    smooth = ndimage.median_filter(mean, 3)
    depth = ndimage.distance_transform_edt(outline)
    height = ndimage.distance_transform_edt(~outline)
    within = (depth > 3) & (depth <= 5) & ~excluded
    beyond = (height > 3) & (height <= 5) & ~excluded
    if not within.any() or not beyond.any():
        return False
    return bool(np.median(smooth[within]) <= _SHADOW_STEP * np.median(smooth[beyond]))


def _holds_spots(outline, scan: _Summary, excluded: np.ndarray, side: int) -> bool:
    """Tell a dark place that reflections are seen in from a shadow.

    A detector that counts single electrons is dark wherever the halo of
    the beam has ended.
    """
    inside = ndimage.binary_erosion(outline, iterations=side) & ~excluded
    height = ndimage.distance_transform_edt(~outline)
    beyond = (height > 3) & (height <= 5) & ~excluded
    if not inside.any() or not beyond.any():
        return False
    mean = ndimage.uniform_filter(np.where(excluded, 0, scan.light), 3)
    spots = inside & (mean > _SPOT_IN_SHADOW * np.median(mean[beyond]))
    spots &= scan.electrons(mean) * 9 >= _EXPECTED
    return ndimage.label(spots)[1] >= _SPOTS_IN_SHADOW
