# SPDX-License-Identifier: GPL-3.0-or-later
"""Features of single views, and of all views of each crystal.

Views are rows; ``groups`` says which crystal each is of, integers of shape
(views,), and ``n_groups`` how many crystals there are.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pyxem_symnet.descriptors.pairs import PairMap
from pyxem_symnet.descriptors.radial import RadialProfile
from pyxem_symnet.descriptors.spots import Spots


def sum_groups(values: Tensor, groups: Tensor, n_groups: int) -> Tensor:
    """Add up rows of shape (rows, width) by group."""
    return values.new_zeros(n_groups, values.shape[1]).index_add_(0, groups, values)


def choose_evenly(counts: Tensor, most: int) -> Tensor:
    """Return indices of at most so many rows of each run of *counts* rows."""
    kept = counts.clamp_max(most)
    run = torch.arange(len(counts), device=counts.device).repeat_interleave(kept)
    place = torch.arange(len(run), device=counts.device) - (kept.cumsum(0) - kept)[run]
    return (counts.cumsum(0) - counts)[run] + place * counts[run] // kept[run]


def summed_features(
    spots: Spots,
    groups: Tensor | None,
    n_groups: int | None,
    radial: RadialProfile | None,
    pairs: PairMap | None,
) -> dict[str, Tensor]:
    """Return counts and histograms of spots, which nothing learnt is in.

    Parameters
    ----------
    spots
        Spots of each view.
    groups, n_groups
        Views of each crystal. With None, each view is one by itself.
    radial, pairs
        Histograms to make, None for those that are not wanted.

    Returns
    -------
    features
        "n_views", "n_spots", "radial", "radial_square" and "pairs", as
        :meth:`~pyxem_symnet.models.viewset.ViewSetMSDN.accumulate`
        returns them.
    """
    n_spots = spots.counts.to(spots.positions.dtype).unsqueeze(-1)
    seen = (n_spots > 0).to(n_spots)
    features = {"n_views": seen, "n_spots": n_spots}
    if radial is not None:
        features["radial"] = radial(spots)
        features["radial_square"] = features["radial"].square()
    if groups is not None:
        features = {
            name: sum_groups(value, groups, n_groups)
            for name, value in features.items()
        }
    if pairs is not None:
        # Too large to have one for each view
        features["pairs"] = pairs(spots, groups, n_groups)
    return features


def count_distinct_views(features: dict[str, Tensor]) -> Tensor:
    """Return how many different orientations the views amount to.

    The radial profiles of two views of one grain are alike, those of two
    orientations have little in common. From their mean cosine c, n views
    count as n / (1 + (n - 1) c), between 1 and n.

    Parameters
    ----------
    features
        Those of :func:`summed_features`.

    Returns
    -------
    n_distinct
        Of shape (crystals, 1). Without a radial profile, the number of
        views.
    """
    n_views = features["n_views"].clamp_min(1)
    if "radial" not in features:
        return n_views
    own = features["radial_square"].sum(-1, keepdim=True)
    pairs = features["radial"].square().sum(-1, keepdim=True)
    distinct = n_views * own / pairs.clamp_min(1e-12)
    # Within 1 and n but for rounding and views without spots
    return distinct.clamp_min(1).minimum(n_views)
