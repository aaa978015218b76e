# SPDX-License-Identifier: GPL-3.0-or-later
"""Diffraction spots in raw detector data."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from pyxem_symnet.descriptors._pixels import (
    bin_mean,
    block_max,
    block_sum,
    clip_hot_pixels,
    electron_gain,
    low_ratio,
    neighbour_max,
    prepare_images,
    sample,
    smooth,
)
from pyxem_symnet.descriptors.centre import beam_radius, centre_of_counts
from pyxem_symnet.descriptors.geometry import PatternGeometry
from pyxem_symnet.descriptors.spots import Spots

# The background of a pixel comes from four pairs of opposite points
# (rows, columns), about three pixels away. Patches reach as far.
_PAIRS = ((0, 3), (3, 0), (2, 2), (2, -2))
_MARGIN = 3
_BLOCK = 4
_N_LEVELS = 3
# Smoothing with the 5 × 5 binomial kernel multiplies the variance of
# independent pixels by the sum of the kernel's squares.
_KERNEL_POWER = (70 / 256) ** 2
# What correlated pixels and the specimen's own texture may add to it.
_MAX_TEXTURE = 10.0
# Standard deviation of the window in which positions are refined.
_WINDOW = 1.5
# Patterns handled at once on a CPU, so that they stay in its cache.
_CPU_CHUNK = 16


class _Level(NamedTuple):
    """Candidates at one scale: what is needed to refine them."""

    contrast: Tensor  # (B, K), 0 = none
    row: Tensor  # (B, K), of the padded map
    column: Tensor  # (B, K)
    mean: Tensor  # (B, H + 2 margin, W + 2 margin)
    scale: int


class SpotFinder(nn.Module):
    """Find diffraction spots in batches of raw patterns.

    Patterns are looked at in three scales (1, 2 and 4 pixels of the
    working grid). In each, a spot is a local maximum of the smoothed
    counts that exceeds its background by *threshold* standard
    deviations and by *min_contrast* of the background. The background
    is the largest mean of two opposite points on a ring about the
    maximum, so that slopes, halos, rings, streaks and detector edges
    are no spots. The noise is measured in each pattern: its variance
    is proportional to the counts, with a factor taken from the
    quietest parts. Each pattern then keeps the scale in which its
    spots stand out most, since the spots of a pattern are of one size.

    Parameters
    ----------
    max_spots
        Number of slots; the strongest spots are kept.
    threshold
        Least excess over the background in standard deviations, after
        the variance-stabilising transform of [Anscombe1948]_.
    min_contrast
        Least excess over the background as a part of the background.
    disc_radius
        Radius of the spots in detector pixels, or "auto" (default) to
        choose one of the three scales for each pattern.
    central_radius
        Radius about the beam in 1/Å in which nothing is a spot. Where
        the beam's own disc is larger, one and a half times its radius
        is left out.
    working_size
        Detectors larger than one and a half times this number of pixels
        are averaged down to about this size first.

    Attributes
    ----------
    settings
        The parameters, as plain values that JSON can hold.

    References
    ----------
    .. [Anscombe1948] F. J. Anscombe, Biometrika 35, 246 (1948).

    Examples
    --------
    >>> import torch
    >>> from pyxem_symnet.descriptors import PatternGeometry, SpotFinder
    >>> finder = SpotFinder()
    >>> patterns = torch.poisson(torch.ones(2, 128, 128))
    >>> spots = finder(patterns, PatternGeometry(0.01, centre=(63.5, 63.5)))
    >>> spots.positions.shape
    torch.Size([2, 96, 2])
    """

    def __init__(
        self,
        max_spots: int = 96,
        threshold: float = 5.0,
        min_contrast: float = 0.1,
        disc_radius: float | str = "auto",
        central_radius: float = 0.04,
        working_size: int = 256,
    ) -> None:
        super().__init__()
        if disc_radius != "auto" and (
            isinstance(disc_radius, str) or not disc_radius > 0
        ):
            raise ValueError(
                f'disc_radius must be "auto" or pixels > 0, not {disc_radius!r}'
            )
        for name, value, least in (
            ("max_spots", max_spots, 1),
            ("threshold", threshold, 0),
            ("min_contrast", min_contrast, 0),
            ("central_radius", central_radius, 0),
            ("working_size", working_size, 32),
        ):
            if not value >= least:
                raise ValueError(f"{name} must be at least {least}, not {value}")
        self.settings = {
            "max_spots": int(max_spots),
            "threshold": float(threshold),
            "min_contrast": float(min_contrast),
            "disc_radius": disc_radius,
            "central_radius": float(central_radius),
            "working_size": int(working_size),
        }

    def extra_repr(self) -> str:
        """Return the settings, as shown by `repr`."""
        return ", ".join(f"{name}={value!r}" for name, value in self.settings.items())

    @torch.no_grad()
    def forward(
        self, images: Tensor, geometry: PatternGeometry, mask: Tensor | None = None
    ) -> Spots:
        """Find the spots of each pattern.

        Parameters
        ----------
        images
            Raw patterns of shape (B, H, W), any real data type.
            Negative counts are taken as 0.
        geometry
            Calibration of the patterns. With no centre given it is
            found in each pattern.
        mask
            Excluded pixels (True) of shape (H, W).

        Returns
        -------
        spots
            Positions in 1/Å from the beam and the counts above the
            background in a Gaussian window about them, strongest
            first. The direct beam is left out.

        Raises
        ------
        ValueError
            If shapes disagree, the detector is smaller than 16 × 16,
            or a pixel that is not excluded is NaN or infinite.
        """
        chunk = _CPU_CHUNK if images.device.type == "cpu" else max(len(images), 1)
        starts = range(0, max(len(images), 1), chunk)
        parts = [self._find(images[i : i + chunk], geometry, mask) for i in starts]
        return Spots(*(torch.cat(tensors) for tensors in zip(*parts, strict=True)))

    def _find(
        self, images: Tensor, geometry: PatternGeometry, mask: Tensor | None
    ) -> Spots:
        counts, weights = prepare_images(images, mask)
        if min(counts.shape[1:]) < 16:
            raise ValueError(
                f"patterns of {tuple(counts.shape[1:])} pixels are too small to hold "
                "spots; at least 16 × 16 are needed"
            )
        factor = max(1, round(max(counts.shape[1:]) / self.settings["working_size"]))
        counts, weights = bin_mean(counts, factor), bin_mean(weights, factor)
        gain = electron_gain(counts)
        counts = clip_hot_pixels(counts, gain)
        if geometry.centre is None:
            centres = centre_of_counts(counts, weights)
        else:
            centres = (geometry.centres(counts) - (factor - 1) / 2) / factor

        levels = []
        wanted = self._wanted_levels(factor)
        exclude = None
        for level in range(max(wanted) + 1):
            scale = 2**level
            if level:
                counts, weights = bin_mean(counts, 2), bin_mean(weights, 2)
            mean, weight = smooth(counts, weights, _MARGIN)
            if exclude is None:
                radius = beam_radius(mean, centres + _MARGIN)
                least = self.settings["central_radius"] / geometry.pixel_size / factor
                exclude = torch.clamp(1.5 * radius, min=least)
            if level in wanted:
                noise = _noise_power(mean, weight, gain / scale**2)
                beam = (centres - (scale - 1) / 2) / scale
                levels.append(
                    self._candidates(
                        mean, weight, noise, beam, exclude / scale + 2, scale
                    )
                )
        positions, intensities = _refine(levels)
        positions = positions * factor + (factor - 1) / 2
        centres = centres * factor + (factor - 1) / 2
        found = intensities > 0
        positions = geometry.to_reciprocal(positions, centres) * found[..., None]
        intensities, order = (intensities * factor**2).sort(1, descending=True)
        positions = positions.gather(1, order[..., None].expand(-1, -1, 2))
        return Spots(positions, intensities)

    def _wanted_levels(self, factor: int) -> tuple[int, ...]:
        radius = self.settings["disc_radius"]
        if radius == "auto":
            return tuple(range(_N_LEVELS))
        level = round(math.log2(max(radius / factor, 1e-6) / 2))
        return (min(max(level, 0), _N_LEVELS - 1),)

    def _candidates(
        self,
        mean: Tensor,
        weight: Tensor,
        noise: Tensor,
        beam: Tensor,
        exclude: Tensor,
        scale: int,
    ) -> _Level:
        """Return the strongest local maxima that are significant."""
        height, width = (n - 2 * _MARGIN for n in mean.shape[1:])

        def shifted(y: int, x: int) -> Tensor:
            y, x = y + _MARGIN, x + _MARGIN
            return mean[:, y : y + height, x : x + width]

        peak = shifted(0, 0)
        around = shifted(*_PAIRS[0]) + shifted(-_PAIRS[0][0], -_PAIRS[0][1])
        for y, x in _PAIRS[1:]:
            around = torch.maximum(around, shifted(y, x) + shifted(-y, -x))
        around = around / 2
        contrast = peak - around
        unit = noise[:, None, None]
        excess = torch.sqrt(peak / unit + 0.375) - torch.sqrt(around / unit + 0.375)

        edge = _MARGIN - 1
        on_detector = weight[:, _MARGIN:-_MARGIN, _MARGIN:-_MARGIN] > 0.7
        y = torch.arange(height, device=mean.device) - beam[:, 1:]
        x = torch.arange(width, device=mean.device) - beam[:, :1]
        distance = y.square()[:, :, None] + x.square()[:, None, :]
        accepted = (
            (2 * excess >= self.settings["threshold"])
            & (contrast >= self.settings["min_contrast"] * around)
            & (peak >= neighbour_max(mean[:, edge:-edge, edge:-edge]))
            & (distance >= exclude.square()[:, None, None])
            & on_detector
        )
        contrast = contrast * accepted

        # Local maxima are three pixels apart, so a block holds one, and
        # choosing among blocks is far cheaper than among pixels.
        blocks = block_max(contrast, _BLOCK)
        n_columns = blocks.shape[2]
        n_slots = min(self.settings["max_spots"], blocks[0].numel())
        best, block = blocks.flatten(1).topk(n_slots, dim=1)
        inner = torch.arange(_BLOCK, device=mean.device)
        rows = (block // n_columns * _BLOCK)[..., None] + inner
        columns = (block % n_columns * _BLOCK)[..., None] + inner
        index = rows.clamp(max=height - 1)[..., None] * width
        index = index + columns.clamp(max=width - 1)[..., None, :]
        place = sample(contrast.flatten(1), index).flatten(2).argmax(2, keepdim=True)
        index = index.flatten(2).gather(2, place)[..., 0]
        row, column = index // width + _MARGIN, index % width + _MARGIN
        missing = self.settings["max_spots"] - n_slots
        if missing:
            best = nn.functional.pad(best, (0, missing))
            row, column = (
                nn.functional.pad(n, (0, missing), value=_MARGIN) for n in (row, column)
            )
        return _Level(best, row, column, mean, scale)


def _noise_power(mean: Tensor, weight: Tensor, gain: Tensor) -> Tensor:
    """Return the variance of smoothed counts divided by the counts.

    Parameters
    ----------
    mean, weight
        Smoothed counts (B, H, W) and their weights (1, H, W).
    gain
        Variance over mean of a single pixel, of shape (B,).

    Returns
    -------
    power
        Shape (B,): what *gain* implies for independent pixels, or more
        if points five pixels apart differ by more.
    """
    step = 5
    points = [mean[..., i : mean.shape[2] - 2 * step + i] for i in (0, step, 2 * step)]
    whole = weight > 0.95
    whole = [whole[..., i : mean.shape[2] - 2 * step + i] for i in (0, step, 2 * step)]
    whole = whole[0] & whole[1] & whole[2]
    difference = (points[1] - 0.5 * (points[0] + points[2])) * whole
    size = 16 if min(mean.shape[1:]) >= 64 else 8
    measured = low_ratio(
        block_sum(difference.square(), size) * (2 / 3),
        block_sum(points[1] * whole, size),
        0.25,
    )
    white = gain * _KERNEL_POWER
    return torch.maximum(white, torch.minimum(measured, _MAX_TEXTURE * white))


def _refine(levels: list[_Level]) -> tuple[Tensor, Tensor]:
    """Return (x, y) in working pixels and counts, at each pattern's scale.

    Positions are Gaussian-windowed centroids [Bertin2013]_ of what
    exceeds the mean of the ring.

    .. [Bertin2013] E. Bertin, SExtractor manual, "Windowed positional
       parameters".
    """
    # Few strong outliers must not decide, nor must a scale gain from
    # averaging more pixels: the square root and the half power of the
    # scale stand between brightness and significance.
    scores = torch.stack(
        [(level.contrast[:, :32] * level.scale**0.5).sqrt().sum(1) for level in levels],
        1,
    )
    choice = scores.argmax(1)

    def chosen(values: list[Tensor]) -> Tensor:
        stacked = torch.stack(values, 1)
        index = choice.reshape(-1, *(1,) * (stacked.ndim - 1))
        return stacked.gather(1, index.expand(-1, 1, *stacked.shape[2:]))[:, 0]

    contrast = chosen([level.contrast for level in levels])
    row = chosen([level.row for level in levels])
    column = chosen([level.column for level in levels])
    flat = torch.cat([level.mean.flatten(1) for level in levels], 1)
    sizes = [level.mean[0].numel() for level in levels]
    starts = torch.tensor([sum(sizes[:i]) for i in range(len(sizes))])
    widths = torch.tensor([level.mean.shape[2] for level in levels])
    scales = torch.tensor([float(level.scale) for level in levels])
    start, width, scale = (
        values.to(choice.device)[choice][:, None] for values in (starts, widths, scales)
    )

    index = start + row * width + column
    ring = [pair for y, x in _PAIRS for pair in ((y, x), (-y, -x))]
    background = sum(sample(flat, index + y * width + x) for y, x in ring) / len(ring)
    reach = torch.arange(-_MARGIN, _MARGIN + 1, device=flat.device)
    patch = index[..., None, None] + reach[:, None] * width[..., None, None] + reach
    patch = (sample(flat, patch) - background[..., None, None]).clamp(min=0)

    shift_x = torch.zeros_like(contrast)
    shift_y = torch.zeros_like(contrast)
    for _ in range(4):
        dx, dy = reach - shift_x[..., None], reach - shift_y[..., None]
        wx = torch.exp(-dx.square() / (2 * _WINDOW**2))
        wy = torch.exp(-dy.square() / (2 * _WINDOW**2))
        columns = (patch * wy[..., None]).sum(-2)
        total = (columns * wx).sum(-1).clamp(min=1e-30)
        rows = (patch * wx[..., None, :]).sum(-1)
        step_x = 2 * (columns * wx * dx).sum(-1) / total
        step_y = 2 * (rows * wy * dy).sum(-1) / total
        shift_x = (shift_x + step_x).clamp(-1.5, 1.5)
        shift_y = (shift_y + step_y).clamp(-1.5, 1.5)
    # The flux of a point spread by the kernel and weighted by the window.
    window_sum = 2 * math.pi * _WINDOW**2
    flux = total / window_sum * 2 * math.pi * (1 + _WINDOW**2) * scale.square()
    x = (column - _MARGIN + shift_x) * scale + (scale - 1) / 2
    y = (row - _MARGIN + shift_y) * scale + (scale - 1) / 2
    return torch.stack((x, y), -1), flux * (contrast > 0)
