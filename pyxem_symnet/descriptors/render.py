# SPDX-License-Identifier: GPL-3.0-or-later
"""Spots drawn as images, free of background and of the detector."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pyxem_symnet.descriptors.geometry import grid_coordinates
from pyxem_symnet.descriptors.spots import Spots


def render_spots(
    spots: Spots, size: int, radius: float, sigma_px: float = 1.0
) -> Tensor:
    """Draw spots as Gaussians whose peaks are their intensities.

    Parameters
    ----------
    spots
        Spots of a batch of patterns.
    size
        Pixels along each side of the images.
    radius
        Half the side of the images in 1/Å; the direct beam lies in the
        middle, see `~pyxem_symnet.descriptors.geometry.grid_coordinates`.
    sigma_px
        Standard deviation of the Gaussians in pixels.

    Returns
    -------
    images
        Shape (B, size, size), rows are ky. Where spots overlap they
        add up.

    Raises
    ------
    ValueError
        If *size*, *radius* or *sigma_px* is not positive.
    """
    if size < 1 or not radius > 0 or not sigma_px > 0:
        raise ValueError(
            "size, radius and sigma_px must be > 0, not "
            f"{size}, {radius} and {sigma_px}"
        )
    line = grid_coordinates(size, radius).to(spots.positions)
    pixel = 2 * radius / size
    distance = (line - spots.positions[..., None]) / (sigma_px * pixel)
    profile = torch.exp(-0.5 * distance.square())
    # A Gaussian is a product of profiles, so an image is a product of
    # matrices: nothing is as fast, and the sum's order is fixed.
    rows = profile[:, :, 1] * spots.intensities[..., None].to(profile)
    return rows.transpose(1, 2) @ profile[:, :, 0]


def render_for_shaping(
    spots: Spots, radius: float, *, sigma_px: float = 0.8, power: float = 0.5
) -> Tensor:
    """Draw the 8-bit images of 256 × 256 pixels that shaping takes.

    Parameters
    ----------
    spots
        Spots of a batch of patterns.
    radius
        Half the side of the images in 1/Å.
    sigma_px
        Standard deviation of the spots in pixels. At the default a
        spot as strong as the strongest has 9 pixels above the 50
        counts that the rule calls a spot.
    power
        Intensities relative to the strongest are raised to this power.

    Returns
    -------
    images
        uint8 of shape (B, 256, 256), the strongest spot and the direct
        beam (which lies in the box the rule keeps out of scaling) 255.
    """
    strength = spots.relative_intensities() ** power
    strength = torch.where(spots.intensities > 0, strength, 0.0)
    beam = torch.ones_like(strength[:, :1])
    drawn = Spots(
        torch.cat((spots.positions, torch.zeros_like(spots.positions[:, :1])), 1),
        torch.cat((strength, beam), 1),
    )
    images = render_spots(drawn, 256, radius, sigma_px)
    return (images * 255).round().clamp(0, 255).to(torch.uint8)


class SpotRenderer(nn.Module):
    """Images of spots, as a layer.

    Parameters
    ----------
    size
        Pixels along each side of the images.
    radius
        Half the side of the images in 1/Å.
    sigma_px
        Standard deviation of the spots in pixels.
    power
        A spot's peak is its intensity, relative to the strongest in its
        pattern, to this power.

    Attributes
    ----------
    settings
        The parameters, as plain values that JSON can hold.
    """

    def __init__(
        self,
        size: int = 96,
        radius: float = 1.28,
        sigma_px: float = 0.8,
        power: float = 0.25,
    ) -> None:
        super().__init__()
        if size < 1 or not radius > 0 or not sigma_px > 0:
            raise ValueError(
                "size, radius and sigma_px must be > 0, not "
                f"{size}, {radius} and {sigma_px}"
            )
        self.settings = {
            "size": int(size),
            "radius": float(radius),
            "sigma_px": float(sigma_px),
            "power": float(power),
        }

    def forward(self, spots: Spots) -> Tensor:
        """Return images of shape (patterns, size, size).

        Parameters
        ----------
        spots
            Spots of the patterns.
        """
        weight = spots.relative_intensities() ** self.settings["power"]
        weight = torch.where(spots.intensities > 0, weight, 0.0)
        return render_spots(
            Spots(spots.positions, weight),
            self.settings["size"],
            self.settings["radius"],
            self.settings["sigma_px"],
        )

    def extra_repr(self) -> str:
        """Return the settings, as shown by `repr`."""
        return ", ".join(f"{key}={value}" for key, value in self.settings.items())
