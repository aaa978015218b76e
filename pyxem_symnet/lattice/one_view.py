# SPDX-License-Identifier: GPL-3.0-or-later
"""The lattice of one precise view, which shows two of its three dimensions exactly.

Where spots are says what the reciprocal vectors are across the beam
(:mod:`~pyxem_symnet.lattice.projection`). How long they are along the beam is known
from how near the Ewald sphere is to every spot: within the excitation error, which is
not known well itself. So lattices of one family, stretched along the beam, explain a
view about as well. But few of them are symmetric: the exact lengths across the beam
are those of a cubic lattice by a chance of one in many thousands.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from numba import njit

from pyxem_symnet.lattice.fit import IndexedView, LatticeFit
from pyxem_symnet.lattice.indexing import SpotList
from pyxem_symnet.lattice.metric import (
    fill_reflections,
    is_plausible,
    reduce_basis,
)
from pyxem_symnet.lattice.projection import Projection, index_projection
from pyxem_symnet.lattice.strain import strain_information, symmetry_evidence
from pyxem_symnet.lattice.symmetry import lattice_groups

# Largest excitation errors that are tried, in 1/Å, what is typical and how far the
# logarithm deviates from it
_EXCITATIONS = np.geomspace(0.007, 0.06, 16)
_TYPICAL, _SPREAD = 0.02, 0.4
# Reflections beyond it are hardly seen: how steeply fewer are
_STEEPNESS = 8.0
# Stretches along the beam, from one in which spots are this far from the sphere
_TYPICAL_DISTANCE = 0.0115
_STRETCHES = np.exp(np.linspace(-1.1, 1.1, 45))
# Of these, every so many is looked at for symmetries; and less likely ones, as
# logarithms, are left out
_EVERY = 2
_LEAST = 12.0
# Relative errors of lengths across the beam, at least
_LEAST_ERROR = 2e-5
# Squared errors, in standard deviations, of a lattice that is symmetric
_MOST_CHI_SQUARE = 30.0
_N_STEPS = 12
_SMALL_STEP = 1e-6
# Lattices that are kept beside the likeliest, and how much less likely they may be
_N_KEPT = 8
_AS_LIKELY = 12.0
_SAME = 1e-3
_ALIKE = 0.03
# Deviation in degrees of a lattice that was made symmetric
_EXACT = 0.02
_MOST_REFLECTIONS = 40000
_SHORTEST = 0.01


def find_lattice_of_view(view: SpotList) -> LatticeFit | None:
    """Find the lattice that explains the spots of a single view.

    Parameters
    ----------
    view
        Spots.

    Returns
    -------
    LatticeFit or None
        The likeliest lattice, with others that are about as likely. None if
        positions are not precise, or spots are few or in one plane.
    """
    fits = lattices_of_view(view)
    return _with_others(fits) if fits else None


def lattices_of_view(view: SpotList, n_generic: int = 1) -> list[LatticeFit]:
    """Return lattices that explain the spots of a single view, the likeliest first.

    Parameters
    ----------
    view
        Spots.
    n_generic
        Largest number of lattices without a symmetry.
    """
    projection = index_projection(view.vectors[:, :2])
    if projection is None:
        return []
    family = _Family(projection, view)
    likely = family.likelihoods.max()
    if not np.isfinite(likely):
        return []
    order = np.argsort(-family.likelihoods)[:n_generic]
    bases = [family.generic(place) for place in order]
    n_apart = len(_STRETCHES)
    for place in np.flatnonzero(family.likelihoods > likely - _LEAST):
        if place % n_apart % _EVERY == 0:
            bases += family.symmetric_near(place)
    fits: list[LatticeFit] = []
    seen: list[np.ndarray] = []
    for basis, cost in bases:
        if not any(np.allclose(basis, one, rtol=_SAME) for one in seen):
            seen.append(basis)
            fits.append(family.fit(basis, cost))
    fits = [fit for fit in fits if is_plausible(fit.metric, _SHORTEST)]
    return sorted(fits, key=lambda fit: fit.behind - _own_evidence(fit))


def _own_evidence(fit: LatticeFit) -> float:
    """Return the evidence for the symmetry that a lattice has exactly."""
    known = strain_information(fit)
    return max(
        symmetry_evidence(fit.metric, group.operations, known)[1]
        for group in lattice_groups(fit.metric, _EXACT)
    )


def _with_others(fits: list[LatticeFit]) -> LatticeFit:
    """Return the first lattice with those that are about as likely and others."""
    first, *others = fits
    kept: list[LatticeFit] = []
    for other in others:
        if other.behind - first.behind > _AS_LIKELY or len(kept) == _N_KEPT:
            continue
        if not any(_is_same(other, one) for one in (first, *kept)):
            behind = max(other.behind - first.behind, 0.0)
            kept.append(dataclasses.replace(other, behind=behind))
    return dataclasses.replace(first, behind=0.0, alternatives=tuple(kept))


def _is_same(one: LatticeFit, other: LatticeFit) -> bool:
    lengths = [
        np.sqrt([np.sort(np.diag(fit.metric)), np.sort(np.diag(np.linalg.inv(fit.metric)))])
        for fit in (one, other)
    ]
    return np.allclose(*lengths, rtol=_ALIKE)


class _Family:
    """Lattices that explain a view, by how far they are stretched along the beam.

    The third coordinates of the three reciprocal vectors are those of the plane
    that is nearest to the spots on the sphere, once a stretch is chosen.
    """

    def __init__(self, projection: Projection, view: SpotList):
        self.basis = projection.basis
        self.hkl = projection.hkl
        self.matched = projection.matched
        n = len(projection.hkl)
        self.vectors = view.vectors[:n]
        self.intensities = view.intensities[:n]
        used = self.hkl[self.matched]
        across = np.cross(*self.basis.T)
        self.along = across / np.linalg.norm(across)
        self.points = used @ self.basis
        heights = self.vectors[self.matched, 2]
        layers = used @ self.along
        inverse = np.linalg.pinv(self.points)
        # How the plane is tilted without any stretch, and by a unit of it
        self.tilt = inverse @ heights, -inverse @ layers
        self.heights = heights - self.points @ (inverse @ heights)
        self.layers = layers - self.points @ (inverse @ layers)
        errors = (self.vectors[self.matched, :2] - self.points).ravel()
        typical = float(np.sqrt((errors**2).mean()))
        length = float(np.linalg.norm(self.basis, axis=1).min())
        self.error = max(2 * typical / math.sqrt(len(used)) / length, _LEAST_ERROR)
        unit = _TYPICAL_DISTANCE / max(float(np.sqrt((self.layers**2).mean())), 1e-9)
        self.stretches = unit * np.concatenate([_STRETCHES, -_STRETCHES])
        radius = float(np.sqrt((self.vectors[:, :2] ** 2).sum(1).max()))
        self.likelihoods, excitations = _slab_likelihoods(
            np.column_stack([self.basis, np.zeros(3)]),
            self.along,
            np.array(self.tilt),
            self.stretches,
            self.heights,
            self.layers,
            radius,
            self.vectors[-1, 2] / max(radius**2, 1e-9),
            _EXCITATIONS,
            -0.5 * (np.log(_EXCITATIONS / _TYPICAL) / _SPREAD) ** 2,
        )
        self.excitations = _EXCITATIONS[excitations]

    def third(self, stretch: float) -> np.ndarray:
        """Return the vectors' coordinates along the beam."""
        tilt = self.tilt[0] + stretch * self.tilt[1]
        return stretch * self.along + self.basis @ tilt

    def generic(self, place: int) -> tuple[np.ndarray, float]:
        """Return a lattice without a symmetry, in the laboratory, with what it costs."""
        third = self.third(self.stretches[place])
        cost = self.likelihoods.max() - self.likelihoods[place]
        return np.column_stack([self.basis, third]), float(cost)

    def symmetric_near(self, place: int) -> list[tuple[np.ndarray, float]]:
        """Return symmetric lattices near one of the stretches, with what they cost."""
        found = np.column_stack([self.basis, self.third(self.stretches[place])])
        metric, vectors = reduce_basis(found @ found.T)
        basis = vectors @ self.basis
        results = []
        for group in lattice_groups(metric):
            if len(group.operations) > 1:
                solved = self._symmetric(metric, basis, vectors, group.operations, place)
                if solved is not None:
                    results.append((np.linalg.solve(vectors, solved[0]), solved[1]))
        return results

    def _symmetric(self, metric, basis, vectors, operations, place):
        """Return the nearest lattice with a group of rotations, or None."""
        average = (operations @ metric @ operations.transpose(0, 2, 1)).mean(0)
        units = np.zeros((6, 3, 3))
        rows, columns = np.triu_indices(3)
        units[range(6), rows, columns] = units[range(6), columns, rows] = 1
        kept = np.array(
            [(operations @ u @ operations.transpose(0, 2, 1)).mean(0) for u in units]
        )
        _, values, right = np.linalg.svd(kept.reshape(6, 9), full_matrices=False)
        invariant = right[values > 0.1 * values[0]].reshape(-1, 3, 3)
        free = np.einsum("nij,ij->n", invariant, average)
        across = np.cross(*basis.T)
        sign = np.sign(self.stretches[place])
        spread = self.excitations[place] / math.sqrt(3)
        root = np.linalg.cholesky(self.points.T @ self.points).T / spread

        along = vectors @ self.along

        def misfit(free):
            metric = np.einsum("n,nij->ij", free, invariant)
            direct = np.linalg.inv(metric)
            product = basis.T @ direct @ basis
            third = metric @ across
            norm = across @ third
            if norm <= 0:
                return None
            third = third / math.sqrt(norm)
            # Unreduced, where stretch and tilt are told apart
            plain = np.linalg.solve(vectors, third)
            stretch = float(plain @ self.along)
            if stretch * sign < 0:
                stretch, plain, third = -stretch, -plain, -third
            tilt = np.linalg.lstsq(
                self.basis, plain - stretch * self.along, rcond=None
            )[0]
            off = root @ (tilt - self.tilt[0] - stretch * self.tilt[1])
            exact = np.array(
                [product[0, 0] - 1, product[1, 1] - 1, math.sqrt(2) * product[0, 1]]
            )
            return np.concatenate([exact / self.error, off]), third, stretch

        state = misfit(free)
        if state is None:
            return None
        damping = 1e-3
        for _ in range(_N_STEPS):
            errors = state[0]
            slopes = np.empty((len(errors), len(free)))
            scale = np.abs(free).max()
            for k in range(len(free)):
                moved = free.copy()
                moved[k] += _SMALL_STEP * scale
                other = misfit(moved)
                if other is None:
                    return None
                slopes[:, k] = (other[0] - errors) / (_SMALL_STEP * scale)
            normal = slopes.T @ slopes
            step = np.linalg.solve(
                normal + damping * np.diag(np.diag(normal)), -slopes.T @ errors
            )
            trial = free + step
            other = misfit(trial)
            if other is not None and (other[0] ** 2).sum() < (errors**2).sum():
                done = (errors**2).sum() - (other[0] ** 2).sum() < 1e-3
                free, state = trial, other
                damping *= 0.1
                if done:
                    break
            else:
                damping *= 10
                if damping > 1e6:
                    break
        errors, third, stretch = state
        chi_square = float((errors**2).sum())
        if chi_square > _MOST_CHI_SQUARE:
            return None
        half = len(self.stretches) // 2
        chosen = slice(0, half) if stretch > 0 else slice(half, None)
        stretches = np.log(np.abs(self.stretches[chosen]))
        if not stretches[0] <= math.log(abs(stretch)) <= stretches[-1]:
            return None
        likelihood = np.interp(
            math.log(abs(stretch)), stretches, self.likelihoods[chosen]
        )
        cost = self.likelihoods.max() - likelihood + 0.5 * chi_square
        if cost > _LEAST + 0.5 * _MOST_CHI_SQUARE:
            return None
        return np.column_stack([basis, third]), float(cost)

    def fit(self, basis: np.ndarray, cost: float) -> LatticeFit:
        """Return the view indexed with a lattice, vectors in the laboratory as rows."""
        metric, vectors = reduce_basis(basis @ basis.T)
        basis = vectors @ basis
        hkl = np.rint(self.hkl @ np.linalg.inv(vectors)).astype(np.int64)
        if np.linalg.det(basis) < 0:
            basis, hkl = -basis, -hkl
        left, _, right = np.linalg.svd(np.linalg.solve(np.linalg.cholesky(metric), basis))
        rotation = (left @ right).T
        view = IndexedView(
            self.vectors, self.intensities, rotation, hkl, self.matched
        )
        n = int(self.matched.sum())
        return LatticeFit(
            metric, (view,), len(self.matched), float(n), coarse=False, behind=cost
        )


