# SPDX-License-Identifier: GPL-3.0-or-later
"""Spectrum of the scalar products of spots, which a cubic lattice makes whole."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from pyxem_symnet.descriptors.spots import Spots

#: Bins of the products, and the largest, in 1/Å²
_N_BINS = 4096
_LARGEST = 1.7

#: Wavelength of electrons of 200 kV in Å. Others change the third coordinate of a
#: spot by less than its excitation error does.
_WAVELENGTH = 0.0251

#: Squared cell edges in Å²: first, last and step for all products, and for those
#: below a quarter of the largest, which are all that large cells leave in step
_EDGES = (5.0, 113.0, 0.3)
_LARGE_EDGES = (10.0, 250.0, 2.4)

#: Only how near to one a mean cosine comes says something
_FLOOR = 1e-3


class ProductSpectrum(nn.Module):
    """Mean cosine of the products of all pairs of spots.

    In a cubic crystal of cell edge a the scalar product of any two
    reciprocal lattice vectors is a whole multiple of 1/a². The mean of
    cos(2 pi a² g1 . g2) is near one then, and less for other lattices
    and edges. It does not change when the pattern is turned. The
    coordinate of a spot along the beam is that of the Ewald sphere.

    Parameters
    ----------
    n_spots
        Strongest spots that are paired.

    Attributes
    ----------
    n_values
        Number of edges.
    """

    def __init__(self, n_spots: int = 48):
        super().__init__()
        self.n_spots = n_spots
        centres = (torch.arange(_N_BINS) + 0.5) / _N_BINS * _LARGEST
        small, large = (
            first + step * torch.arange(round((last - first) / step))
            for first, last, step in (_EDGES, _LARGE_EDGES)
        )
        self._n_low = _N_BINS // 4
        tables = {
            "_cosines": torch.outer(2 * math.pi * centres, small).cos(),
            "_low_cosines": torch.outer(
                2 * math.pi * centres[: self._n_low], large
            ).cos(),
        }
        for name, table in tables.items():
            # Made again from the settings, so no part of a checkpoint
            self.register_buffer(name, table, persistent=False)
        self.n_values = len(small) + len(large)

    def forward(self, spots: Spots, weights: Tensor) -> Tensor:
        """Return spectra of shape (patterns, edges).

        Parameters
        ----------
        spots
            Spots of the patterns, strongest first.
        weights
            Of the spots, of shape (patterns, spots); zero for none.
        """
        places = spots.positions[:, : self.n_spots]
        weights = weights[:, : self.n_spots]
        along = -_WAVELENGTH / 2 * places.square().sum(-1, keepdim=True)
        places = torch.cat((places, along), -1)
        products = (places @ places.mT).abs().flatten(1)
        weights = (weights.unsqueeze(-1) * weights.unsqueeze(-2)).flatten(1)
        bins = (products * (_N_BINS / _LARGEST)).long().clamp_max(_N_BINS - 1)
        counts = weights.new_zeros(len(weights), _N_BINS)
        counts.scatter_add_(1, bins, weights)
        low = counts[:, : self._n_low]
        spectra = (
            counts @ self._cosines.to(counts) / _total(counts),
            low @ self._low_cosines.to(low) / _total(low),
        )
        return torch.cat(spectra, -1).clamp_min(_FLOOR)


def _total(counts: Tensor) -> Tensor:
    return counts.sum(-1, keepdim=True).clamp_min(1e-6)
