# SPDX-License-Identifier: GPL-3.0-or-later
"""The networks that read the streams of a set of views, and their settings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from torch import nn

from pyxem_symnet.models.net_reader import NetReader
from pyxem_symnet.models.readout import (
    IMAGE_NETWORK,
    NET_NETWORK,
    RADIAL_NETWORK,
    Readout,
)

# Sized for training on a few CPU cores
NETWORK = {
    "radial": RADIAL_NETWORK,
    "pairs": {
        "stem_channels": 48,
        "stem_kernel": 3,
        "stem_stride": 2,
        "blocks": [2, 4, 6],
        "growth": [24, 32, 48],
        "bottleneck": 64,
    },
    # As in msdn-axes, whose weights it can start from
    "image": IMAGE_NETWORK,
    "net": NET_NETWORK,
    "grid": {"radial": 8, "pairs": 3, "image": 3},
    "width": 192,
    "hidden": 384,
    "dropout": 0.1,
    "power": 0.5,
    "most_views": 32,
    "training_images": 3,
    "training_nets": 8,
    "opinions": [],
}

#: Streams that look at each view by itself. Both the mean and the root mean square
#: of what they see are joined
OF_EACH_VIEW = ("image", "net")


def make_streams(
    descriptors: Mapping[str, nn.Module | None], network: Mapping
) -> nn.ModuleDict:
    """Return the network of each stream.

    Parameters
    ----------
    descriptors
        What each stream reads, None to do without it: "radial", "pairs",
        "image" and "net".
    network
        Settings, as in :data:`NETWORK`.

    Raises
    ------
    ValueError
        If no stream is left.
    """
    inputs = {"radial": (1, 2), "pairs": (2, None), "image": (2, 1)}
    streams = nn.ModuleDict()
    for name, (dimensions, channels) in inputs.items():
        if descriptors[name] is None:
            continue
        if name == "pairs":
            channels = descriptors[name].n_angles
        streams[name] = Readout(
            dimensions,
            channels,
            network[name],
            network["grid"][name],
            network["width"],
        )
    if descriptors["net"] is not None:
        streams["net"] = NetReader(
            descriptors["net"].n_values, width=network["width"], **network["net"]
        )
    if not streams:
        raise ValueError(
            "A model needs at least one stream: radial, pairs, image and net "
            "cannot all be None."
        )
    return streams


def stream_widths(names: Iterable[str], width: int) -> dict[str, int]:
    """Return the length of what each stream sees.

    Parameters
    ----------
    names
        Names of the streams, in their order.
    width
        Length of the vector of each network.
    """
    return {name: width * (1 + (name in OF_EACH_VIEW)) for name in names}