@njit(cache=True, nogil=True)
def _slab_likelihoods(
    basis, along, tilts, stretches, heights, layers, radius, curvature, widths, priors
):
    """Return log likelihoods of stretches, and which width each is likeliest with.

    Each spot is one of the reflections near the sphere.
    """
    n = len(heights)
    best = np.full(len(stretches), -np.inf)
    chosen = np.zeros(len(stretches), np.int64)
    hkl = np.empty((_MOST_REFLECTIONS, 3))
    squares = np.empty(_MOST_REFLECTIONS)
    frame = basis.copy()
    for place in range(len(stretches)):
        stretch = stretches[place]
        for i in range(3):
            frame[i, 2] = stretch * along[i]
            for k in range(2):
                frame[i, 2] += basis[i, k] * (tilts[0, k] + stretch * tilts[1, k])
        reach = widths[-1] * 1.5
        metric, vectors = reduce_basis(frame @ frame.T)
        reduced = vectors @ frame
        m = fill_reflections(
            metric, math.sqrt(radius * radius + reach * reach) + reach, hkl, squares
        )
        if m == 0:
            continue
        counts = np.zeros(len(widths))
        for i in range(m):
            x = y = z = 0.0
            for c in range(3):
                x += hkl[i, c] * reduced[c, 0]
                y += hkl[i, c] * reduced[c, 1]
                z += hkl[i, c] * reduced[c, 2]
            square = x * x + y * y
            if square > radius * radius:
                continue
            height = curvature * square
            for sign in (-1.0, 1.0):
                distance = abs(sign * z - height)
                if distance > reach:
                    continue
                for k in range(len(widths)):
                    counts[k] += 1 / (1 + (distance / widths[k]) ** _STEEPNESS)
        for k in range(len(widths)):
            total = priors[k] - n * math.log(max(counts[k], 1e-9))
            for i in range(n):
                distance = abs(stretch * layers[i] - heights[i])
                total -= math.log1p((distance / widths[k]) ** _STEEPNESS)
            if total > best[place]:
                best[place] = total
                chosen[place] = k
    return best, chosen
