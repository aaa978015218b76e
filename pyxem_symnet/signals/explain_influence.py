# SPDX-License-Identifier: GPL-3.0-or-later
"""What an answer hangs on: the answer again, with a piece of evidence gone."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from pyxem_symnet.descriptors.radial import RadialProfile
from pyxem_symnet.descriptors.spots import Spots
from pyxem_symnet.inference.blocks import class_probabilities
from pyxem_symnet.inference.plan import Plan
from pyxem_symnet.models.lattice_features import LATTICE_READ
from pyxem_symnet.models.sums import ALIKE, KEPT, pool, pool_without_each
from pyxem_symnet.signals import levels

if TYPE_CHECKING:
    from pyxem_symnet.lattice import LatticeFit

#: Scales that are tried: calibrations are seldom better than this
SCALES = (0.98, 1.02)
#: What is said where a pattern is not of a crystal
NO_CRYSTAL = "not crystalline"
#: Rings that are left out, one at a time
N_RINGS = 12

# Half the width of a ring: what blurs it does so by a length, a part of a
# pixel, and by a share of the radius, an elliptical distortion
_RING_WIDTH = (0.005, 0.01)
_STREAMS = {
    "radial": "lengths (radial profile)",
    "pairs": "angles (pair map)",
    "image": "image of the spots",
    "net": "net of the spots",
}


@dataclass(frozen=True, eq=False)
class Influence:
    """An answer with something changed.

    Parameters
    ----------
    kind
        "stream": one of the network's inputs is blank, or the lattice is
        not used; "ring": the
        spots at one distance from the beam are left out; "view": a
        pattern is left out; "scale": all distances are longer or
        shorter.
    name
        What was changed, in words.
    probabilities
        The answer then, of shape (space groups,).
    """

    kind: str
    name: str
    probabilities: np.ndarray


@dataclass(frozen=True, eq=False)
class Profile:
    """Sum over patterns of the distances of spots from the beam.

    Parameters
    ----------
    radii
        Middles of the bins in 1/Å, of shape (bins,).
    heights
        Mean over patterns, as the network reads it.
    peaks
        Distances in 1/Å at which most of it lies, the most first.
    """

    radii: np.ndarray
    heights: np.ndarray
    peaks: tuple[float, ...]


class Trial:
    """Answers of a network for some spots, and for less of them.

    Parameters
    ----------
    model
        The network.
    spots
        Spots of the same patterns in one signal or more.
    plan
        Settings of the classification.
    lattice
        That of the patterns, if it is known already.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        spots: Sequence[Spots],
        plan: Plan,
        lattice: LatticeFit | None = None,
    ):
        self._model = model
        self._spots = list(spots)
        self._plan = plan
        self._each = self._accumulate(model, self._spots)
        total = pool(self._each)
        if len(self._each["n_views"]) == 1 and not plan.lattices:
            total = {k: v for k, v in total.items() if k not in (KEPT, ALIKE)}
        self._kept, self._alike = total.get(KEPT), total.get(ALIKE)
        self._known_lattice = lattice
        # The lattice of all patterns: looked for once, it takes longest
        read = getattr(model, "read_lattices", lambda features, fits: features)
        self._sum = read(total, [lattice])

    @property
    def probabilities(self) -> np.ndarray:
        """The answer with everything present, of shape (space groups,)."""
        return self._answer(self._model, self._sum)

    @property
    def n_distinct(self) -> float:
        """Number of different orientations the patterns amount to."""
        return float(self._model.distinct_views(self._sum)[0, 0])

    @property
    def lattice(self) -> LatticeFit | None:
        """The lattice that explains the patterns, if one was found."""
        if self._kept is None or self._known_lattice is not None:
            return self._known_lattice
        from pyxem_symnet.lattice import find_lattice

        views = self._model.lattice.views(self._kept[0], self._alike[0])
        enough = len(views) >= self._model.fewest_views_of_lattices
        return find_lattice(views) if enough else None

    def profile(self) -> Profile:
        """Return the radial profile of all patterns."""
        layer = getattr(self._model, "radial", None) or RadialProfile()
        total = sum(layer(view).sum(0) for view in self._spots)
        n_views = sum(int((view.counts > 0).sum()) for view in self._spots)
        heights = (total / max(1, n_views)).cpu().numpy()
        radii = (np.arange(layer.n_bins) + 0.5) * (layer.radius / layer.n_bins)
        return Profile(radii, heights, _peaks(radii, heights))

    def influences(self, profile: Profile, names: Sequence[str]) -> Iterator[Influence]:
        """Return the answers that less, or other, evidence gives.

        Without any spots there are none. The lattice stays that of all
        patterns.

        Parameters
        ----------
        profile
            What :meth:`profile` returned.
        names
            What each pattern is called, those of all signals in turn.
        """
        if not self._sum["n_spots"].any():
            return
        for name in getattr(self._model, "streams", ()):
            blank = _with_blank_stream(self._model, name)
            # An image's features are made before they are summed
            total = pool(self._accumulate(blank, self._spots))
            text = f"no {_STREAMS.get(name, name)}"
            answer = self._answer(blank, self._with_lattice(total))
            yield Influence("stream", text, answer)
        if self._sum.get(LATTICE_READ, torch.zeros(1)).any():
            without = {k: v for k, v in self._sum.items() if k != LATTICE_READ}
            answer = self._answer(self._model, without)
            yield Influence("stream", "no lattice", answer)
        for scale in SCALES:
            longer = self._changed(
                lambda s, f=scale: s._replace(positions=s.positions * f)
            )
            text = f"all distances {100 * (scale - 1):+.0f} %".replace("-", "−")
            yield Influence("scale", text, longer)
        for peak in profile.peaks[:N_RINGS]:
            less = self._changed(lambda s, g=peak: _without_ring(s, g))
            yield Influence("ring", f"no spots at d = {1 / peak:.2f} Å", less)
        if len(names) > 1:
            yield from self._without_views(names)

    def _without_views(self, names: Sequence[str]) -> Iterator[Influence]:
        rests = pool_without_each(self._each)
        for n_views, rest, name in zip(
            self._each["n_views"], rests, names, strict=True
        ):
            if n_views == 0:
                continue
            text = f"without pattern {name}"
            answer = self._answer(self._model, self._with_lattice(rest))
            yield Influence("view", text, answer)

    def _with_lattice(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return other features with what the lattice of all patterns says."""
        rest = {name: value for name, value in features.items() if name != KEPT}
        return rest | {k: v for k, v in self._sum.items() if k.startswith("lattice")}

    def _changed(self, change: Callable[[Spots], Spots]) -> np.ndarray:
        each = self._accumulate(self._model, [change(view) for view in self._spots])
        return self._answer(self._model, self._with_lattice(pool(each)))

    @torch.no_grad()
    def _accumulate(self, model, spots: Sequence[Spots]) -> dict[str, Tensor]:
        """Return the features of each pattern, those of all signals in turn."""
        parts = [model.accumulate(view) for view in spots]
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

    @torch.no_grad()
    def _answer(self, model, features: dict[str, Tensor]) -> np.ndarray:
        features = {name: value.float() for name, value in features.items()}
        return class_probabilities(model, features, self._plan)[0]


def shares(
    values: np.ndarray, space_groups: Sequence[int], level: str
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return the probability of each label and of there being no crystal.

    Parameters
    ----------
    values
        Probabilities of shape (..., space groups).
    space_groups
        Their numbers.
    level
        One of :data:`pyxem_symnet.symmetry.LEVELS`.

    Returns
    -------
    shares, labels
        Array of shape (..., labels + 1), and the labels; the last is
        "not crystalline".
    """
    summed, labels = levels.summed(np.asarray(values, float), space_groups, level)
    rest = np.clip(1 - summed.sum(-1, keepdims=True), 0, 1)
    return np.concatenate((summed, rest), -1), (*labels, NO_CRYSTAL)


def ring_width(radius: float) -> float:
    """Return how far from a ring's radius its spots may lie, in 1/Å."""
    return _RING_WIDTH[0] + _RING_WIDTH[1] * radius


def _without_ring(spots: Spots, radius: float) -> Spots:
    off = (spots.positions.norm(dim=-1) - radius).abs()
    return Spots(
        spots.positions,
        torch.where(off < ring_width(radius), 0.0, spots.intensities),
    )


def _with_blank_stream(model: torch.nn.Module, name: str) -> torch.nn.Module:
    """Return a copy in which one stream reads zeros, as without spots."""

    def blank(_, inputs):
        return tuple(torch.zeros_like(each) for each in inputs)

    changed = copy.deepcopy(model)
    changed.streams[name].register_forward_pre_hook(blank)
    return changed


def _peaks(radii: np.ndarray, heights: np.ndarray) -> tuple[float, ...]:
    """Return the radii of rings, that with the largest sum first."""
    remaining, peaks = heights.astype(float).copy(), []
    # A single bin may split a ring, a mean over its neighbours seldom does
    kernel = np.array([1.0, 2.0, 3.0, 2.0, 1.0])
    while len(peaks) < N_RINGS and remaining.max() > 0:
        highest = np.convolve(remaining, kernel, mode="same").argmax()
        near = np.abs(radii - radii[highest]) < ring_width(radii[highest])
        near[highest] = True
        if not remaining[near].any():
            break
        peaks.append(float(np.average(radii[near], weights=remaining[near])))
        remaining[near] = 0
    return tuple(peaks)
