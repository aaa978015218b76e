# SPDX-License-Identifier: GPL-3.0-or-later
"""Intensities by index on a net, and what operations of the net make of them."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

from pyxem_symnet.descriptors.indexed_net import IndexedNet

#: Rotations and mirrors that a reduced net can have, on its indices, up to the
#: inverse and to the turn by 180 degrees that Friedel's law makes of each
_OPERATIONS = (
    ((-1, -1), (0, 1)),
    ((-1, -1), (1, 0)),
    ((-1, 0), (-1, 1)),
    ((-1, 0), (0, 1)),
    ((-1, 0), (1, 1)),
    ((-1, 1), (-1, 0)),
    ((-1, 1), (0, 1)),
    ((0, -1), (-1, 0)),
    ((0, -1), (1, 0)),
)

#: Change of a net's metric, relative to its squared lengths, that leaves it alike
_ALIKE = 0.06

#: Rows along which reflections may be absent, as factors of h and k whose sum is
#: nought, and the steps with which they may come back
_ROWS = ((0, 1), (1, 0), (1, -1), (1, 1))
_ROW_STEPS = (2, 3, 4)

#: Factors of h and k in the conditions of a whole net, and their divisors
_CONDITIONS = ((1, 0, 2), (0, 1, 2), (1, 1, 2), (1, -1, 3), (1, 1, 3))


class NetIntensities(nn.Module):
    """Table of intensities by index, and its symmetry.

    Parameters
    ----------
    reach
        Largest index in the table.

    Raises
    ------
    ValueError
        If the table is too small for the rows in which reflections are
        absent to begin again.

    Attributes
    ----------
    indices
        Of the table, (h, k), one of each Friedel pair, of shape (places,
        2).
    """

    def __init__(self, reach: int = 8):
        super().__init__()
        if reach < max(_ROW_STEPS):
            raise ValueError(
                f"reach must be at least {max(_ROW_STEPS)}, not {reach}: every fourth "
                "reflection of a row has to be in the table."
            )
        self.reach = reach
        h, k = torch.meshgrid(
            torch.arange(-reach, reach + 1), torch.arange(reach + 1), indexing="ij"
        )
        half = (k > 0) | (h > 0)
        self._buffer("indices", torch.stack((h, k), -1)[half])
        place = torch.full(h.shape, -1)
        place[half] = torch.arange(len(self.indices))
        self._buffer("_place", place)
        self._buffer("_settings", torch.tensor(_unimodular()))
        self._buffer("_moved_settings", self.moved(self._settings))
        operations = torch.tensor(_OPERATIONS)
        moved = self.moved(operations)
        own = moved == torch.arange(len(self.indices))
        self._buffer("_operations", operations)
        self._buffer("_moved_operations", moved)
        self._buffer("_pairs", (moved >= 0) & ~own)
        self._buffer("_order", _order(self.indices))
        self._buffer("_absent", torch.stack([*_absences(self.indices)]))

    def _buffer(self, name: str, value: Tensor) -> None:
        # Made again from the settings, so no part of a checkpoint
        self.register_buffer(name, value, persistent=False)

    def places(self, indices: Tensor) -> Tensor:
        """Return the place of each (h, k), or of its Friedel mate, in the table.

        Parameters
        ----------
        indices
            Of shape (..., 2).

        Returns
        -------
        places
            Of shape (...). -1 for what is not in it.
        """
        h, k = indices.unbind(-1)
        other = (k < 0) | ((k == 0) & (h < 0))
        h, k = torch.where(other, -h, h), torch.where(other, -k, k)
        inside = (h.abs() <= self.reach) & (k <= self.reach) & ((h != 0) | (k != 0))
        h, k = h.clamp(-self.reach, self.reach), k.clamp(0, self.reach)
        return torch.where(inside, self._place[h + self.reach, k], -1)

    def table(self, net: IndexedNet, values: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean value at each place of the table, and its setting.

        Of the settings in which the net looks alike, that is taken in
        which a fixed sum over the table is largest. So it does not
        depend on how a pattern lies on the detector.

        Parameters
        ----------
        net
            Net of the patterns.
        values
            Of each spot, of shape (patterns, spots); zero for none.

        Returns
        -------
        table
            Of shape (patterns, places).
        setting
            As :meth:`IndexedNet.in_setting` takes it, of shape (patterns,
            2, 2).
        """
        places = self.places(net.indices)
        places = torch.where(net.on_net, places, -1)
        table = mean_at_places(places, values, len(self.indices))
        settings = look_up(table, self._moved_settings)
        score = (settings * self._order.to(table)).sum(-1)
        alike = _change(net.basis, self._settings) < _ALIKE
        best = torch.where(alike, score, -torch.inf).argmax(-1)
        rows = torch.arange(len(table), device=table.device)
        return settings[rows, best], self._settings[best]

    def symmetry(self, net: IndexedNet, table: Tensor) -> Tensor:
        """Return how far each operation leaves net and intensities alone.

        Parameters
        ----------
        net
            Net of the patterns.
        table
            What :meth:`table` returned.

        Returns
        -------
        symmetry
            Of shape (patterns, 5, operations): the change of the metric
            on a logarithmic scale, the difference of intensities, their
            correlation and that of their squares, and the number of
            pairs.
        """
        moved = look_up(table, self._moved_operations)
        table = table.unsqueeze(1).expand_as(moved)
        both = (self._pairs & ((table > 0) | (moved > 0))).to(table)
        change = _change(net.basis, self._operations)
        sums = ((table + moved) * both).sum(-1).clamp_min(1e-6)
        rows = [
            (change + 1e-4).log10() / 2 + 1,
            ((table - moved).abs() * both).sum(-1) / sums,
            correlation(table, moved, both),
            correlation(table.square(), moved.square(), both),
            both.sum(-1) / 50,
        ]
        return torch.stack(rows, 1)

    def absences(self, table: Tensor) -> Tensor:
        """Return what is seen of reflections that may be absent.

        Parameters
        ----------
        table
            What :meth:`table` returned.

        Returns
        -------
        absences
            Of shape (patterns, conditions, 5): the largest and the mean
            value of what would be absent, the same of what would not,
            and the share of the former that is seen.
        """
        columns = []
        for which in self._absent:
            absent, rest = table[:, which[0]], table[:, which[1]]
            columns += [
                torch.stack(
                    [
                        absent.amax(-1),
                        absent.mean(-1),
                        rest.amax(-1),
                        rest.mean(-1),
                        (absent > 0).to(table).mean(-1),
                    ],
                    -1,
                )
            ]
        return torch.stack(columns, 1)

    def moved(self, operations: Tensor) -> Tensor:
        """Return where each operation takes each place, of shape (n, places)."""
        return self.places(self.indices @ operations.mT)


