# SPDX-License-Identifier: GPL-3.0-or-later
"""What specimen, microscope and spot finding do to lists of spots.

Each function makes one imperfection, for all patterns of a batch at once.
Strengths are numbers, or tensors with one number a pattern. With a strength
of zero (or one, for factors) spots come back as they were. Empty slots stay
empty; functions that add spots add slots, which
:meth:`~pyxem_symnet.descriptors.spots.Spots.strongest` brings back to the
wanted number. Randomness comes from the given generator, Torch's own if none
is given.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pyxem_symnet.descriptors.spots import Spots

Strength = float | Tensor


# -----------------------------------------------------------------------------
# Geometry
# -----------------------------------------------------------------------------
def scale_positions(spots: Spots, factor: Strength) -> Spots:
    """Return spots whose camera length is wrong by a factor.

    Parameters
    ----------
    spots
        Spots.
    factor
        Apparent over true distance from the beam.
    """
    return spots._replace(positions=spots.positions * _column(factor, spots)[..., None])


def stretch_positions(spots: Spots, ratio: Strength, angle: Strength) -> Spots:
    """Return spots with elliptical distortion.

    Parameters
    ----------
    spots
        Spots.
    ratio
        Long over short axis of the ellipse that a ring becomes. Its
        area does not change.
    angle
        Angle of the long axis from x in degrees.
    """
    ratio = _column(ratio, spots)
    angle = torch.deg2rad(_column(angle, spots))
    along, across = ratio.sqrt(), ratio.rsqrt()
    cosine, sine = angle.cos(), angle.sin()
    x, y = spots.positions.unbind(-1)
    u = (cosine * x + sine * y) * along
    v = (cosine * y - sine * x) * across
    positions = torch.stack([cosine * u - sine * v, sine * u + cosine * v], -1)
    return spots._replace(positions=positions)


def shift_positions(
    spots: Spots, sigma: Strength, generator: torch.Generator | None = None
) -> Spots:
    """Return spots measured from a wrong centre.

    Parameters
    ----------
    spots
        Spots.
    sigma
        Standard deviation of each of the centre's coordinates in 1/Å.
        Each pattern gets a shift of its own.
    generator
        Source of randomness.
    """
    shift = _normal((len(spots.intensities), 1, 2), spots, generator)
    shift = shift * _column(sigma, spots)[..., None]
    return spots._replace(positions=spots.positions + shift)


def jitter_positions(
    spots: Spots, sigma: Strength, generator: torch.Generator | None = None
) -> Spots:
    """Return spots found at slightly wrong positions.

    Parameters
    ----------
    spots
        Spots.
    sigma
        Standard deviation of each coordinate in 1/Å.
    generator
        Source of randomness.
    """
    jitter = _normal(spots.positions.shape, spots, generator)
    jitter = jitter * _column(sigma, spots)[..., None]
    return spots._replace(positions=spots.positions + jitter)


# -----------------------------------------------------------------------------
# Intensities
# -----------------------------------------------------------------------------
def jitter_intensities(
    spots: Spots, sigma: Strength, generator: torch.Generator | None = None
) -> Spots:
    """Return spots with intensities that are off by random factors.

    Parameters
    ----------
    spots
        Spots.
    sigma
        Standard deviation of the natural logarithm of the intensities.
    generator
        Source of randomness.
    """
    logarithm = _normal(spots.intensities.shape, spots, generator)
    factor = torch.exp(logarithm * _column(sigma, spots))
    return spots._replace(intensities=spots.intensities * factor)


def damp_intensities(spots: Spots, b_factor: Strength) -> Spots:
    r"""Return spots weakened by thermal vibration.

    Intensities are multiplied with :math:`\exp(-B g^2 / 2)`, the square
    of the Debye-Waller factor of the amplitudes.

    Parameters
    ----------
    spots
        Spots.
    b_factor
        B in Å², the same for all atoms.
    """
    exponent = -0.5 * _column(b_factor, spots) * (spots.positions**2).sum(-1)
    return spots._replace(intensities=spots.intensities * exponent.exp())


def compress_intensities(spots: Spots, gamma: Strength) -> Spots:
    r"""Return spots with the flatter intensities of dynamical diffraction.

    Intensities relative to the strongest spot are raised to the power
    :math:`\gamma`. In thick crystals, intensities tend from the squared
    to the first power of the structure factors (:math:`\gamma = 1/2`,
    the two-beam limit) and below.

    Parameters
    ----------
    spots
        Spots.
    gamma
        Exponent.
    """
    strongest = spots.intensities.amax(-1, keepdim=True)
    relative = spots.relative_intensities() ** _column(gamma, spots)
    # 0 ** 0 is 1: an empty slot must stay empty with any exponent
    intensities = torch.where(spots.intensities > 0, relative * strongest, 0.0)
    return spots._replace(intensities=intensities)


def saturate_intensities(spots: Spots, level: Strength) -> Spots:
    """Return spots as a saturated detector shows them.

    Parameters
    ----------
    spots
        Spots.
    level
        Largest intensity shown, as a fraction of the strongest spot.
    """
    strongest = spots.intensities.amax(-1, keepdim=True)
    intensities = torch.minimum(spots.intensities, strongest * _column(level, spots))
    return spots._replace(intensities=intensities)


# -----------------------------------------------------------------------------
# Spots that are missed
# -----------------------------------------------------------------------------
def drop_weak(
    spots: Spots,
    decades: Strength,
    softness: Strength = 0.15,
    generator: torch.Generator | None = None,
) -> Spots:
    """Return the spots that are found within a limited dynamic range.

    The probability to find a spot rises from 0 to 1 around an intensity
    of 10**-decades of the pattern's strongest spot, as a logistic
    function of the logarithm. Counting noise around a threshold gives
    about that.

    Parameters
    ----------
    spots
        Spots.
    decades
        Dynamic range in powers of ten. Infinite if all is found.
    softness
        Width of the rise in powers of ten.
    generator
        Source of randomness.
    """
    strength = spots.relative_intensities().log10() + _column(decades, spots)
    uniform = _uniform(spots.intensities.shape, spots, generator)
    found = torch.logit(uniform, eps=1e-6) * _column(softness, spots) < strength
    # The strongest spot is the reference: a pattern never becomes empty
    found |= spots.intensities == spots.intensities.amax(-1, keepdim=True)
    return _kept(spots, found)


def drop_random(
    spots: Spots, fraction: Strength, generator: torch.Generator | None = None
) -> Spots:
    """Return spots of which some are missed, however strong they are.

    Parameters
    ----------
    spots
        Spots.
    fraction
        Probability to miss a spot.
    generator
        Source of randomness.
    """
    uniform = _uniform(spots.intensities.shape, spots, generator)
    return _kept(spots, uniform >= _column(fraction, spots))


def limit_radius(
    spots: Spots, inner: Strength = 0.0, outer: Strength = math.inf
) -> Spots:
    """Return the spots outside a beam stop and inside the detector.

    Parameters
    ----------
    spots
        Spots.
    inner
        Radius of the beam stop in 1/Å.
    outer
        Radius of the detector in 1/Å.
    """
    radius = spots.positions.norm(dim=-1)
    return _kept(
        spots, (radius >= _column(inner, spots)) & (radius <= _column(outer, spots))
    )


def hide_cross(spots: Spots, width: Strength, offset: Strength = 0.0) -> Spots:
    """Return the spots beside the gap between the tiles of a detector.

    Parameters
    ----------
    spots
        Spots.
    width
        Width of the horizontal and the vertical gap in 1/Å. Nothing is
        hidden by a gap of width 0.
    offset
        Distance of the gaps from the beam in 1/Å, along x and y.
    """
    width, offset = _column(width, spots), _column(offset, spots)
    distance = (spots.positions - offset[..., None]).abs().amin(-1)
    return _kept(spots, (distance >= width / 2) | (width <= 0))


# -----------------------------------------------------------------------------
# Spots that should not be there
# -----------------------------------------------------------------------------
def add_spurious(
    spots: Spots,
    count: int | Tensor,
    *,
    radius: Strength = 1.28,
    decades: Strength = 2.0,
    halo_fraction: float = 0.5,
    halo_radius: Strength = 0.35,
    halo_width: float = 0.08,
    generator: torch.Generator | None = None,
) -> Spots:
    """Return spots with false ones among them.

    Parameters
    ----------
    spots
        Spots.
    count
        Number of false spots, the same for all patterns or of shape
        (patterns,).
    radius
        Largest distance from the beam in 1/Å.
    decades
        False spots are weaker than the strongest true one by a factor
        whose logarithm is uniform between 0 and so many powers of ten.
    halo_fraction
        Fraction of the false spots that lie on a halo around the beam.
        The others lie anywhere.
    halo_radius
        Radius of the halo in 1/Å.
    halo_width
        Standard deviation of the halo's radius in 1/Å.
    generator
        Source of randomness.
    """
    n_patterns = len(spots.intensities)
    count = torch.as_tensor(count, device=spots.intensities.device).reshape(-1, 1)
    n_slots = int(count.max()) if count.numel() else 0
    if n_slots == 0:
        return spots
    shape = (n_patterns, n_slots)
    positions = _false_positions(
        shape, spots, radius, halo_fraction, halo_radius, halo_width, generator
    )
    strength = _uniform(shape, spots, generator) * _column(decades, spots)
    strongest = spots.intensities.amax(-1, keepdim=True)
    there = torch.arange(n_slots, device=count.device) < count
    inside = positions.norm(dim=-1) <= _column(radius, spots)
    intensities = torch.where(there & inside, strongest * 10**-strength, 0.0)
    return _joined(spots, Spots(positions, intensities))


def overlap(spots: Spots, other: Spots, fraction: Strength) -> Spots:
    """Return the spots of two grains on top of each other.

    Parameters
    ----------
    spots
        Spots of the first grain.
    other
        Spots of the second grain, of as many patterns.
    fraction
        Intensity of the strongest spot of the second grain, in units of
        the first grain's. Nothing is added with 0.
    """
    strongest = spots.intensities.amax(-1, keepdim=True)
    added = other.relative_intensities() * strongest * _column(fraction, spots)
    return _joined(spots, Spots(other.positions, added))


def double_diffraction(
    spots: Spots,
    strength: Strength,
    *,
    n_beams: int = 5,
    tolerance: float = 0.01,
    radius: Strength = math.inf,
) -> Spots:
    r"""Return spots with those of beams that are diffracted twice.

    A diffracted beam is itself diffracted: at
    :math:`\mathbf{g}_1 + \mathbf{g}_2` of two strong spots there is a
    spot of the intensity :math:`c I_1 I_2 / I_\mathrm{max}`, where a
    forbidden reflection may be. Where a reflection is there already,
    it is left alone. That the sum lies near the Ewald sphere too is
    taken for granted, as it is for spots of one Laue zone.

    Parameters
    ----------
    spots
        Spots.
    strength
        c, the probability of being diffracted twice relative to once.
    n_beams
        Number of strongest spots whose pairs are summed.
    tolerance
        Sums so close in 1/Å to a spot, or to the beam, add nothing.
    radius
        Largest distance of a sum from the beam in 1/Å.
    """
    n_beams = min(n_beams, spots.intensities.shape[-1])
    strength = _column(strength, spots).expand(len(spots.intensities), 1)
    rows = (strength[:, 0] > 0).nonzero()[:, 0]
    if len(rows) == 0 or n_beams == 0:
        return spots
    some = Spots(spots.positions[rows], spots.intensities[rows])
    strongest = some.strongest(n_beams)
    one, two = torch.triu_indices(n_beams, n_beams, device=rows.device)
    positions = strongest.positions[:, one] + strongest.positions[:, two]
    relative = strongest.relative_intensities()
    intensities = relative[:, one] * relative[:, two] * strength[rows]
    intensities = intensities * some.intensities.amax(-1, keepdim=True)
    distance = positions.norm(dim=-1)
    limit = _column(radius, spots).expand(len(spots.intensities), 1)[rows]
    new = (distance > tolerance) & (distance <= limit)
    new &= ~_near(positions, some, tolerance)
    # Several pairs may share one sum: the strongest of them stays
    shared = torch.cdist(positions, positions) <= tolerance
    weaker = intensities[:, :, None] < intensities[:, None, :]
    later = torch.ones_like(shared[0]).tril(-1)
    tie = (intensities[:, :, None] == intensities[:, None, :]) & later
    new &= ~(shared & (weaker | tie)).any(-1)
    n_patterns, n_sums = len(spots.intensities), len(one)
    added = Spots(
        spots.positions.new_zeros(n_patterns, n_sums, 2),
        spots.intensities.new_zeros(n_patterns, n_sums),
    )
    added.positions[rows] = positions
    added.intensities[rows] = torch.where(new, intensities, 0.0)
    return _joined(spots, added)


def amorphous_spots(
    n: int,
    n_slots: int = 96,
    *,
    mean_count: float = 8.0,
    radius: float = 1.28,
    halo_fraction: float = 0.7,
    halo_radius: tuple[float, float] = (0.2, 0.55),
    generator: torch.Generator | None = None,
) -> Spots:
    """Return what a spot finder makes of patterns without a crystal.

    Noise and speckle of the amorphous halo pass for a few spots of
    similar intensity. There may be none at all.

    Parameters
    ----------
    n
        Number of patterns.
    n_slots
        Number of slots.
    mean_count
        Mean number of spots. Numbers are distributed exponentially.
    radius
        Largest distance from the beam in 1/Å.
    halo_fraction
        Fraction of the spots on the halo.
    halo_radius
        Smallest and largest radius of the halo in 1/Å. The radius is one
        for all patterns, as they are of one material.
    generator
        Source of randomness.
    """
    device = torch.device("cpu") if generator is None else generator.device
    empty = Spots(
        torch.zeros(n, n_slots, 2, device=device),
        torch.zeros(n, n_slots, device=device),
    )
    low, high = halo_radius
    halo = low + (high - low) * float(_uniform((1,), empty, generator))
    positions = _false_positions(
        (n, n_slots), empty, radius, halo_fraction, halo, 0.06, generator
    )
    count = -mean_count * torch.log1p(-_uniform((n, 1), empty, generator))
    there = torch.arange(n_slots, device=device) < count.floor()
    there &= positions.norm(dim=-1) <= radius
    intensities = torch.exp(0.5 * _normal((n, n_slots), empty, generator))
    return Spots(positions, torch.where(there, intensities, 0.0))


# -----------------------------------------------------------------------------
# Common parts
# -----------------------------------------------------------------------------
def _column(value: Strength | int, spots: Spots) -> Tensor:
    """Return a strength that broadcasts over (patterns, slots)."""
    intensities = spots.intensities
    value = torch.as_tensor(value, dtype=intensities.dtype, device=intensities.device)
    return value.reshape(-1, 1)


def _uniform(shape, spots: Spots, generator: torch.Generator | None) -> Tensor:
    device = spots.intensities.device if generator is None else generator.device
    return torch.rand(shape, generator=generator, device=device).to(spots.intensities)


def _normal(shape, spots: Spots, generator: torch.Generator | None) -> Tensor:
    device = spots.intensities.device if generator is None else generator.device
    return torch.randn(shape, generator=generator, device=device).to(spots.intensities)


def _kept(spots: Spots, keep: Tensor) -> Spots:
    return spots._replace(intensities=torch.where(keep, spots.intensities, 0.0))


def _joined(spots: Spots, added: Spots) -> Spots:
    return Spots(
        torch.cat([spots.positions, added.positions], 1),
        torch.cat([spots.intensities, added.intensities], 1),
    )


def _near(positions: Tensor, spots: Spots, tolerance: float) -> Tensor:
    """Return which positions (n, m, 2) have a spot within a distance."""
    # Empty slots are put where nothing is
    there = torch.where((spots.intensities > 0)[..., None], spots.positions, 1e3)
    distance_squared = (
        (positions**2).sum(-1)[:, :, None]
        + (there**2).sum(-1)[:, None, :]
        - 2 * positions @ there.mT
    )
    return distance_squared.amin(-1) <= tolerance**2


def _false_positions(
    shape: tuple[int, int],
    spots: Spots,
    radius: Strength,
    halo_fraction: float,
    halo_radius: Strength,
    halo_width: float,
    generator: torch.Generator | None,
) -> Tensor:
    """Return positions spread evenly over a disc or over a halo."""
    uniform = _uniform((3, *shape), spots, generator)
    halo = halo_width * _normal(shape, spots, generator) + _column(halo_radius, spots)
    on_halo = uniform[0] < halo_fraction
    distance = torch.where(
        on_halo, halo.abs(), uniform[1].sqrt() * _column(radius, spots)
    )
    azimuth = 2 * math.pi * uniform[2]
    return torch.stack([azimuth.cos(), azimuth.sin()], -1) * distance[..., None]
