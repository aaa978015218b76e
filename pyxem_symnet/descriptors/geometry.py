# SPDX-License-Identifier: GPL-3.0-or-later
"""From detector pixels to reciprocal space."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from pyxem_symnet.descriptors._pixels import bin_mean, check_images
from pyxem_symnet.descriptors.centre import find_centre

__all__ = ["PatternGeometry", "find_centre", "grid_coordinates", "resample"]


@dataclass(frozen=True)
class PatternGeometry:
    """How the patterns of a scan lie on the detector.

    Parameters
    ----------
    pixel_size
        Reciprocal size of a detector pixel in 1/Å.
    centre
        Direct beam (x, y), that is (column, row), in pixels; the
        centre of the first pixel is (0, 0). None (default) means to
        find it in each pattern, see `find_centre`.
    ellipticity
        None (default), or (ratio, angle): circles in reciprocal space
        reach the detector stretched by *ratio* along a direction
        *angle* degrees from kx (columns) towards ky (rows).
    disc_radius
        Radius of the spots, that is of the beam's disc, in detector
        pixels. None (default) means to choose in each pattern.

    Raises
    ------
    ValueError
        If a value is not finite or not possible.

    Examples
    --------
    >>> from pyxem_symnet.descriptors import PatternGeometry
    >>> PatternGeometry(pixel_size=0.01, centre=(127.5, 127.5))
    PatternGeometry(pixel_size=0.01, centre=(127.5, 127.5), ellipticity=None, \
disc_radius=None)
    """

    pixel_size: float
    centre: tuple[float, float] | None = None
    ellipticity: tuple[float, float] | None = None
    disc_radius: float | None = None

    def __post_init__(self) -> None:
        pixel_size = float(self.pixel_size)
        if not (math.isfinite(pixel_size) and pixel_size > 0):
            raise ValueError(
                "pixel_size must be a positive number of 1/Å a pixel, not "
                f"{self.pixel_size}; calibrate the signal first"
            )
        object.__setattr__(self, "pixel_size", pixel_size)
        for name in ("centre", "ellipticity"):
            value = getattr(self, name)
            if value is None:
                continue
            value = tuple(float(number) for number in value)
            if len(value) != 2 or not all(map(math.isfinite, value)):
                raise ValueError(f"{name} must be two finite numbers, not {value}")
            object.__setattr__(self, name, value)
        if self.ellipticity is not None and self.ellipticity[0] <= 0:
            raise ValueError(
                f"the ratio of the ellipticity must be > 0, not {self.ellipticity[0]}"
            )

        if self.disc_radius is not None and not self.disc_radius > 0:
            raise ValueError(f"disc_radius must be pixels > 0, not {self.disc_radius}")

    def with_ellipse(self, ratio: float, angle: float) -> PatternGeometry:
        """Return the calibration with a further elliptical distortion.

        The pixel size becomes that along the short axis, and stays what
        it was for a circle of the ellipse's area, which is what the mean
        radius of a ring is calibrated with.

        Parameters
        ----------
        ratio
            Ratio of the axes of the ellipse that a ring becomes.
        angle
            Its first axis, from x to y in degrees.

        Notes
        -----
        With a distortion that is there already, both together also turn
        patterns, by a fraction of the smaller one. This is left out:
        corrected patterns are turned by it, and right otherwise.
        """
        further = replace(self, ellipticity=(ratio, angle))
        eye = torch.eye(2, dtype=torch.float64)
        further = further.distortion(eye) / math.sqrt(further.ellipticity[0])
        directions, axes, _ = torch.linalg.svd(self.distortion(eye) @ further)
        x, y = directions[:, 0].tolist()
        return replace(
            self,
            pixel_size=self.pixel_size / float(axes[1]),
            ellipticity=(
                float(axes[0] / axes[1]),
                math.degrees(math.atan2(y, x)) % 180.0,
            ),
        )

    def distortion(self, like: Tensor) -> Tensor:
        """Return the 2 × 2 matrix from undistorted to detector positions.

        Parameters
        ----------
        like
            Tensor whose device and dtype the matrix gets.
        """
        ratio, angle = self.ellipticity or (1.0, 0.0)
        cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
        stretch = ratio - 1.0
        return like.new_tensor(
            [
                [1 + stretch * cos * cos, stretch * cos * sin],
                [stretch * cos * sin, 1 + stretch * sin * sin],
            ]
        )

    def centres(self, images: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return (x, y) of the direct beam in each pattern, in pixels.

        Parameters
        ----------
        images
            Patterns of shape (B, H, W).
        mask
            Excluded pixels (True) of shape (H, W).

        Returns
        -------
        centres
            Shape (B, 2): `centre` repeated, or found in each pattern.
        """
        if self.centre is None:
            return find_centre(images, mask)
        centre = torch.tensor(self.centre, dtype=torch.float32, device=images.device)
        return centre.expand(len(images), 2)

    def to_reciprocal(self, positions: Tensor, centres: Tensor) -> Tensor:
        """Turn (x, y) in pixels into (kx, ky) in 1/Å from the beam.

        Parameters
        ----------
        positions
            Shape (B, ..., 2).
        centres
            Shape (B, 2).

        Returns
        -------
        positions
            Shape (B, ..., 2).
        """
        centres = centres.reshape(-1, *(1,) * (positions.ndim - 2), 2)
        relative = (positions - centres) * self.pixel_size
        if self.ellipticity is None:
            return relative
        return relative @ torch.linalg.inv(self.distortion(positions)).T

    def to_pixels(self, positions: Tensor, centres: Tensor) -> Tensor:
        """Turn (kx, ky) in 1/Å into (x, y) in pixels, see `to_reciprocal`.

        Parameters
        ----------
        positions
            Positions of shape (patterns, ..., 2).
        centres
            Direct beams (x, y) in pixels of shape (patterns, 2).
        """
        centres = centres.reshape(-1, *(1,) * (positions.ndim - 2), 2)
        if self.ellipticity is not None:
            positions = positions @ self.distortion(positions).T
        return positions / self.pixel_size + centres


