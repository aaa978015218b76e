# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the direct beam hits the detector, pattern by pattern."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from pyxem_symnet.descriptors._compiled import arrays, kernels
from pyxem_symnet.descriptors._pixels import (
    bin_mean,
    block_max,
    clip_hot_pixels,
    prepare_images,
    sample,
    smooth,
)
from pyxem_symnet.descriptors.inversion import (
    doubled_box,
    inversion_symmetry,
    most_symmetric,
    search_box,
    symmetry_at,
)
from pyxem_symnet.descriptors.noise import remove_pedestal

_N_RAYS = 16
#: Most pixels from the centre of a beam to where it ends
RAY_LENGTH = 32
#: Half the size of the window in which the beam's centre is refined, and how often
WINDOW, N_STEPS = 24, 4
#: Least part of the kernel where the beam is seen
COVERED = 0.95
#: A beam counts from this part of its peak on, and in full above another such part
FLAT_TOP = 0.2, 0.7
#: Times the beam's radius, and pixels more, that its window reaches
MORE_RADIUS = 1.5, 1.5
#: Times that, and pixels more, where other spots begin; blocks that these are
#: looked for in
OTHERS, BLOCK = (2, 8), 4
# Part of the intensity at the centre at which a beam ends
_LEVEL = 0.5
# The beam is this many times the 95th percentile of some of the pixels
_STANDS_OUT, _BRIGHT, _SOME = 3, 0.95, 29
# A blob this much brighter than any other is the beam's
_DOMINANCE = 4.0
#: How much more like its own inverse a pattern has to be about another point
#: than about its brightest blob for this not to be the beam
MORE_SYMMETRIC = 0.1
# Detectors are averaged down to about this many pixels
_WORKING_SIZE = 256


def find_centre(
    images: Tensor,
    mask: Tensor | None = None,
    *,
    search_fraction: float = 0.7,
    method: str = "auto",
) -> Tensor:
    """Find the direct beam of each pattern with sub-pixel accuracy.

    Parameters
    ----------
    images
        Patterns of shape (B, H, W), any real data type.
    mask
        Pixels to exclude (True) of shape (H, W): beam stop, dead areas.
    search_fraction
        Part of the height and width, about the middle of the detector,
        in which the beam is looked for.
    method
        "beam" takes the brightest blob and refines it to its centre of
        mass. "friedel" takes the point about which the pattern is most
        nearly its own inverse, for patterns behind a beam stop. "auto"
        (default) takes the second for those patterns whose brightest
        blob does not stand out or touches the mask.

    Returns
    -------
    centres
        (x, y), that is (column, row), in pixels, of shape (B, 2). The
        centre of the first pixel is (0, 0).

    Raises
    ------
    ValueError
        If shapes disagree, *method* is unknown, or a pixel that is not
        excluded is NaN or infinite.
    """
    return locate_beam(images, mask, search_fraction=search_fraction, method=method)[0]


def locate_beam(
    images: Tensor,
    mask: Tensor | None = None,
    *,
    search_fraction: float = 0.7,
    method: str = "auto",
) -> tuple[Tensor, Tensor]:
    """Find the direct beam as `find_centre` does, and say how.

    Parameters
    ----------
    images, mask, search_fraction, method
        See `find_centre`.

    Returns
    -------
    centres
        (x, y) in pixels, of shape (B, 2).
    by_beam
        Whether it was seen; if not, its place follows from the
        pattern's symmetry. Of shape (B,).
    """
    if method not in ("auto", "beam", "friedel"):
        raise ValueError(f'method must be "auto", "beam" or "friedel", not {method!r}')
    if not 0 < search_fraction <= 1:
        raise ValueError(f"search_fraction must be in (0, 1], not {search_fraction}")
    mean, weight, factor = smoothed(images, mask)
    centres, by_beam = centre_of_mean(mean, weight, search_fraction, method)
    return centres * factor + (factor - 1) / 2, by_beam


