# SPDX-License-Identifier: GPL-3.0-or-later
"""From the axes and metadata of a signal to reciprocal space."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from numbers import Real

#: Energies of electron microscopes in kV
BEAM_ENERGIES = (30.0, 1500.0)

# How far a pattern may reach from its middle to its nearest edge in 1/Å.
# Outside, the units are wrong: no lens system is between the two.
_REACHES = (0.05, 30.0)
# Ratio of the axes of an ellipse beyond which something else was given
_RATIOS = (0.5, 2.0)
_PLANCK_TIMES_C = 12.39841984  # keV Å
_REST_ENERGY = 510.99895  # keV
_TEM = "Acquisition_instrument.TEM"

# A unit of length without markup, lower case -> 1/Å in one of its reciprocals
_LENGTHS = {"nm": 0.1, "pm": 100.0, "a": 1.0, "aa": 1.0, "å": 1.0}
_LENGTHS |= dict.fromkeys(("ang", "angstrom", "ångström", "angstroms", "ångstrom"), 1.0)
_RECIPROCAL = re.compile(
    r"1/([a-zåö]+)|k?([a-zåö]+)(?:\^|\*\*)?-1|reciprocal([a-zåö]+)"
)
_ADVICE = (
    "Calibrate the signal first: `signal.calibration(scale=0.01, units='1/Å')` with "
    "the reciprocal size of your detector pixel in 1/Å, or give pixel_size=0.01 to "
    "this call."
)


class CalibrationError(ValueError):
    """A signal's scale, centre or beam energy is missing or impossible."""


@dataclass(frozen=True)
class DetectorCalibration:
    """How a signal's patterns lie on the detector.

    Parameters
    ----------
    pixel_size
        Reciprocal size (x, y) of a detector pixel in 1/Å.
    centre
        Direct beam (x, y) in pixels; the centre of the first pixel is
        (0, 0). None if it has to be found in each pattern.
    """

    pixel_size: tuple[float, float]
    centre: tuple[float, float] | None

    def to_geometry(self):
        """Return it as descriptors need it.

        Returns
        -------
        PatternGeometry
            Pixels that are not square are an ellipse along the axes.
        """
        from pyxem_symnet.descriptors.geometry import PatternGeometry

        x, y = self.pixel_size
        # An equality up to what text files do to numbers
        ellipticity = None if math.isclose(x, y, rel_tol=1e-6) else (y / x, 0.0)
        return PatternGeometry(y, self.centre, ellipticity)

    def to_metadata(self) -> dict:
        """Return it as plain values."""
        plain = asdict(self)
        plain["pixel_size"] = list(self.pixel_size)
        plain["centre"] = (
            "found in each pattern" if self.centre is None else list(self.centre)
        )
        plain["units"] = "1/Å"
        return plain


def reciprocal_unit(units: object) -> float | None:
    """Return what a unit is in 1/Å.

    Parameters
    ----------
    units
        Units as they are found on an axis: ``1/Å``, ``A^-1``,
        ``$A^{-1}$``, ``nm⁻¹`` and so on.

    Returns
    -------
    factor
        1/Å in a unit, None if it is no reciprocal length.
    """
    text = str(units).strip().lower().replace("\u212b", "å").replace("a\u030a", "å")
    text = text.replace("⁻¹", "^-1").replace("\u2212", "-").replace("−", "-")
    text = re.sub(r"\\(mathring|mathrm|text|rm|mathregular)\b", "", text)
    text = re.sub(r"[\\${}\s_()]", "", text)
    match = _RECIPROCAL.fullmatch(text)
    if match is None:
        return None
    length = next(group for group in match.groups() if group is not None)
    return _LENGTHS.get(length)


