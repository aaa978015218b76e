# SPDX-License-Identifier: GPL-3.0-or-later
"""The networks that `paper.py` compares, and what they read.

All read the same three patterns, along a, b and c. The conventional networks
are pytorchcv's, with as many channels as their configurations say.
"""

from __future__ import annotations

import importlib

import torch
from torch import Tensor, nn
from torch.nn import functional

from pyxem_symnet.descriptors.render import render_for_shaping
from pyxem_symnet.descriptors.shaped import shape_patterns
from pyxem_symnet.descriptors.spots import Spots
from pyxem_symnet.models import MSDN
from pyxem_symnet.models.axes import AxesMSDN
from pyxem_symnet.models.densenet import DenseNet

#: Pixels of the patterns that are shaped, a side
_SHAPED_SIZE = 256

#: Patterns rendered at once
_AT_ONCE = 12

#: The trunk of the paper's network, for variants with normalisation
_MSDN_TRUNK = {
    "stem_kernel": 7,
    "stem_pool": True,
    "blocks": (3, 6, 12, 8),
    "bottleneck": 32,
    "compression": 1,
}


class PatternImages(nn.Module):
    """Rendered and shaped patterns at reduced size.

    Patterns of 256 x 256 pixels are drawn from spots, shaped, and both
    are reduced to `size` by taking means.

    Parameters
    ----------
    size
        Pixels along each side of the result, a divisor of 256.
    radius
        Half the side of the images in 1/Å.
    """

    def __init__(self, size: int = 64, radius: float = 0.8):
        super().__init__()
        self.settings = {"size": size, "radius": radius}

    def accumulate(self, spots: Spots, groups: Tensor, n_groups: int) -> dict:
        """Return 8-bit images, (crystals, 3, size, size): "raw", "shaped"."""
        images = {"raw": [], "shaped": []}
        for start in range(0, len(groups), _AT_ONCE):
            part = self._inside(*(t[start : start + _AT_ONCE] for t in spots))
            drawn = render_for_shaping(part, self.settings["radius"])
            images["raw"].append(self._reduce(drawn))
            images["shaped"].append(self._reduce(shape_patterns(drawn)))
        return {k: torch.cat(v).unflatten(0, (n_groups, -1)) for k, v in images.items()}

    def _inside(self, positions: Tensor, intensities: Tensor) -> Spots:
        """Return the spots inside the image, in as few slots as they fit."""
        inside = positions.abs().amax(-1) < self.settings["radius"]
        spots = Spots(positions, intensities * inside)
        return spots.strongest(max(1, int(spots.counts.max())))

    def _reduce(self, images: Tensor) -> Tensor:
        factor = _SHAPED_SIZE // self.settings["size"]
        means = functional.avg_pool2d(images[:, None].float(), factor)[:, 0]
        return means.round().to(torch.uint8)


class ImageNetwork(nn.Module):
    """A network that reads :class:`PatternImages`.

    Parameters
    ----------
    classes
        Space-group numbers in the order of the logits.
    images
        Settings of the :class:`PatternImages`.
    """

    def __init__(self, classes, images: dict | None = None):
        super().__init__()
        self.classes = tuple(classes)
        self.images = PatternImages(**(images or {}))

    def accumulate(self, spots: Spots, groups: Tensor, n_groups: int) -> dict:
        """Return what the network reads of crystals."""
        return self.images.accumulate(spots, groups, n_groups)


class ImageMSDN(ImageNetwork):
    """The paper's network.

    Parameters
    ----------
    classes, images
        As for :class:`ImageNetwork`.
    streams
        Which of the patterns along a, b and c it reads, by number.
    shaped
        Whether the channel of each stream's axis holds the shaped
        pattern. The other two channels hold the pattern itself.
    norm
        Normalisation before each rectifier: "none", as the paper has it,
        or "batch".
    """

    def __init__(
        self, classes, images=None, streams=(0, 1, 2), shaped=True, norm="none"
    ):
        super().__init__(classes, images)
        self.streams, self.shaped = list(streams), shaped
        self.msdn = MSDN(classes, len(self.streams))
        if norm != "none":
            self.msdn.trunk = DenseNet(2, 3, **_MSDN_TRUNK, norm=norm)

    def forward(self, features: dict[str, Tensor]) -> Tensor:
        """Return logits of shape (crystals, classes)."""
        raw = features["raw"].float() / 255
        channels = raw[:, :, None].repeat(1, 1, 3, 1, 1)
        if self.shaped:
            axis = torch.arange(3)
            channels[:, axis, axis] = features["shaped"].float() / 255
        return self.msdn(channels[:, self.streams])


class Conventional(ImageNetwork):
    """A conventional network; the three patterns are its image's channels.

    Parameters
    ----------
    classes, images
        As for :class:`ImageNetwork`.
    kind
        "AlexNet", "VGG", "ResNet" or "DenseNet" of pytorchcv.
    stages
        Keywords of that class: how many channels its stages have.
    hidden
        Units of the fully connected layer after the flattened last
        stage, as AlexNet and VGG have. Without it, the last stage is
        averaged over the image, as in ResNet and DenseNet.
    """

    def __init__(self, classes, kind, stages, images=None, hidden=None):
        super().__init__(classes, images)
        try:
            module = importlib.import_module(f"pytorchcv.models.{kind.lower()}")
        except ImportError as error:
            raise SystemExit(
                "The conventional networks are pytorchcv's: `pip install pytorchcv`, "
                "or with `--no-deps` where torchvision cannot be installed."
            ) from error
        self.stages = getattr(module, kind)(**stages).features
        if hasattr(self.stages, "final_pool"):
            del self.stages.final_pool
        size = self.images.settings["size"]
        with torch.no_grad():
            last = self.stages.eval()(torch.zeros(1, 3, size, size))[0]
        self.stages.train()
        if hidden is None:
            self.head = nn.Sequential(
                nn.AdaptiveAvgPool2d(1),
                nn.Flatten(),
                nn.Linear(len(last), len(self.classes)),
            )
        else:
            self.head = nn.Sequential(
                nn.Flatten(),
                nn.Linear(last.numel(), hidden),
                nn.ReLU(),
                nn.Dropout(0.5),
                nn.Linear(hidden, len(self.classes)),
            )

    def forward(self, features: dict[str, Tensor]) -> Tensor:
        """Return logits of shape (crystals, classes)."""
        image = features["raw"].float() / 255
        return self.head(
            self.stages(image.contiguous(memory_format=torch.channels_last))
        )


#: Networks by the name their configurations give
NETWORKS = {
    "AxesMSDN": AxesMSDN,
    "Conventional": Conventional,
    "ImageMSDN": ImageMSDN,
}
