# SPDX-License-Identifier: GPL-3.0-or-later
"""Kinematic patterns of a crystal in many orientations, batched in torch.

Equal in value to
:meth:`diffsims.generators.simulation_generator.SimulationGenerator.calculate_diffraction2d`,
on any device, without a loop over orientations.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from pyxem_symnet.descriptors.spots import Spots

#: Beam energies in kV that patterns are simulated for
BEAM_ENERGIES = (10.0, 3000.0)

#: Azimuths at which the beam is precessed when its path is summed
_PRECESSION_STEPS = 512


class Reflections(NamedTuple):
    """Reflections of one crystal.

    Parameters
    ----------
    g
        Reciprocal lattice vectors in 1/Å in the crystal's Cartesian
        frame, of shape (reflections, 3). Both of each Friedel pair.
    intensity
        Squared structure-factor moduli of shape (reflections,).
    """

    g: Tensor
    intensity: Tensor

    @classmethod
    def from_half(cls, g: Tensor, intensity: Tensor) -> Reflections:
        """Return all reflections from one of each Friedel pair.

        Parameters
        ----------
        g
            Reciprocal vectors in 1/Å of shape (N, 3).
        intensity
            Their :math:`|F|^2` of shape (N,).
        """
        return cls(torch.cat([g, -g]), torch.cat([intensity, intensity]))


def electron_wavelength(beam_energy: float) -> float:
    """Return the relativistic electron wavelength in Å.

    Parameters
    ----------
    beam_energy
        Beam energy in kV.

    Raises
    ------
    ValueError
        If the energy is outside :data:`BEAM_ENERGIES`.
    """
    if not BEAM_ENERGIES[0] <= beam_energy <= BEAM_ENERGIES[1]:
        raise ValueError(
            f"beam_energy must lie between {BEAM_ENERGIES[0]:g} and "
            f"{BEAM_ENERGIES[1]:g} kV, not {beam_energy:g}. Is it in kV?"
        )
    # h c / sqrt(E (E + 2 m c²)) with E and m c² in eV, h c in eV Å
    energy = beam_energy * 1e3
    return 12398.419843320026 / math.sqrt(energy * (energy + 2 * 510998.95069))


def linear(excitation_error: Tensor, width: float) -> Tensor:
    """Return the shape factor that falls linearly to zero at `width`."""
    return (1 - excitation_error.abs() / width).clamp_min(0)


def sinc(excitation_error: Tensor, width: float) -> Tensor:
    """Return the modulus of a sinc with its fifth zero at `width`."""
    return torch.sinc(excitation_error * (5 / width)).abs()


def sin2c(excitation_error: Tensor, width: float) -> Tensor:
    """Return the squared sinc of a slab, its fifth zero at `width`."""
    return torch.sinc(excitation_error * (5 / width)) ** 2


def atanc(excitation_error: Tensor, width: float) -> Tensor:
    """Return arctan(x) / x, a sinc without its ripples."""
    x = excitation_error * (5 * math.pi / width)
    return torch.where(x == 0, 1.0, torch.atan(x) / torch.where(x == 0, 1.0, x))


def lorentzian(excitation_error: Tensor, width: float) -> Tensor:
    """Return the Lorentzian of eq. (6) in Palatinus et al. (2019)."""
    return 1 / ((math.pi / width) ** 2 * excitation_error**2 + 1)


#: Shape factors by the names diffsims gives them
SHAPE_FACTORS = {
    "linear": linear,
    "sinc": sinc,
    "sin2c": sin2c,
    "atanc": atanc,
    "lorentzian": lorentzian,
}


def _lorentzian_precession(
    excitation_error: Tensor, width: float, radius: Tensor, angle: float
) -> Tensor:
    """Return eq. (10) in Palatinus et al. (2019)."""
    sigma = math.pi / width
    u = sigma**2 * (radius**2 * angle**2 - excitation_error**2) + 1
    z = torch.sqrt(u**2 + 4 * sigma**2 * excitation_error**2)
    return (sigma / math.pi) * torch.sqrt(2 * (u + z) / z**2)


def _summed_precession(
    excitation_error: Tensor, width: float, radius: Tensor, angle: float, model
) -> Tensor:
    """Return eq. (8) in Palatinus et al. (2019), averaged over azimuths."""
    azimuth = torch.arange(_PRECESSION_STEPS, device=radius.device, dtype=radius.dtype)
    cosine = torch.cos((azimuth + 0.5) * (2 * math.pi / _PRECESSION_STEPS))
    path = excitation_error[:, None] + (radius * angle)[:, None] * cosine
    return model(path, width).mean(-1)


def sample_patterns(
    reflections: Reflections,
    rotations: Tensor,
    *,
    beam_energy: float = 200.0,
    reciprocal_radius: float = 1.28,
    max_excitation_error: float = 0.02,
    shape_factor: str = "lorentzian",
    shape_factor_width: float | None = None,
    precession_angle: float = 0.0,
    approximate_precession: bool = True,
    max_spots: int | None = None,
) -> Spots:
    """Return kinematic patterns of a crystal in many orientations.

    Parameters
    ----------
    reflections
        Reflections of the crystal.
    rotations
        Matrices of shape (patterns, 3, 3) that turn vectors from the
        crystal's into the laboratory frame, where the beam travels
        along z. For an :class:`orix.quaternion.Rotation` `r` as diffsims
        takes it, that is ``(~r).to_matrix()``.
    beam_energy
        Beam energy in kV.
    reciprocal_radius
        Largest length of a reciprocal lattice vector in 1/Å.
    max_excitation_error
        Reflections farther than this from the Ewald sphere, along z and
        in 1/Å, are left out. Roughly the inverse of the thickness.
    shape_factor
        Shape factor, a name in :data:`SHAPE_FACTORS`.
    shape_factor_width
        Width of the shape factor in 1/Å. `max_excitation_error` if not
        given.
    precession_angle
        Precession angle in degrees.
    approximate_precession
        Whether precession is described by the closed form for a
        Lorentzian shape factor (default), or summed over the beam's path.
    max_spots
        Keep this many strongest spots of each pattern. All if not given.

    Returns
    -------
    spots
        Spots without the direct beam, strongest first. As many slots as
        the fullest pattern has spots.

    Raises
    ------
    ValueError
        If the beam energy or the shape factor is not known.
    """
    if shape_factor not in SHAPE_FACTORS:
        raise ValueError(
            f"shape_factor must be one of {', '.join(SHAPE_FACTORS)}, not "
            f"{shape_factor!r}."
        )
    model = SHAPE_FACTORS[shape_factor]
    width = max_excitation_error if shape_factor_width is None else shape_factor_width
    ewald_radius = 1 / electron_wavelength(beam_energy)
    length_squared = (reflections.g**2).sum(-1)
    within = length_squared <= reciprocal_radius**2
    if not within.all():
        reflections = Reflections(reflections.g[within], reflections.intensity[within])
        length_squared = length_squared[within]

    # One product gives the heights of all reflections in all patterns; x and
    # y are computed only for the few that come near the sphere.
    height = rotations[:, 2] @ reflections.g.T
    in_plane = (length_squared - height**2).clamp_min_(0).sqrt_()
    sphere = ewald_radius - torch.sqrt(ewald_radius**2 - in_plane**2)
    excitation_error = sphere - height
    angle = math.radians(abs(precession_angle))
    if angle == 0:
        near = excitation_error.abs() < max_excitation_error
    else:
        top, tilt = ewald_radius * math.cos(angle), ewald_radius * math.sin(angle)
        upper = top - torch.sqrt(ewald_radius**2 - (in_plane + tilt) ** 2)
        lower = top - torch.sqrt(ewald_radius**2 - (in_plane - tilt) ** 2)
        near = (height - max_excitation_error <= upper) & (
            height + max_excitation_error >= lower
        )
    pattern, reflection = near.nonzero(as_tuple=True)
    excitation_error = excitation_error[pattern, reflection]
    if angle == 0:
        shape = model(excitation_error, width)
    else:
        radius = in_plane[pattern, reflection]
        if approximate_precession:
            shape = _lorentzian_precession(excitation_error, width, radius, angle)
        else:
            shape = _summed_precession(excitation_error, width, radius, angle, model)
    intensity = shape * reflections.intensity[reflection]
    position = torch.einsum(
        "nij,nj->ni", rotations[pattern, :2], reflections.g[reflection]
    )
    spots = pad_spots(pattern, position, intensity, len(rotations))
    return spots.strongest(max_spots or spots.intensities.shape[1])


def pad_spots(
    pattern: Tensor, position: Tensor, intensity: Tensor, n_patterns: int
) -> Spots:
    """Return spots as padded arrays.

    Parameters
    ----------
    pattern
        Sorted pattern index of each spot, of shape (spots,).
    position
        Positions of shape (spots, 2).
    intensity
        Intensities of shape (spots,).
    n_patterns
        Number of patterns.
    """
    counts = torch.bincount(pattern, minlength=n_patterns)
    first = counts.cumsum(0) - counts
    slot = torch.arange(len(pattern), device=pattern.device) - first[pattern]
    n_slots = max(int(counts.max()) if len(pattern) else 0, 1)
    positions = position.new_zeros(n_patterns, n_slots, 2)
    intensities = intensity.new_zeros(n_patterns, n_slots)
    positions[pattern, slot] = position
    intensities[pattern, slot] = intensity
    return Spots(positions, intensities)
