# SPDX-License-Identifier: GPL-3.0-or-later
"""Spot lists of a few views of each crystal, kept beside the sums."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from pyxem_symnet.descriptors.spots import Spots

# Fewer spots say nothing about a lattice
_FEWEST_SPOTS = 3
# Coarse bins up to a radius in 1/Å: from one view of a grain to the next, or
# with a calibration 1 % longer, most of a spot's weight stays where it was
_N_BINS = 32
_RADIUS = 1.28
# Degree of the polynomials that slots do not see. How spots thin out with the
# radius is common to all views, which would crowd into few slots
_TREND = 3
_SEED = 20200706
# Weights are whole multiples of one part in so many: float32 adds those of
# thousands of spots exactly, and so in any order
_STEPS = 4096


class KeptViews(nn.Module):
    """Spot lists of a bounded number of views, chosen in any order.

    Each view goes to a slot that its radial profile decides. Within a
    slot the view with the most spots stays. Views of one grain tend to
    share a slot, so that a large grain does not push out the others.
    Different views may share one by chance; in several tables of slots,
    with different chances, hardly a view is lost in all.
    Neither slots nor score change when the pattern is turned or
    mirrored, or its intensities are scaled.

    Tensors of several sets of views are merged by :func:`stronger`, in
    any order and however the views are divided.

    Parameters
    ----------
    n_slots
        Number of slots of each table.
    n_spots
        Number of spots kept of a view, those nearest to the direct
        beam.
    n_views
        Number of views that :meth:`views` returns at most.
    n_tables
        Number of tables of slots of each crystal.

    Notes
    -----
    The slot is the row with the largest product of a constant random
    matrix and a coarse radial profile, with spots weighted by the
    fourth root of their intensities and a polynomial trend removed:
    locality-sensitive hashing by random projection.
    """

    def __init__(
        self,
        n_slots: int = 32,
        n_spots: int = 64,
        n_views: int = 24,
        n_tables: int = 3,
    ):
        super().__init__()
        self.settings = {
            "n_slots": n_slots,
            "n_spots": n_spots,
            "n_views": n_views,
            "n_tables": n_tables,
        }
        self.n_slots = n_slots
        self.n_spots = n_spots
        self.n_views = n_views
        self.n_tables = n_tables
        # Made again from the settings, so no part of a checkpoint
        directions = _directions(n_tables * n_slots)
        self.register_buffer("_directions", directions, persistent=False)

    def forward(
        self, spots: Spots, groups: Tensor | None = None, n_groups: int | None = None
    ) -> Tensor:
        """Return what is kept, of shape (crystals, slots, values).

        It is float64 where positions are, and float32 otherwise.

        Parameters
        ----------
        spots
            Spots of each view.
        groups
            Which crystal each view is of, integers of shape (views,).
            With None, each is one by itself.
        n_groups
            Number of crystals, if groups are given.

        Returns
        -------
        kept
            For each slot of each table its score, then x and y in 1/Å and the
            intensity of each of the spots: 1 + 3 * n_spots values. The
            score is the number of all spots of the view and a fraction
            that depends on their intensities. A slot without a view and
            a place without a spot hold zeros. Views of fewer than three
            spots are not kept.
        """
        intensities = spots.intensities.float()
        seen = intensities > 0
        is_double = spots.positions.dtype == torch.float64
        positions = spots.positions if is_double else spots.positions.float()
        positions = torch.where(seen.unsqueeze(-1), positions, 0.0)
        x, y = positions.unbind(-1)
        # Each step rounds alike wherever it runs, as a norm need not
        distance = (x * x + y * y).sqrt().float()
        relative = Spots(positions, intensities).relative_intensities()
        relative = torch.where(seen, relative, 0.0)
        scores = _scores(seen.sum(-1), relative).unsqueeze(-1)
        nearest = self._nearest(positions, intensities, distance)
        rows = torch.cat((scores, nearest), -1)
        rows = torch.where(scores > 0, rows, 0.0)
        slots = self._slots(distance, relative)
        n_slots = self.n_tables * self.n_slots
        if groups is None:
            kept = rows.new_zeros(len(rows), n_slots, rows.shape[1])
            views = torch.arange(len(rows), device=rows.device)
            kept[views.unsqueeze(1), slots] = rows.unsqueeze(1)
            return kept
        places = (groups.unsqueeze(1) * n_slots + slots).flatten()
        places, order = places.sort(stable=True)
        rows = _strongest_ahead(rows[order // self.n_tables], places)
        # The first of each run, which now holds its strongest, is kept
        n_places = n_groups * n_slots
        again = torch.zeros_like(places, dtype=torch.bool)
        again[1:] = places[1:] == places[:-1]
        kept = rows.new_zeros(n_places + 1, rows.shape[1])
        kept[torch.where(again, n_places, places)] = rows
        return kept[:-1].unflatten(0, (n_groups, n_slots))

    def views(self, kept: Tensor | np.ndarray) -> list[np.ndarray]:
        """Return the kept views of one crystal, the best score first.

        Parameters
        ----------
        kept
            What :meth:`forward` or a merger returned for the crystal, of
            shape (slots, values).

        Returns
        -------
        views
            At most ``n_views`` arrays of shape (spots, 3): x and y in
            1/Å and the intensity, from the direct beam outwards.
        """
        if isinstance(kept, Tensor):
            kept = kept.detach().cpu().numpy()
        # A view that stayed in several tables is one
        filled = np.unique(kept[kept[:, 0] > 0], axis=0)
        best = np.argsort(-filled[:, 0], kind="stable")[: self.n_views]
        tables = filled[best, 1:].reshape(-1, self.n_spots, 3)
        return [table[table[:, 2] > 0] for table in tables]

    def _nearest(
        self, positions: Tensor, intensities: Tensor, distance: Tensor
    ) -> Tensor:
        """Return x, y, intensity of the spots nearest to the beam, flat."""
        distance = torch.where(intensities > 0, distance, torch.inf)
        # Of g and -g always the same comes first
        order = distance.argsort(dim=-1, stable=True)[:, : self.n_spots]
        spots = torch.cat((positions, intensities.unsqueeze(-1)), -1)
        spots = spots.gather(1, order.unsqueeze(-1).expand(-1, -1, 3))
        missing = self.n_spots - spots.shape[1]
        return nn.functional.pad(spots, (0, 0, 0, missing)).flatten(1)

    def _slots(self, distance: Tensor, relative: Tensor) -> Tensor:
        """Return the slots of each view, of shape (views, tables)."""
        weight = relative.sqrt().sqrt()
        place = distance * (_N_BINS / _RADIUS) - 0.5
        lower = place.floor()
        share = place - lower
        profile = weight.new_zeros(len(weight), _N_BINS)
        for index, part in ((lower, 1 - share), (lower + 1, share)):
            inside = (index >= 0) & (index < _N_BINS)
            part = torch.where(inside, (_STEPS * part * weight).round(), 0.0)
            profile.scatter_add_(-1, index.clamp(0, _N_BINS - 1).long(), part)
        # Not a matrix product, whose precision is a setting of the device
        scores = (profile.unsqueeze(1) * self._directions).sum(-1)
        slots = scores.unflatten(-1, (self.n_tables, self.n_slots)).argmax(-1)
        tables = torch.arange(self.n_tables, device=slots.device)
        return slots + self.n_slots * tables

    def extra_repr(self) -> str:
        """Return the settings, for the printed module."""
        return ", ".join(f"{key}={value}" for key, value in self.settings.items())


def stronger(first: Tensor, second: Tensor) -> Tensor:
    """Return slot by slot the view with the larger score.

    Of two with the same score it is the one whose first other value
    that differs is larger. This is a maximum in a total order, so that
    neither the order nor the grouping of several mergers matters.

    Parameters
    ----------
    first, second
        What :class:`KeptViews` returned, of shape (..., values).
    """
    place = (first != second).int().argmax(-1, keepdim=True)
    larger = first.gather(-1, place) >= second.gather(-1, place)
    return torch.where(larger, first, second)


def _scores(counts: Tensor, relative: Tensor) -> Tensor:
    total = (_STEPS * relative).round().sum(-1)
    scores = counts + total / (2 * _STEPS * counts.clamp_min(1))
    return torch.where(counts < _FEWEST_SPOTS, 0.0, scores)


def _strongest_ahead(rows: Tensor, places: Tensor) -> Tensor:
    """Return for each row the strongest of it and later ones of its place.

    Places ascend. Each round doubles how far ahead the rows look.
    """
    step = 1
    while step < len(rows):
        same = (places[step:] == places[:-step]).unsqueeze(-1)
        ahead = torch.where(same, stronger(rows[:-step], rows[step:]), rows[:-step])
        rows = torch.cat((ahead, rows[-step:]))
        step *= 2
    return rows


def _directions(n_slots: int) -> Tensor:
    """Return unit vectors of shape (slots, bins), always the same.

    They are at right angles to low polynomials of the radius.
    """
    # Raw numbers, since NumPy may change how it makes others from them
    raw = np.random.PCG64(_SEED).random_raw(n_slots * _N_BINS)
    vectors = raw.reshape(n_slots, _N_BINS) / 2.0**63 - 1
    radius = np.linspace(-1, 1, _N_BINS)
    trend, _ = np.linalg.qr(np.polynomial.legendre.legvander(radius, _TREND))
    vectors -= vectors @ trend @ trend.T
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return torch.from_numpy(vectors).float()
