# SPDX-License-Identifier: GPL-3.0-or-later
"""Features that say what the lattices of crystals are, in place of kept views."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pyxem_symnet.descriptors.kept_views import KeptViews
from pyxem_symnet.models.evidence import (
    N_SUMMARY,
    TABLE_SHAPE,
    EvidenceHead,
    describe_lattice,
    read_lattice,
)
from pyxem_symnet.models.sums import ALIKE, KEPT

if TYPE_CHECKING:
    from pyxem_symnet.lattice import LatticeFit

#: Feature that says of which crystals a lattice was found
LATTICE_READ = "lattice_read"

#: Features that say which of these are those of rotation series, and of single views
OF_SERIES = "lattice_of_series"
OF_ONE_VIEW = "lattice_of_one_view"


def with_lattices(
    features: dict[str, Tensor],
    kept_views: KeptViews,
    fits: Sequence[LatticeFit | None] | None = None,
    fewest_views: int = 1,
) -> dict[str, Tensor]:
    """Replace the views that were kept by what their lattices say.

    Parameters
    ----------
    features
        Those of crystals, with "kept" and, if there, "alike".
    kept_views
        What kept the views.
    fits
        For each crystal its lattice if it is known already; otherwise
        None.
    fewest_views
        Fewest views that a lattice is looked for in.

    Returns
    -------
    features
        As :meth:`~pyxem_symnet.models.viewset.ViewSetMSDN.read_lattices`
        returns them.
    """
    used = (KEPT, ALIKE)
    rest = {name: value for name, value in features.items() if name not in used}
    kept = features[KEPT].cpu()
    alike = features[ALIKE].cpu() if ALIKE in features else [None] * len(kept)
    like = features["n_views"]
    read = like.new_zeros(len(kept), 1)
    of_series = like.new_zeros(len(kept), 1)
    of_one = like.new_zeros(len(kept), 1)
    table = like.new_zeros(len(kept), *TABLE_SHAPE)
    summary = like.new_zeros(len(kept), N_SUMMARY)
    for index, crystal in enumerate(kept):
        fit = None if fits is None else fits[index]
        if fit is None:
            views = kept_views.views(crystal, alike[index])
            of_one[index] = len(views) == 1
            evidence = read_lattice(views) if len(views) >= fewest_views else None
        else:
            of_series[index] = 1
            evidence = describe_lattice(fit, len(fit.views))
        if evidence is not None:
            read[index] = 1
            table[index] = torch.from_numpy(evidence[0])
            summary[index] = torch.from_numpy(evidence[1])
    return rest | {
        LATTICE_READ: read,
        OF_SERIES: of_series,
        OF_ONE_VIEW: of_one,
        "lattice_table": table,
        "lattice": summary,
    }


def weigh_lattices(
    answer: Tensor,
    features: dict[str, Tensor],
    head: EvidenceHead,
    others: Mapping[str, EvidenceHead | None] = MappingProxyType({}),
) -> Tensor:
    """Weigh a network's probabilities against what lattices say.

    Parameters
    ----------
    answer
        Probabilities of shape (crystals, classes). They are changed in
        place where there is a lattice.
    features
        Those of :func:`with_lattices`. Without them nothing is changed.
    head
        Network that weighs.
    others
        Networks for lattices of their own kind, by the feature that says
        which these are; where one is None, `head` weighs those, too.

    Returns
    -------
    answer
        The same array.
    """
    if LATTICE_READ not in features:
        return answer
    rest = features[LATTICE_READ].flatten() > 0
    parts = []
    for kind, other in others.items():
        if other is not None:
            own = rest & (features[kind].flatten() > 0)
            rest = rest & ~own
            parts.append((own, other))
    for chosen, weigh in (*parts, (rest, head)):
        if chosen.any():
            logs = answer[chosen].clamp_min(torch.finfo(torch.float32).tiny).log()
            evidence = (features[name][chosen] for name in ("lattice_table", "lattice"))
            answer[chosen] = weigh(logs, *evidence).softmax(-1)
    return answer
