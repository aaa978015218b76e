# SPDX-License-Identifier: GPL-3.0-or-later
"""Fit confidences on the validation split."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import nn

from pyxem_symnet.models.calibration import TemperatureTable
from pyxem_symnet.simulation.packed import PackedReflections
from pyxem_symnet.training.evaluate import compute_logits

#: Numbers of views at which a temperature is fitted
VIEWS = (1, 2, 4, 8, 16, 32)


def fit_calibration(
    model: nn.Module,
    crystals: PackedReflections,
    *,
    protocols: Sequence[str] = ("random",),
    noises: Sequence[str] = ("clean", "noisy"),
    views: Sequence[int] = VIEWS,
    seed: int = 0,
    n_workers: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> TemperatureTable:
    """Return temperatures by number of views, clean and noisy together.

    Parameters
    ----------
    model
        Trained model.
    crystals
        Reflections of validation crystals.
    protocols, noises, views
        What to fit on: every combination.
    seed
        Seed of the views.
    n_workers
        Number of processes that draw views.
    progress
        Called with the number of combinations done and their total.
    """
    known = np.isin(crystals.space_group, model.classes)
    crystals = crystals.take(np.flatnonzero(known))
    target_of = {number: index for index, number in enumerate(model.classes)}
    target = torch.tensor([target_of[int(n)] for n in crystals.space_group])
    combinations = [(p, n, v) for p in protocols for n in noises for v in views]
    logits, targets, seen = [], [], []
    for done, (protocol, noise, n_views) in enumerate(combinations, start=1):
        answer, count = compute_logits(
            model,
            crystals,
            protocol,
            n_views,
            noise,
            seed=seed,
            n_workers=n_workers,
        )
        logits.append(answer)
        targets.append(target)
        seen.append(count)
        if progress is not None:
            progress(done, len(combinations))
    return TemperatureTable.fit(
        torch.cat(logits), torch.cat(targets), torch.cat(seen), views
    )
