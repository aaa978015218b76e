# SPDX-License-Identifier: GPL-3.0-or-later
"""What a microscope and its detector do to patterns, as images.

Each function makes one imperfection, for all images of a batch at once, and
leaves its input alone. Images are float tensors of shape (patterns, rows,
columns) with expected or counted electrons. Points and shifts are (x, y), that
is (column, row), in pixels. Randomness comes from the given generator, Torch's
own if none is given. What the same imperfections do to lists of spots is in
:mod:`~pyxem_symnet.simulation.spot_defects`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

Strength = float | Tensor


# -----------------------------------------------------------------------------
# Electrons
# -----------------------------------------------------------------------------
def scale_to_dose(images: Tensor, dose: Strength) -> Tensor:
    """Return images scaled to a mean number of electrons.

    Parameters
    ----------
    images
        Images.
    dose
        Electrons in each image.
    """
    total = images.sum((-2, -1), keepdim=True)
    return images * (_over_images(dose, images) / total.clamp_min(1e-30))


def counting_noise(images: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Return counted from expected electrons, by Poisson's distribution.

    Parameters
    ----------
    images
        Expected electrons in each pixel.
    generator
        Source of randomness, on the device of the images.
    """
    return torch.poisson(images, generator=generator)


def saturate(images: Tensor, level: float) -> Tensor:
    """Return images in which no pixel shows more than a level.

    Parameters
    ----------
    images
        Images.
    level
        Largest value.
    """
    return images.clamp_max(level)


# -----------------------------------------------------------------------------
# Diffuse scattering
# -----------------------------------------------------------------------------
def radius_map(
    shape: tuple[int, int], pixel_size: float, centre: Tensor | tuple[float, float]
) -> Tensor:
    """Return the distance of pixels from the direct beam.

    Parameters
    ----------
    shape
        Rows and columns.
    pixel_size
        Width of a pixel in 1/Å.
    centre
        Position of the beam, of shape (2,) or (patterns, 2).

    Returns
    -------
    radius
        Distances in 1/Å, of shape (patterns, rows, columns); one pattern
        for one centre.
    """
    centre = torch.as_tensor(centre, dtype=torch.float32).reshape(-1, 2, 1, 1)
    rows = torch.arange(shape[0], device=centre.device)[:, None]
    columns = torch.arange(shape[1], device=centre.device)
    return torch.hypot(columns - centre[:, 0], rows - centre[:, 1]) * pixel_size


def halo(radius: Tensor, width: float = 0.12) -> Tensor:
    """Return the diffuse background around the beam, adding up to one.

    It falls exponentially, as inelastic and thermal scattering does
    roughly.

    Parameters
    ----------
    radius
        Distances from the beam in 1/Å, from `radius_map`.
    width
        Distance in 1/Å over which it falls by e.
    """
    return _normalised(torch.exp(-radius / width))


def amorphous_rings(
    radius: Tensor,
    first: float = 0.28,
    width: float = 0.05,
    second: float = 1.75,
    strength: float = 0.35,
) -> Tensor:
    """Return the rings of an amorphous film, adding up to one.

    Parameters
    ----------
    radius
        Distances from the beam in 1/Å, from `radius_map`.
    first
        Radius of the first ring in 1/Å.
    width
        Standard deviation of its profile in 1/Å. The second ring is
        twice as wide.
    second
        Radius of the second ring in units of the first's.
    strength
        Height of the second ring in units of the first's.
    """
    image = torch.exp(-0.5 * ((radius - first) / width) ** 2)
    outer = torch.exp(-0.5 * ((radius - second * first) / (2 * width)) ** 2)
    return _normalised(image + strength * outer)


