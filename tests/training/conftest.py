# SPDX-License-Identifier: GPL-3.0-or-later
"""A small reflection store, and a configuration of a tiny model."""

import pytest

from pyxem_symnet.simulation.packed import PackedReflections
from pyxem_symnet.simulation.store import StoreSettings, write_store
from pyxem_symnet.training.config import TrainingConfig
from tests.simulation.tables import make_crystals, write_table

_SMALL = {"stem_channels": 8, "blocks": [1], "growth": [8], "bottleneck": 8}
TINY = {
    "radial": {"n_bins": 64},
    "pairs": {"n_radii": 16, "n_angles": 8, "max_spots": 16},
    "image": {"size": 24, "aligned": True},
    "net": {"n_spots": 40, "reach": 4},
    "network": {
        "radial": _SMALL | {"norm": "batch"},
        "pairs": _SMALL | {"norm": "batch"},
        "image": _SMALL | {"stem_stride": 2, "norm": "batch"},
        "net": {"units": 16, "n_blocks": 1},
        "width": 32,
        "hidden": 32,
    },
}


@pytest.fixture(scope="session")
def table(tmp_path_factory):
    path = tmp_path_factory.mktemp("structures") / "structures.parquet"
    write_table(path, make_crystals(8))
    return path


@pytest.fixture(scope="session")
def store(table, tmp_path_factory):
    path = tmp_path_factory.mktemp("store") / "store"
    write_store(table, path, StoreSettings(reciprocal_radius=1.0))
    return path


@pytest.fixture(scope="session")
def crystals(store):
    return PackedReflections.from_store(store)


@pytest.fixture
def config():
    return TrainingConfig(
        name="tiny",
        model=TINY,
        views=(1, 4),
        repeated_views=0.5,
        no_crystal=0.1,
        orientations={"random": 0.6, "zone": 0.2, "axes": 0.2},
        steps=6,
        batch_size=8,
        checkpoint_every=2,
        validate_every=2,
        validation_crystals=8,
        precision="32-true",
        ema_decay=0.5,
        seed=3,
    )
