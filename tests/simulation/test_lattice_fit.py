# SPDX-License-Identifier: GPL-3.0-or-later
"""The fits that `benchmarks/real_ranges.py` measures real patterns with."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from pyxem_symnet.descriptors.spots import Spots
from pyxem_symnet.simulation import spot_defects

CELL = (5.1, 7.3, 9.2, 90, 108, 90)
WAVELENGTH = 0.02508
SHIFT = np.array([0.004, -0.007])


@pytest.fixture(scope="module")
def lattice_fit():
    folder = str(Path(__file__).parents[2] / "benchmarks")
    sys.path.insert(0, folder)
    try:
        import _lattice_fit
    finally:
        sys.path.remove(folder)
    return _lattice_fit


def misplaced(positions, random):
    """Return positions with an ellipse, a scale, a wrong centre, and jitter."""
    spots = Spots(torch.from_numpy(positions)[None], torch.ones(1, len(positions)))
    spots = spot_defects.stretch_positions(spots, 1.04, 30.0)
    spots = spot_defects.scale_positions(spots, 0.98)
    jitter = random.normal(0, 0.003, positions.shape)
    return spots.positions[0].numpy() + SHIFT + jitter


def check(fit, lattice_fit, hkl):
    """All is found again, and spots that are none are told from the others."""
    scale, ratio, angle = lattice_fit.strain_of(fit.distortion)
    assert scale == pytest.approx(0.98, abs=0.003)
    assert ratio == pytest.approx(1.04, abs=0.006)
    assert angle == pytest.approx(30, abs=6)
    assert fit.centre == pytest.approx(SHIFT, abs=0.0015)
    n = len(hkl)
    assert fit.explained[:n].mean() > 0.97
    assert fit.explained[n:].mean() < 0.3
    assert fit.residuals[:n][fit.explained[:n]].std() == pytest.approx(0.003, rel=0.2)
    # Up to the symmetry of the lattice: the same reflections lie on the axes
    kind = np.sort(abs(fit.hkl[:n]), axis=1) == np.sort(abs(hkl), axis=1)
    assert kind.all(1).mean() > 0.9


def all_reflections(lattice_fit, radius):
    hkl = np.stack(np.meshgrid(*[np.arange(-12, 13)] * 3), -1).reshape(-1, 3)
    g = hkl @ lattice_fit.reciprocal(CELL)
    near = np.linalg.norm(g, axis=1)
    keep = (near > 0.05) & (near < radius)
    return hkl[keep], g[keep]


def test_a_zone_is_found(lattice_fit):
    random = np.random.default_rng(0)
    hkl, g = all_reflections(lattice_fit, 1.1)
    zone = hkl @ [0, 1, 0] == 0
    hkl, g = hkl[zone], g[zone]
    flat = g[:, [0, 2]]  # b is along y
    angle = 0.7
    turn = [[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]
    kept = random.random(len(flat)) < 0.8
    positions = misplaced(flat[kept] @ turn, random)
    false = random.uniform(-1, 1, (8, 2))
    fit = lattice_fit.fit_zone(np.concatenate([positions, false]), CELL)
    assert abs(fit.zone).tolist() == [0, 1, 0]
    check(fit, lattice_fit, hkl[kept])
    fitted = fit.hkl @ fit.transform + fit.centre
    assert np.allclose(fitted + fit.residuals, np.concatenate([positions, false]))


def test_a_rotation_series_is_found(lattice_fit):
    random = np.random.default_rng(1)
    hkl, g = all_reflections(lattice_fit, 0.8)
    g = g @ Rotation.random(random_state=3).as_matrix().T
    axis = np.array([np.cos(2.0), np.sin(2.0), 0])
    step, n_frames = 3.0, 30
    positions, frames, indices = [], [], []
    for frame in range(n_frames):
        angle = np.radians(step * (frame - (n_frames - 1) / 2))
        turned = Rotation.from_rotvec(-angle * axis).apply(g)
        height = turned[:, 2] + 0.5 * WAVELENGTH * (turned[:, :2] ** 2).sum(1)
        seen = (abs(height) < 0.003) & (random.random(len(g)) < 0.7)
        positions.append(turned[seen, :2])
        frames.append(np.full(seen.sum(), frame))
        indices.append(hkl[seen])
    positions = misplaced(np.concatenate(positions), random)
    frames, indices = np.concatenate(frames), np.concatenate(indices)
    false = random.uniform(-0.8, 0.8, (20, 2))
    fit = lattice_fit.fit_series(
        np.concatenate([positions, false]),
        np.concatenate([frames, random.integers(0, n_frames, 20)]),
        CELL,
        step,
        WAVELENGTH,
    )
    check(fit, lattice_fit, indices)
    assert abs(fit.excitation[: len(indices)]).max() < 0.02
