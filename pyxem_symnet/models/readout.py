# SPDX-License-Identifier: GPL-3.0-or-later
"""What the networks that read descriptors are put together from."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from pyxem_symnet.descriptors.finder import SpotFinder
from pyxem_symnet.descriptors.geometry import PatternGeometry
from pyxem_symnet.descriptors.spots import Spots
from pyxem_symnet.models.calibration import TemperatureTable
from pyxem_symnet.models.densenet import DenseNet

#: DenseNet that reads half patterns. Sized for training on a few CPU cores
IMAGE_NETWORK = {
    "stem_channels": 40,
    "stem_kernel": 8,
    "stem_stride": 4,
    "blocks": [2, 3, 3],
    "growth": [48, 64, 64],
    "bottleneck": 64,
    "norm": "batch",
}

#: DenseNet that reads radial profiles
RADIAL_NETWORK = {
    "stem_channels": 32,
    "stem_kernel": 7,
    "stem_stride": 2,
    "blocks": [2, 3, 4, 4],
    "growth": [16, 24, 32, 48],
    "bottleneck": 48,
    "kernel_size": 5,
}

#: Smallest logarithm of a probability that is read of an opinion
_LEAST_LOG = -12.0

#: Network that reads the numbers of a pattern's net
NET_NETWORK = {"units": 384, "n_blocks": 3, "dropout": 0.15}


class SpotNetwork(nn.Module):
    """What networks that read spots have in common.

    Parameters
    ----------
    classes
        Space-group numbers in the order of the logits; 0 stands for
        "not crystalline".
    finder
        Settings of the
        :class:`~pyxem_symnet.descriptors.finder.SpotFinder`.
    """

    def __init__(self, classes: Sequence[int], finder: dict | None = None):
        super().__init__()
        self.classes = tuple(int(number) for number in classes)
        self.calibration = TemperatureTable()
        self.finder = SpotFinder(**(finder or {}))

    def join_streams(
        self,
        widths: Mapping[str, int],
        n_numbers: int,
        network: Mapping,
    ) -> None:
        """Make the networks from what streams see to an answer.

        Parameters
        ----------
        widths
            Length of what each stream sees, in their order.
        n_numbers
            Numbers that come after it.
        network
            Settings, of which "hidden", "dropout" and "opinions" count.
            With no hidden units, opinions count in fixed shares.

        Raises
        ------
        ValueError
            If an opinion is of a stream that is not there, or there are
            neither hidden units nor opinions.
        """
        n_classes = len(self.classes)
        self.opinions = nn.ModuleList()
        self._columns = []
        total = sum(widths.values()) + n_numbers
        ends = dict(zip(widths, itertools.accumulate(widths.values()), strict=True))
        for opinion in network["opinions"]:
            if unknown := sorted(set(opinion["streams"]) - set(widths)):
                raise ValueError(
                    f"There can be no opinion of {', '.join(unknown)}: the model's "
                    f"streams are {', '.join(widths)}."
                )
            columns = [
                column
                for name, end in ends.items()
                if name in opinion["streams"]
                for column in range(end - widths[name], end)
            ]
            columns += range(total - n_numbers, total)
            self._columns.append(columns)
            self.opinions.append(
                joining_network(len(columns), opinion["hidden"], 0.0, n_classes)
            )
        n_opinions = len(self.opinions)
        if not network["hidden"]:
            if not self.opinions:
                raise ValueError("Without opinions the network needs hidden units.")
            self.join = FixedShares(n_classes, n_opinions)
            return
        self.join = joining_network(
            total + n_opinions * n_classes,
            network["hidden"],
            network["dropout"],
            n_classes + n_opinions,
        )
        if self.opinions:
            # Until it is trained, opinions count alike
            nn.init.zeros_(self.join[-1].weight)
            nn.init.zeros_(self.join[-1].bias)

    def decide(self, seen: Tensor) -> Tensor:
        """Return logits of shape (crystals, classes).

        Without opinions the joining network gives them. Otherwise it
        says how much each opinion counts, and corrects their sum.

        Parameters
        ----------
        seen
            What all streams see, of shape (crystals, width).
        """
        if not self.opinions:
            return self.join(seen)
        logs = [
            opinion(seen[:, columns]).float().log_softmax(-1)
            for opinion, columns in zip(self.opinions, self._columns, strict=True)
        ]
        scaled = [log.clamp_min(_LEAST_LOG) / 4 for log in logs]
        answer = self.join(torch.cat((seen, *scaled), -1)).float()
        logits, gates = answer.split((len(self.classes), len(logs)), -1)
        shares = nn.functional.softplus(gates) / (math.log(2) * len(logs))
        return logits + sum(shares[:, i : i + 1] * log for i, log in enumerate(logs))

    def prepare(
        self,
        images: Tensor,
        geometry: PatternGeometry,
        mask: Tensor | None = None,
        centres: Tensor | None = None,
    ) -> Spots:
        """Return the spots found in patterns.

        Parameters
        ----------
        images
            Patterns of shape (patterns, ky, kx).
        geometry
            Their calibration.
        mask
            Detector pixels to leave out are True, of shape (ky, kx).
        centres
            Direct beams (x, y) in pixels of shape (patterns, 2), instead
            of the geometry's.
        """
        return self.finder(images, geometry, mask, centres)

    def training_features(
        self, spots: Spots, groups: Tensor, n_groups: int
    ) -> dict[str, Tensor]:
        """Return what the forward pass takes, with nothing learnt in it yet.

        Parameters
        ----------
        spots, groups, n_groups
            As for ``accumulate``, which does it unless a network says
            otherwise.
        """
        return self.accumulate(spots, groups, n_groups)

    def joined_features(
        self, spots: Spots, groups: Tensor, n_groups: int
    ) -> dict[str, Tensor]:
        """Return what the streams see, for training how it is joined.

        Parameters
        ----------
        spots, groups, n_groups
            As for :meth:`training_features`.

        Returns
        -------
        features
            "joined" of shape (crystals, values), and "n_views".
        """
        features = self.training_features(spots, groups, n_groups)
        return {"joined": self._see(features), "n_views": features["n_views"]}

    def forward(self, features: dict[str, Tensor]) -> Tensor:
        """Return logits of shape (crystals, classes).

        Parameters
        ----------
        features
            What ``accumulate`` returned, summed over the views of each
            crystal if they are pooled, or what :meth:`training_features`
            or :meth:`joined_features` returned.
        """
        joined = features["joined"] if "joined" in features else self._see(features)
        return self.decide(joined)

    def _see(self, features: dict[str, Tensor]) -> Tensor:
        """Return what all streams see, of shape (crystals, width)."""
        raise NotImplementedError

    @torch.no_grad()
    def probabilities(self, features: dict[str, Tensor]) -> Tensor:
        """Return calibrated probabilities of shape (crystals, classes).

        Parameters
        ----------
        features
            What :meth:`forward` takes.
        """
        logits = self(features).float()
        return (logits / self.calibration(features["n_views"])).softmax(-1)


class FixedShares(nn.Module):
    """What takes a joining network's place where it would learn too much.

    Streams that know their training crystals by heart are no longer
    right there as often as elsewhere, and a network that joins them on
    other crystals has few to learn from.

    Parameters
    ----------
    n_classes
        Number of classes, none of which is corrected.
    n_opinions
        Number of opinions, each of which has one weight.
    """

    def __init__(self, n_classes: int, n_opinions: int):
        super().__init__()
        self.n_classes = n_classes
        self.shares = nn.Parameter(torch.zeros(n_opinions))

    def forward(self, seen: Tensor) -> Tensor:
        """Return no correction, and weights, as a joining network does.

        Parameters
        ----------
        seen
            What all streams see, of shape (crystals, width).
        """
        nothing = self.shares.new_zeros(len(seen), self.n_classes)
        return torch.cat((nothing, self.shares.expand(len(seen), -1)), -1)


def joining_network(
    width: int, hidden: int, dropout: float, n_classes: int
) -> nn.Sequential:
    """Return the network from all streams' vectors to logits."""
    return nn.Sequential(
        nn.LayerNorm(width),
        nn.Dropout(dropout),
        nn.Linear(width, hidden),
        nn.SiLU(),
        nn.Dropout(dropout),
        nn.Linear(hidden, n_classes),
    )


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
