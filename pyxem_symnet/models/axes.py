# SPDX-License-Identifier: GPL-3.0-or-later
"""MSDN for the three patterns along a, b and c, in this order."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pyxem_symnet.descriptors.axes_reading import N_AXES, AxesReading
from pyxem_symnet.descriptors.half_pattern import HalfPattern
from pyxem_symnet.descriptors.radial import RadialProfile
from pyxem_symnet.descriptors.spots import Spots
from pyxem_symnet.models.net_reader import NetReader
from pyxem_symnet.models.readout import (
    IMAGE_NETWORK,
    NET_NETWORK,
    RADIAL_NETWORK,
    Readout,
    SpotNetwork,
    merge_settings,
)

NETWORK = {
    "image": IMAGE_NETWORK,
    "radial": RADIAL_NETWORK | {"norm": "batch"},
    "net": NET_NETWORK,
    "grid": {"image": 3, "radial": 8},
    "width": 192,
    "hidden": 512,
    "dropout": 0.1,
    "opinions": [],
}


class AxesMSDN(SpotNetwork):
    """Network that reads the patterns along a, b and c of one crystal.

    As in the paper's network one trunk is shared by three streams. What
    differs: patterns are drawn from spots, and only half of each, since
    Friedel's law makes the other half the same; batch normalisation; the
    streams' features are joined before the decision, not their logits
    summed, so that lengths seen along one axis can be compared with
    those along another; and further streams read the three radial
    profiles, which are sharper than the pixels of an image, and
    optionally the numbers that the patterns' nets are written down in.

    Parameters
    ----------
    classes
        Space-group numbers in the order of the logits.
    finder
        Settings of the
        :class:`~pyxem_symnet.descriptors.finder.SpotFinder`.
    image
        Settings of the
        :class:`~pyxem_symnet.descriptors.half_pattern.HalfPattern`, or
        None to do without.
    radial
        Settings of the
        :class:`~pyxem_symnet.descriptors.radial.RadialProfile`, or None
        to do without.
    network
        What differs from the default :data:`NETWORK`: settings of the
        networks ("image", "radial", "net"), points kept of each of the
        DenseNets' maps ("grid"), length of each stream's vector
        ("width"), units of the joining network ("hidden", 0 for fixed
        shares of opinions), its dropout,
        and its "opinions", see
        :class:`~pyxem_symnet.models.viewset.ViewSetMSDN`.
    net
        Settings of the
        :class:`~pyxem_symnet.descriptors.axes_reading.AxesReading`, or
        None to do without, which is the default.

    Raises
    ------
    ValueError
        If there is nothing to read.
    """

    def __init__(
        self,
        classes: Sequence[int],
        finder: dict | None = None,
        image: dict | None = {},  # noqa: B006 (read only)
        radial: dict | None = {},  # noqa: B006 (read only)
        network: dict | None = None,
        net: dict | None = None,
    ):
        super().__init__(classes, finder)
        # Their order means something: they are not pooled
        self.ordered_views = N_AXES
        network = merge_settings(NETWORK, network or {})
        self.image = None if image is None else HalfPattern(**image)
        self.radial = None if radial is None else RadialProfile(**radial)
        self.net = None if net is None else AxesReading(**net)
        grid, width = network["grid"], network["width"]
        self.streams = nn.ModuleDict()
        widths = {}
        if self.image is not None:
            self.streams["image"] = Readout(
                2, 1, network["image"], grid["image"], width
            )
            widths["image"] = width * N_AXES
        if self.radial is not None:
            self.streams["radial"] = Readout(
                1, N_AXES, network["radial"], grid["radial"], width
            )
            widths["radial"] = width
        if self.net is not None:
            widths["net"] = width * N_AXES
            self.streams["net"] = NetReader(
                self.net.n_values, width=widths["net"], **network["net"]
            )
        if not self.streams:
            raise ValueError("image, radial and net cannot all be None.")
        self.join_streams(widths, N_AXES, network)
        self._network = network

    @property
    def settings(self) -> dict:
        """Keywords that, beside the classes, make the same model again."""
        return {
            "finder": dict(self.finder.settings),
            **{
                name: None if reader is None else dict(reader.settings)
                for name, reader in self._readers().items()
            },
            "network": copy.deepcopy(self._network),
        }

    def accumulate(
        self, spots: Spots, groups: Tensor | None = None, n_groups: int | None = None
    ) -> dict[str, Tensor]:
        """Return what the network reads of crystals.

        Parameters
        ----------
        spots
            Spots of the views, those of a crystal in the order a, b, c.
        groups
            Which crystal each view is of, integers of shape (views,).
            With None, every three views are those of one.
        n_groups
            Number of crystals, if groups are given.

        Returns
        -------
        features
            "image" of shape (crystals, 3, rows, columns), "radial" of
            shape (crystals, 3, bins), "n_spots" of shape (crystals, 3),
            "n_views", of shape (crystals, 1), the number of views with
            any spot, and "net" of shape (crystals, values), those that
            the network has a stream for.

        Raises
        ------
        ValueError
            If the views of a crystal are not three.
        """
        n_views = len(spots.intensities)
        if groups is None:
            groups = torch.arange(n_views, device=spots.positions.device) // N_AXES
            n_groups = -(-n_views // N_AXES)
        if (torch.bincount(groups, minlength=n_groups) != N_AXES).any():
            raise ValueError(
                "This model reads exactly three patterns of a crystal: along a, b "
                "and c, in this order. Give it three views, or use a model for any "
                "views such as 'msdn-any'."
            )
        order = groups.argsort(stable=True)
        spots = Spots(spots.positions[order], spots.intensities[order])
        n_spots = spots.counts.to(spots.positions.dtype).view(-1, N_AXES)
        features = {name: read(spots) for name, read in self._readers().items() if read}
        for name in {"image", "radial"} & set(features):
            features[name] = features[name].unflatten(0, (-1, N_AXES))
        return features | {
            "n_spots": n_spots,
            "n_views": (n_spots > 0).sum(1, keepdim=True).to(n_spots),
        }

    def _see(self, features: dict[str, Tensor]) -> Tensor:
        """Return what all streams see, of shape (crystals, width)."""
        # Of the order of one, as the streams' vectors are
        numbers = (features["n_spots"] / 16).log1p()
        seen = []
        if self.image is not None:
            images = features["image"].flatten(0, 1).unsqueeze(1)
            seen.append(self.streams["image"](images).view(len(numbers), -1))
        if self.radial is not None:
            seen.append(self.streams["radial"](features["radial"]))
        if self.net is not None:
            seen.append(self.streams["net"](features["net"]).relu())
        return torch.cat([*seen, numbers], -1)

    def _readers(self) -> dict[str, nn.Module | None]:
        """Return what each stream's features come from."""
        return {"image": self.image, "radial": self.radial, "net": self.net}