def smoothed(images: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor, int]:
    """Return local means and their weights, in larger pixels.

    Parameters
    ----------
    images, mask
        See `find_centre`.

    Returns
    -------
    mean, weight
        Of shapes (B, H, W) and (1, H, W).
    factor
        How many times larger a pixel is.
    """
    counts, weights = prepare_images(images, mask)
    levelled = remove_pedestal(counts, weights)
    counts = clip_hot_pixels(levelled.counts, levelled.gain)
    counts = counts - levelled.dark[:, None, None] * weights
    counts = counts.clamp_(min=0)
    factor = max(1, round(min(counts.shape[1:]) / _WORKING_SIZE))
    return *smooth(bin_mean(counts, factor), bin_mean(weights, factor)), factor


def centre_of_mean(
    mean: Tensor, weight: Tensor, search_fraction: float = 0.7, method: str = "auto"
) -> tuple[Tensor, Tensor]:
    """Find centres as `find_centre` does, in smoothed patterns.

    Parameters
    ----------
    mean, weight
        Local means (B, H, W) and their weights (1, H, W), see
        `~pyxem_symnet.descriptors._pixels.smooth`.
    search_fraction, method
        See `find_centre`.

    Returns
    -------
    centres
        (x, y) in pixels of *mean*, of shape (B, 2).
    by_beam
        Whether the direct beam was seen, of shape (B,).
    """
    mean = mean * (weight > 0.5)
    if method == "friedel":
        centres, _, _ = _friedel_centre(mean, weight, search_fraction)
        return centres, torch.zeros_like(centres[:, 0], dtype=torch.bool)
    centres, stands_out, dominates = _beam_centre(mean, weight, search_fraction)
    if method == "beam":
        return centres, torch.ones_like(stands_out)
    # The brightest of several spots may be a reflection, with the beam hidden
    unsure = (~(stands_out & dominates)).nonzero().flatten()
    if len(unsure):
        found, best, own = _friedel_centre(
            mean[unsure], weight, search_fraction, centres[unsure]
        )
        better = ~stands_out[unsure] | (best > own + MORE_SYMMETRIC)
        centres[unsure[better]] = found[better]
        stands_out[unsure[better]] = False
    return centres, stands_out


def beam_radius(mean: Tensor, centres: Tensor, level: float = _LEVEL) -> Tensor:
    """Return the radius at which the beam has fallen to *level*.

    Parameters
    ----------
    mean
        Smoothed patterns of shape (B, H, W).
    centres
        (x, y) in pixels, of shape (B, 2).
    level
        Part of the intensity at the centre.

    Returns
    -------
    radii
        Median over 16 directions in pixels, of shape (B,). 0 if it is
        not reached within 32 pixels: there is no beam.
    """
    height, width = mean.shape[-2:]
    directions = _directions(mean)
    if compiled := kernels("_centre_kernels", mean, centres):
        radii = compiled.beam_radius(*arrays(mean, centres, directions), level)
        return torch.from_numpy(radii)
    steps = torch.arange(RAY_LENGTH, device=mean.device)
    points = centres[:, None, None] + directions[:, None] * steps[:, None]
    x = points[..., 0].round().long().clamp(0, width - 1)
    y = points[..., 1].round().long().clamp(0, height - 1)
    values = sample(mean.flatten(1), y * width + x)
    inside = values > level * values[..., :1]
    radii = inside.long().cumprod(-1).sum(-1).median(-1).values
    return torch.where(radii < RAY_LENGTH, radii, 0).to(mean.dtype)


def _directions(mean: Tensor) -> Tensor:
    """Return the unit vectors (x, y) of the rays."""
    angles = torch.arange(_N_RAYS, device=mean.device) * (2 * math.pi / _N_RAYS)
    return torch.stack((angles.cos(), angles.sin()), -1)


