# SPDX-License-Identifier: GPL-3.0-or-later
import numpy as np
import pytest
import torch

from pyxem_symnet.simulation.grains import AMORPHOUS, VACUUM, voronoi_grains
from pyxem_symnet.simulation.reflections import compute_reflections
from pyxem_symnet.simulation.sampler import Reflections, sample_patterns
from pyxem_symnet.simulation.scan import example_phases, make_scan

from .crystals import make_phase

KNOWN = example_phases()
TWO = [KNOWN["ferrite"], KNOWN["molybdite"]]
EVERYTHING = {
    "grains": 6,
    "overlap": 2.0,
    "amorphous_fraction": 0.2,
    "vacuum_fraction": 0.1,
    "detector": (48, 64),
    "pixel_size": 0.03,
    "seed": 3,
}


# -----------------------------------------------------------------------------
# Example phases
# -----------------------------------------------------------------------------
NUMBERS = {
    "ferrite": 229,
    "austenite": 225,
    "silicon": 227,
    "magnesium": 194,
    "gallium nitride": 186,
    "quartz": 154,
    "calcite": 167,
    "corundum": 167,
    "rutile": 136,
    "anatase": 141,
    "molybdite": 62,
    "baddeleyite": 14,
}
#: Shortest distances in Å: bond lengths known from textbooks
BONDS = {
    "ferrite": 2.48,
    "silicon": 2.35,
    "magnesium": 3.20,
    "gallium nitride": 1.95,
    "quartz": 1.61,
    "calcite": 1.28,
    "corundum": 1.86,
    "rutile": 1.95,
    "anatase": 1.93,
    "molybdite": 1.67,
    "baddeleyite": 2.05,
}


def test_example_phases_have_their_space_groups():
    found = {name: crystal.space_group for name, crystal in KNOWN.items()}
    assert found == NUMBERS
    assert all(c.space_group_tight == c.space_group for c in KNOWN.values())


@pytest.mark.parametrize("name", BONDS)
def test_example_phases_have_their_bond_lengths(name):
    crystal = KNOWN[name]
    cells = np.stack(np.meshgrid(*[[-1, 0, 1]] * 3), -1).reshape(-1, 3)
    images = (crystal.positions[:, None] + cells).reshape(-1, 3) @ crystal.lattice
    atoms = crystal.positions @ crystal.lattice
    distance = np.linalg.norm(atoms[:, None] - images, axis=-1)
    assert distance[distance > 1e-6].min() == pytest.approx(BONDS[name], abs=0.02)


# -----------------------------------------------------------------------------
# Grains
# -----------------------------------------------------------------------------
def test_grains_are_voronoi_cells():
    random = np.random.default_rng(0)
    grains = voronoi_grains((30, 40), 7, random, overlap=3)
    seeds = np.random.default_rng(0).uniform(size=(7, 2)) * (30, 40)
    points = np.stack(np.indices((30, 40)), -1)
    distance = np.linalg.norm(points[:, :, None] - seeds, axis=-1)
    assert np.array_equal(grains.label, distance.argmin(-1))
    assert np.array_equal(grains.neighbour, distance.argsort(-1)[..., 1])
    assert grains.share.min() == 0
    assert 0.3 < grains.share.max() <= 0.5
    # Only positions near another grain are shared
    changes = grains.label[:, 1:] != grains.label[:, :-1]
    assert (grains.share > 0).mean() < 6 * changes.mean()


def test_fractions_without_crystal():
    random = np.random.default_rng(0)
    grains = voronoi_grains(
        (20, 50), 5, random, amorphous_fraction=0.3, vacuum_fraction=0.1, overlap=4
    )
    assert (grains.label == AMORPHOUS).mean() == pytest.approx(0.3)
    assert (grains.label == VACUUM).mean() == pytest.approx(0.1)
    assert (grains.share[grains.label < 0] == 0).all()
    columns = np.broadcast_to(np.arange(50), (20, 50))
    vacuum, amorphous, crystal = (
        columns[mask].mean()
        for mask in (
            grains.label == VACUUM,
            grains.label == AMORPHOUS,
            grains.label >= 0,
        )
    )
    assert vacuum < amorphous < crystal


# -----------------------------------------------------------------------------
# Scans
# -----------------------------------------------------------------------------
def test_signal_is_calibrated():
    scan = make_scan(TWO, (4, 6), grains=3, detector=(48, 64), pixel_size=0.03)
    signal = scan.signal
    assert type(signal).__name__ == "ElectronDiffraction2D"
    assert signal.data.shape == (4, 6, 48, 64)
    assert signal.data.dtype == np.uint16
    assert signal.metadata.Acquisition_instrument.TEM.beam_energy == 200
    kx, ky = signal.axes_manager.signal_axes
    assert (kx.name, kx.scale, kx.offset) == ("kx", 0.03, pytest.approx(-0.96))
    assert (ky.name, ky.scale, ky.offset) == ("ky", 0.03, pytest.approx(-0.72))
    assert kx.units == ky.units == r"$\AA^{-1}$"
    x, y = signal.axes_manager.navigation_axes
    assert (x.name, x.size, x.units) == ("x", 6, "nm")
    assert (y.name, y.size) == ("y", 4)


