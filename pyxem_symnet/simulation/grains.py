# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the grains of a simulated scan are."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

#: Labels of scan positions without a crystal
AMORPHOUS = -1
VACUUM = -2


class GrainMap(NamedTuple):
    """Grains of a scan.

    Parameters
    ----------
    label
        Grain at each position, of shape (rows, columns), or
        :data:`AMORPHOUS` or :data:`VACUUM`.
    neighbour
        Grain that overlaps there, of the same shape.
    share
        Fraction of the crystal that is the neighbour's: 1/2 at the
        boundary, zero away from it.
    """

    label: np.ndarray
    neighbour: np.ndarray
    share: np.ndarray


def voronoi_grains(
    shape: tuple[int, int],
    n_grains: int,
    random: np.random.Generator,
    *,
    overlap: float = 0.0,
    amorphous_fraction: float = 0.0,
    vacuum_fraction: float = 0.0,
) -> GrainMap:
    """Return grains around random seeds, at the edge of a specimen.

    Vacuum is on the left, then the amorphous material, then the
    crystal, with wavy edges between them.

    Parameters
    ----------
    shape
        Rows and columns.
    n_grains
        Number of grains.
    random
        Source of randomness.
    overlap
        Width in pixels of the zone around a boundary in which both
        grains are seen.
    amorphous_fraction, vacuum_fraction
        Fractions of the scan.
    """
    from scipy.spatial import cKDTree

    rows, columns = np.indices(shape).reshape(2, -1)
    points = np.stack([rows, columns], -1).astype(float)
    seeds = random.uniform(size=(n_grains, 2)) * shape
    distance, nearest = cKDTree(seeds).query(points, k=min(2, n_grains))
    if n_grains == 1:
        label = neighbour = nearest
        share = np.zeros(len(points))
    else:
        label, neighbour = nearest.T
        # Distance from the plane halfway between both seeds
        between = np.linalg.norm(seeds[label] - seeds[neighbour], axis=-1)
        depth = (distance[:, 1] ** 2 - distance[:, 0] ** 2) / (2 * between)
        share = np.clip(0.5 - depth / max(overlap, 1e-9), 0, None)
    label = label.copy()
    # Waves of the edge, in units of the scan's width
    phase = random.uniform(0, 2 * np.pi, 3)
    position = columns / shape[1]
    for wave, offset in enumerate(phase, 1):
        turns = 2 * np.pi * wave * rows / shape[0]
        position += 0.04 / wave * np.sin(turns + offset)
    order = position.argsort(kind="stable")
    n_vacuum = round(vacuum_fraction * len(points))
    n_amorphous = round(amorphous_fraction * len(points))
    label[order[:n_vacuum]] = VACUUM
    label[order[n_vacuum : n_vacuum + n_amorphous]] = AMORPHOUS
    share = np.where(label >= 0, share, 0.0)
    return GrainMap(*(x.reshape(shape) for x in (label, neighbour, share)))
