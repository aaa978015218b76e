# SPDX-License-Identifier: GPL-3.0-or-later
"""Three indices for each spot of one view, from where the spots are alone.

A pattern is the part of the reciprocal lattice near the Ewald sphere, projected along
the beam. Its spots are whole multiples of the projections of three reciprocal vectors:
three in a plane, which hardly any other points are, if positions are precise. How far
a spot is from the sphere need not be known for that.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

# Largest distances of a spot from where its indices say it is, in 1/Å, one tried after
# the other; and the share of it that is left in the end
_TOLERANCES = (5e-4, 2e-3)
_PRECISER = 0.5
# Spots that are looked at, nearest to the direct beam, and fewest that say anything
_MOST_SPOTS = 64
_FEWEST_SPOTS = 6
# Share of the spots that has to be explained
_EXPLAINED = 0.75
# Differences of spots between these lengths in 1/Å may be reciprocal vectors, those
# that are short and come again above all
_SHORTEST, _LONGEST = 0.02, 0.9
_TYPICAL_LENGTH = 0.2
_N_PLANES, _N_TRIPLES, _N_THIRD = 16, 10, 48
# Least area that two vectors span, in 1/Å²
_LEAST_AREA = 2e-3
# Largest third index, at first and in the end; and what large indices cost, in spots
_LARGEST, _LARGEST_REFINED = 8, 12
_PER_INDEX = 0.02
# Parts of vectors that spots are looked for at
_PARTS = (2, 3, 4, 5, 6)
_N_ROUNDS = 4


class Projection(NamedTuple):
    """Three reciprocal vectors as they are projected, and the spots' indices.

    Parameters
    ----------
    basis
        Projections of three reciprocal vectors as rows, in 1/Å, of shape (3, 2).
    hkl
        Indices of the spots, integers of shape (spots, 3).
    matched
        Whether a spot is where its indices say, of shape (spots,).
    """

    basis: np.ndarray
    hkl: np.ndarray
    matched: np.ndarray


def index_projection(positions: np.ndarray) -> Projection | None:
    """Find three reciprocal vectors of which all spots are whole multiples.

    Parameters
    ----------
    positions
        Spots in 1/Å from the direct beam, nearest first, of shape (spots, 2).

    Returns
    -------
    Projection or None
        Of as many of the nearest spots as are looked at. None if they lie in one
        plane of the lattice, are too few, or are not where they belong.
    """
    points = np.ascontiguousarray(positions[:_MOST_SPOTS], dtype=float)
    if len(points) < _FEWEST_SPOTS:
        return None
    tried = (_index_within(points, tolerance) for tolerance in _TOLERANCES)
    return next(filter(None, tried), None)


def _index_within(points: np.ndarray, tolerance: float) -> Projection | None:
    """Return vectors of which spots are multiples within a tolerance."""
    vectors = _differences(points, tolerance)
    basis, n = _best_basis(points, vectors, tolerance)
    if n < _FEWEST_SPOTS:
        return None
    precise = _PRECISER * tolerance
    for closer in np.linspace(tolerance, precise, _N_ROUNDS):
        hkl, matched = _index(points, basis, _LARGEST_REFINED, closer)
        used = hkl[matched]
        if len(used) < _FEWEST_SPOTS or np.linalg.matrix_rank(used) < 3:
            return None
        basis = np.linalg.lstsq(used, points[matched], rcond=None)[0]
    basis = _with_parts(points, basis, precise)
    hkl, matched = _index(points, basis, _LARGEST_REFINED, precise)
    if matched.sum() < max(_FEWEST_SPOTS, _EXPLAINED * len(points)):
        return None
    # Other vectors than those that all spots are made of say the same with larger
    # indices, or explain spots that there are not
    generators = _generators(hkl[matched])
    if generators is None:
        return None
    basis = generators @ basis
    hkl = np.rint(hkl @ np.linalg.inv(generators)).astype(np.int64)
    return Projection(basis, hkl, matched)


def _differences(points: np.ndarray, tolerance: float) -> np.ndarray:
    """Return distinct differences of spots and of the beam, the likeliest first."""
    first, second = np.triu_indices(len(points) + 1, 1)
    points = np.concatenate([np.zeros((1, 2)), points])
    found = points[second] - points[first]
    opposite = (found[:, 1] < -tolerance) | (
        (abs(found[:, 1]) <= tolerance) & (found[:, 0] < 0)
    )
    found[opposite] *= -1
    lengths = np.hypot(*found.T)
    found = found[(lengths > _SHORTEST) & (lengths < _LONGEST)]
    found, counts = _distinct(found[np.argsort(found[:, 0], kind="stable")], tolerance)
    rank = counts / (_TYPICAL_LENGTH + np.hypot(*found.T))
    return found[np.argsort(-rank, kind="stable")]


@njit(cache=True, nogil=True)
def _distinct(vectors, tolerance):
    """Return the means of vectors that are the same, and their numbers."""
    n = len(vectors)
    means = np.empty((n, 2))
    counts = np.zeros(n)
    done = np.zeros(n, np.bool_)
    m = 0
    for i in range(n):
        if done[i]:
            continue
        total = np.zeros(2)
        for k in range(i, n):
            if vectors[k, 0] - vectors[i, 0] > 2 * tolerance:
                break
            if not done[k] and abs(vectors[k, 1] - vectors[i, 1]) < 2 * tolerance:
                done[k] = True
                total += vectors[k]
                counts[m] += 1
        means[m] = total / counts[m]
        m += 1
    return means[:m], counts[:m]


@njit(cache=True, nogil=True)
def _index_points(points, basis, most, tolerance, hkl, matched):
    """Fill the smallest indices of points, return their number and the sum."""
    ax, ay = basis[0]
    bx, by = basis[1]
    cx, cy = basis[2]
    area = ax * by - ay * bx
    limit = tolerance * tolerance
    n = 0
    total = 0.0
    for i in range(len(points)):
        best = np.inf
        for third in range(-most, most + 1):
            x = points[i, 0] - third * cx
            y = points[i, 1] - third * cy
            u = (x * by - y * bx) / area
            v = (ax * y - ay * x) / area
            first, second = np.round(u), np.round(v)
            u -= first
            v -= second
            dx, dy = u * ax + v * bx, u * ay + v * by
            size = abs(first) + abs(second) + abs(third)
            if dx * dx + dy * dy < limit and size < best:
                best = size
                hkl[i, 0], hkl[i, 1], hkl[i, 2] = first, second, third
        matched[i] = best < np.inf
        if matched[i]:
            n += 1
            total += best
    return n, total


def _index(
    points: np.ndarray, basis: np.ndarray, most: int, tolerance: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the indices of points, and which of them have any."""
    order = _order(basis)
    hkl = np.zeros((len(points), 3))
    matched = np.zeros(len(points), bool)
    _index_points(points, basis[order].copy(), most, tolerance, hkl, matched)
    return hkl[:, np.argsort(order)], matched


