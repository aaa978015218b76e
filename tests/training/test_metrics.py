# SPDX-License-Identifier: GPL-3.0-or-later
"""Figures of merit, on cases worked out by hand."""

import numpy as np
import pytest

from pyxem_symnet.training.evaluate import Predictions, report
from pyxem_symnet.training.metrics import (
    calibration_error,
    error_by_chance,
    summarise,
)

CLASSES = (0, 1, 2, 216, 225)


def test_by_hand():
    probabilities = np.array(
        [
            [0.0, 0.6, 0.4, 0.0, 0.0],  # P1 named for P-1: one symbol, one system
            [0.0, 0.1, 0.8, 0.1, 0.0],  # P-1, right
            [0.0, 0.0, 0.0, 0.4, 0.6],  # 225, right
            [0.0, 0.0, 0.5, 0.3, 0.2],  # 225 taken for P-1
        ]
    )
    summary = summarise(probabilities, CLASSES, [2, 2, 225, 225])
    assert summary["n_crystals"] == 4
    assert summary["top1"]["space_group"] == {"micro": 0.5, "macro": 0.5}
    assert summary["top1"]["diffraction_symbol"]["micro"] == 0.75
    assert summary["top1"]["crystal_system"] == {"micro": 0.75, "macro": 0.75}
    assert summary["top5"]["space_group"]["micro"] == 1.0
    assert summary["recall"] == {"2": 0.5, "225": 0.5}


def test_macro_weighs_labels_evenly():
    right = [0.0, 0.0, 1.0, 0.0, 0.0]
    summary = summarise(np.array([right] * 4), CLASSES, [2, 2, 2, 225])
    assert summary["top1"]["space_group"] == {"micro": 0.75, "macro": 0.5}
    assert summary["recall"] == {"2": 1.0, "225": 0.0}


def test_not_crystalline_is_never_right():
    summary = summarise(np.array([[0.9, 0.04, 0.06, 0, 0]]), CLASSES, [2])
    assert summary["top1"]["space_group"]["micro"] == 1.0
    # Of what it knows, P-1 comes first, and it says so with 6 %
    assert summary["ece"]["space_group"] == pytest.approx(0.94)


def test_calibration_error():
    sure = np.tile([0.75, 0.25], (4, 1))
    assert calibration_error(sure, np.array([0, 0, 0, 1])) == pytest.approx(0)
    assert calibration_error(sure, np.array([0, 0, 1, 1])) == pytest.approx(0.25)


@pytest.mark.parametrize("n_crystals", [20, 400])
def test_error_by_chance_is_that_of_true_confidences(n_crystals):
    random = np.random.default_rng(1)
    confidence = random.uniform(0.5, 1, n_crystals)
    probabilities = np.column_stack([confidence, 1 - confidence])
    drawn = random.random((300, n_crystals)) > confidence
    errors = [calibration_error(probabilities, wrong.astype(int)) for wrong in drawn]
    assert error_by_chance(confidence) == pytest.approx(np.mean(errors), rel=0.06)


def test_no_error_by_chance_where_all_is_certain():
    assert error_by_chance(np.ones(5)) == 0


def test_report_counts_agreeing_crystals_apart():
    predictions = Predictions(
        material_id=np.array(["a", "b"]),
        space_group=np.array([225, 225]),
        space_group_tight=np.array([225, 139]),
        probabilities=np.array([[0, 0, 0, 0, 1.0], [0, 0, 1.0, 0, 0]]),
        classes=CLASSES,
    )
    figures = report(predictions)
    assert figures["top1"]["space_group"]["micro"] == 0.5
    assert figures["agreeing"]["n_crystals"] == 1
    assert figures["agreeing"]["top1"]["space_group"]["micro"] == 1.0


def test_restricting_renormalises_and_drops_crystals():
    predictions = Predictions(
        material_id=np.array(["a", "b"]),
        space_group=np.array([225, 1]),
        space_group_tight=np.array([225, 1]),
        probabilities=np.array([[0.2, 0.2, 0.2, 0.3, 0.1], [0, 1.0, 0, 0, 0]]),
        classes=CLASSES,
    ).restricted([216, 225])
    assert predictions.classes == (216, 225)
    assert predictions.material_id.tolist() == ["a"]
    np.testing.assert_allclose(predictions.probabilities, [[0.75, 0.25]])
