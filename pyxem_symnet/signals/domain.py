# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether patterns are like those that a model was trained on."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

from pyxem_symnet.signals.calibration import DetectorCalibration

# Calibrations are off by a few percent, in the training too
_SLACK = 0.05


def warn_outside(
    trained_range: dict | None,
    calibrations: Sequence[DetectorCalibration],
    detectors: Sequence[tuple[int, int]],
    beam_energy: float | None,
) -> list[str]:
    """Warn of input that a model saw nothing like of in its training.

    Parameters
    ----------
    trained_range
        From the record of a checkpoint: smallest and largest
        "beam_energy" in kV and "reciprocal_radius" in 1/Å. None, as in
        checkpoints that don't say, for no warning.
    calibrations
        Of each signal of patterns.
    detectors
        Numbers of pixels (y, x) of each of them.
    beam_energy
        Beam energy in kV, None if it isn't known.

    Returns
    -------
    warnings
        What was warned of, for the metadata.

    Warns
    -----
    UserWarning
        If the beam energy is outside, or a detector reaches less far.
        One that reaches farther is no harm: what is outside isn't read.
    """
    if trained_range is None:
        return []
    said = []
    low, high = trained_range["beam_energy"]
    if beam_energy is not None and not (
        low * (1 - _SLACK) <= beam_energy <= high * (1 + _SLACK)
    ):
        said.append(
            f"The beam energy is {beam_energy:g} kV, and the model was trained on "
            f"patterns at {low:g} to {high:g} kV: its confidences don't hold."
        )
    least = trained_range["reciprocal_radius"][0]
    for calibration, (n_rows, n_columns) in zip(calibrations, detectors, strict=True):
        x, y = calibration.pixel_size
        reach = min(n_rows * y, n_columns * x) / 2
        if reach < least * (1 - _SLACK):
            said.append(
                f"The patterns reach to {reach:.2f} 1/Å, and the model was trained on "
                f"patterns that reach to {least:g} 1/Å at least: expect it to abstain, "
                "and don't trust its confidences. Use a shorter camera length, or "
                "check pixel_size."
            )
    for text in said:
        warnings.warn(text, UserWarning, stacklevel=3)
    return said