@njit(cache=True, nogil=True)
def _area(one, other):
    return abs(one[0] * other[1] - one[1] * other[0])


@njit(cache=True, nogil=True)
def _order(basis):
    """Return an order in which the first two vectors span the largest area."""
    areas = np.array(
        [
            _area(basis[1], basis[2]),
            _area(basis[0], basis[2]),
            _area(basis[0], basis[1]),
        ]
    )
    last = np.argmax(areas)
    return np.array([(last + 1) % 3, (last + 2) % 3, last])


@njit(cache=True, nogil=True)
def _depends(basis, tolerance):
    """Return whether a multiple of the third vector is made of the first two."""
    hkl = np.zeros((1, 3))
    matched = np.zeros(1, np.bool_)
    plane = basis.copy()
    plane[2] = 0.0
    for times in range(1, _LARGEST_REFINED + 1):
        n, _ = _index_points(times * basis[2:], plane, 0, tolerance, hkl, matched)
        if n:
            return True
    return False


@njit(cache=True, nogil=True)
def _best_basis(points, vectors, tolerance):
    """Return the three vectors that explain most spots, and how many these are."""
    hkl = np.zeros((len(points), 3))
    matched = np.zeros(len(points), np.bool_)
    bases = _with_one_more(points, vectors, _best_plane(points, vectors, tolerance))
    best_basis = np.zeros((3, 2))
    best = -np.inf
    best_n = 0
    n_tried = 0
    for k in range(len(bases)):
        beside_plane = k < len(points) + len(vectors)
        if beside_plane and n_tried == _N_THIRD:
            continue
        basis = bases[k]
        if not beside_plane:
            basis = basis[_order(basis)]
        if _area(basis[0], basis[1]) < _LEAST_AREA or _depends(basis, tolerance):
            continue
        n_tried += beside_plane
        n, total = _index_points(points, basis, _LARGEST, tolerance, hkl, matched)
        score = n - _PER_INDEX * total
        if score > best:
            best, best_n = score, n
            best_basis[:] = basis
    return best_basis, best_n


