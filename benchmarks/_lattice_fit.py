# SPDX-License-Identifier: GPL-3.0-or-later
"""Fit known unit cells to spots: a pattern of one zone, or a rotation series.

Used by ``real_ranges.py``. Nothing is chosen by hand: the zone, or the rotation
axis and the orientation, are searched for, and the fit that follows is robust.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

# Angles that are tried
_HALF_TURN = np.radians(np.arange(0, 180, 0.5))
_FULL_TURN = np.radians(np.arange(0, 360, 0.5))


class Fit(NamedTuple):
    """A lattice fitted to spots.

    Positions are in 1/Å. The distortion is the symmetric matrix from true
    to measured positions.
    """

    hkl: np.ndarray  # (spots, 3), of the nearest lattice point
    residuals: np.ndarray  # (spots, 2), measured - fitted
    explained: np.ndarray  # (spots,), near a lattice point
    distortion: np.ndarray  # (2, 2)
    centre: np.ndarray  # (2,), where the lattice has its origin
    chance: float  # share of random positions that would be explained
    excitation: np.ndarray  # (spots,), distance from the Ewald sphere
    label: str
    zone: np.ndarray | None = None  # [u v w] of one pattern
    transform: np.ndarray | None = None  # (3, 2), from hkl of the zone to positions


def reciprocal(cell) -> np.ndarray:
    """Return the reciprocal basis as rows, a along x and c* along z."""
    from diffpy.structure import Lattice

    return np.linalg.inv(Lattice(*cell).base).T


def strain_of(distortion: np.ndarray) -> tuple[float, float, float]:
    """Return scale, ratio of axes and angle of the long axis in degrees."""
    values, vectors = np.linalg.eigh(distortion)
    angle = np.degrees(np.arctan2(vectors[1, 1], vectors[0, 1])) % 180
    return float(np.sqrt(values.prod())), float(values[1] / values[0]), float(angle)


# -----------------------------------------------------------------------------
# One pattern of a low-index zone
# -----------------------------------------------------------------------------
def fit_zone(positions: np.ndarray, cell, tolerance: float = 0.03) -> Fit:
    """Fit the best zone of a crystal to the spots of one pattern.

    Every zone with indices up to 2 is turned over the pattern in steps of
    half a degree. That in which the share of spots near lattice points
    exceeds most what random positions would give is refined: an affine
    map, with a robust loss.

    Parameters
    ----------
    positions
        Spots of shape (spots, 2), in 1/Å from the assumed centre.
    cell
        a, b, c in Å and alpha, beta, gamma in degrees.
    tolerance
        Largest distance in 1/Å from a lattice point that is explained.
    """
    basis = reciprocal(cell)
    inner = positions[np.hypot(*positions.T) < 0.8]
    cosine, sine = np.cos(_HALF_TURN), np.sin(_HALF_TURN)
    turns = np.stack([cosine, sine, -sine, cosine], -1).reshape(-1, 2, 2)
    best = None
    for zone in itertools.product(range(-2, 3), repeat=3):
        if np.gcd.reduce(zone) != 1 or zone < (0, 0, 0):
            continue
        net = _plane_net(basis, zone)
        plane = net @ basis
        x = plane[0] / np.linalg.norm(plane[0])
        y = np.cross(np.cross(plane[0], plane[1]), x)
        y /= np.linalg.norm(y)
        flat = np.stack([plane @ x, plane @ y], 1)
        chance = np.pi * tolerance**2 / abs(np.linalg.det(flat))
        for mirror in (1, -1):
            turned = flat * [1, mirror] @ turns
            index = np.rint(inner @ np.linalg.inv(turned))
            near = np.linalg.norm(inner - index @ turned, axis=-1) < tolerance
            scores = near.mean(-1) - chance
            k = int(scores.argmax())
            if best is None or scores[k] > best[0]:
                best = scores[k], turned[k], net, zone, chance
    _, turned, net, zone, chance = best
    found, affine = _refine_affine(positions, turned, tolerance)
    index, residuals, centre = found
    explained = np.hypot(*residuals.T) < tolerance
    # Measured = true @ (rotation @ distortion)
    matrix = np.linalg.solve(turned, affine)
    u, sizes, vt = np.linalg.svd(matrix)
    hkl = (index @ net).astype(int)
    return Fit(
        hkl,
        residuals,
        explained,
        vt.T @ np.diag(sizes) @ vt,
        centre,
        chance,
        np.full(len(hkl), np.nan),
        "zone [" + " ".join(map(str, zone)) + "]",
        np.array(zone),
        np.linalg.pinv(net) @ affine,
    )


def _plane_net(basis: np.ndarray, zone) -> np.ndarray:
    """Return two hkl that span the plane of a zone, the shortest."""
    span = np.array(list(itertools.product(range(-4, 5), repeat=3)))
    span = span[(span @ zone == 0) & span.any(1)]
    span = span[np.argsort(np.linalg.norm(span @ basis, axis=1), kind="stable")]
    first = span[0]
    area = np.linalg.norm(np.cross(first @ basis, span @ basis), axis=1)
    second = span[np.nonzero(area > 1e-9)[0][0]]
    return np.stack([first, second])


def _refine_affine(positions, basis, tolerance):
    """Return (index, residuals, centre) and the basis, outwards from the beam."""
    centre = np.zeros(2)
    length = np.hypot(*positions.T)
    for reach in (0.6, 0.8, 1.0, 1.3, 1.3, 1.3):
        index = np.rint((positions - centre) @ np.linalg.inv(basis))
        away = np.hypot(*(positions - centre - index @ basis).T)
        use = (away < tolerance) & (length < reach)

        def errors(x, index=index, use=use):
            fitted = x[:2] + index[use] @ x[2:].reshape(2, 2)
            return (positions[use] - fitted).ravel()

        start = np.concatenate([centre, basis.ravel()])
        x = least_squares(errors, start, loss="soft_l1", f_scale=0.01).x
        centre, basis = x[:2], x[2:].reshape(2, 2)
    index = np.rint((positions - centre) @ np.linalg.inv(basis))
    return (index, positions - centre - index @ basis, centre), basis


# -----------------------------------------------------------------------------
# A rotation series
# -----------------------------------------------------------------------------
def fit_series(
    positions: np.ndarray,
    frames: np.ndarray,
    cell,
    step: float,
    wavelength: float,
    tolerance: float = 0.02,
) -> Fit:
    """Fit a crystal to the spots of a series that turns about one axis.

    The axis, in the plane of the detector, and the direction of the
    shortest axis of the cell are searched for where the spots, put on the
    Ewald sphere and turned back, repeat most regularly; then the other
    two axes. All is refined together, with a robust loss: axis,
    orientation, centre and distortion; the cell stays as it is.

    Parameters
    ----------
    positions
        Spots of all frames, of shape (spots, 2), in 1/Å.
    frames
        Their frames, of shape (spots,).
    cell
        a, b, c in Å and alpha, beta, gamma in degrees.
    step
        Angle from frame to frame in degrees.
    wavelength
        Of the electrons, in Å.
    tolerance
        Largest distance in 1/Å, in the detector and from the Ewald sphere,
        from a lattice point that is explained.
    """
    basis = reciprocal(cell)
    angles = np.radians(step * (frames - frames.mean()))
    use = np.hypot(*positions.T) < 0.9

    def turned_back(axis, positions, angles):
        height = -0.5 * wavelength * (positions**2).sum(1)
        points = np.column_stack([positions, height])
        return _turn(points, axis, angles)

    orientation, axis = _search(
        lambda axis: turned_back(axis, positions[use], angles[use]), basis
    )
    x = np.concatenate([[axis], np.zeros(3), np.zeros(2), [1.0, 0.0, 1.0]])
    for _ in range(6):
        axis, centre, distortion = x[0], x[4:6], _symmetric(x[6:])
        crystal = Rotation.from_rotvec(x[1:4]).as_matrix() @ orientation
        true = (positions - centre) @ np.linalg.inv(distortion)
        points = turned_back(axis, true, angles)
        hkl = np.rint(points @ crystal @ np.linalg.inv(basis))
        away = np.linalg.norm(points - hkl @ basis @ crystal.T, axis=1)
        near = away < 2 * tolerance

        def errors(x, hkl=hkl, near=near):
            fitted = _predict(x, hkl, basis, orientation, angles)
            flat = (positions - fitted[0])[near]
            return np.column_stack([flat, _excitation(fitted[1], wavelength)[near]])

        x = least_squares(
            lambda x, errors=errors: errors(x).ravel(), x, loss="soft_l1", f_scale=0.005
        ).x
    fitted = _predict(x, hkl, basis, orientation, angles)
    residuals = positions - fitted[0]
    excitation = _excitation(fitted[1], wavelength)
    explained = (np.hypot(*residuals.T) < tolerance) & (abs(excitation) < tolerance)
    volume = abs(np.linalg.det(basis))
    return Fit(
        hkl.astype(int),
        residuals,
        explained,
        _symmetric(x[6:]),
        x[4:6],
        np.pi * tolerance**2 * 2 * tolerance / volume,
        excitation,
        f"axis of rotation at {np.degrees(x[0]) % 360:.0f}° from kx",
    )


def _search(points_of, basis: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the orientation of the crystal and the azimuth of the axis."""
    cell = np.linalg.inv(basis).T
    lengths = np.linalg.norm(cell, axis=1)
    first, second, third = np.argsort(lengths)
    sphere = _fibonacci(3000)

    def regularity(points, vectors):
        return abs(np.exp(2j * np.pi * points @ vectors.T).mean(0))

    def best_at(axis):
        value = regularity(points_of(axis), lengths[first] * sphere)
        return value.max(), axis, sphere[value.argmax()]

    coarse = [best_at(np.radians(azimuth))[:2] for azimuth in range(0, 360, 3)]
    # Both senses of rotation, which the first axis alone tells apart badly
    tried = []
    for half in (coarse[:60], coarse[60:]):
        fine = max(half)[1] + np.radians(np.arange(-2, 2.1, 0.5))
        value, axis, direction = max((best_at(x) for x in fine), key=lambda x: x[0])
        points = points_of(axis)
        # The shortest axis is put along the direction found, the others about it
        start = _onto(cell[first] / lengths[first], direction)
        for angle in _FULL_TURN:
            turn = Rotation.from_rotvec(angle * direction).as_matrix() @ start
            others = regularity(points, cell[[second, third]] @ turn.T).sum()
            tried.append((value + others, axis, turn))
    _, axis, turn = max(tried, key=lambda x: x[0])
    return turn, axis


