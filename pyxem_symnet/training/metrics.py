# SPDX-License-Identifier: GPL-3.0-or-later
"""Accuracy and calibration at every symmetry level."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torchmetrics.functional.classification import multiclass_calibration_error

from pyxem_symnet.symmetry import LEVELS, aggregate, level_of

#: Bins of confidence of the calibration error
N_BINS = 15

#: Samples in which the calibration error of true confidences is measured
_N_DRAWN = 200


def summarise(
    probabilities: np.ndarray, classes: Sequence[int], truths: Sequence[int]
) -> dict:
    """Return accuracy, recall and calibration error of predictions.

    Parameters
    ----------
    probabilities
        Probabilities of shape (crystals, classes).
    classes
        Space-group numbers in the order of the last axis; 0 stands for
        "not crystalline" and is never right.
    truths
        True space-group numbers of shape (crystals,).

    Returns
    -------
    summary
        ``n_crystals``; ``top1`` and ``top5`` by level as ``micro``
        (share of crystals) and ``macro`` (mean over the labels present);
        ``ece``, the expected calibration error of the first answer, by
        level, and ``ece_by_chance``, what it would be in the mean if all
        confidences were true, since the crystals are finitely many;
        ``recall`` by space group. Fractions, not percent.
    """
    truths = np.asarray(truths)
    names = ("top1", "top5", "ece", "ece_by_chance")
    summary = {"n_crystals": len(truths)} | {name: {} for name in names}
    for level in LEVELS:
        at_level, labels = aggregate(probabilities, classes, level)
        place = {label: index for index, label in enumerate(labels)}
        target = np.array([place[level_of(level, int(n))] for n in truths])
        right_by_rank = np.argsort(-at_level, axis=1, kind="stable") == target[:, None]
        for name, n_answers in (("top1", 1), ("top5", 5)):
            right = right_by_rank[:, :n_answers].any(1)
            recall = _recall(right, target)
            summary[name][level] = {
                "micro": float(right.mean()),
                "macro": float(np.mean(list(recall.values()))),
            }
            if name == "top1" and level == "space_group":
                numbers = {place[level_of(level, int(n))]: int(n) for n in set(truths)}
                summary["recall"] = {
                    str(numbers[index]): share for index, share in recall.items()
                }
        summary["ece"][level] = calibration_error(at_level, target)
        summary["ece_by_chance"][level] = error_by_chance(at_level.max(1))
    return summary


def calibration_error(probabilities: np.ndarray, target: np.ndarray) -> float:
    """Return the expected calibration error of the first answers.

    Mean gap between confidence and accuracy over :data:`N_BINS` bins of
    confidence, weighted by the crystals in each (Guo et al., 2017).

    Parameters
    ----------
    probabilities
        Probabilities of shape (crystals, labels).
    target
        Index of the true label of each.
    """
    return float(
        multiclass_calibration_error(
            torch.as_tensor(probabilities, dtype=torch.float64).clamp(0, 1),
            torch.as_tensor(target),
            num_classes=probabilities.shape[1],
            n_bins=N_BINS,
        )
    )


def error_by_chance(confidence: np.ndarray) -> float:
    """Return the mean calibration error of confidences that are all true.

    Parameters
    ----------
    confidence
        Probability of the first answer, of shape (crystals,).
    """
    place = np.clip(np.ceil(confidence * N_BINS).astype(int) - 1, 0, N_BINS - 1)
    drawn = np.random.default_rng(0).random((_N_DRAWN, len(confidence)))
    surplus = (drawn < confidence) - confidence
    in_bin = place[:, None] == np.arange(N_BINS)
    return float(np.abs(surplus @ in_bin).sum(1).mean() / len(confidence))


def _recall(right: np.ndarray, target: np.ndarray) -> dict[int, float]:
    return {
        int(index): float(right[target == index].mean()) for index in np.unique(target)
    }
