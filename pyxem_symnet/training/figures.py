# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures of an evaluation: confusion matrices, reliability, accuracy."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from pyxem_symnet.symmetry import LEVELS, aggregate, level_of
from pyxem_symnet.training.evaluate import Predictions
from pyxem_symnet.training.metrics import N_BINS

#: Levels with few enough labels for a readable matrix
CONFUSION_LEVELS = ("crystal_system", "laue_class", "bravais_lattice")


def save_figures(predictions: Predictions, folder: str | Path) -> list[Path]:
    """Draw confusion matrices and reliability diagrams.

    Parameters
    ----------
    predictions
        Predictions.
    folder
        Where to write PNG files.

    Returns
    -------
    paths
        The files written.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for level in CONFUSION_LEVELS:
        figure = plot_confusion(predictions, level)
        paths.append(folder / f"confusion_{level}.png")
        figure.savefig(paths[-1], dpi=120)
        plt.close(figure)
    figure = plot_reliability(predictions)
    paths.append(folder / "reliability.png")
    figure.savefig(paths[-1], dpi=120)
    plt.close(figure)
    return paths


def plot_confusion(predictions: Predictions, level: str) -> plt.Figure:
    """Return a confusion matrix: rows are the truth and sum to 100 %.

    Parameters
    ----------
    predictions
        Predictions.
    level
        One of :data:`~pyxem_symnet.symmetry.LEVELS`.
    """
    at_level, labels = aggregate(predictions.probabilities, predictions.classes, level)
    place = {label: index for index, label in enumerate(labels)}
    truth = [place[level_of(level, int(n))] for n in predictions.space_group]
    counts = np.zeros((len(labels), len(labels)))
    np.add.at(counts, (truth, at_level.argmax(1)), 1)
    share = 100 * counts / np.maximum(counts.sum(1, keepdims=True), 1)
    size = 2.5 + 0.45 * len(labels)
    figure, axes = plt.subplots(figsize=(size, size), layout="constrained")
    axes.imshow(share, cmap="Blues", vmin=0, vmax=100)
    for row, column in np.argwhere(share >= 0.5):
        axes.text(
            column,
            row,
            f"{share[row, column]:.0f}",
            ha="center",
            va="center",
            fontsize=8,
            color="white" if share[row, column] > 60 else "black",
        )
    axes.set_xticks(range(len(labels)), labels, rotation=60, ha="right")
    axes.set_yticks(range(len(labels)), labels)
    axes.set(xlabel="Named", ylabel="True", title=f"{level.replace('_', ' ')} (%)")
    return figure


def plot_reliability(predictions: Predictions) -> plt.Figure:
    """Return a reliability diagram: accuracy over confidence by level.

    Parameters
    ----------
    predictions
        Predictions.
    """
    figure, axes = plt.subplots(figsize=(5, 5), layout="constrained")
    axes.plot([0, 1], [0, 1], color="0.6", linestyle="--")
    edges = np.linspace(0, 1, N_BINS + 1)
    for level in LEVELS:
        at_level, labels = aggregate(
            predictions.probabilities, predictions.classes, level
        )
        place = {label: index for index, label in enumerate(labels)}
        names = [level_of(level, int(n)) for n in predictions.space_group]
        truth = np.array([place[name] for name in names])
        confidence = at_level.max(1)
        right = at_level.argmax(1) == truth
        bins = np.digitize(confidence, edges[1:-1])
        filled = [b for b in range(N_BINS) if (bins == b).sum() >= 10]
        axes.plot(
            [confidence[bins == b].mean() for b in filled],
            [right[bins == b].mean() for b in filled],
            marker="o",
            markersize=3,
            label=level.replace("_", " "),
        )
    axes.set(xlabel="Confidence", ylabel="Accuracy", xlim=(0, 1), ylim=(0, 1))
    axes.legend()
    return figure
