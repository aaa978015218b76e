# SPDX-License-Identifier: GPL-3.0-or-later
"""Small models and made-up views."""

import pytest
import torch

from pyxem_symnet.descriptors.spots import Spots
from pyxem_symnet.models.viewset import ViewSetMSDN

SMALL = {
    "radial": {"blocks": [1, 1], "growth": 8, "stem_channels": 8, "bottleneck": 8},
    "pairs": {"blocks": [1, 1], "growth": 8, "stem_channels": 8, "bottleneck": 8},
    "image": {"blocks": [1, 1], "growth": 8, "stem_channels": 8, "bottleneck": 8},
    "net": {"units": 16, "n_blocks": 1},
    "width": 16,
    "hidden": 24,
}


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(20200706)


@pytest.fixture
def small_model():
    """An untrained ViewSetMSDN of five classes, in evaluation mode."""
    return ViewSetMSDN(
        (0, 1, 14, 62, 225),
        radial={"n_bins": 64, "radius": 1.0},
        pairs={"n_radii": 16, "n_angles": 6, "max_spots": 12},
        image={"size": 32, "aligned": True},
        net={},
        network=SMALL,
    ).eval()


@pytest.fixture
def views():
    """Twelve views of 20 spots, well inside their bins."""
    angle = torch.rand(12, 20) * 2 * torch.pi
    # Mid-bin of 64 bins up to 1 and, nearly, of 16 bins up to 0.96
    distance = (torch.randint(2, 13, (12, 20)) + 0.5) * 0.06
    positions = torch.stack((angle.cos(), angle.sin()), -1) * distance[..., None]
    intensities = torch.rand(12, 20)
    intensities[:, 15:] = 0
    return Spots(positions, intensities)
