# SPDX-License-Identifier: GPL-3.0-or-later
"""From probabilities to an orix crystal map."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pyxem_symnet.signals import checks, levels
from pyxem_symnet.symmetry import LEVELS, space_group

if TYPE_CHECKING:
    from orix.crystal_map import CrystalMap


def crystal_map(signal, threshold: float, level: str, n_ranked: int) -> CrystalMap:
    """Return a signal of probabilities as a crystal map.

    Parameters
    ----------
    signal
        :class:`~pyxem_symnet.SpaceGroupProbabilities`.
    threshold, level, n_ranked
        As for its method ``to_crystal_map()``.

    Raises
    ------
    ValueError
        If there are more than two navigation axes.
    """
    from orix.crystal_map import CrystalMap
    from orix.quaternion import Rotation

    axes = checks.map_axes(signal, "A crystal map")
    groups = signal.space_groups
    data = np.asarray(signal.data).reshape(-1, len(groups))
    indexed = levels.codes(data, groups, level, threshold) > 0
    known = np.nan_to_num(data)
    order = np.argsort(-known, axis=-1, kind="stable")[:, :n_ranked]
    ranked = np.asarray(groups)[order]
    phase_id = np.where(indexed, ranked[:, 0], -1)

    properties = {
        f"confidence_{name}": levels.summed(data, groups, name)[0].max(-1)
        for name in LEVELS
    }
    properties["ranked_space_groups"] = ranked
    properties["ranked_probabilities"] = np.take_along_axis(data, order, axis=-1)
    grid = np.meshgrid(*(axis.axis for axis in axes[::-1]), indexing="ij")
    coordinates = dict(
        zip("xy", (values.ravel() for values in grid[::-1]), strict=False)
    )
    return CrystalMap(
        rotations=Rotation.identity((len(data),)),
        phase_id=phase_id,
        phase_list=_phases(phase_id),
        prop=properties,
        scan_unit=_scan_unit(axes),
        **coordinates,
    )


def _phases(phase_id: np.ndarray):
    from orix.crystal_map import Phase, PhaseList

    numbers = [int(number) for number in np.unique(phase_id) if number > 0]
    phases = PhaseList(
        phases=[Phase(space_group(n).symbol, space_group=n) for n in numbers],
        ids=numbers,
    )
    if (phase_id < 0).any():
        phases.add_not_indexed()
    return phases


def _scan_unit(axes) -> str:
    units = {str(axis.units) for axis in axes} - {"<undefined>", "None", ""}
    return units.pop() if len(units) == 1 else "px"
