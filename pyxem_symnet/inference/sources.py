# SPDX-License-Identifier: GPL-3.0-or-later
"""Where spots come from: detector patterns, or lists of vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from pyxem_symnet.descriptors.geometry import PatternGeometry
from pyxem_symnet.descriptors.spots import Spots
from pyxem_symnet.inference.plan import VectorGeometry

if TYPE_CHECKING:
    from pyxem_symnet.inference.descan import Descan

#: Vectors nearer to the origin, in 1/Å, are taken for the direct beam if the
#: model's spot finder has no such setting
CENTRAL_RADIUS = 0.04


class PatternSource:
    """Spots found in detector patterns.

    Parameters
    ----------
    block
        Patterns of shape (..., ky, kx), any real type.
    geometry
        How they lie on the detector.
    mask
        Excluded detector pixels (True) of shape (ky, kx), or None.
    numbers
        Number of each pattern within the scan, for messages.
    model
        Network whose layers find the spots.
    device
        Where to work.
    descan
        Path of the beam across the scan, None if the geometry says
        where it is, or to find it in each pattern.
    """

    def __init__(
        self,
        block: np.ndarray,
        geometry: PatternGeometry,
        mask: np.ndarray | None,
        numbers: np.ndarray,
        model: nn.Module,
        device: torch.device,
        descan: Descan | None = None,
    ):
        self._geometry = geometry
        self._numbers = numbers
        self._model = model
        self._descan = descan
        patterns = np.asarray(block).reshape(-1, *block.shape[-2:])
        self._check = patterns.dtype.kind == "f"
        self._patterns = to_device(patterns, device)
        self._mask = None if mask is None else torch.from_numpy(mask).to(device)

    @property
    def pattern_bytes(self) -> int:
        """Size of a pattern as float32."""
        return 4 * self._patterns[0].numel()

    def spots(self, rows: np.ndarray) -> Spots:
        """Return the spots of some patterns.

        Parameters
        ----------
        rows
            Which patterns of the block, of shape (patterns,).

        Raises
        ------
        ValueError
            If one of them holds NaN or infinity outside the mask.
        """
        if rows[-1] - rows[0] == rows.size - 1:
            patterns = self._patterns[rows[0] : rows[-1] + 1]
        else:
            index = torch.from_numpy(rows).to(self._patterns.device)
            patterns = self._patterns.index_select(0, index)
        if self._check:
            bad = ~torch.isfinite(patterns)
            if self._mask is not None:
                bad &= ~self._mask
            bad = bad.flatten(1).any(-1)
            if bad.any():
                number = self._numbers[rows[int(bad.int().argmax())]]
                raise ValueError(
                    f"Pattern number {number} of the scan (counted along its rows) "
                    "holds values that are not finite. Exclude it with "
                    "navigation_mask, or its bad pixels with signal_mask."
                )
        centres = None
        if self._descan is not None:
            centres = torch.from_numpy(self._descan.centres(self._numbers[rows]))
            centres = centres.to(patterns.device, torch.float32)
        return self._model.prepare(patterns, self._geometry, self._mask, centres)


class VectorSource:
    """Spots that were found before.

    Parameters
    ----------
    block
        Object array of shape (...) of arrays of shape (spots, columns).
    geometry
        How to read the columns.
    numbers, model, device
        As for :class:`PatternSource`.
    """

    def __init__(
        self,
        block: np.ndarray,
        geometry: VectorGeometry,
        numbers: np.ndarray,
        model: nn.Module,
        device: torch.device,
    ):
        self._vectors = np.asarray(block, dtype=object).reshape(-1)
        self._geometry = geometry
        self._numbers = numbers
        self._device = device
        self._beam = torch.zeros(1, 2, dtype=torch.float64)
        self._plane = PatternGeometry(1.0)
        if geometry.ellipticity is not None:
            self._plane = self._plane.with_ellipse(*geometry.ellipticity)
        finder = model.settings.get("finder") or {}
        self._max_spots = finder.get("max_spots", 96)
        self._central_radius = finder.get("central_radius", CENTRAL_RADIUS)

    #: Lists are short
    pattern_bytes = 1

    def spots(self, rows: np.ndarray) -> Spots:
        """Return the spots of some patterns.

        Parameters
        ----------
        rows
            Which patterns of the block, of shape (patterns,).

        Raises
        ------
        ValueError
            If a list of vectors has another shape or values that are
            not finite.
        """
        lists = [self._read(row) for row in rows]
        counts = np.array([len(vectors) for vectors in lists])
        slots = np.arange(max(1, counts.max()))
        filled = slots < counts[:, np.newaxis]
        positions = np.zeros((*filled.shape, 2), np.float32)
        intensities = np.zeros(filled.shape, np.float32)
        joined = np.concatenate(lists)
        positions[filled] = joined[:, :2]
        intensities[filled] = joined[:, 2]
        distance = np.hypot(positions[..., 0], positions[..., 1])
        intensities[distance < self._central_radius] = 0
        spots = Spots(torch.from_numpy(positions), torch.from_numpy(intensities))
        return spots.strongest(self._max_spots).to(self._device)

    def _read(self, row: int) -> np.ndarray:
        """Return (kx, ky, intensity) of a pattern's spots."""
        vectors = np.asarray(self._vectors[row])
        if vectors.size == 0:
            return np.empty((0, 3))
        column = self._geometry.intensity_column
        n_columns = 2 if column is None else max(2, column + 1)
        problem = None
        if vectors.ndim != 2 or vectors.shape[1] < n_columns:
            problem = f"have the shape {vectors.shape}, not (vectors, {n_columns})"
        elif not np.isfinite(vectors[:, :n_columns].astype(float)).all():
            problem = "hold values that are not finite"
        if problem is not None:
            raise ValueError(
                f"The vectors of pattern number {self._numbers[row]} of the scan "
                f"(counted along its rows) {problem}. Repair them, or exclude the "
                "pattern with navigation_mask."
            )
        vectors = vectors.astype(float)
        yx = (vectors[:, :2] - self._geometry.origin) * self._geometry.scale
        xy = torch.from_numpy(yx[np.newaxis, :, ::-1].copy())
        xy = self._plane.to_reciprocal(xy, self._beam)[0].numpy()
        strength = np.ones(len(xy)) if column is None else vectors[:, column]
        return np.column_stack((xy, strength.clip(min=0)))


