# SPDX-License-Identifier: GPL-3.0-or-later
"""How a crystal's reflections become the spots of its patterns.

A :class:`Protocol` holds the settings of the microscope and every imperfection,
as numbers or ranges, and draws patterns with them. The frozen ones that have a
name are in :mod:`~pyxem_symnet.simulation.protocols`.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import torch
from torch import Tensor

from pyxem_symnet.descriptors.spots import Spots
from pyxem_symnet.simulation import spot_defects as defects
from pyxem_symnet.simulation.rotations import random_rotations
from pyxem_symnet.simulation.sampler import Reflections, sample_patterns

#: Lowest and highest value. Values are drawn evenly between them.
Range = tuple[float, float]

_NONE: Range = (0.0, 0.0)
_ONE: Range = (1.0, 1.0)
_INFINITE: Range = (float("inf"), float("inf"))

#: How far from the Ewald sphere a slab's reflections are followed, in 1/Å
_SLAB_REACH = 0.05

#: Largest spot positions that geometric defects bring inside the radius
_MARGIN = 1.05


@dataclasses.dataclass(frozen=True)
class Protocol:
    """How the patterns of a crystal are drawn.

    Values in the first two groups are drawn once for all patterns of a
    call, which are those of one crystal in one experiment. Values in
    the last group are drawn for each pattern.

    Parameters
    ----------
    name
        Name and version, such as ``"noisy-1"``.
    max_spots
        Strongest spots kept of each pattern.
    shape_factor
        Shape factor, see
        :func:`~pyxem_symnet.simulation.sampler.sample_patterns`.
    beam_energy
        Beam energy in kV.
    excitation_error
        Largest excitation error, and width of the shape factor, in 1/Å.
    precession_probability
        Probability that the beam is precessed.
    precession_angle
        Precession angle in degrees where it is.
    slab_probability
        Probability that an experiment without precession is on a slab of
        even thickness: its rocking curve then takes the place of the
        shape factor.
    thickness
        Thickness of the slab in Å, drawn log-uniformly.
    reciprocal_radius
        Radius of the detector in 1/Å.
    inner_radius
        Radius around the beam in which no spot is seen, in 1/Å.
    scale
        Factor on all distances.
    ellipticity
        Ratio of axes of the ellipse a ring becomes. Its angle is random.
    b_factor
        Debye-Waller factor B in Å².
    position_jitter
        Standard deviation of spot coordinates in 1/Å.
    centre_shift
        Standard deviation of each pattern's centre in 1/Å.
    intensity_jitter
        Standard deviation of the logarithm of intensities.
    cross_probability
        Probability that the detector has a gap in the shape of a cross.
    cross_width
        Width of the gap in 1/Å.
    cross_offset
        Distance of the gap from the beam along x and y in 1/Å.
    saturation_probability
        Probability that the detector saturates.
    saturation
        Largest intensity in units of the strongest spot where it does.
    gamma
        Exponent of dynamical flattening of intensities.
    decades
        Dynamic range in which spots are found, in powers of ten.
    missed
        Probability that any spot is missed.
    spurious
        Number of false spots.
    overlap_probability
        Probability that a second grain of the same crystal overlaps.
    overlap
        Intensity of the second grain in units of the first.
    double_probability
        Probability of double diffraction.
    double_strength
        Strength of double diffraction where it happens.
    """

    name: str
    max_spots: int = 96
    shape_factor: str = "lorentzian"
    beam_energy: Range = (200.0, 200.0)
    excitation_error: Range = (0.02, 0.02)
    precession_probability: float = 0.0
    precession_angle: Range = _NONE
    slab_probability: float = 0.0
    thickness: Range = _NONE
    reciprocal_radius: Range = (1.28, 1.28)

    inner_radius: Range = _NONE
    scale: Range = _ONE
    ellipticity: Range = _ONE
    b_factor: Range = _NONE
    position_jitter: Range = _NONE
    centre_shift: Range = _NONE
    intensity_jitter: Range = _NONE
    cross_probability: float = 0.0
    cross_width: Range = _NONE
    cross_offset: Range = _NONE
    saturation_probability: float = 0.0
    saturation: Range = _ONE

    gamma: Range = _ONE
    decades: Range = _INFINITE
    missed: Range = _NONE
    spurious: tuple[int, int] = (0, 0)
    overlap_probability: float = 0.0
    overlap: Range = _NONE
    double_probability: float = 0.0
    double_strength: Range = _NONE

    def draw(
        self,
        reflections: Reflections,
        rotations: Tensor,
        generator: torch.Generator | None = None,
    ) -> Spots:
        """Return patterns of one crystal in one experiment.

        Parameters
        ----------
        reflections
            Reflections of the crystal.
        rotations
            Crystal-to-laboratory matrices of shape (patterns, 3, 3), see
            :mod:`~pyxem_symnet.simulation.rotations`.
        generator
            Source of randomness. Torch's own if not given.

        Returns
        -------
        spots
            At most `max_spots` spots a pattern, strongest first.
        """
        draw = _Draw(generator, rotations)
        spots, other = self._sample(reflections, rotations, draw)
        return self._disturb(spots, other, draw).strongest(self.max_spots)

    def _sample(
        self, reflections: Reflections, rotations: Tensor, draw: _Draw
    ) -> tuple[Spots, Spots | None]:
        """Return perfect patterns, and those of second grains that overlap."""
        precessed = draw.happens(self.precession_probability)
        settings = {
            "beam_energy": draw.number(self.beam_energy),
            "max_excitation_error": draw.number(self.excitation_error),
            "precession_angle": draw.number(self.precession_angle) * precessed,
            "shape_factor": self.shape_factor,
        }
        if not precessed and draw.happens(self.slab_probability):
            low, high = (math.log(value) for value in self.thickness)
            thickness = math.exp(draw.number((low, high)))
            # The fifth zero of a slab's squared sinc
            settings |= {
                "shape_factor": "sin2c",
                "shape_factor_width": 5 / thickness,
                "max_excitation_error": _SLAB_REACH,
            }
        draw.radius = draw.number(self.reciprocal_radius)
        # Distortion may bring in what lies outside
        margin = 1.0 if self.scale == self.ellipticity == _ONE else _MARGIN
        settings["reciprocal_radius"] = draw.radius * margin
        grains = rotations
        second = None
        if self.overlap_probability > 0:
            second = draw.each_happens(self.overlap_probability)
            grains = torch.cat([rotations, draw.rotations(int(second.sum()))])
        spots = sample_patterns(reflections, grains, **settings)
        # Gamma and damping may change the order of spots, but not by that much
        spots = spots.strongest(2 * self.max_spots)
        if second is None:
            return spots, None
        first = Spots(*(tensor[: len(rotations)] for tensor in spots))
        other = Spots(*(torch.zeros_like(tensor) for tensor in first))
        other.positions[second] = spots.positions[len(rotations) :]
        other.intensities[second] = spots.intensities[len(rotations) :]
        return first, other

    def _disturb(self, spots: Spots, other: Spots | None, draw: _Draw) -> Spots:
        """Return patterns with all imperfections, in the order they arise."""
        generator, radius = draw.generator, draw.radius
        # The crystal
        gamma, b_factor = draw.each(self.gamma), draw.number(self.b_factor)
        if self.double_probability > 0:
            strength = draw.each(self.double_strength)
            strength = strength * draw.each_happens(self.double_probability)
        else:
            strength = 0.0

        def grain(spots: Spots) -> Spots:
            spots = defects.damp_intensities(spots, b_factor)
            spots = defects.double_diffraction(spots, strength, radius=radius)
            return defects.compress_intensities(spots, gamma)

        spots = grain(spots)
        if other is not None:
            spots = defects.overlap(spots, grain(other), draw.each(self.overlap))
        # The detector
        if draw.happens(self.saturation_probability):
            level = draw.number(self.saturation)
            spots = defects.saturate_intensities(spots, level)
        if draw.happens(self.cross_probability):
            spots = defects.hide_cross(
                spots, draw.number(self.cross_width), draw.number(self.cross_offset)
            )
        # The spot finder
        decades = draw.each(self.decades)
        if self.decades != _INFINITE:
            spots = defects.drop_weak(spots, decades, generator=generator)
        if self.missed != _NONE:
            missed = draw.each(self.missed)
            spots = defects.drop_random(spots, missed, generator)
        if self.intensity_jitter != _NONE:
            sigma = draw.number(self.intensity_jitter)
            spots = defects.jitter_intensities(spots, sigma, generator)
        if self.position_jitter != _NONE:
            sigma = draw.number(self.position_jitter)
            spots = defects.jitter_positions(spots, sigma, generator)
        if self.spurious[1] > 0:
            spots = defects.add_spurious(
                spots,
                draw.each_count(self.spurious),
                radius=radius,
                decades=decades,
                generator=generator,
            )
        # The calibration
        if self.centre_shift != _NONE:
            sigma = draw.number(self.centre_shift)
            spots = defects.shift_positions(spots, sigma, generator)
        if self.ellipticity != _ONE:
            angle = draw.number((0.0, 180.0))
            ratio = draw.number(self.ellipticity)
            spots = defects.stretch_positions(spots, ratio, angle)
        if self.scale != _ONE:
            spots = defects.scale_positions(spots, draw.number(self.scale))
        return defects.limit_radius(spots, draw.number(self.inner_radius), radius)

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as a dictionary that JSON can hold.

        Infinite values are written as the string ``"inf"``.
        """
        return {
            field.name: _plain(getattr(self, field.name))
            for field in dataclasses.fields(self)
        }

    @classmethod
    def from_dict(cls, settings: dict[str, Any]) -> Protocol:
        """Return the protocol that `to_dict` described.

        Parameters
        ----------
        settings
            Names and values of all settings.
        """
        return cls(
            **{
                name: tuple(float(x) if x == "inf" else x for x in value)
                if isinstance(value, (list, tuple))
                else value
                for name, value in settings.items()
            }
        )


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return ["inf" if x == float("inf") else x for x in value]
    return value


class _Draw:
    """Random numbers of one call, per experiment and per pattern."""

    def __init__(self, generator: torch.Generator | None, rotations: Tensor) -> None:
        self.generator = generator
        self.radius = 0.0
        self._n = len(rotations)
        self._like = rotations

    def _uniform(self, n: int) -> Tensor:
        device = None if self.generator is None else self.generator.device
        uniform = torch.rand(n, generator=self.generator, device=device)
        return uniform.to(self._like)

    def number(self, range_: Range) -> float:
        low, high = range_
        return low if low == high else low + (high - low) * float(self._uniform(1))

    def happens(self, probability: float) -> bool:
        return probability > 0 and float(self._uniform(1)) < probability

    def each(self, range_: Range) -> Tensor:
        low, high = range_
        if low == high:
            return self._like.new_full((self._n,), low)
        return low + (high - low) * self._uniform(self._n)

    def each_happens(self, probability: float) -> Tensor:
        return self._uniform(self._n) < probability

    def each_count(self, range_: tuple[int, int]) -> Tensor:
        low, high = range_
        return (low + (high + 1 - low) * self._uniform(self._n)).floor().long()

    def rotations(self, n: int) -> Tensor:
        return random_rotations(n, self.generator).to(self._like)
