# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the direct beam is while the probe moves over the specimen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from pyxem_symnet.descriptors._pixels import PATTERNS_AT_ONCE
from pyxem_symnet.descriptors.centre import locate_beam
from pyxem_symnet.descriptors.common_beam import COMMON_REACH, locate_common_beam
from pyxem_symnet.inference.sources import to_device

#: Least number of patterns that a common beam is looked for in
MIN_PATTERNS = 4

# Least number that it may be a path of and not a point
_MOVING = 16

# How far, in pixels, found beams lie from a path that they are on: those that
# were seen, and those that follow from a pattern's symmetry
_SCATTER, _SCATTER_HIDDEN = 0.25, 0.6
# Part of them that has to be on it; the others were found wrongly: taken for a
# strong reflection, or in patterns without a beam
_AGREEING = 0.6
# How far from the most symmetric point of all patterns together a hidden beam's path
# may lie: patterns may have another point in common, such as a reflection
_MOST_APART = 2.0
# Larger detectors are binned to about this size before
_WORKING_SIZE = 256
_N_STEPS = 10


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
    shape
        Navigation shape of the scan.
    """

    origin: tuple[float, float]
    slopes: tuple[tuple[float, float], ...]
    residual: float
    shape: tuple[int, ...]

    def centres(self, numbers: np.ndarray) -> np.ndarray:
        """Return direct beams (x, y) in pixels, of shape (patterns, 2).

        Parameters
        ----------
        numbers
            Numbers of the patterns within the scan, of shape
            (patterns,).
        """
        places = np.column_stack(np.unravel_index(numbers, self.shape))
        centres = np.array(self.origin) + places @ np.array(self.slopes)
        return centres.astype(np.float32)

    def to_metadata(self) -> dict:
        """Return it as plain values."""
        return {
            "origin": list(self.origin),
            "slopes": [list(slope) for slope in self.slopes],
            "residual": self.residual,
            "shape": list(self.shape),
        }

    @classmethod
    def from_metadata(cls, record: Mapping) -> Descan:
        """Return the path again.

        Parameters
        ----------
        record
            What `to_metadata` returned.
        """
        return cls(
            tuple(record["origin"]),
            tuple(map(tuple, record["slopes"])),
            float(record["residual"]),
            tuple(map(int, record["shape"])),
        )


def fit_descan(
    patterns: np.ndarray,
    numbers: np.ndarray,
    shape: tuple[int, ...],
    mask: np.ndarray | None = None,
) -> Descan | None:
    """Fit a path to the beams that are found in some patterns.

    Where most patterns hide the beam and agree on no path, it is the point
    of symmetry that they have in common.

    Parameters
    ----------
    patterns
        Patterns of shape (patterns, ky, kx).
    numbers
        Their numbers within the scan, of shape (patterns,).
    shape
        Navigation shape of the scan.
    mask
        Excluded pixels (True) of shape (ky, kx), or None.

    Returns
    -------
    descan
        None if there are fewer than :data:`MIN_PATTERNS`, or the beams
        are on no such path: each is then better found by itself. Of
        fewer than 16 a beam that stays where it is.
    """
    if len(patterns) < MIN_PATTERNS:
        return None
    device = torch.device("cpu")
    excluded = None if mask is None else torch.from_numpy(mask)
    found = [
        locate_beam(
            to_device(patterns[i : i + PATTERNS_AT_ONCE], device).float(), excluded
        )
        for i in range(0, len(patterns), PATTERNS_AT_ONCE)
    ]
    centres, seen = (torch.cat(part).numpy() for part in zip(*found, strict=True))
    hidden = seen.mean() <= 0.5
    scatter = _SCATTER_HIDDEN if hidden else _SCATTER
    size = min(patterns.shape[1:])
    binning = max(1, round(size / _WORKING_SIZE))
    path = fit_path(centres, numbers, shape, scatter * binning)
    # No beam jumps about so: these are reflections
    apart = np.linalg.norm(centres - np.median(centres, axis=0), axis=1)
    jumps = len(patterns) >= _MOVING and np.median(apart) > COMMON_REACH * size
    if path is not None or not (hidden or jumps):
        return path
    return _hidden_path(patterns, numbers, shape, excluded, centres, binning, hidden)


def _hidden_path(
    patterns, numbers, shape, excluded, centres, binning: int, hidden: bool
) -> Descan | None:
    """Return the path of a beam that most patterns hide, None if there is none."""
    # Of several gigabytes of patterns, few are turned into numbers at a time
    images = to_device(patterns, torch.device("cpu"))
    beam = locate_common_beam(images, torch.from_numpy(centres), excluded)
    near, common = beam.near.numpy(), beam.common.numpy()
    # Patterns of few spots are symmetric about many points; what is between the spots
    # of all of them is not, but for beams that are seen to wander
    between = np.linalg.norm(beam.background.numpy() - common)
    enough = hidden and len(patterns) >= _MOVING
    agreeing = enough and between < _MOST_APART * binning
    if not agreeing and beam.better.float().mean() < _AGREEING:
        return None
    path = fit_path(near, numbers, shape, _SCATTER_HIDDEN * binning)
    if path is not None:
        middle = np.median(path.centres(numbers), axis=0)
        if np.linalg.norm(middle - common) < _MOST_APART * binning:
            return path
    still = tuple((0.0, 0.0) for _ in shape)
    residual = float(np.median(np.linalg.norm(near - common, axis=1)))
    return Descan(tuple(common.tolist()), still, residual, tuple(shape))


def fit_path(
    centres: np.ndarray,
    numbers: np.ndarray,
    shape: tuple[int, ...],
    scatter: float = _SCATTER,
) -> Descan | None:
    """Fit a path that most of some beams agree on.

    Parameters
    ----------
    centres
        Direct beams (x, y) in pixels, of shape (patterns, 2).
    numbers, shape
        See :func:`fit_descan`.
    scatter
        Largest median distance of the beams from the path in pixels.

    Returns
    -------
    descan
        None if too few agree.
    """
    places = np.column_stack(np.unravel_index(numbers, shape)).astype(float)
    design = np.column_stack((np.ones(len(places)), places))
    if len(places) < _MOVING:
        design[:, 1:] = 0
    weights = np.ones(len(centres))
    for _ in range(_N_STEPS):
        # Least absolute deviations, which outliers don't pull
        root = np.sqrt(weights)[:, None]
        fit = np.linalg.lstsq(root * design, root * centres, rcond=None)[0]
        distance = np.linalg.norm(centres - design @ fit, axis=1)
        weights = 1 / np.maximum(distance, 0.05)
    agreeing = distance < 3 * scatter
    if np.median(distance) > scatter or agreeing.mean() < _AGREEING:
        return None
    # And the mean of those that are on it
    fit = np.linalg.lstsq(design[agreeing], centres[agreeing], rcond=None)[0]
    residual = np.linalg.norm(centres[agreeing] - design[agreeing] @ fit, axis=1)
    return Descan(
        tuple(fit[0].tolist()),
        tuple(tuple(slope) for slope in fit[1:].tolist()),
        float(np.median(residual)),
        tuple(shape),
    )