@njit(cache=True, nogil=True)
def _best_plane(points, vectors, tolerance):
    """Return the two vectors that explain most spots by themselves, as rows."""
    hkl = np.zeros((len(points), 3))
    matched = np.zeros(len(points), np.bool_)
    best = -np.inf
    best_plane = np.zeros((2, 2))
    basis = np.zeros((3, 2))
    for i in range(min(len(vectors), _N_PLANES)):
        for j in range(i):
            if _area(vectors[i], vectors[j]) < _LEAST_AREA:
                continue
            basis[0], basis[1] = vectors[i], vectors[j]
            n, total = _index_points(points, basis, 0, tolerance, hkl, matched)
            score = n - _PER_INDEX * total
            if score > best:
                best = score
                best_plane[:] = basis[:2]
    return best_plane


@njit(cache=True, nogil=True)
def _with_one_more(points, vectors, plane):
    """Return bases to try: a plane and one more vector, then any likely three.

    Spots beside a plane may be far from the beam, and from those in it, and so are
    tried as they are.
    """
    n_likely = min(len(vectors), _N_TRIPLES)
    n_triples = n_likely * (n_likely - 1) * (n_likely - 2) // 6
    bases = np.empty((len(points) + len(vectors) + n_triples, 3, 2))
    n = 0
    for others in (points, vectors):
        for k in range(len(others)):
            bases[n, :2] = plane
            bases[n, 2] = others[k]
            n += 1
    for i in range(n_likely):
        for j in range(i):
            for k in range(j):
                bases[n, 0], bases[n, 1], bases[n, 2] = (
                    vectors[i],
                    vectors[j],
                    vectors[k],
                )
                n += 1
    return bases


def _with_parts(points: np.ndarray, basis: np.ndarray, tolerance: float) -> np.ndarray:
    """Return vectors that spots at parts of the given ones are multiples of, too."""
    for _ in range(2):
        _, matched = _index(points, basis, _LARGEST_REFINED, tolerance)
        rest = points[~matched]
        if not len(rest):
            break
        for parts in _PARTS:
            hkl, found = _index(parts * rest, basis, _LARGEST_REFINED, tolerance)
            if found.any():
                whole = parts * np.eye(3, dtype=np.int64)
                generators = _generators(np.concatenate([whole, hkl[found]]))
                basis = generators @ basis / parts
                break
        else:
            break
    return basis


def _generators(hkl: np.ndarray) -> np.ndarray | None:
    """Return a basis of the lattice of whole multiples of indices, None of a plane.

    The Hermite normal form, with vectors as rows.
    """
    rows = [list(row) for row in np.rint(hkl).astype(int).tolist() if any(row)]
    basis = []
    for column in range(3):
        rest = [row for row in rows if row[column] == 0]
        active = [row for row in rows if row[column] != 0]
        if not active:
            return None
        while len(active) > 1:
            active.sort(key=lambda row: abs(row[column]))
            least, *others = active
            active = [least]
            for row in others:
                times = row[column] // least[column]
                row = [a - times * b for a, b in zip(row, least, strict=True)]
                if row[column]:
                    active.append(row)
                elif any(row):
                    rest.append(row)
        basis.append(active[0])
        rows = rest
    return np.array(basis)
