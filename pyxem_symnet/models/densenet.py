# SPDX-License-Identifier: GPL-3.0-or-later
"""Densely connected convolutional networks in one and two dimensions.

One class serves the paper's trunk (no normalisation, no compression,
bottleneck as wide as the growth) and the small networks that read
descriptors accumulated over views.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

NORMALISATIONS = ("none", "group", "batch")

_CONVOLUTIONS = {1: nn.Conv1d, 2: nn.Conv2d}
_BATCH_NORMS = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d}
_MEAN_POOLS = {1: nn.AvgPool1d, 2: nn.AvgPool2d}
_MAX_POOLS = {1: nn.MaxPool1d, 2: nn.MaxPool2d}


def _normalisation(kind: str, dimensions: int, channels: int) -> nn.Module:
    if kind == "none":
        return nn.Identity()
    if kind == "batch":
        return _BATCH_NORMS[dimensions](channels)
    # As near to 16 channels a group as the channel count allows
    return nn.GroupNorm(math.gcd(channels, max(1, channels // 16)), channels)


class DenseUnit(nn.Module):
    """Pre-activation unit: 1 bottleneck, then a wider kernel.

    The input is normalised (optionally), rectified and convolved twice;
    the result is appended to the input's channels.

    Parameters
    ----------
    dimensions
        1 or 2.
    in_channels
        Channels of the input.
    growth
        Channels that are appended.
    bottleneck
        Channels between the two convolutions.
    kernel_size
        Odd kernel size of the second convolution.
    norm
        One of :data:`NORMALISATIONS`.
    """

    def __init__(
        self,
        dimensions: int,
        in_channels: int,
        growth: int,
        bottleneck: int,
        kernel_size: int = 3,
        norm: str = "none",
    ):
        super().__init__()
        convolution = _CONVOLUTIONS[dimensions]
        # A normalisation that follows has its own offset
        bias = norm == "none"
        self.norm1 = _normalisation(norm, dimensions, in_channels)
        self.conv1 = convolution(in_channels, bottleneck, 1, bias=bias)
        self.norm2 = _normalisation(norm, dimensions, bottleneck)
        self.conv2 = convolution(
            bottleneck, growth, kernel_size, padding=kernel_size // 2, bias=bias
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the input with the unit's channels appended."""
        new = self.conv1(torch.relu(self.norm1(x)))
        new = self.conv2(torch.relu(self.norm2(new)))
        return torch.cat((x, new), dim=1)


class Transition(nn.Module):
    """1 convolution, then mean pooling by two.

    Parameters
    ----------
    dimensions
        1 or 2.
    in_channels, out_channels
        Channels before and after.
    norm
        One of :data:`NORMALISATIONS`.
    """

    def __init__(
        self, dimensions: int, in_channels: int, out_channels: int, norm: str = "none"
    ):
        super().__init__()
        self.norm = _normalisation(norm, dimensions, in_channels)
        self.conv = _CONVOLUTIONS[dimensions](
            in_channels, out_channels, 1, bias=norm == "none"
        )
        self.pool = _MEAN_POOLS[dimensions](2)

    def forward(self, x: Tensor) -> Tensor:
        """Return the convolved input at half the resolution."""
        # Pooling and a 1 x 1 convolution commute; pooling first is a
        # half or a quarter of the multiplications.
        return self.conv(self.pool(torch.relu(self.norm(x))))


class DenseNet(nn.Module):
    """Densely connected network from channels to a feature map.

    Parameters
    ----------
    dimensions
        1 for profiles, 2 for images and maps.
    in_channels
        Channels of the input.
    stem_channels, stem_kernel, stem_stride
        First convolution.
    stem_pool
        Whether the first convolution is followed by 3-wide maximum
        pooling by two.
    blocks
        Number of units in each dense block. Between two blocks the
        resolution is halved.
    growth
        Channels each unit appends, one number or one a block.
    bottleneck
        Channels inside the units.
    kernel_size
        Kernel size of the units.
    compression
        Share of its input's channels that a transition keeps.
    norm
        Normalisation before each rectifier: "none" as in the paper's
        network, "group", which gives the same answer whatever else is
        in the batch, or "batch".
    """

    def __init__(
        self,
        dimensions: int,
        in_channels: int,
        *,
        stem_channels: int = 32,
        stem_kernel: int = 3,
        stem_stride: int = 2,
        stem_pool: bool = False,
        blocks: Sequence[int] = (3, 4, 6),
        growth: int | Sequence[int] = 32,
        bottleneck: int = 64,
        kernel_size: int = 3,
        compression: float = 0.5,
        norm: str = "group",
    ):
        super().__init__()
        if dimensions not in _CONVOLUTIONS:
            raise ValueError(f"dimensions must be 1 or 2, not {dimensions!r}.")
        if norm not in NORMALISATIONS:
            raise ValueError(f"norm must be one of {NORMALISATIONS}, not {norm!r}.")
        growths = [growth] * len(blocks) if isinstance(growth, int) else list(growth)
        if len(growths) != len(blocks):
            raise ValueError(
                f"growth must be one number or one a block: {len(growths)} were "
                f"given for {len(blocks)} blocks."
            )
        self.dimensions = dimensions
        self.stem = nn.Sequential(
            _CONVOLUTIONS[dimensions](
                in_channels,
                stem_channels,
                stem_kernel,
                stride=stem_stride,
                padding=stem_kernel // 2,
                bias=True,
            )
        )
        if stem_pool:
            self.stem.append(_MAX_POOLS[dimensions](3, stride=2, padding=1))
        channels = stem_channels
        self.blocks = nn.ModuleList()
        for number, (n_units, width) in enumerate(zip(blocks, growths, strict=True)):
            block = nn.Sequential()
            if number > 0:
                kept = round(channels * compression)
                # Groups of eight channels suit vector units
                kept = channels if compression == 1 else max(8, kept - kept % 8)
                block.append(Transition(dimensions, channels, kept, norm))
                channels = kept
            for _ in range(n_units):
                block.append(
                    DenseUnit(
                        dimensions, channels, width, bottleneck, kernel_size, norm
                    )
                )
                channels += width
            self.blocks.append(block)
        self.norm = _normalisation(norm, dimensions, channels)
        self.out_channels = channels
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weights anew (He et al., 2015; biases are zero)."""
        for module in self.modules():
            if isinstance(module, nn.Conv1d | nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return the feature map of shape (patterns, features, ...).

        Parameters
        ----------
        x
            Input of shape (patterns, channels, ...).
        """
        if self.dimensions == 2:
            # Convolutions on CPUs and tensor cores are fastest so
            x = x.contiguous(memory_format=torch.channels_last)
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return torch.relu(self.norm(x))