def read_detector(
    signal,
    pixel_size: float | Sequence[float] | None = None,
    centre: str | Sequence[float] | None = None,
    beam_energy: float | None = None,
) -> DetectorCalibration:
    """Return the calibration of a signal of patterns.

    Parameters
    ----------
    signal
        Signal with two signal axes.
    pixel_size
        Reciprocal size of a pixel in 1/Å, one number or (x, y), that
        replaces the axes' scales.
    centre
        Direct beam (x, y) in pixels; "auto" to find it in each pattern.
        With None it is where the axes are zero, if that is inside the
        detector, else it is found.
    beam_energy
        Beam energy in kV, for axes in mrad.

    Raises
    ------
    CalibrationError
        If the axes have no scale in reciprocal lengths, or a value is
        impossible.
    """
    axes = signal.axes_manager.signal_axes
    if not all(axis.is_uniform for axis in axes):
        raise CalibrationError(
            "The signal axes are not uniform. Interpolate the patterns first: "
            "`signal.interpolate_on_axis()`."
        )
    if pixel_size is None:
        factors = [_axis_factor(axis, beam_energy) for axis in axes]
        sizes = [abs(axis.scale) * f for axis, f in zip(axes, factors, strict=True)]
    else:
        sizes = _pair(pixel_size, "pixel_size", "one number, or (x, y), in 1/Å")
    if not all(math.isfinite(size) and size > 0 for size in sizes):
        raise CalibrationError(
            f"The reciprocal pixel size {tuple(sizes)} must be positive. {_ADVICE}"
        )
    reach = min(size * axis.size / 2 for size, axis in zip(sizes, axes, strict=True))
    if not _REACHES[0] <= reach <= _REACHES[1]:
        raise CalibrationError(
            f"With a pixel size of {sizes[0]:g} 1/Å the patterns reach {reach:g} 1/Å "
            f"from their middle, which no diffraction pattern does (from "
            f"{_REACHES[0]:g} to {_REACHES[1]:g}). Check the units. {_ADVICE}"
        )
    return DetectorCalibration(tuple(sizes), _read_centre(axes, centre))


def read_beam_energy(signal, beam_energy: float | None = None) -> float | None:
    """Return the beam energy in kV, None if it is not known.

    It is taken from the metadata, where pyxem leaves either the energy
    or the wavelength.

    Parameters
    ----------
    signal
        Any signal.
    beam_energy
        Value that replaces the metadata's.

    Raises
    ------
    CalibrationError
        If it is not that of an electron microscope.
    """
    energy, source = beam_energy, "beam_energy"
    if energy is None:
        energy = _number(signal.metadata.get_item(f"{_TEM}.beam_energy"))
        source = "the beam energy in the metadata"
    if energy is None:
        wavelength = _number(signal.metadata.get_item(f"{_TEM}.wavelength"))
        source = "the beam energy that follows from the wavelength in the metadata"
        if wavelength is not None and wavelength > 0:
            momentum = _PLANCK_TIMES_C / wavelength
            # Rounded to 1 meV: the difference has lost some digits
            energy = round(math.hypot(momentum, _REST_ENERGY) - _REST_ENERGY, 6)
    if energy is None:
        return None
    if not _is_number(energy) or not BEAM_ENERGIES[0] <= energy <= BEAM_ENERGIES[1]:
        raise CalibrationError(
            f"{source} is {energy!r}, but must be in kV, from {BEAM_ENERGIES[0]:g} to "
            f"{BEAM_ENERGIES[1]:g}, for example beam_energy=200."
        )
    return float(energy)


def read_ellipticity(
    ellipticity: str | Sequence[float] | None,
) -> str | tuple[float, float] | None:
    """Return an elliptical distortion that was given.

    Parameters
    ----------
    ellipticity
        (ratio, angle), "auto" or None.

    Returns
    -------
    ellipticity
        Ratio of the axes and angle in degrees; or "auto", or None.

    Raises
    ------
    CalibrationError
        If it is none of these, or no camera distorts as much.
    """
    expected = "(ratio of the axes, angle of the first in degrees), 'auto' or None"
    if ellipticity is None or (isinstance(ellipticity, str) and ellipticity == "auto"):
        return ellipticity
    ratio, angle = _pair(ellipticity, "ellipticity", expected)
    smallest, largest = _RATIOS
    if not smallest <= ratio <= largest:
        raise CalibrationError(
            f"The first number of ellipticity is the ratio of the axes, {smallest:g} "
            f"to {largest:g}, not {ratio:g}. Give {expected}."
        )
    return ratio, angle


