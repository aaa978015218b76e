# SPDX-License-Identifier: GPL-3.0-or-later
"""From spots to images: the settings of a microscope, and its exposures."""

from __future__ import annotations

import dataclasses
import math

import torch
from torch import Tensor

from pyxem_symnet.descriptors.spots import Spots
from pyxem_symnet.simulation import microscope as effects
from pyxem_symnet.simulation import spot_defects


@dataclasses.dataclass(frozen=True)
class Microscope:
    """Settings of a 4D-STEM microscope and its imperfections.

    Parameters
    ----------
    detector
        Rows and columns of the detector.
    pixel_size
        Width of a pixel in 1/Å.
    beam_energy
        Beam energy in kV.
    excitation_error
        Largest excitation error in 1/Å, roughly the inverse thickness.
    precession_angle
        Precession angle in degrees.
    dose
        Electrons a pattern. Infinite, that is expected intensities
        without counting noise, if None.
    disc_radius
        Radius of the discs in 1/Å, given by the convergence angle. With
        0 spots are Gaussian.
    blur
        Standard deviation in pixels that spots and disc edges are
        blurred with.
    scattered
        Mean fraction of the electrons in diffracted spots.
    background
        Fraction of the electrons in the halo around the beam.
    background_width
        Distance in 1/Å over which the halo falls by e.
    film
        Fraction of the electrons in the rings of an amorphous film over
        the whole scan.
    ring_radius
        Radius of the first amorphous ring in 1/Å.
    b_factor
        Debye-Waller factor B in Å².
    gamma
        Exponent of dynamical flattening of intensities.
    centre_offset
        Where the beam is, (x, y) in pixels from where the calibration
        says.
    descan
        Largest further shift of the beam across the scan in pixels.
    scale
        Apparent over true distance from the beam.
    ellipticity
        Ratio of axes of the ellipse that a ring becomes.
    ellipse_angle
        Angle of its long axis from x in degrees.
    dead_fraction
        Fraction of dead pixels.
    hot_fraction
        Fraction of hot pixels. Each counts 2 % of the dose.
    cross_width
        Width of the gap between four tiles of the detector in pixels.
    stop_radius
        Radius of the beam stop in 1/Å. No beam stop with 0.
    saturation
        Largest number of electrons a pixel counts. No limit if None.
    """

    detector: tuple[int, int] = (128, 128)
    pixel_size: float = 0.02
    beam_energy: float = 200.0
    excitation_error: float = 0.02
    precession_angle: float = 0.0
    dose: float | None = 2e4
    disc_radius: float = 0.025
    blur: float = 0.6
    scattered: float = 0.3
    background: float = 0.1
    background_width: float = 0.12
    film: float = 0.0
    ring_radius: float = 0.28
    b_factor: float = 0.5
    gamma: float = 1.0
    centre_offset: tuple[float, float] = (0.0, 0.0)
    descan: float = 0.0
    scale: float = 1.0
    ellipticity: float = 1.0
    ellipse_angle: float = 0.0
    dead_fraction: float = 0.0
    hot_fraction: float = 0.0
    cross_width: int = 0
    stop_radius: float = 0.0
    saturation: float | None = None

    def __post_init__(self) -> None:
        if len(self.detector) != 2 or min(self.detector) < 8:
            raise ValueError(
                f"detector must be (rows, columns) of at least 8, not {self.detector}."
            )
        if not self.pixel_size > 0:
            raise ValueError(
                f"pixel_size must be positive, in 1/Å, not {self.pixel_size}."
            )
        if self.dose is not None and not self.dose > 0:
            raise ValueError(f"dose must be positive or None, not {self.dose}.")
        diffuse = self.background + self.film + self.scattered
        if min(self.background, self.film, self.scattered) < 0 or diffuse >= 1:
            raise ValueError(
                "background, film and scattered are fractions of the electrons: none "
                "may be negative, and together they must stay below 1."
            )

    @property
    def centre(self) -> tuple[float, float]:
        """Where the beam should be, (x, y) in pixels: at half the detector."""
        return self.detector[1] / 2, self.detector[0] / 2

    @property
    def corner_radius(self) -> float:
        """Length of the farthest reflection that may be seen, in 1/Å."""
        corner = math.hypot(*self.detector) / 2 * self.pixel_size
        return 1.05 * corner * math.sqrt(self.ellipticity) / self.scale

    def detector_masks(
        self, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        """Return the masks of ``hidden`` and of ``hot`` pixels.

        Parameters
        ----------
        generator
            Source of randomness.
        """
        hidden = effects.random_pixels(self.detector, self.dead_fraction, generator)
        hot = effects.random_pixels(self.detector, self.hot_fraction, generator)
        hidden |= effects.detector_cross(self.detector, self.cross_width)
        if self.stop_radius > 0:
            hidden |= effects.beam_stop(
                self.detector, self.centre, self.stop_radius / self.pixel_size
            )
        return {"hidden": hidden, "hot": hot}


def expose(
    spots: Spots,
    microscope: Microscope,
    masks: dict[str, Tensor],
    *,
    centres: Tensor | None = None,
    halo: Tensor | None = None,
    rings: Tensor | None = None,
) -> Tensor:
    """Return the expected images of patterns.

    Parameters
    ----------
    spots
        Diffracted spots, in fractions of the electrons of each pattern.
        Electrons that are not scattered are in the direct beam.
    microscope
        Settings.
    masks
        Masks of the detector, from :meth:`Microscope.detector_masks`.
    centres
        Positions of the beam of shape (patterns, 2) in pixels. Where the
        settings put it if not given.
    halo, rings
        Fractions of the electrons in the halo around the beam and in
        amorphous rings, of shape (patterns,). ``background`` and
        ``film`` of the settings if not given.

    Returns
    -------
    images
        Expected electrons of shape (patterns, rows, columns), in
        fractions of all electrons if the dose is not given.
    """
    n = len(spots.intensities)
    same_centre = centres is None
    if same_centre:
        offset = torch.tensor(microscope.centre_offset)
        centres = (torch.tensor(microscope.centre) + offset).expand(n, 2)
    halo = torch.full((n,), microscope.background) if halo is None else halo
    rings = torch.full((n,), microscope.film) if rings is None else rings
    seen = _with_direct_beam(spots, 1 - halo - rings)
    seen = spot_defects.stretch_positions(
        seen, microscope.ellipticity, microscope.ellipse_angle
    )
    seen = spot_defects.scale_positions(seen, microscope.scale)
    images = draw_discs(
        seen.positions / microscope.pixel_size + centres[:, None],
        seen.intensities,
        microscope.detector,
        microscope.disc_radius / microscope.pixel_size,
        microscope.blur,
    )
    for fraction, diffuse, size in (
        (halo, effects.halo, microscope.background_width),
        (rings, effects.amorphous_rings, microscope.ring_radius),
    ):
        rows = fraction.nonzero()[:, 0]
        if len(rows) == 0:
            continue
        radius = effects.radius_map(
            microscope.detector,
            microscope.pixel_size,
            centres[:1] if same_centre else centres[rows],
        )
        images[rows] += fraction[rows, None, None] * diffuse(radius, size)
    dose = 1.0 if microscope.dose is None else microscope.dose
    images = effects.light_up(dose * images, masks["hot"], 0.02 * dose)
    return effects.hide(images, masks["hidden"])


def _with_direct_beam(spots: Spots, available: Tensor) -> Spots:
    """Return spots after the direct beam, which has what they leave."""
    diffracted = spots.intensities.sum(-1, dtype=torch.float64).float()
    # Where more would be diffracted than there is, some of the beam stays
    factor = (0.95 * available / diffracted.clamp_min(1e-12)).clamp_max(1.0)
    direct = available - diffracted * factor
    positions = spots.positions.new_zeros(len(direct), 1, 2)
    return Spots(
        torch.cat([positions, spots.positions], 1),
        torch.cat([direct[:, None], spots.intensities * factor[:, None]], 1),
    )


def draw_discs(
    centres: Tensor,
    intensities: Tensor,
    shape: tuple[int, int],
    radius: float,
    blur: float,
) -> Tensor:
    """Return images of discs with blurred edges.

    Parameters
    ----------
    centres
        Centres (x, y) in pixels, of shape (patterns, discs, 2).
    intensities
        Sums over the discs, of shape (patterns, discs).
    shape
        Rows and columns.
    radius
        Radius in pixels. With 0 discs are Gaussians.
    blur
        Standard deviation of the edge's blur, or of the Gaussian, in
        pixels. At least 0.3, as pixels average over their width.

    Returns
    -------
    images
        Images of shape (patterns, rows, columns).
    """
    blur = max(blur, 0.3)
    reach = math.ceil(radius + 4 * blur) + 1
    nearest = centres.round().long()
    high = torch.tensor([shape[1], shape[0]], device=centres.device) - 1 + reach
    seen = (nearest >= -reach).all(-1) & (nearest <= high).all(-1) & (intensities > 0)
    pattern, disc = seen.nonzero(as_tuple=True)
    nearest = nearest[pattern, disc]
    within = centres[pattern, disc] - nearest
    offset = torch.arange(-reach, reach + 1, device=centres.device)
    distance = torch.hypot(
        (offset - within[:, 0, None])[:, None, :],
        (offset - within[:, 1, None])[:, :, None],
    )
    if radius > 0:
        profile = torch.special.erfc((distance - radius) / (math.sqrt(2) * blur))
    else:
        profile = torch.exp(-0.5 * (distance / blur) ** 2)
    profile = profile * (
        intensities[pattern, disc] / profile.sum((-2, -1), dtype=torch.float64).float()
    ).reshape(-1, 1, 1)
    # A margin takes what reaches over the edge
    height, width = shape[0] + 4 * reach, shape[1] + 4 * reach
    canvas = profile.new_zeros(len(centres) * height * width)
    row = nearest[:, 1, None] + offset + 2 * reach
    column = nearest[:, 0, None] + offset + 2 * reach
    place = (pattern[:, None, None] * height + row[:, :, None]) * width
    place = place + column[:, None, :]
    canvas.index_add_(0, place.reshape(-1), profile.reshape(-1))
    canvas = canvas.reshape(len(centres), height, width)
    edge = 2 * reach
    return canvas[:, edge : edge + shape[0], edge : edge + shape[1]].contiguous()
