# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a lattice is symmetric, as far as its spots tell.

An angle by which a lattice misses a symmetry says little by itself: a tenth of a
degree is much where spots are sharp and nothing where views are distorted. The
spots say how exactly each strain of the lattice is known, and so how likely it is
that a symmetric lattice would look like this one.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from pyxem_symnet.lattice.fit import LatticeFit, SeriesFit
from pyxem_symnet.lattice.indexing import STRAINS
from pyxem_symnet.lattice.symmetry import lattice_groups
from pyxem_symnet.lattice.view_fit import (
    DISTORTION,
    N_ALL,
    N_OWN,
    N_SHARED,
    normal_equations,
    shared_parameters,
)

# Largest distance of reflections from the Ewald sphere in 1/Å, precise and coarse
_EXCITATION = {False: 0.02, True: 0.05}
# What a view is free in besides: its rotation, and its distortion where positions
# are not precise
_N_FREE = {False: 3, True: N_OWN}
# Of a normal distribution, in median absolute deviations
_DEVIATION = 1.4826
# Least standard deviation of a spot's coordinates in 1/Å
_LEAST_ERROR = 1e-5
# Excitation errors of a view are not independent: its tilt is less well known than
# its spots by themselves say, by this factor. Of 136 lattices of simulated zone axes
# the fewest are taken for less symmetric, or more, with four or five
_TILT_ERRORS = 5.0
# Strains of the plane of the detector, alike in all directions, and the least size
_IN_PLANE = np.zeros((3, 3, 3))
_IN_PLANE[0, 0, 0] = _IN_PLANE[1, 1, 1] = 1
_IN_PLANE[2, 0, 1] = _IN_PLANE[2, 1, 0] = math.sqrt(0.5)
_LEAST_STRAIN = 1e-6
# Precision of strains that no spot tells
_DAMPING = 1e2
# Strains by which lattices without a symmetry typically miss it
_TYPICAL_STRAIN = 0.05
# What a group of rotations leaves of strains has this singular value at least
_INVARIANT = 0.5
# Rows and columns of the strains
_ROWS, _COLUMNS = (0, 1, 2, 0, 0, 1), (0, 1, 2, 1, 2, 2)


@dataclasses.dataclass(frozen=True, eq=False)
class StrainInformation:
    """How exactly the spots of indexed views tell the shape of a lattice.

    Parameters
    ----------
    precision
        Inverse covariance of the six strains of
        :data:`~pyxem_symnet.lattice.indexing.STRAINS`, orientations and
        distortions of views unknown, of shape (6, 6).
    error
        Standard deviation of a spot's coordinates in 1/Å.
    """

    precision: np.ndarray
    error: float

    @property
    def typical_strain(self) -> float:
        """Geometric mean of the standard deviations of the strains."""
        return math.exp(-np.linalg.slogdet(self.precision)[1] / 12)


def strain_information(fit: LatticeFit) -> StrainInformation:
    """Return how exactly a lattice is known.

    Parameters
    ----------
    fit
        Lattice and indexed views.
    """
    basis = fit.reciprocal_basis
    residuals = [view.errors(basis)[view.matched, :2] for view in fit.views]
    error = _LEAST_ERROR
    n_residuals = 2 * sum(map(len, residuals))
    n_free = _N_FREE[fit.coarse]
    is_series = isinstance(fit, SeriesFit)
    if n_residuals:
        left = max(n_residuals - 6 - n_free * len(fit.views), 1)
        spread = float(np.median(abs(np.concatenate(residuals))))
        error = max(_DEVIATION * math.sqrt(n_residuals / left) * spread, error)
    # First in the equations of a view is what it is free in, last are the strains
    first = N_SHARED if fit.is_shared else N_OWN
    n_free = min(n_free, first)
    precision = np.zeros((N_ALL - first, N_ALL - first))
    # A series hardly tells one of two numbers, so that what is typical counts: once
    times = len(fit.views) if is_series else 1
    for view in fit.views:
        normal, _ = normal_equations(
            basis,
            np.ascontiguousarray(view.rotation),
            np.zeros(4),
            view.vectors,
            view.hkl.astype(float),
            view.matched,
            error,
            _EXCITATION[fit.coarse],
            N_ALL,
            DISTORTION * math.sqrt(times),
        )
        if fit.is_shared:
            order = shared_parameters(view.frame)
            normal = order.T @ normal @ order
        own = np.arange(n_free)
        if not (fit.coarse or is_series):
            normal = _tilted(normal, view.rotation)
            own = np.append(own, np.arange(N_ALL, len(normal)))
        common = np.arange(first, N_ALL)
        mixed = normal[np.ix_(own, common)]
        taken_out = mixed.T @ np.linalg.solve(normal[np.ix_(own, own)], mixed)
        precision += normal[first:N_ALL, first:N_ALL] - taken_out
    if fit.is_shared:
        common, mixed = precision[:2, :2], precision[:2, 2:]
        precision = precision[2:, 2:] - mixed.T @ np.linalg.solve(common, mixed)
    precision = precision + _DAMPING * np.eye(6)
    return StrainInformation(precision, error)