def _beam_centre(
    mean: Tensor, weight: Tensor, fraction: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the brightest blobs' centres of mass.

    And whether they stand out of the background, and of all other spots.
    """
    height, width = mean.shape[-2:]
    rows, columns = search_box(height, fraction), search_box(width, fraction)
    # The 95th percentile of some of the pixels tells beam from background.
    values = mean.flatten(1)[:, ::_SOME]
    bright = _smallest(values, max(1, int(_BRIGHT * values.shape[1])))
    if compiled := kernels("_centre_kernels", mean, weight):
        centres, peak, others, free = compiled.beam_centre(
            *arrays(mean, weight[0], _directions(mean)),
            np.float32(_LEVEL),
            (rows.start, rows.stop, columns.start, columns.stop),
        )
        stands_out = torch.from_numpy((peak > _STANDS_OUT * bright.numpy()) & free)
        dominates = torch.from_numpy(peak > np.float32(_DOMINANCE) * others)
        return torch.from_numpy(centres), stands_out, dominates
    peak, index = mean[:, rows, columns].flatten(1).max(1)
    box_width = len(range(*columns.indices(width)))
    x = index % box_width + columns.start
    y = index // box_width + rows.start
    centres = torch.stack((x, y), -1).to(mean.dtype)

    offsets = torch.arange(-WINDOW, WINDOW + 1, device=mean.device)
    px, py = x[:, None] + offsets, y[:, None] + offsets
    column_inside, row_inside = (px >= 0) & (px < width), (py >= 0) & (py < height)
    inside = column_inside[:, None] & row_inside[..., None]
    index = py.clamp(0, height - 1)[..., None] * width
    index = index + px.clamp(0, width - 1)[:, None]
    # A flat-topped weight makes the result independent of what the
    # crystal does to the intensity inside the disc.
    patch = sample(mean.flatten(1), index) / peak.clamp(min=1e-30)[:, None, None]
    patch = ((patch - FLAT_TOP[0]) / FLAT_TOP[1]).clamp(0, 1) * inside
    for _ in range(N_STEPS):
        radius = beam_radius(mean, centres)
        dx = px.to(mean.dtype) - centres[:, :1]
        dy = py.to(mean.dtype) - centres[:, 1:]
        distance = (dx[:, None] ** 2 + dy[..., None] ** 2).sqrt()
        reach = MORE_RADIUS[0] * radius + MORE_RADIUS[1]
        window = patch * (reach[:, None, None] - distance + 0.5).clamp(0, 1)
        total = window.sum((1, 2)).clamp(min=1e-30)
        shift_x = (window * dx[:, None]).sum((1, 2)) / total
        shift_y = (window * dy[..., None]).sum((1, 2)) / total
        centres = centres + torch.stack((shift_x, shift_y), -1)

    covered = weight.expand(len(mean), -1, -1).flatten(1)
    near = sample(covered, index) > COVERED
    near = (near | (distance > reach[:, None, None]) | ~inside).all(2).all(1)
    others = block_max(mean, BLOCK)
    rows = torch.arange(others.shape[1], device=mean.device) * BLOCK
    columns = torch.arange(others.shape[2], device=mean.device) * BLOCK
    own = (rows - centres[:, 1:]).square()[..., None]
    own = own + (columns - centres[:, :1]).square()[:, None]
    beyond = (OTHERS[0] * reach + OTHERS[1])[:, None, None]
    others = others.masked_fill(own < beyond**2, 0)
    dominates = peak > _DOMINANCE * others.amax((1, 2))
    return centres, (peak > _STANDS_OUT * bright) & near, dominates


def _smallest(values: Tensor, place: int) -> Tensor:
    """Return the value at a place, from 1, of each ascending row of (B, N)."""
    if values.device.type == "cpu" and not values.requires_grad:
        # Many times faster than PyTorch
        ascending = np.partition(values.numpy(), place - 1, axis=1)
        return torch.from_numpy(ascending[:, place - 1])
    return values.kthvalue(place, dim=1).values


def _friedel_centre(
    mean: Tensor, weight: Tensor, fraction: float, others: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return the centres of the best inversion symmetry.

    And how good it is there and at other points, 1 being perfect.
    """
    score = inversion_symmetry(mean, weight)
    centres, best = most_symmetric(score, doubled_box(mean, fraction))
    return centres, best, None if others is None else symmetry_at(score, others)