def test_truth_has_every_phase():
    scan = make_scan(TWO, (16, 16), **EVERYTHING)
    assert set(np.unique(scan.phase_map)) == {VACUUM, AMORPHOUS, 0, 1}
    assert (scan.phase_map == AMORPHOUS).mean() == pytest.approx(0.2, abs=0.01)
    assert np.array_equal(scan.grain_map < 0, scan.phase_map < 0)
    # A grain is of one phase
    for grain in np.unique(scan.grain_map):
        assert np.unique(scan.phase_map[scan.grain_map == grain]).size == 1
    systems = scan.truth("crystal_system")
    assert set(systems[scan.phase_map == 0]) == {"cubic"}
    assert set(systems[scan.phase_map == 1]) == {"orthorhombic"}
    assert set(systems[scan.phase_map < 0]) == {"not crystalline"}
    assert set(np.unique(scan.space_groups)) == {0, 62, 229}
    assert (scan.second_grain_map != scan.grain_map).any()
    assert scan.rotations.shape == (16, 16)
    assert np.allclose(scan.rotations[scan.phase_map < 0].angle, 0)


def bare(**settings):
    """No noise, no background: nothing but discs."""
    return {
        "dose": None,
        "background": 0.0,
        "b_factor": 0.0,
        "disc_radius": 0.0,
        "blur": 0.8,
        **settings,
    }


@pytest.mark.parametrize("mosaic", [0.0, 3.0])
def test_patterns_are_those_of_the_truth(mosaic):
    """Rotations, phases and calibration say where the spots are."""
    scan = make_scan(
        TWO,
        (4, 4),
        grains=4,
        mosaic=mosaic,
        **bare(detector=(256, 256)),
        pixel_size=0.01,
    )
    kx, ky = (axis.axis for axis in scan.signal.axes_manager.signal_axes)
    n_compared = 0
    to_laboratory = (~scan.rotations).to_matrix()
    for row, column in np.ndindex(4, 4):
        crystal = scan.phases[scan.phase_map[row, column]]
        half = compute_reflections(crystal, 1.9)
        reflections = Reflections.from_half(
            torch.as_tensor(half.hkl @ half.reciprocal_basis),
            torch.as_tensor(half.intensity),
        )
        spots = sample_patterns(
            reflections,
            torch.as_tensor(to_laboratory[row, column])[None],
            reciprocal_radius=1.9,
        )
        image = scan.signal.data[row, column]
        # A sum over each spot's surroundings gives its intensity back
        x, y = spots.positions[0].T.numpy()
        inside = (abs(x) < 1.2) & (abs(y) < 1.2) & (np.hypot(x, y) > 0.1)
        distance = np.hypot(x[:, None] - x, y[:, None] - y)
        distance[np.diag_indices_from(distance)] = 1
        alone = inside & (distance.min(-1) > 0.1)
        measured = [
            image[np.ix_(abs(ky - b) < 0.045, abs(kx - a) < 0.045)].sum()
            for a, b in zip(x[alone], y[alone], strict=True)
        ]
        expected = spots.intensities[0].numpy()[alone]
        ratio = np.array(measured) / expected
        strong = expected > 1e-3 * float(spots.intensities.max())
        n_compared += strong.sum()
        if strong.any():
            assert np.allclose(ratio[strong], np.median(ratio[strong]), rtol=0.02)
        # and there is nothing elsewhere
        away = np.hypot(ky[:, None, None] - y, kx[:, None] - x).min(-1) > 0.06
        away &= np.hypot(ky[:, None], kx) > 0.06
        assert image[away].max() < 1e-6
    assert n_compared > 20


def test_electrons_are_conserved():
    scan = make_scan(
        TWO, (6, 6), grains=3, dose=1e4, amorphous_fraction=0.3, pixel_size=0.03
    )
    total = scan.signal.data.sum((-2, -1))
    # Some leave the detector
    assert total.max() < 1e4 + 5 * 100
    assert total.mean() > 0.9e4
    # A noise-free scan is the mean of noisy ones
    expected = make_scan(
        TWO, (6, 6), grains=3, dose=None, amorphous_fraction=0.3, pixel_size=0.03
    ).signal.data
    assert expected.dtype == np.float32
    deviation = (scan.signal.data - 1e4 * expected) ** 2
    bright = expected > 1e-4
    assert (deviation[bright] / (1e4 * expected[bright])).mean() == pytest.approx(
        1, abs=0.15
    )


def test_boundaries_show_both_grains():
    settings = {"grains": 2, "seed": 5, **bare(detector=(96, 96)), "pixel_size": 0.02}
    mixed = make_scan(TWO, (1, 24), overlap=8.0, **settings)
    sharp = make_scan(TWO, (1, 24), overlap=0.0, **settings)
    data = sharp.signal.data[0]
    grain = sharp.grain_map[0]
    ends = {number: data[grain == number][0] for number in (0, 1)}
    boundary = np.flatnonzero(np.diff(grain))[0]
    # A linear mixture of both ends, with less than half of the neighbour
    own, other = grain[boundary], grain[boundary + 1]
    difference = ends[other] - ends[own]
    share = ((mixed.signal.data[0, boundary] - ends[own]) * difference).sum()
    share /= (difference**2).sum()
    assert 0.2 < share <= 0.5
    mixture = ends[own] + share * difference
    assert np.allclose(mixed.signal.data[0, boundary], mixture, atol=1e-5)
    assert mixed.second_grain_map[0, boundary] == other


