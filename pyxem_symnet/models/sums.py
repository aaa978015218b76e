# SPDX-License-Identifier: GPL-3.0-or-later
"""How the features of parts of a crystal's views are put together.

Features are what a network's ``accumulate`` returns: a tensor for each
name, whose first axis is that of crystals. All of them add up but
:data:`KEPT`, of which the stronger view of each slot stays (see
:class:`~pyxem_symnet.descriptors.kept_views.KeptViews`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import torch
from torch import Tensor

from pyxem_symnet.descriptors.kept_views import stronger

#: Name of the feature that does not add up
KEPT = "kept"

#: Name of the counts that tell which of the kept views to use
ALIKE = "alike"


def combine(parts: Iterable[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Return the features of crystals from those of parts of their views.

    Parameters
    ----------
    parts
        Features of the same crystals, one or more times.
    """
    total: dict[str, Tensor] = {}
    for features in parts:
        for name, value in features.items():
            if name not in total:
                total[name] = value
            elif name == KEPT:
                total[name] = stronger(total[name], value)
            else:
                total[name] = total[name] + value
    return total


def combine_rows(
    total: dict[str, np.ndarray],
    rows: np.ndarray,
    features: Mapping[str, np.ndarray],
    n_rows: int,
) -> None:
    """Put features of some crystals in place with those of all.

    Parameters
    ----------
    total
        Features of all crystals, changed in place: sums in double
        precision, of which names may be missing at first.
    rows
        Number of each crystal among all, none twice, of shape
        (crystals,).
    features
        Features of the crystals.
    n_rows
        Number of all crystals.
    """
    for name, value in features.items():
        if name not in total:
            dtype = value.dtype if name == KEPT else np.float64
            total[name] = np.zeros((n_rows, *value.shape[1:]), dtype)
        if name == KEPT:
            # Copies: what came from another process may be read-only
            pair = (torch.from_numpy(total[name][rows]), torch.tensor(value))
            total[name][rows] = stronger(*pair).numpy()
        else:
            total[name][rows] += value


def pool(features: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the features of all crystals as those of one.

    Parameters
    ----------
    features
        Features whose first axis has any length but nought.

    Returns
    -------
    features
        Tensors of length one, sums in double precision.
    """
    return {
        name: _strongest(value)
        if name == KEPT
        # As blocks of a region are summed
        else value.double().sum(0, keepdim=True)
        for name, value in features.items()
    }


def pool_without_each(features: Mapping[str, Tensor]) -> Iterator[dict[str, Tensor]]:
    """Return for each crystal the pooled features of all others.

    Parameters
    ----------
    features
        As for :func:`pool`.
    """
    total = pool(features)
    kept = _strongest_of_others(features[KEPT]) if KEPT in features else None
    for i in range(len(next(iter(features.values())))):
        yield {
            name: kept[i : i + 1]
            if name == KEPT
            # Rounding must not leave less than nothing
            else (value - features[name][i : i + 1]).clamp_min(0)
            for name, value in total.items()
        }


def _strongest(kept: Tensor) -> Tensor:
    while len(kept) > 1:
        half = len(kept) // 2
        best = stronger(kept[:half], kept[half : 2 * half])
        kept = torch.cat((best, kept[2 * half :]))
    return kept


def _strongest_of_others(kept: Tensor) -> Tensor:
    # Nothing loses to everything
    before, after = torch.zeros_like(kept), torch.zeros_like(kept)
    for i in range(1, len(kept)):
        before[i] = stronger(before[i - 1], kept[i - 1])
        after[-1 - i] = stronger(after[-i], kept[-i])
    return stronger(before, after)
