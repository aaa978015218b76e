# SPDX-License-Identifier: GPL-3.0-or-later
"""Draw every imperfection of the forge beside real patterns.

Writes docs/_static/forge_crystal.png, forge_microscope.png and forge_spots.png.
DATA_DIR holds the real patterns, with labels.yaml. The crystal, molybdite, is seen
along [010] as in the real pattern, turned as benchmarks/real_ranges.json says. From
the repository's root:

    python docs/_scripts/forge_effects.py DATA_DIR
"""

import argparse
import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch

from pyxem_symnet.descriptors import SpotFinder
from pyxem_symnet.descriptors.spots import Spots
from pyxem_symnet.signals.calibration import read_detector
from pyxem_symnet.signals.labels import load_entry, read_labels
from pyxem_symnet.simulation import (
    PROTOCOLS,
    Microscope,
    Reflections,
    axis_rotations,
    compute_reflections,
    crystal_defects,
    example_phases,
    microscope,
    random_rotations,
    sample_patterns,
    spot_defects,
)
from pyxem_symnet.simulation.imaging import expose

ROOT = Path(__file__).parents[2]
PICTURES = ROOT / "docs" / "_static"
MEASURED = ROOT / "benchmarks" / "real_ranges.json"
#: What all panels show, in 1/Å
RADIUS = 1.28
PIXEL_SIZE = 0.01024
FRAME = 28  # of the cinchonine series: that with the most spots
NOISY = PROTOCOLS["noisy-2"]


class Real:
    """A real pattern and what the spot finder finds in it."""

    def __init__(self, entry, number: int) -> None:
        loaded = load_entry(entry)
        signal = loaded.signal
        geometry = read_detector(
            signal, entry.pixel_size, entry.centre, entry.beam_energy
        ).to_geometry()
        self.image = np.asarray(signal.data[number]).astype(np.float32)
        image = torch.from_numpy(self.image)[None]
        self.spots = SpotFinder()(image, geometry)
        x, y = geometry.centres(image)[0].tolist()
        height, width = self.image.shape
        edges = np.array([-0.5 - x, width - 0.5 - x, height - 0.5 - y, -0.5 - y])
        self.extent = edges * entry.pixel_size


class Molybdite:
    """Molybdite, turned as in the real pattern."""

    def __init__(self) -> None:
        self.crystal = example_phases()["molybdite"]
        sets = json.loads(MEASURED.read_text(encoding="utf-8"))["sets"]
        fit = next(s["fit"] for s in sets if s["name"] == "moo3")
        seen = np.array(fit["hkl_to_positions"])[[0, 2]]
        basis = np.linalg.inv(self.crystal.lattice).T[[0, 2]]
        self.along_b = torch.from_numpy(turned_alike(basis, seen))[None]
        self.reflections = reflections_of(self.crystal)
        self.spots = sample_patterns(self.reflections, self.along_b)
        self.fit = fit

    def pattern(self, reflections=None, rotations=None) -> Spots:
        """Return spots; of the perfect crystal along b if nothing is given."""
        reflections = self.reflections if reflections is None else reflections
        rotations = self.along_b if rotations is None else rotations
        return sample_patterns(reflections, rotations)


