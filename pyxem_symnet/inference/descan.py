# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the direct beam is while the probe moves over the specimen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from pyxem_symnet.descriptors.centre import locate_beam
from pyxem_symnet.inference.sources import to_device

#: Least number of patterns that a path is fitted to
MIN_PATTERNS = 16

# Beams that are off the path by more than this, in pixels, were found wrongly,
# and how many have to be on it. Centres are found to about 0.1 to 0.3 pixel.
_TOLERANCE = 0.5
_AGREEING = 0.8
_N_STEPS = 10
_CHUNK = 4


@dataclass(frozen=True)
class Descan:
    """A beam that moves in proportion to the scan position.

    Parameters
    ----------
    origin
        Direct beam (x, y) in pixels at the first scan point.
    slopes
        What a step along each navigation axis adds to it.
    residual
        Median distance in pixels of the beams that were found from
        where this says.
    """

    origin: tuple[float, float]
    slopes: tuple[tuple[float, float], ...]
    residual: float

    def centres(self, places: np.ndarray) -> np.ndarray:
        """Return direct beams (x, y) in pixels, of shape (patterns, 2).

        Parameters
        ----------
        places
            Scan positions of shape (patterns, axes).
        """
        slopes = np.array(self.slopes).reshape(-1, 2)
        return (np.array(self.origin) + places @ slopes).astype(np.float32)

    def to_metadata(self) -> dict:
        """Return it as plain values."""
        return {
            "origin": list(self.origin),
            "slopes": [list(slope) for slope in self.slopes],
            "residual": self.residual,
        }


def fit_descan(
    patterns: np.ndarray, places: np.ndarray, mask: np.ndarray | None = None
) -> Descan | None:
    """Fit a path to the beams that are found in some patterns.

    Parameters
    ----------
    patterns
        Patterns of shape (patterns, ky, kx).
    places
        Where on the scan they are, of shape (patterns, axes).
    mask
        Excluded pixels (True) of shape (ky, kx), or None.

    Returns
    -------
    descan
        None if there are fewer than :data:`MIN_PATTERNS`, or the beams
        are on no such path: each is then better found by itself.
    """
    if len(patterns) < MIN_PATTERNS:
        return None
    device = torch.device("cpu")
    excluded = None if mask is None else torch.from_numpy(mask)
    found = [
        locate_beam(to_device(patterns[i : i + _CHUNK], device).float(), excluded)[0]
        for i in range(0, len(patterns), _CHUNK)
    ]
    return fit_path(torch.cat(found).numpy(), places)


def fit_path(centres: np.ndarray, places: np.ndarray) -> Descan | None:
    """Fit a path that most of some beams agree on.

    Parameters
    ----------
    centres
        Direct beams (x, y) in pixels, of shape (patterns, 2).
    places
        Scan positions of shape (patterns, axes).

    Returns
    -------
    descan
        None if too few agree.
    """
    design = np.column_stack((np.ones(len(places)), places)).astype(float)
    if len(centres) < MIN_PATTERNS or np.linalg.matrix_rank(design) < design.shape[1]:
        design[:, 1:] = 0  # a beam that stays where it is
    if len(centres) < MIN_PATTERNS:
        return None
    weights = np.ones(len(centres))
    for _ in range(_N_STEPS):
        # Least absolute deviations, which outliers don't pull
        root = np.sqrt(weights)[:, None]
        fit = np.linalg.lstsq(root * design, root * centres, rcond=None)[0]
        distance = np.linalg.norm(centres - design @ fit, axis=1)
        weights = 1 / np.maximum(distance, 0.05)
    agreeing = distance < max(_TOLERANCE, 3 * np.median(distance))
    if np.median(distance) > _TOLERANCE or agreeing.mean() < _AGREEING:
        return None
    # And the mean of those that are on it
    fit = np.linalg.lstsq(design[agreeing], centres[agreeing], rcond=None)[0]
    residual = np.linalg.norm(centres[agreeing] - design[agreeing] @ fit, axis=1)
    return Descan(
        tuple(fit[0].tolist()),
        tuple(tuple(slope) for slope in fit[1:].tolist()),
        float(np.median(residual)),
    )
