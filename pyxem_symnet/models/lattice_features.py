# SPDX-License-Identifier: GPL-3.0-or-later
"""Features that say what the lattices of crystals are, in place of kept views."""

from __future__ import annotations

from collections.abc import Sequence
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

#: Feature that says which of these are those of rotation series
OF_SERIES = "lattice_of_series"


def with_lattices(
    features: dict[str, Tensor],
    kept_views: KeptViews,
    fits: Sequence[LatticeFit | None] | None = None,
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
    table = like.new_zeros(len(kept), *TABLE_SHAPE)
    summary = like.new_zeros(len(kept), N_SUMMARY)
    for index, crystal in enumerate(kept):
        fit = None if fits is None else fits[index]
        if fit is None:
            evidence = read_lattice(kept_views.views(crystal, alike[index]))
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
        "lattice_table": table,
        "lattice": summary,
    }


def weigh_lattices(
    answer: Tensor,
    features: dict[str, Tensor],
    head: EvidenceHead,
    of_series: EvidenceHead | None = None,
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
    of_series
        That for the lattices of rotation series, None for the same.

    Returns
    -------
    answer
        The same array.
    """
    if LATTICE_READ not in features:
        return answer
    read = features[LATTICE_READ].flatten() > 0
    series = features[OF_SERIES].flatten() > 0
    for chosen, weigh in ((read & ~series, head), (read & series, of_series or head)):
        if chosen.any():
            logs = answer[chosen].clamp_min(torch.finfo(torch.float32).tiny).log()
            evidence = (features[name][chosen] for name in ("lattice_table", "lattice"))
            answer[chosen] = weigh(logs, *evidence).softmax(-1)
    return answer
