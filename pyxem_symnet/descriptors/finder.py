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
    check_images,
    clip_hot_pixels,
    extend,
    fit_variance,
    low_ratio,
    neighbour_max,
    prepare_images,
    remove_pedestal,
    sample,
    smooth,
)
from pyxem_symnet.descriptors.centre import beam_radius, centre_of_mean
from pyxem_symnet.descriptors.geometry import PatternGeometry
from pyxem_symnet.descriptors.refine import (
    MARGIN,
    Candidates,
    opposite_points,
    refine,
    scores,
)
from pyxem_symnet.descriptors.spots import Spots

_BLOCK = 4
# Candidates that are looked at closely, for each spot that is kept.
_CLOSER = 3
_N_LEVELS = 3
# Powers of two that spots on large detectors are looked for in finer scales
_FINER = 2
# Smoothing with the 5 × 5 binomial kernel multiplies the variance of
# independent pixels by the sum of the kernel's squares.
_KERNEL_POWER = (70 / 256) ** 2
# What correlated pixels and the specimen's own texture may add to it.
_MAX_TEXTURE = 10.0
# The same of a camera's pixels, which share the light of an electron
_MAX_CAMERA = 40.0
# Least counts of a spot's eight other pixels, for each in its brightest.
_MIN_NEIGHBOURS = 0.35
# A smoothed value that rests on less than this part of its kernel is no
# background.
_LEAST_WEIGHT = 0.3
# Patterns handled at once on a CPU, so that they stay in its cache.
_CPU_CHUNK = 16
_GPU_CHUNK = 512