def read_vectors(
    signal,
    pixel_size: float | Sequence[float] | None = None,
    centre: str | Sequence[float] | None = None,
    ellipticity: str | tuple[float, float] | None = None,
):
    """Return how to read a signal of diffraction vectors.

    Parameters
    ----------
    signal
        pyxem's ragged DiffractionVectors.
    pixel_size
        Size in 1/Å of the columns' unit, for vectors in pixels.
    centre
        Direct beam (x, y) in pixels, for vectors in pixels.
    ellipticity
        What :func:`read_ellipticity` returned. It is not measured.

    Returns
    -------
    VectorGeometry
        For :mod:`pyxem_symnet.inference`.

    Raises
    ------
    CalibrationError
        If the columns' units are no reciprocal lengths.
    """
    from pyxem_symnet.inference.plan import VectorGeometry

    # Read from the metadata: the properties compute a lazy signal's first pattern
    names = list(signal.metadata.get_item("VectorMetadata.column_names") or [])
    units = list(signal.metadata.get_item("VectorMetadata.units") or [])
    if pixel_size is None:
        factors = [reciprocal_unit(unit) for unit in units[:2]]
        if len(factors) < 2 or None in factors:
            raise CalibrationError(
                f"The diffraction vectors have the units {units[:2]}, which are no "
                "reciprocal lengths. Calibrate the patterns before finding vectors, "
                "or give pixel_size=0.01, the 1/Å in a pixel, to this call."
            )
        if centre is not None:
            raise CalibrationError(
                "centre is in pixels, but the diffraction vectors are calibrated: "
                "they start at the direct beam. Leave centre out."
            )
        scale = tuple(factors)
    else:
        x, y = _pair(pixel_size, "pixel_size", "one number, or (x, y), in 1/Å")
        if not all(math.isfinite(size) and size > 0 for size in (x, y)):
            raise CalibrationError(f"pixel_size must be positive, not {(x, y)}.")
        scale = (y, x)
    if isinstance(centre, str):
        raise CalibrationError(
            "The centre cannot be found in diffraction vectors: give it as (x, y) in "
            "pixels, or leave it out if they start at the direct beam."
        )
    x, y = (0.0, 0.0) if centre is None else _pair(centre, "centre", "(x, y) in pixels")
    # pyxem appends the intensity as the third column, at times without a name
    column = names.index("intensity") if "intensity" in names else None
    if column is None and (len(names) or signal.num_columns) == 3:
        column = 2
    given = None if isinstance(ellipticity, str) else ellipticity
    return VectorGeometry(scale, (y, x), column, given)


def _axis_factor(axis, beam_energy: float | None) -> float:
    factor = reciprocal_unit(axis.units)
    if factor is not None:
        return factor
    if str(axis.units).strip().lower() == "mrad":
        if beam_energy is None:
            raise CalibrationError(
                "The signal axes are in mrad: give beam_energy=200 (kV) to this call, "
                "or set `signal.beam_energy = 200`, to turn them into 1/Å."
            )
        return 1e-3 / wavelength(beam_energy)
    known = "not calibrated" if _is_pixels(axis.units) else f"in {axis.units!r}"
    raise CalibrationError(
        f"The signal axis {str(axis.name)!r} is {known}; lengths and angles in "
        f"reciprocal space are what symmetry is read from. {_ADVICE}"
    )


def wavelength(beam_energy: float) -> float:
    """Return the relativistic wavelength of electrons in Å.

    Parameters
    ----------
    beam_energy
        In kV.
    """
    return _PLANCK_TIMES_C / math.sqrt(beam_energy * (beam_energy + 2 * _REST_ENERGY))


def _is_pixels(units: object) -> bool:
    return str(units).strip().lower() in {
        "",
        "none",
        "<undefined>",
        "px",
        "pixel",
        "pixels",
    }


def _read_centre(axes, centre) -> tuple[float, float] | None:
    if centre is None:
        centre = [-axis.offset / axis.scale for axis in axes]
        # An offset of nought is HyperSpy's default, not a beam in the corner
        inside = [0 < c < axis.size - 1 for c, axis in zip(centre, axes, strict=True)]
        return tuple(centre) if all(inside) else None
    if isinstance(centre, str):
        if centre != "auto":
            raise CalibrationError(
                f"centre must be 'auto' or (x, y) in pixels, not {centre!r}."
            )
        return None
    centre = _pair(centre, "centre", "'auto' or (x, y) in pixels")
    inside = [
        -0.5 <= c <= axis.size - 0.5 for c, axis in zip(centre, axes, strict=True)
    ]
    if not all(inside):
        raise CalibrationError(
            f"The centre {centre} lies outside the detector of "
            f"{axes[0].size} x {axes[1].size} pixels."
        )
    return centre


def _pair(value, name: str, expected: str) -> tuple[float, float]:
    values = (value, value) if _is_number(value) and name == "pixel_size" else value
    try:
        pair = tuple(values)
    except TypeError:
        pair = ()
    if len(pair) != 2 or not all(_is_number(v) and math.isfinite(v) for v in pair):
        raise CalibrationError(f"{name} must be {expected}, not {value!r}.")
    return float(pair[0]), float(pair[1])


def _number(value) -> float | None:
    """Return a value of the metadata, which may be a pint quantity."""
    return getattr(value, "magnitude", value)


def _is_number(value) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)