def _unimodular() -> list[tuple]:
    """Return matrices of -1, 0 and 1 that keep the mesh's area, up to sign."""
    found = []
    for a, b, c, d in itertools.product((-1, 0, 1), repeat=4):
        opposite = ((-a, -b), (-c, -d))
        if abs(a * d - b * c) == 1 and opposite not in found:
            found.append(((a, b), (c, d)))
    return found


def _order(indices: Tensor) -> Tensor:
    """Return weights of the sum that chooses a setting, the same in no two."""
    h, k = indices.float().unbind(-1)
    return (
        (1.3 * h).cos()
        + 0.6 * h.sign() * k.sign()
        + (k == 0).float()
        - (h == 0).float()
        + 0.3 * (2.1 * h + 1.7 * k).sin()
    )


def _absences(indices: Tensor):
    """Yield which places a condition makes absent, and which others it is about."""
    h, k = indices.unbind(-1)
    for p, q in _ROWS:
        row = p * h + q * k == 0
        along = (h if p == 0 else k).abs()
        for step in _ROW_STEPS:
            absent = row & (along % step != 0)
            yield torch.stack((absent, row & ~absent))
    for p, q, divisor in _CONDITIONS:
        absent = (p * h + q * k) % divisor != 0
        yield torch.stack((absent, ~absent))


def mean_at_places(places: Tensor, values: Tensor, n_places: int) -> Tensor:
    """Return means of the values above nought at each place."""
    places = torch.where(places < 0, n_places, places)
    sums = values.new_zeros(len(values), n_places + 1)
    counts = torch.zeros_like(sums)
    sums.scatter_add_(1, places, values)
    counts.scatter_add_(1, places, (values > 0).to(values))
    return (sums / counts.clamp_min(1))[:, :n_places]


def look_up(table: Tensor, places: Tensor) -> Tensor:
    """Return the table in other orders, zero where a place is -1."""
    table = torch.cat((table, table.new_zeros(len(table), 1)), 1)
    return table[:, places]


def _change(basis: Tensor, operations: Tensor) -> Tensor:
    """Return how much operations change the metric of nets, relative to it."""
    metric = basis @ basis.mT
    operations = operations.to(metric)
    changed = torch.einsum("mij,bik,mkl->bmjl", operations, metric, operations)
    scale = metric.diagonal(dim1=1, dim2=2).mean(-1, keepdim=True)
    return (changed - metric.unsqueeze(1)).abs().amax((-1, -2)) / scale


def correlation(first: Tensor, second: Tensor, which: Tensor) -> Tensor:
    """Return correlations over those places, zero where nothing varies."""
    count = which.sum(-1, keepdim=True).clamp_min(1)
    first = (first - (first * which).sum(-1, keepdim=True) / count) * which
    second = (second - (second * which).sum(-1, keepdim=True) / count) * which
    variances = first.square().sum(-1) * second.square().sum(-1)
    return (first * second).sum(-1) / variances.sqrt().clamp_min(1e-6)
