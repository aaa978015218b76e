# SPDX-License-Identifier: GPL-3.0-or-later
"""Diffraction spots in raw detector data."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from pyxem_symnet.descriptors._pixels import (
    bin_mean,
    check_images,
    clip_hot_pixels,
    prepare_images,
    smooth,
)
from pyxem_symnet.descriptors.candidates import Limits, Map, find_candidates
from pyxem_symnet.descriptors.centre import beam_radius, centre_of_mean
from pyxem_symnet.descriptors.geometry import PatternGeometry
from pyxem_symnet.descriptors.noise import remove_pedestal, smoothed_noise
from pyxem_symnet.descriptors.refine import Candidates, refine, scores
from pyxem_symnet.descriptors.spots import Spots

_N_LEVELS = 3
# Powers of two that spots on large detectors are looked for in finer scales
_FINER = 2
# Pixels handled at once on a CPU, so that they stay in its cache, and patterns on
# a GPU
_CPU_PIXELS, _GPU_CHUNK = 2**20, 512


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
        chunk = _at_once(images)
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
        chunk = _at_once(images)
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

        settings = self.settings
        limits = Limits(*(settings[name] for name in Limits._fields))
        levels = []
        radius = self._disc_radius(geometry)
        wanted = _wanted_levels(radius, factor, n_levels, min(mean.shape[1:]))
        for level in range(wanted.stop):
            scale = 2**level
            if level:
                counts, weights = bin_mean(counts, 2), bin_mean(weights, 2)
                mean, weight = smooth(counts, weights)
            if level in wanted:
                noise = smoothed_noise(mean, weight, gain / scale**2, dark, camera)
                beam = (centres - (scale - 1) / 2) / scale
                around = exclude / scale + 2
                seen = Map(counts, mean, weight, beam, around, scale)
                levels.append(find_candidates(seen, noise, limits))
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


def _at_once(images: Tensor) -> int:
    """Return how many patterns are handled at once."""
    if images.device.type != "cpu":
        return _GPU_CHUNK
    return max(1, _CPU_PIXELS // max(1, images.shape[-2:].numel()))


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


class _Looked(NamedTuple):
    """What was found in a batch, in pixels of the finest scale."""

    levels: list[Candidates]
    centres: Tensor  # (B, 2)
    factor: int  # Detector pixels of one of the finest scale
