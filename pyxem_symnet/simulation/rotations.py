# SPDX-License-Identifier: GPL-3.0-or-later
"""Orientations to simulate patterns in.

Rotations are matrices that turn vectors from the crystal's into the
laboratory frame, in which the beam travels along z, as
:func:`~pyxem_symnet.simulation.sampler.sample_patterns` takes them.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

#: Largest index of the zone axes that `zone_rotations` draws from
_LARGEST_ZONE_INDEX = 2


def random_rotations(n: int, generator: torch.Generator | None = None) -> Tensor:
    """Return rotations drawn uniformly from all of SO(3).

    Parameters
    ----------
    n
        Number of rotations.
    generator
        Source of randomness. Torch's own if not given.

    Returns
    -------
    rotations
        Rotation matrices of shape (n, 3, 3).
    """
    # A normal vector in four dimensions has no preferred direction
    quaternions = torch.randn(n, 4, generator=generator, device=_device(generator))
    return _from_quaternions(quaternions / quaternions.norm(dim=-1, keepdim=True))


def axis_rotations(conventional_lattice: Tensor) -> Tensor:
    """Return the three orientations with the beam along a, b and c.

    Parameters
    ----------
    conventional_lattice
        Vectors a, b, c as rows in Å, of shape (3, 3).

    Returns
    -------
    rotations
        Rotation matrices of shape (3, 3, 3). The part of the next axis
        (of b for a, c for b, a for c) across the beam lies along x.
    """
    lattice = torch.as_tensor(conventional_lattice, dtype=torch.float64)
    return _frames(lattice, lattice.roll(-1, dims=0)).float()


def zone_rotations(
    conventional_lattice: Tensor,
    n: int,
    mistilt: float = 0.5,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Return orientations near different low-index zone axes.

    Axes [uvw] with indices up to 2 are drawn without repetition, in
    proportion to ``(|u| + |v| + |w|)**-2``. The in-plane rotation and the
    sense of the axis are random. As both of a Friedel pair are equally
    strong, a pattern seen along [-u-v-w] is the mirror image of the one
    along [uvw], so patterns of either handedness come out.

    Parameters
    ----------
    conventional_lattice
        Vectors a, b, c as rows in Å, of shape (3, 3).
    n
        Number of rotations.
    mistilt
        Largest angle between the zone axis and the beam in degrees.
        Tilts are spread evenly over the circle of that radius.
    generator
        Source of randomness. Torch's own if not given.

    Returns
    -------
    rotations
        Rotation matrices of shape (n, 3, 3).

    Raises
    ------
    ValueError
        If there are fewer than `n` such zone axes.
    """
    indices, weights = zone_axes()
    if n > len(indices):
        raise ValueError(
            f"There are {len(indices)} zone axes with indices up to "
            f"{_LARGEST_ZONE_INDEX}; {n} are too many. Ask for fewer, or use "
            "random_rotations()."
        )
    device = _device(generator)
    drawn = torch.multinomial(weights.to(device), n, generator=generator)
    sense = 1 - 2 * torch.randint(2, (n, 1), generator=generator, device=device)
    zones = indices.to(device)[drawn] * sense
    lattice = torch.as_tensor(conventional_lattice, dtype=torch.float64)
    beam = zones.double() @ lattice.to(device)
    # Any direction across the beam will do, it is turned at random below
    helper = torch.eye(3, dtype=torch.float64, device=device)[beam.abs().argmin(-1)]
    frames = _frames(beam, helper).float()
    uniform = torch.rand(3, n, generator=generator, device=device)
    spin = _about_axis(frames.new_tensor([0.0, 0.0, 1.0]), 2 * math.pi * uniform[0])
    direction = 2 * math.pi * uniform[1]
    axis = torch.stack(
        [direction.cos(), direction.sin(), torch.zeros_like(direction)], -1
    )
    tilt = _about_axis(axis, math.radians(mistilt) * uniform[2].sqrt())
    return tilt @ spin @ frames


def zone_axes() -> tuple[Tensor, Tensor]:
    """Return the zone axes that :func:`zone_rotations` draws from.

    Returns
    -------
    indices
        One of each [uvw] and [-u-v-w] without common factors, of shape
        (axes, 3).
    weights
        What they are drawn in proportion to, of shape (axes,).
    """
    span = torch.arange(-_LARGEST_ZONE_INDEX, _LARGEST_ZONE_INDEX + 1)
    indices = torch.cartesian_prod(span, span, span)
    u, v, w = indices.unbind(-1)
    coprime = torch.gcd(torch.gcd(u, v), w) == 1
    first = (u > 0) | ((u == 0) & ((v > 0) | ((v == 0) & (w > 0))))
    indices = indices[coprime & first]
    return indices, indices.abs().sum(-1) ** -2.0


def tilt_series(start: Tensor, axis: Tensor, angles: Tensor) -> Tensor:
    """Return the orientations of a crystal tilted about one axis.

    Parameters
    ----------
    start
        Rotation matrix at the angle zero, of shape (3, 3).
    axis
        Tilt axis in the laboratory frame, of shape (3,), or one for each
        angle, of shape (n, 3). For a stage, a direction in the xy plane.
    angles
        Tilt angles in degrees, of shape (n,).

    Returns
    -------
    rotations
        Rotation matrices of shape (n, 3, 3).
    """
    start = torch.as_tensor(start, dtype=torch.float32)
    axis = torch.as_tensor(axis, dtype=torch.float32, device=start.device)
    angles = torch.as_tensor(angles, dtype=torch.float32, device=start.device)
    axis = axis / axis.norm(dim=-1, keepdim=True)
    return _about_axis(axis, torch.deg2rad(angles)) @ start


def _device(generator: torch.Generator | None) -> torch.device:
    return torch.device("cpu") if generator is None else generator.device


def _frames(beam: Tensor, across: Tensor) -> Tensor:
    """Return the rotations that bring `beam` to z and `across` to the xz plane."""
    z = beam / beam.norm(dim=-1, keepdim=True)
    x = across - (across * z).sum(-1, keepdim=True) * z
    x = x / x.norm(dim=-1, keepdim=True)
    return torch.stack([x, torch.linalg.cross(z, x), z], dim=-2)


def _from_quaternions(quaternions: Tensor) -> Tensor:
    w, x, y, z = quaternions.unbind(-1)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return torch.stack([torch.stack(row, -1) for row in rows], -2)


def _about_axis(axis: Tensor, angle: Tensor) -> Tensor:
    """Return rotations by `angle` (n,) in radians about unit axes (n, 3) or (3,)."""
    vector = axis * (angle / 2).sin().unsqueeze(-1)
    return _from_quaternions(torch.cat([(angle / 2).cos().unsqueeze(-1), vector], -1))