def grid_coordinates(size: int, radius: float) -> Tensor:
    """Return the reciprocal coordinates of a grid's pixel centres.

    Parameters
    ----------
    size
        Number of pixels.
    radius
        Half the length of the grid in 1/Å, outer edge to beam. The
        beam lies in the middle, between two pixels if *size* is even.

    Returns
    -------
    coordinates
        Shape (size,) in 1/Å.
    """
    return (torch.arange(size) - (size - 1) / 2) * (2 * radius / size)


def resample(
    images: Tensor,
    geometry: PatternGeometry,
    size: int,
    radius: float,
    mask: Tensor | None = None,
) -> Tensor:
    """Put patterns of any detector on one square reciprocal grid.

    Parameters
    ----------
    images
        Patterns of shape (B, H, W), any real data type. NaN is not
        looked for: it spreads to the pixels that touch it.
    geometry
        Calibration of the patterns.
    size
        Pixels along each side of the grid.
    radius
        Half the side of the grid in 1/Å, see `grid_coordinates`.
    mask
        Excluded pixels (True) of shape (H, W). What rests on them alone
        is 0, as outside the detector.

    Returns
    -------
    resampled
        Mean counts a detector pixel, float32 of shape (B, size, size).
        Detector pixels smaller than half a grid pixel are averaged
        before interpolating, so that nothing is aliased.
    """
    check_images(images, mask)
    if size < 1 or not radius > 0:
        raise ValueError(f"size and radius must be > 0, not {size} and {radius}")
    centres = geometry.centres(images, mask)
    counts = images.to(torch.float32)
    weights = torch.ones_like(counts[:1])
    if mask is not None:
        mask = mask.to(device=counts.device, dtype=torch.bool)
        weights = weights.masked_fill(mask, 0.0)
        counts = counts.masked_fill(mask, 0.0)
    factor = max(1, int(2 * radius / size / geometry.pixel_size))
    counts, weights = bin_mean(counts, factor), bin_mean(weights, factor)

    line = grid_coordinates(size, radius).to(counts.device)
    points = torch.stack(torch.meshgrid(line, line, indexing="xy"), -1)
    points = geometry.to_pixels(points.expand(len(counts), -1, -1, -1), centres)
    points = (points - (factor - 1) / 2) / factor
    height, width = counts.shape[-2:]
    shape = points.new_tensor([width, height])
    points = (2 * points + 1) / shape - 1

    def interpolate(values: Tensor) -> Tensor:
        return F.grid_sample(
            values[:, None], points, mode="bilinear", align_corners=False
        )[:, 0]

    total = interpolate(counts)
    share = interpolate(weights.expand(len(counts), -1, -1))
    return torch.where(share > 0.25, total / share.clamp(min=0.25), 0.0)