def _tilted(normal: np.ndarray, rotation: np.ndarray) -> np.ndarray:
    """Return the equations of a view with three more parameters, which are last.

    A tilt by an angle shortens a net across the beam by half of its square. In
    first order this is no tilt, so it is a strain of the view in the detector's
    plane, as large as the tilt may be. Where spots lie in many planes the tilt is
    known well, and there is hardly any.
    """
    tilts = np.linalg.inv(normal[:3, :3])[:2, :2]
    shortened = _TILT_ERRORS**2 * np.trace(tilts) / 2
    strains = rotation.T @ _IN_PLANE @ rotation
    order = np.eye(N_ALL, N_ALL + 3)
    order[-6:, N_ALL:] = strains[:, _ROWS, _COLUMNS].T
    normal = order.T @ normal @ order
    normal[range(N_ALL, N_ALL + 3), range(N_ALL, N_ALL + 3)] += (
        max(shortened, _LEAST_STRAIN) ** -2
    )
    return normal


def symmetry_evidence(
    metric: np.ndarray, operations: np.ndarray, information: StrainInformation
) -> tuple[float, float]:
    """Return how a lattice agrees with a group of rotations.

    Parameters
    ----------
    metric
        Metric tensor of the reduced reciprocal basis in 1/Å².
    operations
        Rotations in this basis, as of
        :class:`~pyxem_symnet.lattice.symmetry.LatticeGroup`.
    information
        How exactly the lattice is known.

    Returns
    -------
    chi_square
        How far the nearest lattice with the symmetry is, in squared standard
        deviations.
    evidence
        Logarithm of how much likelier the spots are with a lattice that has
        the symmetry than with one that typically misses it.
    """
    basis = np.linalg.cholesky(metric)
    inverse = np.linalg.inv(basis)
    missed = 0.5 * inverse @ (_symmetric(metric, operations) - metric) @ inverse.T
    strain = missed[_ROWS, _COLUMNS]
    rotations = (inverse @ operations @ basis)[:, None]
    turned = (rotations @ STRAINS @ rotations.transpose(0, 1, 3, 2)).mean(0)
    left, values, _ = np.linalg.svd(turned[:, _ROWS, _COLUMNS].T)
    kept, lost = left[:, values > _INVARIANT], left[:, values <= _INVARIANT]
    if not lost.shape[1]:
        return 0.0, 0.0
    precision = information.precision
    within = kept.T @ precision @ kept
    across = precision - precision @ kept @ np.linalg.solve(within, kept.T @ precision)
    chi_square = float(strain @ across @ strain)
    determinant = np.linalg.slogdet(lost.T @ across @ lost)[1]
    occam = 0.5 * determinant + lost.shape[1] * math.log(_TYPICAL_STRAIN)
    return chi_square, occam - 0.5 * chi_square


def shape_evidence(fit: LatticeFit) -> float:
    """Return the evidence for the symmetry that a lattice most likely has.

    Parameters
    ----------
    fit
        Lattice and indexed views.
    """
    known = strain_information(fit)
    return max(
        symmetry_evidence(fit.metric, group.operations, known)[1]
        for group in lattice_groups(fit.metric)
    )


def symmetrised(fit: LatticeFit) -> list[LatticeFit]:
    """Return the lattice made symmetric, in each way in which it nearly is.

    The views stay as they are indexed.

    Parameters
    ----------
    fit
        Lattice and indexed views.

    Returns
    -------
    list of LatticeFit
        One of each lattice system but the triclinic.
    """
    nearest = {}
    for group in lattice_groups(fit.metric):
        if len(group.operations) > 1:
            nearest.setdefault(group.system, group)
    basis = fit.reciprocal_basis
    made = []
    for group in nearest.values():
        metric = _symmetric(fit.metric, group.operations)
        # The frame of a lattice follows its first reciprocal vectors; the turn
        # between both frames is no part of the strain
        left, _, right = np.linalg.svd(
            np.linalg.solve(basis, np.linalg.cholesky(metric))
        )
        views = [
            dataclasses.replace(view, rotation=view.rotation @ left @ right)
            for view in fit.views
        ]
        made.append(dataclasses.replace(fit, metric=metric, views=tuple(views)))
    return made


def _symmetric(metric: np.ndarray, operations: np.ndarray) -> np.ndarray:
    """Return the mean of what a group of rotations makes of a metric."""
    return (operations @ metric @ operations.transpose(0, 2, 1)).mean(0)
