# SPDX-License-Identifier: GPL-3.0-or-later
"""The paper's multi-stream DenseNet (MSDN)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pyxem_symnet.models.calibration import TemperatureTable
from pyxem_symnet.models.densenet import DenseNet


class MSDN(nn.Module):
    """Multi-stream DenseNet of Tiong et al. (2020).

    One trunk is shared by all streams, each stream has its own head,
    and the heads' logits are summed. With three streams and 72 classes
    it has the 1,542,424 trainable parameters of the authors' published
    checkpoint: a 7 x 7 convolution, dense blocks of 3, 6, 12 and 8
    units with growth 32, transitions without compression, 960 features,
    a bias everywhere, no normalisation. The checkpoint stores neither
    strides nor the dropout rate: a stride of two followed by pooling
    is the usual reading of DenseNet.

    Parameters
    ----------
    classes
        Space-group numbers in the order of the logits.
    n_streams
        Number of streams; the paper has three, patterns along x, y and
        z.
    dropout
        Share of the features left out in training.
    preprocessing
        How the input was made, kept with the weights. The network does
        not use it.

    Attributes
    ----------
    calibration
        :class:`~pyxem_symnet.models.calibration.TemperatureTable`
        applied by :meth:`probabilities`.

    References
    ----------
    Tiong et al., npj Comput. Mater. 6, 196 (2020),
    https://doi.org/10.1038/s41524-020-00466-5.
    """

    def __init__(
        self,
        classes: Sequence[int],
        n_streams: int = 3,
        dropout: float = 0.2,
        preprocessing: dict | None = None,
    ):
        super().__init__()
        self.classes = tuple(int(number) for number in classes)
        self.settings = {
            "n_streams": n_streams,
            "dropout": dropout,
            "preprocessing": dict(preprocessing or {}),
        }
        self.n_streams = n_streams
        self.calibration = TemperatureTable()
        self.trunk = DenseNet(
            2,
            3,
            stem_channels=32,
            stem_kernel=7,
            stem_stride=2,
            stem_pool=True,
            blocks=(3, 6, 12, 8),
            growth=32,
            bottleneck=32,
            compression=1,
            norm="none",
        )
        self.dropout = nn.Dropout(dropout)
        self.heads = nn.ModuleList(
            nn.Linear(self.trunk.out_channels, len(self.classes))
            for _ in range(n_streams)
        )

    def forward(self, images: Tensor) -> Tensor:
        """Return logits of shape (crystals, classes).

        Parameters
        ----------
        images
            Patterns of shape (crystals, streams, 3, height, width),
            scaled to 0 to 1. The paper's are 224 x 224.

        Raises
        ------
        ValueError
            If the shape is another one.
        """
        if images.ndim != 5 or images.shape[1:3] != (self.n_streams, 3):
            raise ValueError(
                f"Images must be of shape (crystals, {self.n_streams}, 3, height, "
                f"width), not {tuple(images.shape)}."
            )
        maps = self.trunk(images.flatten(0, 1))
        features = self.dropout(maps.mean((-2, -1))).unflatten(
            0, (len(images), self.n_streams)
        )
        return sum(head(features[:, i]) for i, head in enumerate(self.heads))

    @torch.no_grad()
    def probabilities(self, images: Tensor) -> Tensor:
        """Return calibrated probabilities of shape (crystals, classes).

        Parameters
        ----------
        images
            As for :meth:`forward`.
        """
        logits = self(images).float()
        n_views = logits.new_full((len(logits), 1), self.n_streams)
        return (logits / self.calibration(n_views)).softmax(-1)
