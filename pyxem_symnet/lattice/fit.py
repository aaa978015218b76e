# SPDX-License-Identifier: GPL-3.0-or-later
"""A crystal lattice that explains the spots of several views."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from pyxem_symnet.lattice.distortion import NONE


@dataclasses.dataclass(frozen=True)
class IndexedView:
    """One view, with the lattice in the orientation that explains it best.

    Parameters
    ----------
    vectors
        Reciprocal vectors of the spots in the laboratory frame in 1/Å,
        on the Ewald sphere, of shape (spots, 3), nearest to the direct
        beam first. A distortion and a shift are undone.
    intensities
        Their intensities, of shape (spots,).
    rotation
        Matrix of shape (3, 3) that turns the lattice into the
        laboratory frame.
    hkl
        Reflection of each spot in the reduced basis, integers of shape
        (spots, 3).
    matched
        Whether a reflection explains the spot, of shape (spots,).
    frame
        Matrix of shape (2, 2) from the two numbers of a distortion that
        was undone in all views alike to those in this view. None if it
        was the view's own, or there was none.
    """

    vectors: np.ndarray
    intensities: np.ndarray
    rotation: np.ndarray
    hkl: np.ndarray
    matched: np.ndarray
    frame: np.ndarray | None = None

    def errors(self, basis: np.ndarray) -> np.ndarray:
        """Return how far spots are from their reflections, of shape (spots, 3).

        Parameters
        ----------
        basis
            Reciprocal vectors of the lattice as rows in 1/Å.
        """
        return self.vectors - self.hkl @ basis @ self.rotation.T


@dataclasses.dataclass(frozen=True)
class LatticeFit:
    """A lattice, and the views with their spots indexed.

    Parameters
    ----------
    metric
        Metric tensor of the reduced primitive reciprocal basis in
        1/Å², of shape (3, 3).
    views
        The views that are explained.
    n_spots
        Number of spots looked at in all views, explained or not.
    log_likelihood
        Of the lattice against spots that lie by chance.
    coarse
        Whether the tolerances of badly calibrated patterns were needed.
    distortion
        Elliptical distortion that all views have in common, as the two
        numbers of :mod:`~pyxem_symnet.lattice.distortion`. The most typical
        one where each view has its own.
    alternatives
        Other lattices that explain the views about as well, the likeliest
        first.
    behind
        Of one of these, logarithm of how much likelier the first one is.
    """

    metric: np.ndarray
    views: tuple[IndexedView, ...]
    n_spots: int
    log_likelihood: float
    coarse: bool
    distortion: tuple[float, float] = NONE
    alternatives: tuple[LatticeFit, ...] = ()
    behind: float = 0.0

    @property
    def n_matched(self) -> int:
        """Number of spots that the lattice explains."""
        return int(sum(view.matched.sum() for view in self.views))

    @property
    def is_shared(self) -> bool:
        """Whether a distortion that all views have in common was undone."""
        return any(view.frame is not None for view in self.views)

    @property
    def volume(self) -> float:
        """Volume of the primitive cell in Å³."""
        return 1 / math.sqrt(np.linalg.det(self.metric))

    def is_like(self, other: LatticeFit, tolerance: float) -> bool:
        """Return whether another lattice has the same reduced cell.

        Parameters
        ----------
        other
            Other lattice.
        tolerance
            Relative difference of direct and reciprocal lengths.
        """
        lengths = [
            np.sqrt([np.sort(np.diag(metric)), np.sort(np.diag(np.linalg.inv(metric)))])
            for metric in (self.metric, other.metric)
        ]
        return np.allclose(*lengths, rtol=tolerance)

    @property
    def reciprocal_basis(self) -> np.ndarray:
        """Reduced reciprocal vectors as rows in 1/Å, before any rotation."""
        return np.linalg.cholesky(self.metric)

    @property
    def cell(self) -> tuple[float, float, float, float, float, float]:
        """Reduced primitive cell: lengths in Å and angles in degrees."""
        direct = np.linalg.inv(self.metric)
        lengths = np.sqrt(np.diag(direct))
        angles = [
            math.degrees(math.acos(direct[i, j] / (lengths[i] * lengths[j])))
            for i, j in ((1, 2), (0, 2), (0, 1))
        ]
        return (*lengths.tolist(), *angles)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SeriesFit(LatticeFit):
    """A lattice, and the views of a rotation series indexed together.

    Parameters
    ----------
    metric, views, n_spots, log_likelihood, coarse
        As of :class:`LatticeFit`.
    distortion
        As of :class:`LatticeFit`. How far patterns are stretched along
        the axis is not seen in them: it is what makes the lattice
        symmetric, if a typical distortion does, and otherwise nothing.
    alternatives, behind
        As of :class:`LatticeFit`. None are looked for.
    axis
        Azimuth of the axis of rotation in degrees, from x towards y.
    step
        Angle between successive views in degrees, right-handed about the
        axis.
    centre
        x and y in 1/Å of where the lattice has its origin, from the
        assumed direct beam. It is taken off the views' vectors.
    """

    axis: float
    step: float
    centre: tuple[float, float]
