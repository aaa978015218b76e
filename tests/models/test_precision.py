# SPDX-License-Identifier: GPL-3.0-or-later
"""The shipped models give the same probabilities at any precision and device.

The tolerances are those that docs/dev/training.rst states.
"""

import contextlib

import pytest
import torch

from pyxem_symnet.models import available_models, load_model
from pyxem_symnet.simulation.packed import PackedReflections
from pyxem_symnet.simulation.protocols import PROTOCOLS
from pyxem_symnet.simulation.store import StoreSettings, compute_row
from pyxem_symnet.training.data import accumulate_views, draw_rotations
from tests.simulation.tables import make_crystals

#: Largest difference of any probability, and of the mean over crystals of the
#: largest, by device and precision
TOLERANCES = {
    ("cpu", torch.bfloat16): (0.03, 0.006),
    ("cuda", torch.float32): (0.01, 0.002),
    ("cuda", torch.bfloat16): (0.03, 0.006),
}


@pytest.fixture(scope="module", params=sorted(available_models()))
def asked(request):
    """A shipped model, crystals' features and its answers on the CPU."""
    model = load_model(request.param)
    rows = [
        compute_row({}, lambda crystal=crystal: crystal, StoreSettings())
        for crystal in make_crystals(2)
    ]
    crystals = PackedReflections.from_rows(rows, {})
    generator = torch.Generator().manual_seed(0)
    axes = model.ordered_views
    views = []
    for index in range(len(crystals)):
        for noise in ("clean", "noisy"):
            rotations = draw_rotations(
                "random" if axes is None else "axes",
                crystals.conventional_lattice[index],
                axes or 16,
                generator,
            )
            views.append(PROTOCOLS[noise].draw(crystals[index], rotations, generator))
    # With images not yet read, so that the forward pass is all of the network
    features = accumulate_views(model.training_features, views)
    return request.param, features, model.probabilities(features)


@pytest.mark.parametrize(("device", "precision"), TOLERANCES)
def test_same_probabilities(asked, device, precision):
    name, features, expected = asked
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("there is no CUDA device")
    # The answers are not all the same, nor all undecided
    assert len(expected.argmax(1).unique()) > 3
    assert expected.amax(1).mean() > 0.3
    model = load_model(name, device)
    features = {key: value.to(device) for key, value in features.items()}
    lower = (
        contextlib.nullcontext()
        if precision == torch.float32
        else torch.autocast(device, precision)
    )
    with lower:
        found = model.probabilities(features)
    assert found.dtype == torch.float32
    difference = (found.cpu() - expected).abs().amax(1)
    largest, mean = TOLERANCES[device, precision]
    assert difference.max() < largest
    assert difference.mean() < mean
    if precision != torch.float32:
        # It was computed at the lower precision indeed
        assert difference.max() > 0
    decided = expected.topk(2).values.diff().abs().flatten() > 2 * largest
    assert decided.any()
    assert torch.equal(found.cpu().argmax(1)[decided], expected.argmax(1)[decided])