class SpotFinder(nn.Module):
    """Find diffraction spots in batches of raw patterns.

    Patterns are looked at in three scales (1, 2 and 4 pixels of the
    working grid), and those of large detectors in up to two finer
    ones. In each, a spot is a local maximum of the smoothed
    counts that exceeds its background by *threshold* standard
    deviations and by *min_contrast* of the background. The background
    is the largest mean of two opposite points on a ring about the
    maximum, so that slopes, halos, rings, streaks and detector edges
    are no spots. The noise is measured in each pattern: its variance
    is proportional to the counts, with a factor taken from the
    quietest parts; for cameras a pedestal and read-out noise are taken
    into account. Each pattern then keeps the scale in which its
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
        take the geometry's, and without one to choose one of the scales
        for each pattern.
    central_radius
        Radius about the beam in 1/Å in which nothing is a spot. Where
        the beam's own disc is larger, one and a half times its radius
        is left out.
    working_size
        Detectors larger than one and a half times this number of pixels
        are averaged down to about this size first, or, for the finer
        scales, to at most four times it.

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
        threshold: float = 4.5,
        min_contrast: float = 0.2,
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
        self,
        images: Tensor,
        geometry: PatternGeometry,
        mask: Tensor | None = None,
        centres: Tensor | None = None,
    ) -> Spots:
        """Find the spots of each pattern.

        Parameters
        ----------
        images
            Raw patterns of shape (B, H, W), any real data type.
            Counts may be negative after a dark correction.
        geometry
            Calibration of the patterns. With no centre given it is
            found in each pattern.
        mask
            Excluded pixels (True) of shape (H, W).
        centres
            Direct beams (x, y) in pixels of shape (B, 2), instead of
            the geometry's.

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
        if len(images) == 0:
            check_images(images, mask)
            empty = torch.zeros(0, self.settings["max_spots"], device=images.device)
            return Spots(empty[..., None].expand(-1, -1, 2), empty)
        chunk = _CPU_CHUNK if images.device.type == "cpu" else _GPU_CHUNK
        starts = range(0, len(images), chunk)
        parts = [
            self._find(
                images[i : i + chunk],
                geometry,
                mask,
                None if centres is None else centres[i : i + chunk],
            )
            for i in starts
        ]
        return Spots(*(torch.cat(tensors) for tensors in zip(*parts, strict=True)))

    @torch.no_grad()
    def measure_disc_radius(
        self, images: Tensor, geometry: PatternGeometry, mask: Tensor | None = None
    ) -> float | None:
        """Return the scale in which the spots of most patterns stand out most.

        Looking at that scale only, all patterns of a scan are read in
        the same way, and faster.

        Parameters
        ----------
        images, geometry, mask
            As for calling the finder.

        Returns
        -------
        disc_radius
            Radius in detector pixels, one of those that the scales are
            for. None if no pattern has spots.
        """
        chunk = _CPU_CHUNK if images.device.type == "cpu" else _GPU_CHUNK
        parts = []
        for start in range(0, len(images), chunk):
            found = self._look(images[start : start + chunk], geometry, mask, None)
            parts.append(scores(found.levels))
        # Each pattern counts the same, however many spots it has
        total = torch.cat(parts)
        total = (total / total.sum(1, keepdim=True).clamp(min=1e-30)).sum(0)
        if not total.any():
            return None
        return float(2 * found.factor * found.levels[int(total.argmax())].scale)

    def _find(
        self,
        images: Tensor,
        geometry: PatternGeometry,
        mask: Tensor | None,
        centres: Tensor | None,
    ) -> Spots:
        levels, centres, factor = self._look(images, geometry, mask, centres)
        positions, intensities = refine(levels)
        positions = positions * factor + (factor - 1) / 2
        centres = centres * factor + (factor - 1) / 2
        found = intensities > 0
        positions = geometry.to_reciprocal(positions, centres) * found[..., None]
        intensities, order = (intensities * factor**2).sort(1, descending=True)
        positions = positions.gather(1, order[..., None].expand(-1, -1, 2))
        return Spots(positions, intensities)

    def _look(
        self,
        images: Tensor,
        geometry: PatternGeometry,
        mask: Tensor | None,
        centres: Tensor | None,
    ) -> _Looked:
        """Return the candidates in all scales that are wanted."""
        counts, weights = prepare_images(images, mask)
        factor, n_levels = self._scales(counts.shape[1:])
        if min(counts.shape[1:]) < 16 * factor:
            raise ValueError(
                f"patterns of {tuple(counts.shape[1:])} pixels are too small or too "
                "narrow to find spots in; 16 × 16 are needed"
            )
        # Hot pixels are single ones of the detector
        counts, gain, dark, camera, _ = remove_pedestal(counts, weights)
        counts = clip_hot_pixels(counts, gain)
        counts, weights = bin_mean(counts, factor), bin_mean(weights, factor)
        gain = gain / factor**2
        mean, weight = smooth(counts, weights)
        if centres is None and geometry.centre is None:
            centres, _ = centre_of_mean(mean, weight)
        else:
            centres = geometry.centres(counts) if centres is None else centres
            centres = (centres.to(counts) - (factor - 1) / 2) / factor
        exclude = self._excluded_radius(mean, centres, geometry.pixel_size * factor)

        levels = []
        radius = self._disc_radius(geometry)
        wanted = _wanted_levels(radius, factor, n_levels, min(mean.shape[1:]))
        for level in range(wanted.stop):
            scale = 2**level
            if level:
                counts, weights = bin_mean(counts, 2), bin_mean(weights, 2)
                mean, weight = smooth(counts, weights)
            if level in wanted:
                noise = _noise(mean, weight, gain / scale**2, dark, camera)
                beam = (centres - (scale - 1) / 2) / scale
                levels.append(
                    self._candidates(
                        counts,
                        mean,
                        weight,
                        noise,
                        beam,
                        exclude / scale + 2,
                        scale,
                    )
                )
        return _Looked(levels, centres, factor)

    def _disc_radius(self, geometry: PatternGeometry) -> float | None:
        radius = self.settings["disc_radius"]
        return geometry.disc_radius if radius == "auto" else radius

    def _scales(self, shape: torch.Size) -> tuple[int, int]:
        """Return the pixels of the finest scale, and the number of scales."""
        factor = max(1, round(max(shape) / self.settings["working_size"]))
        # Spots may be as sharp on a large detector as on a small one
        finer = min(_FINER, int(math.log2(factor)))
        return factor // 2**finer, _N_LEVELS + finer

    def _excluded_radius(self, mean: Tensor, centres: Tensor, pixel: float) -> Tensor:
        """Return the radius about the beam without spots, in pixels."""
        least = self.settings["central_radius"] / pixel
        return (1.5 * beam_radius(mean, centres)).clamp(min=least)

    def _candidates(
        self,
        counts: Tensor,
        mean: Tensor,
        weight: Tensor,
        noise: _Noise,
        beam: Tensor,
        exclude: Tensor,
        scale: int,
    ) -> Candidates:
        """Return the strongest local maxima that are significant."""
        height, width = mean.shape[1:]
        mean = extend(mean, MARGIN)

        def shifted(y: int, x: int) -> Tensor:
            y, x = y + MARGIN, x + MARGIN
            return mean[:, y : y + height, x : x + width]

        def hidden_at(y: int, x: int) -> Tensor:
            y, x = y + MARGIN, x + MARGIN
            return hidden[:, y : y + height, x : x + width]

        peak = shifted(0, 0)
        around = torch.zeros_like(peak)
        hidden = extend((weight < _LEAST_WEIGHT).to(mean), MARGIN)
        any_hidden = bool(hidden.any())
        for y, x in opposite_points(scale):
            one, other = shifted(y, x), shifted(-y, -x)
            pair = one + other
            if any_hidden:
                # Beside what is excluded, the other point counts twice:
                # no edge of it must look like a slope's peak
                pair += other * hidden_at(y, x) + one * hidden_at(-y, -x)
            around = torch.maximum(around, pair)
        edge = MARGIN - 1
        highest = neighbour_max(mean[:, edge:-edge, edge:-edge])
        contrast = torch.sub(peak, around, alpha=0.5)
        contrast *= peak >= highest

        # Local maxima are three pixels apart, so a block seldom holds
        # two, and blocks are far fewer than pixels. The most
        # significant ones are looked at closely.
        blocks, brightest = block_max(contrast, _BLOCK), block_max(peak, _BLOCK)
        unit, level = noise.power[:, None, None], noise.level[:, None, None]
        brightest = (brightest - level).clamp(min=0)
        rough = blocks / torch.sqrt(unit * (brightest + unit))
        n_closer = min(_CLOSER * self.settings["max_spots"], rough[0].numel())
        block = rough.flatten(1).topk(n_closer, dim=1).indices
        inner = torch.arange(_BLOCK, device=mean.device)
        rows = (block // blocks.shape[2] * _BLOCK)[..., None] + inner
        columns = (block % blocks.shape[2] * _BLOCK)[..., None] + inner
        index = rows.clamp(max=height - 1)[..., None] * width
        index = index + columns.clamp(max=width - 1)[..., None, :]
        value, place = sample(contrast.flatten(1), index).flatten(2).max(2)
        index = index.flatten(2).gather(2, place[..., None])[..., 0]

        around = sample(around.flatten(1), index) / 2
        unit = noise.power[:, None]
        expected = (around - noise.level[:, None]).clamp(min=0) / unit + 0.375
        excess = torch.sqrt(expected + value / unit) - torch.sqrt(expected)
        row, column = index // width, index % width
        offset = torch.stack((column, row), -1) - beam[:, None]
        accepted = (
            (2 * excess >= self.settings["threshold"])
            & (value >= self.settings["min_contrast"] * (around - noise.dark[:, None]))
            & (offset.square().sum(-1) >= exclude.square()[:, None])
            & (weight > 0.7).flatten()[index]
            & _is_wider_than_a_pixel(counts, row, column, around)
        )
        n_slots = min(self.settings["max_spots"], n_closer)
        best, kept = (value * accepted).topk(n_slots, dim=1)
        row, column = row.gather(1, kept) + MARGIN, column.gather(1, kept) + MARGIN
        missing = self.settings["max_spots"] - n_slots
        if missing:
            best = nn.functional.pad(best, (0, missing))
            row, column = (
                nn.functional.pad(n, (0, missing), value=MARGIN) for n in (row, column)
            )
        return Candidates(best, row, column, mean, scale)


def _wanted_levels(
    radius: float | None, factor: int, n_levels: int, size: int
) -> range:
    """Return the scales to look at, as powers of two."""
    # At least 16 pixels are needed to measure the noise.
    n_levels = min(n_levels, int(math.log2(size / 16)) + 1)
    if radius is None:
        return range(n_levels)
    level = round(math.log2(max(radius / factor, 2) / 2))
    level = min(level, n_levels - 1)
    return range(level, level + 1)


def _is_wider_than_a_pixel(
    counts: Tensor, row: Tensor, column: Tensor, background: Tensor
) -> Tensor:
    """Tell spots from hot pixels, whose neighbours hold nothing.

    Of a spot as sharp as a Gaussian of 0.5 pixel the brightest pixel
    holds 47 %, its neighbours the rest.
    """
    height, width = counts.shape[1:]
    step = torch.arange(-1, 2, device=counts.device)
    rows = (row[..., None] + step).clamp(0, height - 1)[..., None] * width
    columns = (column[..., None] + step).clamp(0, width - 1)[..., None, :]
    net = sample(counts.flatten(1), rows + columns) - background[..., None, None]
    net = net.flatten(2)
    brightest = net.amax(2)
    return net.sum(2) >= (1 + _MIN_NEIGHBOURS) * brightest


class _Looked(NamedTuple):
    """What was found in a batch, in pixels of the finest scale."""

    levels: list[Candidates]
    centres: Tensor  # (B, 2)
    factor: int  # Detector pixels of one of the finest scale


class _Noise(NamedTuple):
    """Variance of smoothed counts: power × (counts - level)."""

    power: Tensor  # (B,)
    level: Tensor  # (B,)
    dark: Tensor  # (B,), counts where hardly an electron was seen


def _noise(
    mean: Tensor, weight: Tensor, gain: Tensor, dark: Tensor, camera: Tensor
) -> _Noise:
    """Return the noise of smoothed counts.

    Parameters
    ----------
    mean, weight
        Smoothed counts (B, H, W) and their weights (1, H, W).
    gain
        Variance over mean of a single pixel, of shape (B,).
    dark
        Counts where hardly an electron was seen, of shape (B,).
    camera
        Whether there is a pedestal or read-out noise, of shape (B,).

    Returns
    -------
    noise
        What *gain* implies for independent pixels, or more if points
        five pixels apart differ by more.
    """
    step = 5

    def triple(values: Tensor) -> list[Tensor]:
        rows = values[:, ::2]  # neighbouring rows say nearly the same
        end = values.shape[2] - 2 * step
        return [rows[..., i : end + i] for i in (0, step, 2 * step)]

    left, middle, right = triple(mean)
    whole = torch.stack(triple(weight > 0.95)).all(0)
    difference = (middle - 0.5 * (left + right)) * whole
    # Small tiles, so that some lie between the spots of any lattice
    size = 8 if min(mean.shape[1:]) >= 64 else 6
    variance = block_sum(difference.square(), size) * (2 / 3)
    level = block_sum(middle * whole, size)
    white = gain * _KERNEL_POWER
    measured = low_ratio(variance, level, 0.25)
    power = torch.maximum(white, torch.minimum(measured, _MAX_TEXTURE * white))
    zero = torch.zeros_like(power)
    if not camera.any():
        return _Noise(power, zero, dark)
    # Pixels of a camera are correlated, and its read-out noise is not
    n_pixels = block_sum(whole.to(mean), size)
    seen = (n_pixels == size**2).expand_as(level)
    line = fit_variance((level / size**2).where(seen, torch.inf), variance / size**2)
    slope = torch.maximum(white, torch.minimum(line.slope, _MAX_CAMERA * white))
    base = torch.maximum(line.noise, power * zero)
    told = camera & line.told & (slope * line.dark > base)
    return _Noise(
        torch.where(told, slope, power),
        torch.where(told, line.dark - base / slope, zero),
        dark,
    )
