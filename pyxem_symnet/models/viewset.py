# SPDX-License-Identifier: GPL-3.0-or-later
"""MSDN for a set of views: any number, in any orientation."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from pyxem_symnet.descriptors.half_pattern import HalfPattern
from pyxem_symnet.descriptors.kept_views import KeptViews
from pyxem_symnet.descriptors.net_reading import NetReading
from pyxem_symnet.descriptors.pairs import PairMap
from pyxem_symnet.descriptors.radial import RadialProfile
from pyxem_symnet.descriptors.spots import Spots
from pyxem_symnet.models.evidence import EvidenceHead
from pyxem_symnet.models.lattice_features import (
    OF_ONE_VIEW,
    OF_SERIES,
    weigh_lattices,
    with_lattices,
)
from pyxem_symnet.models.readout import SpotNetwork, merge_settings
from pyxem_symnet.models.sums import ALIKE, KEPT
from pyxem_symnet.models.view_features import (
    choose_evenly,
    count_distinct_views,
    sum_groups,
    summed_features,
)
from pyxem_symnet.models.viewset_streams import (
    NETWORK,
    OF_EACH_VIEW,
    make_streams,
    stream_widths,
)

if TYPE_CHECKING:
    from pyxem_symnet.lattice import LatticeFit


class ViewSetMSDN(SpotNetwork):
    """Network that reads a set of views of one crystal.

    Each view (a diffraction pattern as a list of spots) is turned into
    descriptors that can be summed over views: a radial profile and a
    pair map, and optionally what a DenseNet sees in an image of the
    pattern, drawn in the frame of its own net, and what a fully connected
    network reads from the numbers of that net. None of them changes when
    the pattern is turned. The first two are read by one DenseNet each
    once they are summed, and a small fully connected network joins all
    streams. Sums from several computers or blocks add up.

    Parameters
    ----------
    classes
        Space-group numbers in the order of the logits; 0 stands for
        "not crystalline".
    finder
        Settings of the
        :class:`~pyxem_symnet.descriptors.finder.SpotFinder`.
    radial
        Settings of the
        :class:`~pyxem_symnet.descriptors.radial.RadialProfile`, or None
        to do without.
    pairs
        Settings of the :class:`~pyxem_symnet.descriptors.pairs.PairMap`,
        or None to do without.
    image
        Settings of the
        :class:`~pyxem_symnet.descriptors.half_pattern.HalfPattern`, or
        None to do without, which is the default.
    network
        What differs from the default
        :data:`~pyxem_symnet.models.viewset_streams.NETWORK`: settings of
        the networks ("radial", "pairs", "image", "net"), points kept of each
        of the DenseNets' maps ("grid"), length of each stream's vector ("width"),
        units of the joining network ("hidden"), its dropout, the power
        that mean descriptors are raised to, the number of views beyond
        which more say nothing new ("most_views"), which should be the
        largest it is trained with, and the number of views of a crystal
        whose images and nets are looked at in training
        ("training_images", "training_nets"). "opinions" are networks
        that answer from some streams alone, each a mapping of "streams"
        and "hidden" units: the joining network then says how much each
        counts, and corrects them.
    lattice
        Settings of the
        :class:`~pyxem_symnet.descriptors.kept_views.KeptViews`, in which
        a lattice is looked for, or None to look for none, which is the
        default.
    net
        Settings of the
        :class:`~pyxem_symnet.descriptors.net_reading.NetReading`, or
        None to do without, which is the default.
    series
        Whether lattices of rotation series are weighed by a network of
        their own. They are far surer than those of views in unknown
        orientations.
    single
        Whether lattices are looked for in single views, too, and weighed
        by a network of their own.

    Raises
    ------
    ValueError
        If no stream is left, a network setting is unknown, or lattices of
        series or single views are to be weighed where no lattice is looked
        for.
    """

    def __init__(
        self,
        classes: Sequence[int],
        finder: dict | None = None,
        radial: dict | None = {},  # noqa: B006 (read only)
        pairs: dict | None = {},  # noqa: B006 (read only)
        image: dict | None = None,
        network: dict | None = None,
        lattice: dict | None = None,
        net: dict | None = None,
        series: bool = False,
        single: bool = False,
    ):
        for name, asked in (("series", series), ("single", single)):
            if asked and lattice is None:
                raise ValueError(f"{name} needs a model that looks for lattices.")
        super().__init__(classes, finder)
        # They may come in any number and order
        self.ordered_views = None
        network = merge_settings(NETWORK, network or {})
        self.power = network["power"]
        self.most_views = network["most_views"]
        self.radial = None if radial is None else RadialProfile(**radial)
        self.pairs = None if pairs is None else PairMap(**pairs)
        self.image = None if image is None else HalfPattern(**image)
        self.net = None if net is None else NetReading(**net)
        self.lattice = None if lattice is None else KeptViews(**lattice)
        self.evidence = None if lattice is None else EvidenceHead(self.classes)
        self.evidence_of_series = EvidenceHead(self.classes) if series else None
        self.evidence_of_one = EvidenceHead(self.classes) if single else None
        self.most_looked_at = {
            "image": network["training_images"],
            "net": network["training_nets"],
        }
        descriptors = {
            "radial": self.radial,
            "pairs": self.pairs,
            "image": self.image,
            "net": self.net,
        }
        self.streams = make_streams(descriptors, network)
        self.join_streams(stream_widths(self.streams, network["width"]), 3, network)
        self._network = network

    @property
    def settings(self) -> dict:
        """Keywords that, beside the classes, make the same model again."""
        settings = {"finder": dict(self.finder.settings)}
        for name in ("radial", "pairs", "image", "net", "lattice"):
            module = getattr(self, name)
            settings[name] = None if module is None else dict(module.settings)
        settings["network"] = copy.deepcopy(self._network)
        settings["series"] = self.evidence_of_series is not None
        settings["single"] = self.evidence_of_one is not None
        return settings

    @property
    def fewest_views_of_lattices(self) -> int:
        """Fewest views that a lattice is looked for in."""
        return 2 if self.evidence_of_one is None else 1

    def accumulate(
        self,
        spots: Spots,
        groups: Tensor | None = None,
        n_groups: int | None = None,
        *,
        alone: bool = False,
    ) -> dict[str, Tensor]:
        """Return descriptors that can be combined over views.

        Parameters
        ----------
        spots
            Spots of each view.
        groups
            Which crystal each view is of, integers of shape (views,).
            With None, each is one by itself.
        n_groups
            Number of crystals, if groups are given.
        alone
            Whether no other views will be combined with these, of which
            each is one by itself, and no lattice is to be looked for in
            them: then none is kept.

        Returns
        -------
        features
            Tensors whose first axis is that of crystals: "n_views" and
            "n_spots" of shape (crystals, 1), "radial" and
            "radial_square" of shape (crystals, bins), "pairs" of shape
            (crystals, angles, radii, radii), "n_images" of shape
            (crystals, 1), "image" and "image_square" of shape
            (crystals, width), "n_nets", "net" and "net_square" of the
            same shapes, all of which add up; and "kept" and "alike", as
            :class:`~pyxem_symnet.descriptors.kept_views.KeptViews`
            returns and counts them, if it is asked for. A view without
            spots says nothing and is not counted.
        """
        features = summed_features(spots, groups, n_groups, self.radial, self.pairs)
        for name in self._of_each_view():
            drawn = getattr(self, name)(spots)
            each, n_each = groups, n_groups
            if groups is None:
                each, n_each = torch.arange(len(drawn), device=drawn.device), len(drawn)
            features |= self._look(name, drawn, each, spots.counts > 0, n_each)
        if self.lattice is not None and not alone:
            features[KEPT] = self.lattice(spots, groups, n_groups)
            features[ALIKE] = self.lattice.count_alike(spots, groups, n_groups)
        return features

    def training_features(
        self, spots: Spots, groups: Tensor, n_groups: int
    ) -> dict[str, Tensor]:
        """Return what the forward pass takes, with nothing learnt in it yet.

        Parameters
        ----------
        spots, groups, n_groups
            As for :meth:`accumulate`; the groups must ascend.

        Returns
        -------
        features
            As from :meth:`accumulate`, but for "kept", which is left out,
            and the streams of each view: "image_drawn" of shape (images,
            rows, columns), of views evenly chosen from those of each
            crystal, and "image_n_drawn", of shape (crystals, 1), how many
            are of each; likewise "net_drawn", of shape (nets, values),
            and "net_n_drawn".
        """
        features = summed_features(spots, groups, n_groups, self.radial, self.pairs)
        n_views = torch.bincount(groups, minlength=n_groups)
        for name in self._of_each_view():
            most = self.most_looked_at[name]
            chosen = choose_evenly(n_views, most)
            some = Spots(spots.positions[chosen], spots.intensities[chosen])
            features[f"{name}_drawn"] = getattr(self, name)(some)
            features[f"{name}_n_drawn"] = n_views.clamp_max(most).unsqueeze(1)
        return features

    def _of_each_view(self) -> list[str]:
        return [name for name in OF_EACH_VIEW if name in self.streams]

    def _look(
        self, name: str, drawn: Tensor, groups: Tensor, seen: Tensor, n_groups: int
    ) -> dict[str, Tensor]:
        """Return what a stream sees of each view, summed over each crystal's."""
        drawn = drawn.unsqueeze(1) if name == "image" else drawn
        # None is negative, as in the other sums
        vectors = nn.functional.relu(self.streams[name](drawn.float()))
        seen = seen.to(vectors).unsqueeze(1)
        vectors = vectors * seen
        parts = {f"n_{name}s": seen, name: vectors, f"{name}_square": vectors.square()}
        return {
            part: sum_groups(value, groups, n_groups) for part, value in parts.items()
        }

    def _see(self, features: dict[str, Tensor]) -> Tensor:
        """Return what all streams see, of shape (crystals, width)."""
        n_views = features["n_views"].clamp_min(1)
        answers = []
        if self.radial is not None:
            mean = features["radial"] / n_views
            spread = features["radial_square"] / n_views - mean.square()
            profile = torch.stack((mean, spread.clamp_min(0).sqrt()), 1)
            answers.append(self.streams["radial"](profile.pow(self.power)))
        if self.pairs is not None:
            mean = features["pairs"] / n_views[..., None, None]
            answers.append(self.streams["pairs"](mean.pow(self.power)))
        for name in self._of_each_view():
            seen = features if name in features else self._look_at(name, features)
            n_seen = seen[f"n_{name}s"].clamp_min(1)
            answers.append(seen[name] / n_seen)
            square = seen[f"{name}_square"] / n_seen
            # The root's slope has no bound at nought
            answers.append(square.clamp_min(1e-6).sqrt())
        # Of the order of one, as the streams' vectors are
        answers += [
            n_views.clamp_max(self.most_views).log2() / 4,
            self.distinct_views(features).clamp_max(self.most_views).log2(),
            (features["n_spots"] / n_views / 16).log1p(),
        ]
        return torch.cat(answers, -1)

    @torch.no_grad()
    def probabilities(self, features: dict[str, Tensor]) -> Tensor:
        """Return calibrated probabilities of shape (crystals, classes).

        Where views were kept and a lattice explains them, what it says
        is weighed against what the network says.

        Parameters
        ----------
        features
            What :meth:`accumulate` returned, summed over the views of
            each crystal.
        """
        features = self.read_lattices(features)
        answer = super().probabilities(features)
        others = {OF_SERIES: self.evidence_of_series, OF_ONE_VIEW: self.evidence_of_one}
        return weigh_lattices(answer, features, self.evidence, others)

    def read_lattices(
        self,
        features: dict[str, Tensor],
        fits: Sequence[LatticeFit | None] | None = None,
    ) -> dict[str, Tensor]:
        """Replace the views that were kept by what their lattices say.

        This takes most of the time of an answer for many views.
        :meth:`probabilities` does it where it was not done before, on
        the CPU, by one process.

        Parameters
        ----------
        features
            As for :meth:`probabilities`.
        fits
            For each crystal its lattice if it is known already, as that
            of a rotation series; otherwise None.

        Returns
        -------
        features
            "kept" and "alike" are gone, and there are "lattice_read" of shape
            (crystals, 1), one where there is a lattice; "lattice_of_series" and
            "lattice_of_one_view", of the same shape, one where it is that of
            a series or of a single view; "lattice_table"
            of shape (crystals, 230, columns) and "lattice" of shape
            (crystals, values), as
            :func:`~pyxem_symnet.models.evidence.read_lattice` returns
            them, zero where there is none. Without "kept", the same
            features.
        """
        if KEPT not in features:
            return features
        return with_lattices(
            features, self.lattice, fits, self.fewest_views_of_lattices
        )

    def _look_at(self, name: str, features: dict[str, Tensor]) -> dict[str, Tensor]:
        n_drawn = features[f"{name}_n_drawn"].flatten()
        crystals = torch.arange(len(n_drawn), device=n_drawn.device)
        drawn = features[f"{name}_drawn"]
        groups, seen = crystals.repeat_interleave(n_drawn), drawn.flatten(1).any(1)
        return self._look(name, drawn, groups, seen, len(n_drawn))

    def distinct_views(self, features: dict[str, Tensor]) -> Tensor:
        """Return how many different orientations the views amount to.

        The radial profiles of two views of one grain are alike, those
        of two orientations have little in common. From their mean
        cosine c, n views count as n / (1 + (n - 1) c), between 1 and n.

        Parameters
        ----------
        features
            As for :meth:`forward`.

        Returns
        -------
        n_distinct
            Of shape (crystals, 1). Without a radial stream, the number
            of views.
        """
        return count_distinct_views(features)
