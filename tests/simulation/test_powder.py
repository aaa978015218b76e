# SPDX-License-Identifier: GPL-3.0-or-later
"""Many random orientations make the powder pattern that diffsims gives."""

import numpy as np
import pytest
import torch
from diffsims.generators.simulation_generator import SimulationGenerator

from pyxem_symnet.simulation.rotations import random_rotations
from pyxem_symnet.simulation.sampler import sample_patterns
from tests.simulation.crystals import make_phase
from tests.simulation.test_sampler import reflections_of

N_PATTERNS = 40_000


# Not in hexagonal cells, where rounding makes diffsims 0.7 count some
# multiplicities wrongly: 10 instead of 6 for (2 0 -2 0)
@pytest.mark.parametrize("system", ["cubic", "tetragonal", "orthorhombic"])
def test_radial_profile_equals_diffsims(system):
    phase = make_phase(system)
    powder = SimulationGenerator().calculate_diffraction1d(phase, reciprocal_radius=1.0)
    reflections = reflections_of(phase)
    rotations = random_rotations(N_PATTERNS, torch.Generator().manual_seed(0))
    spots = sample_patterns(
        reflections, rotations.double(), reciprocal_radius=1.0, shape_factor="linear"
    )
    intensity = spots.intensities.numpy().ravel()
    length = np.linalg.norm(spots.positions.numpy(), axis=-1).ravel()
    present = intensity > 0
    intensity, length = intensity[present], length[present]
    # The ends of a relrod of half length s are seen by a share s / |g| of all
    # orientations, which is the Lorentz factor of a powder ring.
    intensity = intensity * length

    spacing = np.asarray(powder.reciprocal_spacing)
    expected = np.asarray(powder.intensities)
    shells = np.unique(spacing.round(4))
    shells = shells[shells < 0.98]
    apart = np.diff(shells, prepend=0, append=1) > 4e-3
    shells = shells[apart[:-1] & apart[1:]]
    ours = np.array([intensity[abs(length - g) < 2e-3].sum() for g in shells])
    theirs = np.array([expected[abs(spacing - g) < 2e-3].sum() for g in shells])
    strong = theirs > 0.01 * theirs.max()
    assert strong.sum() >= 5
    ours, theirs = ours[strong], theirs[strong]
    np.testing.assert_allclose(ours / ours.sum(), theirs / theirs.sum(), rtol=0.06)
