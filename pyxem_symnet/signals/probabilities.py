# SPDX-License-Identifier: GPL-3.0-or-later
"""Signals that hold the probability of each space group."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from hyperspy._signals.lazy import LazySignal
from hyperspy.signals import BaseSignal, Signal1D

from pyxem_symnet.signals import level_maps, levels

if TYPE_CHECKING:
    from pyxem_symnet.signals.explain import Explanation


class SpaceGroupProbabilities(Signal1D):
    """Probabilities of space groups at each point of a scan.

    The signal axis, "Space group", has the number of each space group
    that the model knows, ascending, so ``sym.isig[225.0]`` is the
    probability of space group 225. What the values at a point lack to
    one is the probability that the pattern is not of a crystal. Points
    that were excluded are NaN.

    All coarser levels of symmetry are sums of these values. Their
    names are those of :data:`pyxem_symnet.symmetry.LEVELS`:
    "crystal_system", "laue_class", "point_group", "bravais_lattice",
    "diffraction_symbol" and "space_group".

    What was done, with which model and numbers, is in
    ``metadata.Symmetry``.

    See Also
    --------
    pyxem_symnet.classify_space_group
    """

    _signal_type = "space_group_probabilities"
    _signal_dimension = 1

    @property
    def space_groups(self) -> tuple[int, ...]:
        """Numbers of the space groups along the signal axis."""
        return tuple(int(number) for number in self.axes_manager.signal_axes[0].axis)

    def level_probabilities(self, level: str) -> Signal1D:
        """Return the probabilities of the labels of a level.

        Parameters
        ----------
        level
            One of :data:`pyxem_symnet.symmetry.LEVELS`.

        Returns
        -------
        probabilities
            Signal whose signal axis counts the labels that the model's
            space groups have; ``metadata.Symmetry.labels`` names them.

        Raises
        ------
        ValueError
            If the level is unknown.
        """
        return level_maps.level_sums(self, level)

    def confidence(self, level: str = "crystal_system") -> BaseSignal:
        """Return the probability of the most probable label.

        Parameters
        ----------
        level
            One of :data:`pyxem_symnet.symmetry.LEVELS`.

        Returns
        -------
        confidence
            A map from 0 to 1, NaN where points are excluded.

        Raises
        ------
        ValueError
            If the level is unknown.
        """
        return level_maps.confidence_map(self, level)

    def abstained(
        self, threshold: float = 0.5, level: str = "crystal_system"
    ) -> BaseSignal:
        """Return where the answer should not be used.

        Parameters
        ----------
        threshold
            Smallest confidence, 0 to 1, of a usable answer.
        level
            Level at which to decide.

        Returns
        -------
        abstained
            A map that is True where the confidence is below the
            threshold, "not crystalline" is the most probable answer, or
            the point is excluded.

        Raises
        ------
        ValueError
            If the level is unknown or the threshold impossible.
        """
        return level_maps.abstention_map(self, threshold, level)

    def to_map(
        self, level: str = "crystal_system", threshold: float = 0.0
    ) -> BaseSignal:
        """Return a map of the most probable label.

        Parameters
        ----------
        level
            One of :data:`pyxem_symnet.symmetry.LEVELS`.
        threshold
            Smallest confidence, 0 to 1, of a label in the map.

        Returns
        -------
        map
            Integer signal. 0 is "not indexed" (see :meth:`abstained`);
            n is the n-th label of the level among all 230 space groups,
            whatever the model knows, so n is the number of the space
            group at the level "space_group". They are named in
            ``metadata.Symmetry.labels``, which starts with that of 0.

        Raises
        ------
        ValueError
            If the level is unknown or the threshold impossible.
        """
        return level_maps.label_map(self, level, threshold)

    def ranking(
        self,
        level: str = "space_group",
        n: int = 5,
        index: Sequence[int] | str | None = None,
    ) -> list[tuple[str, float]]:
        """Return the most probable labels, the best first.

        Parameters
        ----------
        level
            One of :data:`pyxem_symnet.symmetry.LEVELS`.
        n
            Number of labels.
        index
            Scan point (x, y) in HyperSpy's order, the current one by
            default. With "mean", probabilities are averaged over all
            points, excluded ones left out.

        Returns
        -------
        ranking
            Labels and their probabilities.

        Raises
        ------
        ValueError
            If the level is unknown.
        """
        axis = self.axes_manager.signal_axes[0].index_in_array
        data = np.moveaxis(self.data, axis, -1)
        if isinstance(index, str):
            if index != "mean":
                raise ValueError(
                    f"index must be a scan point or 'mean', not {index!r}."
                )
            values = levels.mean(data)
        else:
            index = self.axes_manager.indices if index is None else tuple(index)
            values = np.asarray(data[tuple(index)[::-1]])
        return levels.ranking(values, self.space_groups, level, n)

    def to_regions(self) -> SpaceGroupProbabilities:
        """Return the answer of each region once.

        Returns
        -------
        regions
            Signal with one navigation axis, "Region". Labels and
            numbers of patterns are in ``metadata.Symmetry.regions``.

        Raises
        ------
        ValueError
            If the map was made without regions, or cut since.
        """
        from pyxem_symnet.signals.results import of_regions

        return of_regions(self)

    def to_crystal_map(
        self, threshold: float = 0.5, level: str = "crystal_system", n_ranked: int = 5
    ):
        """Return an orix crystal map.

        Parameters
        ----------
        threshold
            Smallest confidence of an indexed point.
        level
            Level at which the confidence is compared.
        n_ranked
            Number of space groups that are kept for each point.

        Returns
        -------
        orix.crystal_map.CrystalMap
            One phase for each space group that is the most probable
            one somewhere. Its id is the space group's number, -1 is
            not indexed. Orientations are not known and left at the
            identity. Properties: ``confidence_<level>`` for each
            level, "ranked_space_groups" and "ranked_probabilities" of
            shape (points, n_ranked).

        Raises
        ------
        ValueError
            If there are more than two navigation axes.
        """
        from pyxem_symnet.signals.crystal_map import crystal_map

        return crystal_map(self, threshold, level, n_ranked)

    def explain(
        self,
        signal,
        index: Sequence[int] | None = None,
        *,
        region: int | None = None,
        views=None,
        level: str = "crystal_system",
        threshold: float = 0.5,
        device: str = "auto",
    ) -> Explanation:
        """Say why the answer at a scan point, or of a region, is so.

        The patterns are read again, as they were classified, and the
        answer is worked out anew without one input of the network,
        without the spots of one ring, without one pattern, and with
        other lengths.

        Parameters
        ----------
        signal
            The signal that was classified: the result holds no
            patterns.
        index
            Scan point (x, y) in HyperSpy's order, the current one by
            default. In a result with regions, the answer of the
            point's region is explained.
        region
            Label of a region, instead of a point.
        views
            Those that were given to
            :func:`~pyxem_symnet.classify_space_group`. Its other
            settings, masks included, are in the result's metadata.
        level, threshold
            As for :meth:`abstained`.
        device
            Where to compute.

        Returns
        -------
        Explanation
            The evidence in numbers. ``print(explanation)`` says it in
            words and ``explanation.plot()`` draws it.

        Raises
        ------
        TypeError
            If the signal has another type.
        ValueError
            If an argument doesn't fit, there is no answer at this
            point, or the patterns are not those that were classified.

        Notes
        -----
        Of a lazy result, what is needed for the one answer is
        computed: for a region, all of its patterns.

        Examples
        --------
        >>> sym = scan.classify_space_group()  # doctest: +SKIP
        >>> sym.explain(scan, index=(12, 7)).plot()  # doctest: +SKIP
        """
        from pyxem_symnet.signals.explain import explain

        return explain(
            self,
            signal,
            index,
            region=region,
            views=views,
            level=level,
            threshold=threshold,
            device=device,
        )

    def plot(self, level: str | None = "crystal_system", n: int = 8, **kwargs):
        """Plot a map, and the ranked groups at the point under the cursor.

        Parameters
        ----------
        level
            Level of the map that is navigated in. With None HyperSpy's
            own navigator and line are plotted.
        n
            Number of ranked labels.
        **kwargs
            Keywords of HyperSpy's ``Signal1D.plot()``.
        """
        from pyxem_symnet.signals.plot import add_ranking

        if level is None:
            return super().plot(**kwargs)
        n_navigation = self.axes_manager.navigation_dimension
        if n_navigation and "navigator" not in kwargs:
            navigator = self.to_map(level)
            if self._lazy:
                navigator.compute(show_progressbar=False)
            kwargs["navigator"] = navigator
        super().plot(**kwargs)
        add_ranking(self, level, n)

    def plot_map(self, level: str = "crystal_system", threshold: float = 0.0, ax=None):
        """Plot a map with a legend.

        A label has the same colour in every map; it is paler where the
        confidence is low.

        Parameters
        ----------
        level
            One of :data:`pyxem_symnet.symmetry.LEVELS`.
        threshold
            Smallest confidence of a coloured point.
        ax
            Matplotlib axes, new ones by default.

        Returns
        -------
        matplotlib.figure.Figure
            The figure.

        Raises
        ------
        ValueError
            If there are more than two navigation axes.
        """
        from pyxem_symnet.signals.plot import plot_map

        return plot_map(self, level, threshold, ax)


class LazySpaceGroupProbabilities(LazySignal, SpaceGroupProbabilities):
    """Lazy probabilities of space groups.

    See :class:`SpaceGroupProbabilities`. ``compute()`` turns it into
    one.
    """

    def plot(self, level: str | None = "crystal_system", n: int = 8, **kwargs):
        """Plot as :meth:`SpaceGroupProbabilities.plot` does.

        Parameters
        ----------
        level
            Level of the map beside, or None for HyperSpy's own plot.
        n
            Number of labels that are ranked.
        **kwargs
            What HyperSpy's own plot takes.
        """
        if level is None:
            return super().plot(level=None, **kwargs)
        # Past LazySignal, which would make a navigator of its own
        return SpaceGroupProbabilities.plot(self, level, n, **kwargs)
