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
# A sum of relative intensities, times this, has a fraction as good as drawn
_CHANCES = 16.0
# Bins in which views are counted whose slots are the same in all tables
_COUNTS = 2048
_MULTIPLIER, _BITS = 2654435761, 31
# Views are repeated if this share of them has at least so many in its bin, and then
# those that are rarer than the commonest by more than a factor are left out
_REPEATED, _ALIKE = 0.5, 3
_RARE = 0.15
_FEWEST_VIEWS = 4


class KeptViews(nn.Module):
    """Spot lists of a bounded number of views, chosen in any order.

    Each view goes to a slot that its radial profile decides. Within a
    slot the view with the most spots stays. Views of one grain tend to
    share a slot, so that a large grain does not push out the others.
    Different views may share one by chance; in several tables of slots,
    with different chances, hardly a view is lost in all.

    At the boundaries of grains two patterns lie over each other and have
    the most spots. So in as many further tables another view stays, as
    good as drawn by lot; and :meth:`count_alike` counts alike views,
    which tells the patterns of a grain from those of its boundaries.

    Neither slots nor scores change when the pattern is turned or
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
        Number of tables of slots of each crystal, of either kind.

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
            For each slot of each table its score, the view's slots in
            all tables, then x and y in 1/Å and the intensity of each of
            the spots: 1 + n_tables + 3 * n_spots values. The score is the
            number of all spots of the view and a fraction that depends
            on their intensities; in the second half of the tables, one
            to two, by that fraction alone. A slot without a view and a
            place without a spot hold zeros. Views of fewer than three
            spots are not kept.
        """
        intensities = spots.intensities.float()
        seen = intensities > 0
        is_double = spots.positions.dtype == torch.float64
        positions = spots.positions if is_double else spots.positions.float()
        positions = torch.where(seen.unsqueeze(-1), positions, 0.0)
        distance, relative = self._measures(positions, intensities)
        slots = self._slots(distance, relative)
        nearest = self._nearest(positions, intensities, distance)
        scores = _scores(seen.sum(-1), relative)
        views = torch.cat((slots.to(nearest), nearest), -1)
        views = views.unsqueeze(1).expand(-1, 2, -1)
        rows = torch.cat((scores.unsqueeze(-1), views), -1)
        rows = torch.where(scores.unsqueeze(-1) > 0, rows, 0.0)
        # Of each kind of score a half of the tables
        n_tables = 2 * self.n_tables
        n_slots = n_tables * self.n_slots
        kind = torch.arange(n_tables, device=rows.device) // self.n_tables
        first = self.n_slots * torch.arange(n_tables, device=rows.device)
        slots = slots.repeat(1, 2) + first
        if groups is None:
            kept = rows.new_zeros(len(rows), n_slots, rows.shape[-1])
            each = torch.arange(len(rows), device=rows.device)
            kept[each.unsqueeze(1), slots] = rows[:, kind]
            return kept
        places = (groups.unsqueeze(1) * n_slots + slots).flatten()
        places, order = places.sort(stable=True)
        rows = rows[order // n_tables, kind[order % n_tables]]
        rows = _strongest_ahead(rows, places)
        # The first of each run, which now holds its strongest, is kept
        n_places = n_groups * n_slots
        again = torch.zeros_like(places, dtype=torch.bool)
        again[1:] = places[1:] == places[:-1]
        kept = rows.new_zeros(n_places + 1, rows.shape[1])
        kept[torch.where(again, n_places, places)] = rows
        return kept[:-1].unflatten(0, (n_groups, n_slots))

    def count_alike(
        self, spots: Spots, groups: Tensor | None = None, n_groups: int | None = None
    ) -> Tensor:
        """Return how many views there are of each of some kinds.

        Counts of several sets of views add up.

        Parameters
        ----------
        spots, groups, n_groups
            As for :meth:`forward`.

        Returns
        -------
        alike
            Of shape (crystals, kinds). Views of the same slots in all
            tables are of one kind, others seldom.
        """
        intensities = spots.intensities.float()
        positions = spots.positions.float()
        seen = intensities > 0
        positions = torch.where(seen.unsqueeze(-1), positions, 0.0)
        slots = self._slots(*self._measures(positions, intensities))
        counted = (seen.sum(-1) >= _FEWEST_SPOTS).float()
        if groups is None:
            n_groups = len(slots)
            groups = torch.arange(n_groups, device=slots.device)
        place = groups * _COUNTS + _kinds(slots, self.n_slots)
        alike = counted.new_zeros(n_groups * _COUNTS).index_add_(0, place, counted)
        return alike.unflatten(0, (n_groups, _COUNTS))

    def views(
        self, kept: Tensor | np.ndarray, alike: Tensor | np.ndarray | None = None
    ) -> list[np.ndarray]:
        """Return the kept views of one crystal, the best first.

        Parameters
        ----------
        kept
            What :meth:`forward` or a merger returned for the crystal, of
            shape (slots, values).
        alike
            What :meth:`count_alike` returned for it, of shape (kinds,).

        Returns
        -------
        views
            At most ``n_views`` arrays of shape (spots, 3): x and y in
            1/Å and the intensity, from the direct beam outwards. They are
            those of the most spots, or, where most views are repeated, as
            in a map of grains, of those that have the most alike.
        """
        if isinstance(kept, Tensor):
            kept = kept.detach().cpu().numpy()
        if isinstance(alike, Tensor):
            alike = alike.detach().cpu().numpy()
        rows = self._commonest(kept, alike)
        if rows is None:
            most = kept[: len(kept) // 2]
            # A view that stayed in several tables is one
            rows = np.unique(most[most[:, 0] > 0], axis=0)
            rows = rows[np.argsort(-rows[:, 0], kind="stable")][: self.n_views]
        tables = rows[:, 1 + self.n_tables :].reshape(-1, self.n_spots, 3)
        return [table[table[:, 2] > 0] for table in tables]

    def _commonest(
        self, kept: np.ndarray, alike: np.ndarray | None
    ) -> np.ndarray | None:
        """Return the rows of views that have the most alike, if most have some."""
        if alike is None or alike[alike >= _ALIKE].sum() <= _REPEATED * alike.sum():
            return None
        drawn = kept[len(kept) // 2 :]
        rows = np.unique(drawn[drawn[:, 0] > 0], axis=0)
        slots = rows[:, 1 : 1 + self.n_tables].astype(np.int64)
        count = alike[_kinds(torch.from_numpy(slots), self.n_slots).numpy()]
        chosen: list[int] = []
        for row in np.argsort(-count, kind="stable"):
            enough = len(chosen) >= _FEWEST_VIEWS
            rare = enough and count[row] < _RARE * count[chosen[0]]
            if rare or len(chosen) == self.n_views:
                break
            # Two in the same slots of most tables are of one grain
            same = (slots[chosen] == slots[row]).sum(1)
            if not (2 * same > self.n_tables).any():
                chosen.append(row)
        return rows[chosen]

    def _measures(
        self, positions: Tensor, intensities: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return distances from the beam and relative intensities."""
        x, y = positions.unbind(-1)
        # Each step rounds alike wherever it runs, as a norm need not
        distance = (x * x + y * y).sqrt().float()
        relative = Spots(positions, intensities).relative_intensities()
        return distance, torch.where(intensities > 0, relative, 0.0)

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
        """Return the slot of each view in each table, of shape (views, tables)."""
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
        return scores.unflatten(-1, (self.n_tables, self.n_slots)).argmax(-1)

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
    """Return the scores of either kind, of shape (views, 2)."""
    total = (_STEPS * relative).round().sum(-1)
    most = counts + total / (2 * _STEPS * counts.clamp_min(1))
    drawn = 1 + (total * (_CHANCES / _STEPS)).frac()
    scores = torch.stack((most, drawn), -1)
    return torch.where(counts.unsqueeze(-1) < _FEWEST_SPOTS, 0.0, scores)


def _kinds(slots: Tensor, n_slots: int) -> Tensor:
    """Return the bin in which views of some slots are counted."""
    number = torch.zeros_like(slots[:, 0])
    for slot in slots.unbind(-1):
        number = (number * n_slots + slot) % 2**_BITS
    # Numbers that are near each other are not in bins that are
    return (number * _MULTIPLIER % 2**_BITS) * _COUNTS // 2**_BITS


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
