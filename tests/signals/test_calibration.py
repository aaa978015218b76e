# SPDX-License-Identifier: GPL-3.0-or-later
"""Axes, units, centre and beam energy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyxem.signals import Diffraction2D, ElectronDiffraction2D

from pyxem_symnet.signals.calibration import (
    CalibrationError,
    read_beam_energy,
    read_detector,
    read_ellipticity,
    reciprocal_unit,
    wavelength,
)
from tests.signals import scans


def signal(scale=0.02, units="1/Å", shape=(64, 48), offset=0.0):
    s = Diffraction2D(np.zeros(shape))
    for axis in s.axes_manager.signal_axes:
        axis.scale, axis.units, axis.offset = scale, units, offset
    return s


@pytest.mark.parametrize(
    "units",
    # fmt: off
    [
        "1/Å",
        "1/A",
        "1 / Å",
        "A^-1",
        "Å^-1",
        "Å⁻¹",
        "A-1",
        "Å**-1",
        "$A^{-1}$",
        r"$\AA^{-1}$",
        r"$\mathring{A}^{-1}$",
        "1/Angstrom",
        "angstrom^-1",
        "k_A^-1",
        "1/\u212b",
        "1/A\u030a",
        "Å\u22121",
        "(1/Å)",
        "1/ångström",
    ],
    # fmt: on
)
def test_spellings_of_reciprocal_angstrom(units):
    assert reciprocal_unit(units) == 1


@pytest.mark.parametrize(
    "units", ["1/nm", "nm^-1", "nm-1", "nm⁻¹", "$nm^{-1}$", "nm$^{-1}$", "k_nm^-1"]
)
def test_spellings_of_reciprocal_nanometre(units):
    assert reciprocal_unit(units) == pytest.approx(0.1)
    assert read_detector(signal(0.2, units)).pixel_size == pytest.approx((0.02, 0.02))


@pytest.mark.parametrize(
    "units", ["px", "", None, "<undefined>", "nm", "Å", "s", "1/s"]
)
def test_what_is_no_reciprocal_length(units):
    assert reciprocal_unit(units) is None


@pytest.mark.parametrize("units", ["px", "<undefined>", "pixels"])
def test_pixels_are_not_guessed_from(units):
    with pytest.raises(CalibrationError, match=r"not calibrated.*calibration\(scale="):
        read_detector(signal(1, units))


def test_the_line_in_the_message_repairs_it():
    s = ElectronDiffraction2D(np.zeros((64, 64)))
    with pytest.raises(CalibrationError, match="not calibrated") as error:
        read_detector(s)
    line = str(error.value).split("`")[1]
    eval(line, {"signal": s})
    assert read_detector(s).pixel_size == (0.01, 0.01)
    assert read_detector(s).centre is None


@pytest.mark.parametrize("units", ["1/Å", "1/nm", "mrad"])
def test_what_pyxem_writes_is_read(units):
    s = ElectronDiffraction2D(np.zeros((128, 128)))
    s.calibration(scale=0.02, units=r"$\AA^{-1}$", center=(60, 70), beam_energy=200)
    target = {"1/Å": "A^-1", "1/nm": "nm^-1", "mrad": "mrad"}[units]
    s.calibration.convert_signal_units(target)
    calibration = read_detector(s, beam_energy=200)
    assert calibration.pixel_size == pytest.approx((0.02, 0.02), rel=1e-3)
    assert calibration.centre == pytest.approx((60, 70), abs=1e-6)


def test_milliradians_need_the_energy():
    with pytest.raises(CalibrationError, match="beam_energy=200"):
        read_detector(signal(0.5, "mrad"))
    size = read_detector(signal(0.5, "mrad"), beam_energy=200).pixel_size[0]
    assert size == pytest.approx(0.5e-3 / 0.02508, rel=1e-3)


def test_other_units_are_named():
    with pytest.raises(CalibrationError, match="'kx' is in 'eV'"):
        s = signal(0.1, "eV")
        s.axes_manager.signal_axes[0].name = "kx"
        read_detector(s)


class TestCentre:
    def test_default_offset_is_no_centre(self):
        assert read_detector(signal()).centre is None
        assert read_detector(signal(offset=-0.0)).centre is None

    @given(x=st.floats(0.1, 46), y=st.floats(0.1, 62), scale=st.floats(0.005, 0.1))
    def test_offsets(self, x, y, scale):
        s = signal(scale)
        for axis, c in zip(s.axes_manager.signal_axes, (x, y), strict=True):
            axis.offset = -c * scale
        assert read_detector(s).centre == pytest.approx((x, y))
        assert read_detector(s, centre="auto").centre is None
        assert read_detector(s, centre=(3, 4)).centre == (3, 4)

    def test_offset_outside_the_detector(self):
        assert read_detector(signal(offset=5.0)).centre is None

    def test_offset_in_pixels_with_a_pixel_size(self):
        calibration = read_detector(signal(1, "px", offset=-20.0), pixel_size=0.02)
        assert calibration.centre == (20, 20)
        assert calibration.pixel_size == (0.02, 0.02)


def test_pixels_that_are_not_square():
    import torch

    s = signal()
    s.axes_manager.signal_axes[0].scale = 0.03
    calibration = read_detector(s, centre=(10, 12))
    assert calibration.pixel_size == (0.03, 0.02)
    geometry = calibration.to_geometry()
    positions = torch.tensor([[[11.0, 12.0], [10.0, 14.0]]])
    reciprocal = geometry.to_reciprocal(positions, torch.tensor([[10.0, 12.0]]))
    expected = [[[0.03, 0.0], [0.0, 0.04]]]
    np.testing.assert_allclose(reciprocal, expected, atol=1e-7)


@pytest.mark.parametrize("scale", [0.0, np.nan, np.inf])
def test_impossible_scales(scale):
    s = signal()
    s.axes_manager.signal_axes[1].scale = scale
    with pytest.raises(CalibrationError, match="positive|reach"):
        read_detector(s)


class TestEllipticity:
    @pytest.mark.parametrize("asked", [None, "auto"])
    def test_not_given(self, asked):
        assert read_ellipticity(asked) == asked

    def test_given(self):
        assert read_ellipticity([1.03, -20]) == (1.03, -20.0)

    @pytest.mark.parametrize(
        "wrong",
        ["round", 1.03, (1.03,), (1.03, np.nan), (1.03, "x"), np.ones(3)],
    )
    def test_of_another_kind(self, wrong):
        with pytest.raises(CalibrationError, match="must be .ratio of the axes, angle"):
            read_ellipticity(wrong)

    @pytest.mark.parametrize("ratio", [0.0, -1.03, 20.0])
    def test_impossible_ratio(self, ratio):
        with pytest.raises(CalibrationError, match="is the ratio of the axes"):
            read_ellipticity((ratio, 1.03))


def test_metadata_are_plain():
    plain = read_detector(signal(offset=-0.4)).to_metadata()
    assert plain["pixel_size"] == [0.02, 0.02]
    assert plain["centre"] == pytest.approx([20, 20])
    assert read_detector(signal()).to_metadata()["centre"] == "found in each pattern"


class TestBeamEnergy:
    def test_unknown(self):
        assert read_beam_energy(signal()) is None

    @pytest.mark.parametrize("energy", [30, 80, 200, 300, 1250])
    def test_from_the_wavelength(self, energy):
        s = signal()
        key = "Acquisition_instrument.TEM.wavelength"
        s.metadata.set_item(key, wavelength(energy))
        assert read_beam_energy(s) == pytest.approx(energy)

    def test_wavelength_is_that_of_the_textbooks(self):
        # Williams and Carter, Transmission Electron Microscopy, table 1.2
        assert wavelength(100) == pytest.approx(0.0370, abs=5e-5)
        assert wavelength(200) == pytest.approx(0.0251, abs=5e-5)
        assert wavelength(300) == pytest.approx(0.0197, abs=5e-5)

    def test_argument_comes_first(self):
        s = signal()
        s.metadata.set_item("Acquisition_instrument.TEM.beam_energy", 80)
        assert read_beam_energy(s) == 80
        assert read_beam_energy(s, 200) == 200

    @pytest.mark.parametrize("energy", [0, 29, 1501, 200e3, np.nan, "200", True])
    def test_impossible(self, energy):
        with pytest.raises(CalibrationError, match="must be in kV"):
            read_beam_energy(signal(), energy)


def test_scans_of_the_tests_are_calibrated():
    assert read_detector(scans.scan()).pixel_size == (scans.PIXEL_SIZE,) * 2