def add_diffuse(images: Tensor, diffuse: Tensor, fraction: Strength) -> Tensor:
    """Return images in which some electrons are scattered diffusely.

    Parameters
    ----------
    images
        Images.
    diffuse
        Distribution of diffusely scattered electrons, adding up to one,
        from `halo` or `amorphous_rings`.
    fraction
        Fraction of each image's electrons, between 0 and 1.
    """
    fraction = _over_images(fraction, images)
    total = images.sum((-2, -1), keepdim=True)
    return (1 - fraction) * images + fraction * total * diffuse


# -----------------------------------------------------------------------------
# Optics
# -----------------------------------------------------------------------------
def blur(images: Tensor, sigma: float) -> Tensor:
    """Return images convolved with a Gaussian.

    Electrons that leave over the edge are lost.

    Parameters
    ----------
    images
        Images.
    sigma
        Standard deviation in pixels.
    """
    if sigma <= 0:
        return images
    reach = max(1, math.ceil(4 * sigma))
    offset = torch.arange(-reach, reach + 1, device=images.device, dtype=images.dtype)
    kernel = torch.exp(-0.5 * (offset / sigma) ** 2)
    kernel = kernel / kernel.sum()
    stack = images[:, None]
    stack = functional.conv2d(stack, kernel[None, None, :, None], padding=(reach, 0))
    stack = functional.conv2d(stack, kernel[None, None, None, :], padding=(0, reach))
    return stack[:, 0]


def distort(
    images: Tensor,
    *,
    scale: Strength = 1.0,
    ratio: Strength = 1.0,
    angle: Strength = 0.0,
    shift: Tensor | tuple[float, float] = (0.0, 0.0),
) -> Tensor:
    """Return images of wrong scale, ellipticity and centre.

    Resampled by bilinear interpolation about the middle of the image,
    which is at half its number of pixels. Electrons are conserved but
    for those that leave the image.

    Parameters
    ----------
    images
        Images.
    scale
        Apparent over true distance from the middle.
    ratio
        Long over short axis of the ellipse that a ring becomes.
    angle
        Angle of the long axis from x in degrees.
    shift
        Shift in pixels of shape (2,) or (patterns, 2).
    """
    n, height, width = images.shape
    scale, ratio, angle = (
        _over_images(value, images).reshape(-1).expand(n)
        for value in (scale, ratio, angle)
    )
    cosine, sine = torch.deg2rad(angle).cos(), torch.deg2rad(angle).sin()
    # Where in the input a point of the output comes from
    along, across = ratio.rsqrt() / scale, ratio.sqrt() / scale
    xx = cosine**2 * along + sine**2 * across
    yy = sine**2 * along + cosine**2 * across
    xy = cosine * sine * (along - across)
    shift = torch.as_tensor(shift, dtype=images.dtype, device=images.device)
    shift = shift.expand(n, 2)[..., None, None]
    x = torch.arange(width, device=images.device) - width / 2 - shift[:, 0]
    y = torch.arange(height, device=images.device)[:, None] - height / 2 - shift[:, 1]
    xx, xy, yy = (term[:, None, None] for term in (xx, xy, yy))
    column = xx * x + xy * y + width / 2
    row = xy * x + yy * y + height / 2
    # grid_sample counts from -1 to 1 between the outer edges of the pixels
    grid = torch.stack([(2 * column + 1) / width - 1, (2 * row + 1) / height - 1], -1)
    warped = functional.grid_sample(images[:, None], grid, align_corners=False)[:, 0]
    return warped / (scale**2)[:, None, None]


def descan_shifts(
    shape: tuple[int, int], shift: float, generator: torch.Generator | None = None
) -> Tensor:
    """Return how far the beam wanders on the detector across a scan.

    The direct beam moves linearly with scan position, in a random
    direction for each of the scan's axes, as after imperfect descan.

    Parameters
    ----------
    shape
        Rows and columns of the scan.
    shift
        Largest shift in pixels, in the corner where it is largest.
    generator
        Source of randomness.

    Returns
    -------
    shifts
        Shifts in pixels of shape (rows, columns, 2), zero in the middle.
    """
    device = None if generator is None else generator.device
    slopes = torch.randn(2, 2, generator=generator, device=device)
    rows = torch.linspace(-1, 1, shape[0], device=device)[:, None, None]
    columns = torch.linspace(-1, 1, shape[1], device=device)[None, :, None]
    shifts = rows * slopes[0] + columns * slopes[1]
    return shifts * (shift / shifts.norm(dim=-1).max().clamp_min(1e-12))


