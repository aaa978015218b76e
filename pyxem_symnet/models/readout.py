# SPDX-License-Identifier: GPL-3.0-or-later
"""What the networks that read descriptors are put together from."""

from __future__ import annotations

import copy

from torch import Tensor, nn

from pyxem_symnet.models.densenet import DenseNet


class Readout(nn.Module):
    """DenseNet whose coarse feature map is flattened into a vector.

    Unlike a global mean, the flattened map keeps where along the axes
    something was seen, which here is a length or an angle.

    Parameters
    ----------
    dimensions, in_channels, network
        Of the :class:`~pyxem_symnet.models.densenet.DenseNet`.
    grid
        Points along each axis of the map that is flattened.
    width
        Length of the vector.
    """

    def __init__(
        self, dimensions: int, in_channels: int, network: dict, grid: int, width: int
    ):
        super().__init__()
        self.trunk = DenseNet(dimensions, in_channels, **network)
        pool = nn.AdaptiveAvgPool1d if dimensions == 1 else nn.AdaptiveAvgPool2d
        self.pool = pool(grid)
        self.project = nn.Linear(self.trunk.out_channels * grid**dimensions, width)

    def forward(self, x: Tensor) -> Tensor:
        """Return vectors of shape (patterns, width)."""
        return self.project(self.pool(self.trunk(x)).flatten(1))


def merge_settings(defaults: dict, changes: dict) -> dict:
    """Return nested defaults with changes.

    Parameters
    ----------
    defaults
        All settings; those of a DenseNet are a mapping themselves.
    changes
        Settings that differ.

    Raises
    ------
    ValueError
        If a setting is unknown.
    """
    unknown = set(changes) - set(defaults)
    if unknown:
        raise ValueError(
            f"Unknown network settings {sorted(unknown)}; known are {sorted(defaults)}."
        )
    merged = copy.deepcopy(defaults)
    for name, value in changes.items():
        nested = isinstance(merged[name], dict)
        # DenseNet checks its own keywords, some of which have no default here
        merged[name] = merged[name] | value if nested else value
    return merged
