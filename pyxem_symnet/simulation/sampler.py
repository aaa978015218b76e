# SPDX-License-Identifier: GPL-3.0-or-later
"""Kinematic patterns of a crystal in many orientations, batched in torch.

Equal in value to
:meth:`diffsims.generators.simulation_generator.SimulationGenerator.calculate_diffraction2d`,
on any device, without a loop over orientations.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from pyxem_symnet.descriptors.spots import Spots
from pyxem_symnet.lattice.electrons import electron_wavelength

#: Products of reflections and patterns made at a time: on a CPU, they should stay
#: in the cache
_AT_ONCE = {"cpu": 1 << 17}
_AT_ONCE_ELSEWHERE = 1 << 26

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
        Keep this many strongest spots of each pattern, strongest first.
        All, in no order, if not given.

    Returns
    -------
    spots
        Spots without the direct beam. At most as many slots as the
        fullest pattern has spots.

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
    angle = math.radians(abs(precession_angle))
    length_squared = (reflections.g**2).sum(-1)
    within = length_squared <= reciprocal_radius**2
    if not within.all():
        reflections = Reflections(reflections.g[within], reflections.intensity[within])
        length_squared = length_squared[within]
    reach = _reach(length_squared, ewald_radius, max_excitation_error, angle)
    pattern, reflection, turned = _near_sphere(
        reflections.g, length_squared, rotations, ewald_radius, reach
    )

    # Exact from here on, for the few that come near the sphere
    height = turned[2]
    in_plane_squared = (length_squared[reflection] - height**2).clamp_min_(0)
    sphere = ewald_radius - torch.sqrt(ewald_radius**2 - in_plane_squared)
    excitation_error = sphere - height
    if angle == 0:
        near = excitation_error.abs() < max_excitation_error
    else:
        in_plane = in_plane_squared.sqrt()
        top, tilt = ewald_radius * math.cos(angle), ewald_radius * math.sin(angle)
        upper = top - torch.sqrt(ewald_radius**2 - (in_plane + tilt) ** 2)
        lower = top - torch.sqrt(ewald_radius**2 - (in_plane - tilt) ** 2)
        near = (height - max_excitation_error <= upper) & (
            height + max_excitation_error >= lower
        )
    near = near.nonzero().squeeze(-1)
    pattern, reflection = pattern[near], reflection[near]
    excitation_error = excitation_error[near]
    if angle == 0:
        shape = model(excitation_error, width)
    elif approximate_precession:
        shape = _lorentzian_precession(excitation_error, width, in_plane[near], angle)
    else:
        shape = _summed_precession(
            excitation_error, width, in_plane[near], angle, model
        )
    intensity = shape * reflections.intensity[reflection]
    position = torch.stack([turned[0][near], turned[1][near]], -1)
    spots = pad_spots(pattern, position, intensity, len(rotations))
    return spots if max_spots is None else spots.strongest(max_spots)


def _reach(
    length_squared: Tensor,
    ewald_radius: float,
    max_excitation_error: float,
    angle: float,
) -> Tensor:
    r"""Return how far from a paraboloid a reflection may be of use.

    The paraboloid :math:`z = g^2 / 2K` osculates the Ewald sphere, and
    :math:`g` does not depend on the orientation. A reflection at height
    :math:`h` and distance :math:`\rho` from the beam is on the sphere at
    :math:`h = \rho^2 / 2K + \rho^4 / 8K^3 + ...`, which is off the
    paraboloid by less than what is added here.
    """
    paraboloid = length_squared / (2 * ewald_radius)
    # Precession moves the sphere by less than the arc of its tilt
    moved = max_excitation_error + 1.01 * angle * length_squared.sqrt()
    highest = moved + 1.1 * paraboloid
    slack = highest**2 / (2 * ewald_radius)
    slack += 1.1 * paraboloid**2 / (2 * ewald_radius)
    return moved + slack + 1e-5


def _near_sphere(
    g: Tensor,
    length_squared: Tensor,
    rotations: Tensor,
    ewald_radius: float,
    reach: Tensor,
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Return patterns, the reflections near in each, and their x, y and z."""
    half = len(g) // 2
    # The positions of g and -g differ in sign: half the products if g is paired
    paired = len(g) == 2 * half and torch.equal(g[:half], -g[half:])
    if paired:
        g, length_squared, reach = g[:half], length_squared[:half], reach[:half]
    # The paraboloid lies above the plane z = 0
    reach = reach + length_squared / (2 * ewald_radius)
    columns = g.T.contiguous()
    n_reflections = max(len(g), 1)
    at_once = max(1, _AT_ONCE.get(g.device.type, _AT_ONCE_ELSEWHERE) // n_reflections)
    patterns, nearby, turned = [], [], []
    for first in range(0, len(rotations), at_once):
        part = rotations[first : first + at_once]
        z = part[:, 2] @ columns
        place = _flat_nonzero_below(z.abs(), reach)
        # Whole products again: faster than picking the rows and columns first
        x, y = part[:, 0] @ columns, part[:, 1] @ columns
        turned.append([along.flatten()[place] for along in (x, y, z)])
        patterns.append(place // n_reflections + first)
        nearby.append(place % n_reflections)
    pattern, reflection = torch.cat(patterns), torch.cat(nearby)
    turned = [torch.cat(parts) for parts in zip(*turned, strict=True)]
    if paired:
        pattern = pattern.repeat_interleave(2)
        reflection = torch.stack([reflection, reflection + half], -1).flatten()
        turned = [torch.stack([part, -part], -1).flatten() for part in turned]
    return pattern, reflection, turned


def _flat_nonzero_below(values: Tensor, limit: Tensor) -> Tensor:
    """Return where values (n, m) are below limits (m,), as flat indices."""
    if values.device.type == "cpu":
        # Several times faster than torch's comparison and nonzero
        return torch.from_numpy(np.flatnonzero(values.numpy() < limit.numpy()))
    return (values < limit).flatten().nonzero().squeeze(-1)


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
