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
        for crystal in make_crystals(2)
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


def test_turned_and_mirrored_patterns(model, views):
    """Each pattern of a crystal by an angle of its own."""
    generator = torch.Generator().manual_seed(1)
    angle = 2 * torch.pi * torch.rand(len(views.intensities), generator=generator)
    cosine, sine = angle.double().cos(), angle.double().sin()
    hand = 1 - 2 * torch.randint(2, (len(angle),), generator=generator)
    matrices = torch.stack([cosine, -sine * hand, sine, cosine * hand], -1)
    matrices = matrices.unflatten(-1, (2, 2))
    turned = Spots(views.positions @ matrices.mT, views.intensities)
    groups = groups_of(views)
    expected = probabilities(model, [(views, groups)])
    assert len(expected.argmax(1).unique()) > 3
    answer = probabilities(model, [(turned, groups)])
    # Lattices are fitted to positions that are rounded after turning, to 1e-5 1/Å
    torch.testing.assert_close(answer, expected, atol=2e-3, rtol=0)


def test_order_and_blocks(model, views):
    groups = groups_of(views)
    expected = probabilities(model, [(views, groups)])
    order = torch.randperm(len(groups), generator=torch.Generator().manual_seed(2))
    parts = [
        (Spots(views.positions[part], views.intensities[part]), groups[part])
        for part in order.split(len(order) // 3 + 1)
    ]
    answer = probabilities(model, parts)
    torch.testing.assert_close(answer, expected, atol=1e-4, rtol=0)
