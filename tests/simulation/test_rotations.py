# SPDX-License-Identifier: GPL-3.0-or-later
import math

import pytest
import torch

from pyxem_symnet.simulation.rotations import (
    axis_rotations,
    random_rotations,
    tilt_series,
    zone_rotations,
)

TRICLINIC = torch.tensor([[5.0, 0.0, 0.0], [-1.0, 6.0, 0.0], [0.7, -1.5, 8.0]])


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def assert_rotations(matrices):
    identity = torch.eye(3).expand_as(matrices)
    assert torch.allclose(matrices @ matrices.mT, identity, atol=1e-5)
    assert torch.allclose(torch.linalg.det(matrices), torch.ones(len(matrices)))


def test_random_rotations_are_uniform():
    rotations = random_rotations(40_000, generator())
    assert_rotations(rotations)
    # Haar measure: elements have mean 0 and variance 1/3, and the angle of
    # rotation the density (1 - cos) / pi, so that its cosine has mean -1/2
    assert rotations.mean(0).abs().max() < 0.015
    assert (rotations.var(0) - 1 / 3).abs().max() < 0.01
    trace = rotations.diagonal(dim1=-2, dim2=-1).sum(-1)
    assert ((trace - 1) / 2).mean() == pytest.approx(-0.5, abs=0.01)


def test_random_rotations_follow_the_seed():
    assert torch.equal(
        random_rotations(5, generator(1)), random_rotations(5, generator(1))
    )
    assert not torch.equal(
        random_rotations(5, generator(1)), random_rotations(5, generator(2))
    )


def test_axis_rotations_put_each_axis_along_the_beam():
    rotations = axis_rotations(TRICLINIC)
    assert_rotations(rotations)
    unit = TRICLINIC / TRICLINIC.norm(dim=-1, keepdim=True)
    along = torch.einsum("nij,nj->ni", rotations, unit)
    assert torch.allclose(along, torch.tensor([0.0, 0.0, 1.0]).expand(3, 3), atol=1e-6)
    following = torch.einsum("nij,nj->ni", rotations, unit.roll(-1, 0))
    assert following[:, 1].abs().max() < 1e-6
    assert (following[:, 0] > 0).all()


def zone_angles(rotations):
    """Angle in degrees between the beam and the nearest low-index zone."""
    span = torch.arange(-2, 3)
    indices = torch.cartesian_prod(span, span, span)
    u, v, w = indices.unbind(-1)
    indices = indices[torch.gcd(torch.gcd(u, v), w) == 1]
    zones = indices.float() @ TRICLINIC
    zones = zones / zones.norm(dim=-1, keepdim=True)
    cosine = (rotations @ zones.T)[:, 2]
    best = cosine.max(-1)
    return torch.rad2deg(torch.acos(best.values.clamp(max=1))), indices[best.indices]


@pytest.mark.parametrize("mistilt", [0.0, 2.0])
def test_zone_rotations_lie_near_zones(mistilt):
    rotations = zone_rotations(TRICLINIC, 20, mistilt, generator())
    assert_rotations(rotations)
    angles, _ = zone_angles(rotations)
    assert angles.max() <= mistilt + 0.05
    if mistilt:
        assert angles.max() > mistilt / 2


def test_zone_rotations_are_distinct_and_prefer_low_indices():
    counts = {1: 0, 2: 0, 3: 0, 4: 0, 5: 0}
    negative = 0
    random = generator()
    for _ in range(300):
        rotations = zone_rotations(TRICLINIC, 3, 0.0, random)
        _, indices = zone_angles(rotations)
        unsigned = {tuple(max(i.tolist(), (-i).tolist())) for i in indices}
        assert len(unsigned) == 3
        for index in indices:
            counts[int(index.abs().sum())] += 1
            negative += index.tolist() < (-index).tolist()
    # 3 axes of sum 1 against 6 of sum 2 and 16 of sum 3
    assert counts[1] / 3 > 1.5 * counts[2] / 6 > 1.5 * counts[3] / 16
    assert negative / 900 == pytest.approx(0.5, abs=0.06)


def test_zone_rotations_refuse_more_than_there_are():
    assert len(zone_rotations(TRICLINIC, 49)) == 49
    with pytest.raises(ValueError, match="49 zone axes"):
        zone_rotations(TRICLINIC, 50)


def test_tilt_series_turns_about_the_axis():
    start = random_rotations(1, generator())[0]
    axis = torch.tensor([1.0, 1.0, 0.0])
    rotations = tilt_series(start, axis, torch.tensor([0.0, 30.0, -30.0]))
    assert_rotations(rotations)
    assert torch.allclose(rotations[0], start, atol=1e-6)
    step = rotations[1] @ start.T
    assert torch.allclose(step @ axis, axis, atol=1e-6)
    assert (step.trace() - 1) / 2 == pytest.approx(math.cos(math.pi / 6), abs=1e-6)
    # Right-handed: z turns towards (1, 1, 0) x (0, 0, 1) = (1, -1, 0)
    assert (step @ torch.tensor([0.0, 0.0, 1.0]))[0] > 0
    assert torch.allclose(rotations[2] @ start.T, step.T, atol=1e-6)
    # An axis for each angle
    axes = torch.stack([axis, 3 * axis, axis])
    several = tilt_series(start, axes, torch.tensor([0.0, 30.0, -30.0]))
    assert torch.allclose(several, rotations, atol=1e-6)