def turned_alike(basis: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Return the rotation that takes a plane's vectors nearest to those seen."""
    one = basis[0] / np.linalg.norm(basis[0])
    two = basis[1] - one * (one @ basis[1])
    plane = np.stack([one, two / np.linalg.norm(two)])
    u, _, vt = np.linalg.svd(np.linalg.solve(basis @ plane.T, seen))
    x, y = (u @ vt).T @ plane
    return np.stack([x, y, np.cross(x, y)])


def reflections_of(crystal) -> Reflections:
    """Return a crystal's reflections, in double precision."""
    half = compute_reflections(crystal, 1.36, standardise=False)
    return Reflections.from_half(
        torch.as_tensor(half.hkl @ half.reciprocal_basis),
        torch.as_tensor(half.intensity),
    )


def photograph(spots: Spots, generator, b_factor=0.8, **settings) -> torch.Tensor:
    """Return an image: of spots of 0.03 1/Å, without noise if not told."""
    defaults = {"dose": None, "background": 0.05, "disc_radius": 0.022}
    camera = Microscope((251, 251), PIXEL_SIZE, **(defaults | settings))
    spots = spot_defects.damp_intensities(spots, b_factor)
    share = 0.3 * spots.intensities / spots.intensities.sum(-1, keepdim=True)
    spots = Spots(spots.positions.float(), share.float())
    image = expose(spots, camera, camera.detector_masks(generator))
    if camera.dose is not None:
        image = microscope.counting_noise(image, generator)
    if camera.saturation is not None:
        image = microscope.saturate(image, camera.saturation)
    return image[0]


# -----------------------------------------------------------------------------
# Panels
# -----------------------------------------------------------------------------
def panels(rows: int, title_rows: int = 4):
    """Return a figure and its axes, one after the other."""
    figure, axes = plt.subplots(
        rows, title_rows, figsize=(2 * title_rows, 2.2 * rows), layout="constrained"
    )
    return figure, iter(axes.ravel())


def show_image(ax, image, title, *, extent=None, rings=None, quantile=0.995) -> None:
    """Draw the square root of an image in 1/Å."""
    shown = np.sqrt(np.clip(np.asarray(image), 0, None))
    half = (np.array(image.shape) / 2 * PIXEL_SIZE).repeat(2)
    extent = np.array([-1, 1, 1, -1]) * half if extent is None else extent
    ax.imshow(
        shown,
        cmap="magma",
        vmax=np.quantile(shown, quantile) or None,
        extent=extent,
        interpolation="antialiased",
    )
    ax.set_facecolor("black")
    if rings is not None:
        draw_rings(ax, rings, "tab:cyan")
    finish(ax, title)


def show_spots(ax, spots: Spots, title, before=None) -> None:
    """Draw a list of spots, and rings where they were before."""
    if before is not None:
        draw_rings(ax, before, "tab:blue")
    there = spots.intensities[0] > 0
    x, y = spots.positions[0][there].T
    size = 45 * spots.relative_intensities()[0][there].sqrt()
    ax.scatter(x, y, s=size.clamp_min(1.5), c="k", lw=0)
    finish(ax, title)


def draw_rings(ax, spots: Spots, colour) -> None:
    """Draw rings about all but the weakest spots."""
    strong = spots.intensities[0] > 3e-3 * spots.intensities[0].max()
    x, y = spots.positions[0][strong].T
    ax.scatter(x, y, s=30, facecolors="none", edgecolors=colour, lw=0.6)


def finish(ax, title) -> None:
    """Give every panel the same scale."""
    ax.set(xlim=(-RADIUS, RADIUS), ylim=(RADIUS, -RADIUS), aspect="equal")
    ax.set(xticks=[], yticks=[])
    ax.set_title(title, fontsize=8)


def show_real(axes, real) -> None:
    """Draw the real patterns first."""
    moo3, cinchonine = real
    show_image(next(axes), moo3.image, "MoO$_3$, real", extent=moo3.extent)
    show_image(
        next(axes),
        cinchonine.image,
        "cinchonine, real",
        extent=cinchonine.extent,
        quantile=0.998,
    )


# -----------------------------------------------------------------------------
# Pictures
# -----------------------------------------------------------------------------
def draw_crystal(real, molybdite: Molybdite, generator) -> None:
    """Draw what is wrong with crystals."""
    random = np.random.default_rng(0)
    crystal, perfect = molybdite.crystal, molybdite.reflections
    large = crystal_defects.supercell(crystal, (5, 1, 5))
    structures = {
        "30 % vacancies": crystal_defects.vacancies(large, 0.3, random),
        "40 % of sites tungsten": crystal_defects.substitute(large, 0.4, 74, random),
        "displacements of 0.15 Å": crystal_defects.displace(large, 0.15, random),
        "strain 6 %": crystal_defects.strain(crystal, 0.06),
        "shear 0.1": crystal_defects.strain(crystal, shear=(0, 0.1, 0)),
    }
    a_star, c_star = (np.linalg.inv(crystal.lattice).T[i] for i in (0, 2))
    a_axis = torch.tensor(a_star / np.linalg.norm(a_star))
    shapes = {
        "crystal of 15 Å": crystal_defects.finite_size(perfect, 15.0, 200, generator),
        "mosaic spread 2.5°": crystal_defects.mosaic_spread(
            perfect, 2.5, 48, generator
        ),
        "stacking faults": crystal_defects.stacking_fault_streaks(
            perfect, a_axis, torch.tensor(crystal.lattice[2] / 2), 0.8, 0.25
        ),
    }
    changed = {name: reflections_of(one) for name, one in structures.items()} | shapes
    figure, axes = panels(4)
    show_real(axes, real)
    plain = photograph(molybdite.spots, generator)
    show_image(next(axes), plain, "MoO$_3$, perfect")
    for title, defective in changed.items():
        image = photograph(molybdite.pattern(defective), generator)
        moved = title.startswith(("strain", "shear"))
        rings = molybdite.spots if moved else None
        show_image(next(axes), image, title, rings=rings)
    other = molybdite.pattern(rotations=random_rotations(1, generator).double())
    both = spot_defects.overlap(molybdite.spots, other, 0.6)
    show_image(
        next(axes), photograph(both, generator), "two grains", rings=molybdite.spots
    )
    filmed = photograph(molybdite.spots, generator, film=0.5)
    show_image(next(axes), filmed, "on an amorphous film")
    # Along [010] no two reflections add up to a forbidden one: h + l is even
    along_c = axis_rotations(torch.as_tensor(crystal.lattice))[2:].double()
    single = molybdite.pattern(rotations=along_c)
    doubled = spot_defects.double_diffraction(single, 0.5, n_beams=24, radius=RADIUS)
    # What was added stands in the last slots
    new = Spots(*(tensor[:, single.intensities.shape[1] :] for tensor in doubled))
    for spots, title, rings in (
        (single, "along [001]", None),
        (doubled, "double diffraction", new),
    ):
        image = photograph(spots, generator, disc_radius=0.012)
        show_image(next(axes), image, title, rings=rings)
    alike = imitate(molybdite, generator)
    show_image(next(axes), alike, "MoO$_3$, as measured")
    figure.savefig(PICTURES / "forge_crystal.png", dpi=80)


def imitate(molybdite: Molybdite, generator) -> torch.Tensor:
    """Return an image with what was measured of distortion and intensities."""
    fit = molybdite.fit
    spots = spot_defects.damp_intensities(molybdite.spots, fit["b_factor"])
    spots = spot_defects.compress_intensities(spots, fit["gamma"])
    spots = spot_defects.jitter_intensities(spots, fit["intensity_scatter"], generator)
    return photograph(
        spots,
        generator,
        b_factor=0.0,
        dose=1e6,
        background=0.35,
        background_width=0.25,
        scale=fit["scale"],
        ellipticity=fit["ellipticity"],
        ellipse_angle=fit["ellipse_angle"],
        blur=1.5,
    )


def draw_microscope(real, molybdite: Molybdite, generator) -> None:
    """Draw what is wrong with microscopes and detectors."""
    spots = molybdite.spots
    ringed = {
        "beam off the centre": {"centre_offset": (9.0, -5.0)},
        "scale +5 %": {"scale": 1.05},
        "ellipticity 6 %": {"ellipticity": 1.06, "ellipse_angle": 34.0},
    }
    plain = {
        "no noise, small discs": {},
        "2 000 electrons": {"dose": 2e3},
        "halo": {"background": 0.5, "background_width": 0.25},
        "amorphous rings": {"film": 0.5},
        "larger convergence": {"disc_radius": 0.08},
        "blur": {"blur": 3.0},
    }
    detector = {
        "gap between tiles": {"cross_width": 8},
        "dead and hot pixels": {
            "dose": 1e5,
            "dead_fraction": 0.2,
            "hot_fraction": 2e-3,
        },
        "saturation at 20 electrons": {"dose": 1e6, "saturation": 20.0},
        "beam stop": {"stop_radius": 0.2, "dose": 1e5},
    }
    figure, axes = panels(4)
    show_real(axes, real)
    for title, settings in plain.items():
        show_image(next(axes), photograph(spots, generator, **settings), title)
    for title, settings in ringed.items():
        image = photograph(spots, generator, **settings)
        show_image(next(axes), image, title, rings=spots)
    for title, settings in detector.items():
        show_image(next(axes), photograph(spots, generator, **settings), title)
    shifts = microscope.descan_shifts((8, 8), 10.0, generator)[[0, -1], [0, -1]]
    corners = sum(
        photograph(spots, generator, centre_offset=tuple(shift.tolist()))
        for shift in shifts
    )
    show_image(next(axes), corners, "descan: corners of a scan", rings=spots)
    figure.savefig(PICTURES / "forge_microscope.png", dpi=80)


def draw_spots(real, molybdite: Molybdite, generator) -> None:
    """Draw what spot lists lack, at the far ends of the ranges of noisy-2."""
    spots = molybdite.spots
    defects, end = (
        spot_defects,
        {
            name: value[-1] if isinstance(value, tuple) else value
            for name, value in vars(NOISY).items()
        },
    )
    least = {n: v[0] for n, v in vars(NOISY).items() if isinstance(v, tuple)}
    changed = {
        f"{least['decades']:g} decade found": defects.drop_weak(
            spots, least["decades"], generator=generator
        ),
        f"{end['missed']:.0%} missed": defects.drop_random(
            spots, end["missed"], generator
        ),
        f"{end['spurious']} spurious": defects.add_spurious(
            spots, end["spurious"], generator=generator
        ),
        f"position jitter {end['position_jitter']:g} 1/Å, × 3": (
            defects.jitter_positions(spots, 3 * end["position_jitter"], generator)
        ),
        f"centre shift {end['centre_shift']:g} 1/Å, × 3": defects.shift_positions(
            spots, 3 * end["centre_shift"], generator
        ),
        f"scale {end['scale'] - 1:+.0%}": defects.scale_positions(spots, end["scale"]),
        f"ellipticity {end['ellipticity'] - 1:.0%}": defects.stretch_positions(
            spots, end["ellipticity"], 34.0
        ),
        f"intensity jitter {end['intensity_jitter']:g}": defects.jitter_intensities(
            spots, end["intensity_jitter"], generator
        ),
        f"flattened, gamma {least['gamma']:g}": defects.compress_intensities(
            spots, least["gamma"]
        ),
        f"thermal, B = {end['b_factor']:g} Å²": defects.damp_intensities(
            spots, end["b_factor"]
        ),
        f"saturation at {least['saturation']:.0%}": defects.saturate_intensities(
            spots, least["saturation"]
        ),
        f"gap of {end['cross_width']:g} 1/Å": defects.hide_cross(
            spots, end["cross_width"], least["cross_offset"]
        ),
        f"detector to {least['reciprocal_radius']:g} 1/Å": defects.limit_radius(
            spots, end["inner_radius"], least["reciprocal_radius"]
        ),
    }
    figure, axes = panels(5)
    for one, name in zip(real, ("MoO$_3$, found", "cinchonine, found"), strict=True):
        show_spots(next(axes), one.spots, name)
    show_spots(next(axes), spots, "MoO$_3$, perfect")
    for title, one in changed.items():
        show_spots(next(axes), one, title, before=spots)
    for number, ax in enumerate(axes, start=1):
        drawn = NOISY.draw(molybdite.reflections, molybdite.along_b, generator)
        show_spots(ax, drawn, f"{NOISY.name}, draw {number}")
    figure.savefig(PICTURES / "forge_spots.png", dpi=80)


def main() -> None:
    """Draw all pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data_dir", type=Path, metavar="DATA_DIR")
    entries = {entry.name: entry for entry in read_labels(parser.parse_args().data_dir)}
    real = Real(entries["moo3"], 0), Real(entries["cinchonine"], FRAME)
    molybdite = Molybdite()
    for draw in (draw_crystal, draw_microscope, draw_spots):
        draw(real, molybdite, torch.Generator().manual_seed(3))


if __name__ == "__main__":
    main()
