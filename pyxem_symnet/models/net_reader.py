# SPDX-License-Identifier: GPL-3.0-or-later
"""Network that reads the numbers a single pattern's net is written down in."""

from __future__ import annotations

import torch
from torch import Tensor, nn

#: Standardised numbers beyond this say no more
_FARTHEST = 6.0

#: Smallest standard deviation that numbers are divided by
_SMALLEST_DEVIATION = 0.02


class NetReader(nn.Module):
    """Residual network of fully connected layers.

    Parameters
    ----------
    n_values
        Numbers of each pattern, see
        :class:`~pyxem_symnet.descriptors.net_reading.NetReading`.
    units
        Width of the residual stream; each block is twice as wide.
    n_blocks
        Number of blocks.
    dropout
        Share of a block's units that are left out in training.
    width
        Length of the vector.
    unread
        Share of the numbers that are left out in training, so that no
        crystal is told by a few of them.
    """

    def __init__(
        self,
        n_values: int,
        units: int,
        n_blocks: int,
        dropout: float,
        width: int,
        unread: float = 0.0,
    ):
        super().__init__()
        # Of training patterns, in the checkpoint
        self.register_buffer("mean", torch.zeros(n_values))
        self.register_buffer("deviation", torch.ones(n_values))
        self.unread = nn.Dropout(unread)
        self.enter = nn.Linear(n_values, units)
        self.blocks = nn.Sequential(*[_Block(units, dropout) for _ in range(n_blocks)])
        self.norm = nn.LayerNorm(units)
        self.project = nn.Linear(units, width)

    def forward(self, values: Tensor) -> Tensor:
        """Return vectors of shape (patterns, width).

        Parameters
        ----------
        values
            Numbers of each pattern, of shape (patterns, values).
        """
        values = (values.float() - self.mean) / self.deviation
        values = self.unread(values.clamp(-_FARTHEST, _FARTHEST))
        return self.project(self.norm(self.blocks(self.enter(values))))

    @torch.no_grad()
    def standardise(self, values: Tensor) -> None:
        """Take mean and standard deviation of numbers from training patterns.

        Parameters
        ----------
        values
            Numbers of many patterns, of shape (patterns, values).
        """
        values = values.float()
        self.mean.copy_(values.mean(0))
        self.deviation.copy_(values.std(0).clamp_min(_SMALLEST_DEVIATION))


class _Block(nn.Module):
    def __init__(self, units: int, dropout: float):
        super().__init__()
        self.layers = nn.Sequential(
            nn.LayerNorm(units),
            nn.Linear(units, 2 * units),
            nn.SiLU(),
            nn.Dropout(dropout),
            nn.Linear(2 * units, units),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)
