# SPDX-License-Identifier: GPL-3.0-or-later
"""The shipped default model's answer does not depend on how patterns lie."""

import pytest
import torch

from pyxem_symnet.descriptors.spots import Spots
from pyxem_symnet.models import load_model
from pyxem_symnet.models.sums import KEPT, combine
from pyxem_symnet.simulation.packed import PackedReflections
from pyxem_symnet.simulation.protocols import PROTOCOLS
from pyxem_symnet.simulation.store import StoreSettings, compute_row
from pyxem_symnet.training.data import draw_rotations
from tests.simulation.tables import make_crystals


@pytest.fixture(scope="module")
def model():
    return load_model("msdn-any")


@pytest.fixture(scope="module", params=["random", "zone"])
def views(request):
    """Six views of each of some crystals, clean and noisy, in double precision."""
    rows = [
        compute_row({}, lambda crystal=crystal: crystal, StoreSettings())
        for crystal in make_crystals(1)
    ]
    crystals = PackedReflections.from_rows(rows, {})
    generator = torch.Generator().manual_seed(0)
    drawn = []
    for index in range(len(crystals)):
        for noise in ("clean", "noisy"):
            lattice = crystals.conventional_lattice[index]
            rotations = draw_rotations(request.param, lattice, 6, generator)
            drawn.append(PROTOCOLS[noise].draw(crystals[index], rotations, generator))
    return Spots.concatenate(drawn).to(torch.float64)


def groups_of(views):
    return torch.arange(len(views.intensities) // 6).repeat_interleave(6)


def probabilities(model, parts):
    """Return the answers from sums over parts, as blocks of a region have them."""
    n_groups = 1 + max(int(groups.max()) for _, groups in parts)
    with torch.no_grad():
        sums = [model.accumulate(views, groups, n_groups) for views, groups in parts]
    total = combine(
        {name: value.double() for name, value in part.items()} for part in sums
    )
    # What is kept stays in double precision: a lattice is looked for with thresholds,
    # which rounding to single precision may lead past
    return model.probabilities(
        {
            name: value if name == KEPT else value.float()
            for name, value in total.items()
        }
    )


def turned_and_mirrored(views, alike):
    """Return patterns turned, each by an angle of its own or six by the same."""
    generator = torch.Generator().manual_seed(1)
    n = len(views.intensities) // alike
    angle = 2 * torch.pi * torch.rand(n, generator=generator).repeat_interleave(alike)
    cosine, sine = angle.double().cos(), angle.double().sin()
    hand = 1 - 2 * torch.randint(2, (n,), generator=generator)
    hand = hand.repeat_interleave(alike)
    matrices = torch.stack([cosine, -sine * hand, sine, cosine * hand], -1)
    matrices = matrices.unflatten(-1, (2, 2))
    return Spots(views.positions @ matrices.mT, views.intensities)


# A camera distorts all of its patterns alike, which turning one of them hides
@pytest.mark.parametrize("alike", [1, 6])
def test_turned_and_mirrored_patterns(model, views, alike):
    """Each pattern by an angle of its own, or all of a crystal with their camera."""
    # Clean ones, or clean ones of every other crystal and noisy ones of the rest
    used = groups_of(views) % 2 == 0
    if alike > 1:
        used = torch.isin(groups_of(views) % 4, torch.tensor([0, 3]))
    views = Spots(views.positions[used], views.intensities[used])
    groups = groups_of(views)
    expected = probabilities(model, [(views, groups)])
    assert len(expected.argmax(1).unique()) > 3
    answer = probabilities(model, [(turned_and_mirrored(views, alike), groups)])
    # Lattices are fitted to positions that are rounded after turning, to 1e-5 1/Å,
    # and distortions with them
    tolerance = {1: 2e-3, 6: 5e-3}[alike]
    torch.testing.assert_close(answer, expected, atol=tolerance, rtol=0)


def test_order_and_blocks(model, views):
    # Of every second crystal, which takes long enough
    some = groups_of(views) // 2 % 2 == 0
    views = Spots(views.positions[some], views.intensities[some])
    groups = groups_of(views)
    expected = probabilities(model, [(views, groups)])
    order = torch.randperm(len(groups), generator=torch.Generator().manual_seed(2))
    parts = [
        (Spots(views.positions[part], views.intensities[part]), groups[part])
        for part in order.split(len(order) // 3 + 1)
    ]
    answer = probabilities(model, parts)
    torch.testing.assert_close(answer, expected, atol=1e-4, rtol=0)