@pytest.mark.parametrize("chunks", [None, 5, (3, 16)])
@pytest.mark.parametrize("mosaic", [0.0, 1.0])
def test_lazy_equals_eager(chunks, mosaic):
    settings = {**EVERYTHING, "mosaic": mosaic, "descan": 2.0, "dead_fraction": 0.01}
    eager = make_scan(TWO, (11, 16), **settings)
    lazy = make_scan(TWO, (11, 16), lazy=True, chunks=chunks, **settings)
    assert type(lazy.signal).__name__ == "LazyElectronDiffraction2D"
    assert lazy.signal.data.dtype == eager.signal.data.dtype
    if chunks == (3, 16):
        assert lazy.signal.data.chunks[0] == (3, 3, 3, 2)
    assert np.array_equal(lazy.signal.data.compute(), eager.signal.data)
    assert np.array_equal(lazy.phase_map, eager.phase_map)


def test_scans_follow_the_seed():
    settings = EVERYTHING | {"seed": 1}
    one, again = (make_scan(TWO, (5, 5), **settings) for _ in range(2))
    other = make_scan(TWO, (5, 5), **(EVERYTHING | {"seed": 2}))
    assert np.array_equal(one.signal.data, again.signal.data)
    assert not np.array_equal(one.signal.data, other.signal.data)


def test_imperfections_are_where_they_should():
    def centroid(images):
        rows, columns = np.indices(images.shape[-2:])
        total = images.sum((-2, -1))
        return np.stack(
            [(images * index).sum((-2, -1)) / total for index in (columns, rows)], -1
        )

    vacuum = {"grains": 2, "vacuum_fraction": 1.0, **bare(detector=(64, 64))}
    straight = make_scan(TWO, (3, 4), **vacuum).signal.data
    assert np.allclose(centroid(straight), 32, atol=1e-3)
    shifted = make_scan(TWO, (3, 4), centre_offset=(2.5, -1.0), **vacuum).signal.data
    assert np.allclose(centroid(shifted), (34.5, 31.0), atol=1e-3)
    descanned = centroid(make_scan(TWO, (3, 4), descan=4.0, **vacuum).signal.data)
    assert np.linalg.norm(descanned - 32, axis=-1).max() == pytest.approx(4, abs=0.01)
    assert np.allclose(descanned[0, 0] - 32, 32 - descanned[-1, -1], atol=0.01)
    stopped = make_scan(TWO, (1, 1), stop_radius=0.1, cross_width=3, **vacuum)
    assert stopped.signal.data.max() < 1e-6
    limited = make_scan(TWO, (1, 1), saturation=0.01, **vacuum).signal.data
    assert limited.max() == pytest.approx(0.01)
    hot = make_scan(TWO, (2, 2), hot_fraction=0.02, **vacuum).signal.data
    lit = np.isclose(hot, 0.02)
    assert lit.any()
    assert (lit == lit[0, 0]).all()


def test_phases_may_be_files_or_of_orix(tmp_path):
    phase = make_phase("tetragonal")
    path = tmp_path / "phase.cif"
    phase.structure.write(str(path), "cif")
    scan = make_scan([phase, path, str(path)], (3, 3), grains=3, detector=(32, 32))
    assert [crystal.space_group for crystal in scan.phases] == [136, 136, 136]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"phases": []}, "at least one phase"),
        ({"grains": 1}, "1 grains cannot hold 2 phases"),
        ({"shape": (3,)}, "shape must be"),
        ({"fractions": [1.0]}, "fractions must be"),
        ({"amorphous_fraction": 0.7, "vacuum_fraction": 0.7}, "more than 1 together"),
        ({"pixel_size": 0}, "pixel_size must be positive"),
        ({"dose": 0}, "dose must be positive or None"),
        ({"background": 0.9}, "below 1"),
        ({"detector": (4, 4)}, "detector must be"),
    ],
)
def test_wrong_arguments_are_refused(change, message):
    arguments = {"phases": TWO, "shape": (3, 3)} | change
    with pytest.raises(ValueError, match=message):
        make_scan(**arguments)


def test_fractions_give_shares_of_grains():
    scan = make_scan(
        TWO, (30, 30), grains=40, fractions=[1, 3], detector=(8, 8), pixel_size=0.1
    )
    pairs = {
        (grain, phase)
        for grain, phase in zip(
            scan.grain_map.ravel(), scan.phase_map.ravel(), strict=True
        )
    }
    molybdite = sum(phase == 1 for _, phase in pairs)
    assert molybdite / len(pairs) == pytest.approx(0.75, abs=0.06)
