# SPDX-License-Identifier: GPL-3.0-or-later
import numpy as np
import pytest

from tests.signals import scans


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    """Path of a checkpoint with random weights."""
    return scans.save_model(tmp_path_factory.mktemp("model") / "random.safetensors")


@pytest.fixture(scope="session")
def close():
    """Assert equality up to float32 rounding, NaN in the same places."""

    def check(first, second):
        np.testing.assert_allclose(first, second, rtol=2e-4, atol=2e-5)

    return check
