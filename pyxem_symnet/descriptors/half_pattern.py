# SPDX-License-Identifier: GPL-3.0-or-later
"""Half of each pattern, drawn from its spots: Friedel's law gives the rest."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pyxem_symnet.descriptors.net import align_to_net
from pyxem_symnet.descriptors.render import SpotRenderer
from pyxem_symnet.descriptors.spots import Spots

#: Rows of the drawn half-plane beyond the line through the direct beam
_ROWS_BEYOND = 2


class HalfPattern(nn.Module):
    """Images of the upper halves of patterns.

    By Friedel's law both halves are the same, turned by 180 degrees. The
    mean of both is drawn, so that what one lacks the other gives.

    Parameters
    ----------
    size
        Pixels along each side of the images of whole patterns.
    radius
        Half the side of these images in 1/Å.
    sigma_px
        Standard deviation of the spots in pixels.
    power
        A spot's peak is its intensity, relative to the strongest in its
        pattern, to this power.
    aligned
        Whether each pattern is turned and mirrored into the frame of
        its own net before, see
        :func:`~pyxem_symnet.descriptors.net.align_to_net`. The images
        then don't depend on how a pattern lies on the detector.

    Attributes
    ----------
    settings
        The parameters, as plain values that JSON can hold.
    """

    def __init__(
        self,
        size: int = 96,
        radius: float = 1.04,
        sigma_px: float = 0.7,
        power: float = 0.25,
        aligned: bool = False,
    ):
        super().__init__()
        self.renderer = SpotRenderer(size, radius, sigma_px, power)
        self.aligned = bool(aligned)
        self.settings = {**self.renderer.settings, "aligned": self.aligned}

    def forward(self, spots: Spots) -> Tensor:
        """Return images of shape (patterns, rows, size).

        Parameters
        ----------
        spots
            Spots of the patterns.

        Returns
        -------
        images
            Of half as many rows as columns and two more, so that what
            lies on the line through the direct beam is whole.
        """
        if self.aligned:
            spots = align_to_net(spots)
        drawn = self.renderer(spots)
        # Turned by 180 degrees about the direct beam
        drawn = (drawn + torch.flip(drawn, (-2, -1))) / 2
        return drawn[:, drawn.shape[1] // 2 - _ROWS_BEYOND :]

    def extra_repr(self) -> str:
        """Return the settings, as shown by `repr`."""
        return f"aligned={self.aligned}"