def _predict(x, hkl, basis, orientation, angles) -> tuple[np.ndarray, np.ndarray]:
    """Return measured positions (n, 2) and undistorted points (n, 3)."""
    crystal = Rotation.from_rotvec(x[1:4]).as_matrix() @ orientation
    points = _turn(hkl @ basis @ crystal.T, x[0], -angles)
    return points[:, :2] @ _symmetric(x[6:]) + x[4:6], points


def _excitation(points: np.ndarray, wavelength: float) -> np.ndarray:
    return points[:, 2] + 0.5 * wavelength * (points[:, :2] ** 2).sum(1)


def _turn(points: np.ndarray, azimuth: float, angles: np.ndarray) -> np.ndarray:
    """Return points turned about an axis in the plane of the detector."""
    axis = np.array([np.cos(azimuth), np.sin(azimuth), 0.0])
    return Rotation.from_rotvec(angles[:, None] * axis).apply(points)


def _symmetric(values) -> np.ndarray:
    xx, xy, yy = values
    return np.array([[xx, xy], [xy, yy]])


def _onto(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return a rotation that takes one unit vector onto the other."""
    rotation, _ = Rotation.align_vectors([other], [one])
    return rotation.as_matrix()


def _fibonacci(n: int) -> np.ndarray:
    """Return n directions spread evenly over the sphere."""
    i = np.arange(n) + 0.5
    z, azimuth = 1 - 2 * i / n, np.pi * (1 + 5**0.5) * i
    r = np.sqrt(1 - z**2)
    return np.stack([r * np.cos(azimuth), r * np.sin(azimuth), z], 1)
