# SPDX-License-Identifier: GPL-3.0-or-later
"""Input like none of the training is said to be so."""

import warnings

import pytest

from pyxem_symnet import classify_space_group
from pyxem_symnet.models import save_checkpoint
from pyxem_symnet.models.viewset import ViewSetMSDN
from pyxem_symnet.signals.calibration import DetectorCalibration
from pyxem_symnet.signals.domain import warn_outside

from .scans import scan, vectors

RANGE = {"beam_energy": [60.0, 300.0], "reciprocal_radius": [0.6, 1.28]}
SMALL = {"blocks": [1], "growth": 4, "bottleneck": 4, "stem_channels": 4}


def said(pixel_size=0.01, detector=(256, 256), beam_energy=200.0, trained=RANGE):
    calibration = DetectorCalibration((pixel_size, pixel_size), None)
    return warn_outside(trained, [calibration], [detector], beam_energy)


@pytest.mark.parametrize("beam_energy", [None, 60.0, 80, 300, 302])
def test_what_was_trained_on_is_not_warned_of(beam_energy):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert said(beam_energy=beam_energy) == []
        # Farther than trained: the rest is not read
        assert said(pixel_size=0.05) == []
        assert said(beam_energy=30, pixel_size=0.0001, trained=None) == []


@pytest.mark.parametrize("beam_energy", [30.0, 1000.0])
def test_other_beam_energies(beam_energy):
    with pytest.warns(UserWarning, match=f"{beam_energy:g} kV.* 60 to 300 kV"):
        assert len(said(beam_energy=beam_energy)) == 1


def test_patterns_that_reach_less_far():
    with pytest.warns(UserWarning, match="reach to 0.32 1/Å.* 0.6 1/Å at least"):
        said(pixel_size=0.005, detector=(256, 128))


def test_result_records_the_warning(tmp_path):
    model = tmp_path / "model.safetensors"
    network = ViewSetMSDN(
        (1, 225),
        radial={"n_bins": 64},
        pairs=None,
        network={"radial": SMALL, "width": 8, "hidden": 8},
    )
    save_checkpoint(model, network, {"trained_range": RANGE})
    options = {"model": model, "signal_mask": False, "show_progressbar": False}
    with pytest.warns(UserWarning, match="reach to"):
        sym = classify_space_group(scan((2,)), pixel_size=0.003, **options)
    assert "reach to" in sym.metadata.Symmetry.outside_of_training[0]
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        sym = classify_space_group(vectors(), beam_energy=200, **options)
    assert list(sym.metadata.Symmetry.outside_of_training) == []