# -----------------------------------------------------------------------------
# Detector
# -----------------------------------------------------------------------------
def hide(images: Tensor, mask: Tensor) -> Tensor:
    """Return images with nothing in the masked pixels.

    Parameters
    ----------
    images
        Images.
    mask
        Whether a pixel shows nothing, of shape (rows, columns).
    """
    return torch.where(mask.to(images.device), 0.0, images)


def light_up(images: Tensor, mask: Tensor, level: float) -> Tensor:
    """Return images with the same value in the masked, hot, pixels.

    Parameters
    ----------
    images
        Images.
    mask
        Whether a pixel is hot, of shape (rows, columns).
    level
        Value of the hot pixels.
    """
    return torch.where(mask.to(images.device), level, images)


def random_pixels(
    shape: tuple[int, int], fraction: float, generator: torch.Generator | None = None
) -> Tensor:
    """Return a mask of randomly placed pixels, for dead or hot ones.

    Parameters
    ----------
    shape
        Rows and columns.
    fraction
        Probability of each pixel.
    generator
        Source of randomness.

    Returns
    -------
    mask
        Of shape (rows, columns), True for drawn pixels.
    """
    device = None if generator is None else generator.device
    return torch.rand(shape, generator=generator, device=device) < fraction


def detector_cross(
    shape: tuple[int, int], width: int, offset: tuple[int, int] = (0, 0)
) -> Tensor:
    """Return the mask of the gap between the four tiles of a detector.

    Parameters
    ----------
    shape
        Rows and columns.
    width
        Width of the gap in pixels.
    offset
        Distance of the cross from the middle in pixels, along x and y.

    Returns
    -------
    mask
        Of shape (rows, columns), True in the gap.
    """
    mask = torch.zeros(shape, dtype=torch.bool)
    row = shape[0] // 2 + offset[1] - width // 2
    column = shape[1] // 2 + offset[0] - width // 2
    mask[max(row, 0) : max(row + width, 0)] = True
    mask[:, max(column, 0) : max(column + width, 0)] = True
    return mask


def beam_stop(
    shape: tuple[int, int],
    centre: tuple[float, float],
    radius: float,
    arm_width: float = 0.0,
    arm_angle: float = 90.0,
) -> Tensor:
    """Return the mask of a beam stop: a disc, held by an arm.

    Parameters
    ----------
    shape
        Rows and columns.
    centre
        Centre of the disc in pixels.
    radius
        Radius of the disc in pixels.
    arm_width
        Width of the arm in pixels. No arm by default.
    arm_angle
        Direction of the arm from x in degrees.

    Returns
    -------
    mask
        Of shape (rows, columns), True behind the stop.
    """
    x = torch.arange(shape[1]) - centre[0]
    y = torch.arange(shape[0])[:, None] - centre[1]
    cosine = math.cos(math.radians(arm_angle))
    sine = math.sin(math.radians(arm_angle))
    disc = torch.hypot(x, y) < radius
    arm = (x * cosine + y * sine > 0) & ((y * cosine - x * sine).abs() < arm_width / 2)
    return disc | arm


def _normalised(images: Tensor) -> Tensor:
    # In double precision the sum is the same whatever the other images are
    return images / images.sum((-2, -1), keepdim=True, dtype=torch.float64).float()


def _over_images(value: Strength, images: Tensor) -> Tensor:
    """Return a strength that broadcasts over (patterns, rows, columns)."""
    value = torch.as_tensor(value, dtype=images.dtype, device=images.device)
    return value.reshape(-1, 1, 1)
