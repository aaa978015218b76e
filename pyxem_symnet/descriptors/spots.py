# SPDX-License-Identifier: GPL-3.0-or-later
"""Spot lists: what every room hands to the next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor


class Spots(NamedTuple):
    """Diffraction spots of a batch of patterns, padded to one length.

    Parameters
    ----------
    positions
        Spot positions relative to the direct beam in 1/Å, of shape
        (patterns, spots, 2). The last axis is (kx, ky), that is
        (column, row).
    intensities
        Spot intensities of shape (patterns, spots) in arbitrary units.
        Zero marks an empty slot.
    """

    positions: Tensor
    intensities: Tensor

    @property
    def counts(self) -> Tensor:
        """Number of spots in each pattern, of shape (patterns,)."""
        return (self.intensities > 0).sum(-1)

    @classmethod
    def concatenate(cls, parts: Sequence[Spots]) -> Spots:
        """Return the patterns of several batches as one batch.

        Parameters
        ----------
        parts
            Batches, whose patterns may have different numbers of slots.
        """
        n_slots = max(part.intensities.shape[1] for part in parts)

        def widen(tensor: Tensor) -> Tensor:
            missing = n_slots - tensor.shape[1]
            shape = (len(tensor), missing, *tensor.shape[2:])
            return torch.cat((tensor, tensor.new_zeros(shape)), 1)

        return cls(
            *(
                torch.cat([widen(t) for t in column])
                for column in zip(*parts, strict=True)
            )
        )

    def to(self, *args, **kwargs) -> Spots:
        """Return the spots on another device or with another dtype.

        Parameters
        ----------
        *args, **kwargs
            As for :meth:`torch.Tensor.to`.
        """
        return Spots(*(tensor.to(*args, **kwargs) for tensor in self))

    def strongest(self, n_spots: int) -> Spots:
        """Return the strongest spots of each pattern, strongest first.

        Parameters
        ----------
        n_spots
            Number of slots to keep. With fewer slots than that, all
            are kept.
        """
        n_spots = min(n_spots, self.intensities.shape[-1])
        intensities, index = self.intensities.topk(n_spots, dim=-1)
        positions = self.positions.gather(
            -2, index.unsqueeze(-1).expand(*index.shape, 2)
        )
        return Spots(positions, intensities)

    def to_arrays(self) -> list[np.ndarray]:
        """Return x and y in 1/Å and the intensity of each pattern's spots.

        One float64 array of shape (spots, 3) for each pattern, without
        the empty slots.
        """
        table = torch.cat((self.positions, self.intensities.unsqueeze(-1)), -1)
        rows = table.detach().cpu().double().numpy()
        return [row[row[:, 2] > 0] for row in rows]

    def relative_intensities(self) -> Tensor:
        """Return intensities divided by each pattern's strongest spot."""
        strongest = self.intensities.amax(-1, keepdim=True)
        return self.intensities / strongest.clamp_min(torch.finfo(torch.float32).tiny)