def to_device(patterns: np.ndarray, device: torch.device) -> Tensor:
    """Copy patterns in their own type where the device knows it.

    Parameters
    ----------
    patterns
        Array of any real type.
    device
        Where to.
    """
    kind, size = patterns.dtype.kind, patterns.dtype.itemsize
    if kind == "b":
        patterns = patterns.view(np.uint8)
    elif (kind == "u" and size > 2) or (kind == "f" and size > 8):
        # Rare types that PyTorch only half supports
        patterns = patterns.astype(np.float32)
    elif kind == "f" and size == 8 and device.type == "mps":
        patterns = patterns.astype(np.float32)
    # Detectors write big-endian files, and dask gives views
    patterns = np.ascontiguousarray(patterns, patterns.dtype.newbyteorder("="))
    if patterns.dtype != np.uint16 or device.type == "cpu":
        return _from_numpy(patterns).to(device)
    # Not every device knows unsigned 16-bit integers: the same bits as
    # signed ones, and the sign undone on the device
    signed = _from_numpy(patterns.view(np.int16)).to(device)
    return signed.to(torch.int32).bitwise_and_(0xFFFF)


def _from_numpy(array: np.ndarray) -> Tensor:
    # A read-only array is safe here, since nothing is written to patterns
    return torch.from_numpy(array if array.flags.writeable else array.copy())
