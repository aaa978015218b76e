# SPDX-License-Identifier: GPL-3.0-or-later
"""What preparation finds in series of patterns from many kinds of detectors.

Usage: ``python benchmarks/detectors.py``. Writes ``detectors.md`` and
``detectors.json`` beside this file. The series are simulated, so the beam, the
spots and the defects are known; everything is found as `classify_space_group`
finds it, with ``centre="auto"`` and automatic masks.
"""

from __future__ import annotations

import argparse
import json
import math
import time
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from pyxem_symnet.descriptors import PatternGeometry, SpotFinder, Spots
from pyxem_symnet.inference import prepare_pattern
from pyxem_symnet.signals.preparation import prepare_array
from pyxem_symnet.simulation import example_phases, microscope
from pyxem_symnet.simulation.imaging import Microscope, expose
from pyxem_symnet.simulation.reflections import compute_reflections
from pyxem_symnet.simulation.rotations import random_rotations, zone_rotations
from pyxem_symnet.simulation.sampler import Reflections, sample_patterns
from pyxem_symnet.simulation.structures import Crystal
from pyxem_symnet.simulation.wyckoff import orbit

HERE = Path(__file__).parent
#: Degrees between two patterns of a tilt series
STEP = 2.0


@dataclass(frozen=True)
class Camera:
    """A detector, the optics before it, and what is recorded with it.

    Parameters
    ----------
    optics
        Microscope: its settings but those of the read-out.
    crystal
        Name of the crystal, "none" for no crystal, "powder" for rings.
    orientation
        "series" for tilts about one axis, or "zone".
    n
        Patterns, of which *blank* have no spots, the first too.
    blank
        Numbers of patterns without spots.
    gain
        Counts of an electron.
    read
        Standard deviation of the read-out noise in counts.
    pedestal
        Counts of no electron.
    spread
        Standard deviation in pixels of the scintillator's blur.
    glare
        Part of the electrons in a tail about the beam that falls with
        the cube of the distance.
    full
        Largest count of a pixel.
    stop
        Radius in pixels of the beam stop, which has an arm. 0 for none.
    dead_lines
        Rows and columns that count nothing.
    hot
        Hot pixels.
    dtype
        Type of the counts; unsigned ones end at 0.
    """

    optics: Microscope
    crystal: str = "anatase"
    orientation: str = "series"
    n: int = 12
    blank: tuple[int, ...] = ()
    gain: float = 1.0
    read: float = 0.0
    pedestal: float = 0.0
    spread: float = 0.0
    glare: float = 0.0
    full: float = math.inf
    stop: float = 0.0
    dead_lines: int = 0
    hot: int = 0
    dtype: type = np.uint16


def optics(size: int, pixel: float, dose: float, width: float, **more) -> Microscope:
    """Return settings with spots whose blur is *width* pixels."""
    more = {
        "disc_radius": 0.0,
        "background": 0.15,
        "scattered": 0.25,
        "excitation_error": 0.02,
    } | more
    disc = more.pop("disc_radius") * pixel
    return Microscope(
        detector=(size, size),
        pixel_size=pixel,
        dose=dose,
        blur=width,
        disc_radius=disc,
        **more,
    )


#: Crystal of a large cell; in thin samples too few spots would stand apart
LARGE = "large monoclinic"

CAMERAS = {
    "hybrid pixels 256, discs": Camera(optics(256, 0.012, 1e5, 0.7, disc_radius=3.0)),
    "hybrid pixels 256, 3,000 electrons": Camera(
        optics(256, 0.012, 3e3, 0.8), "quartz", n=24, blank=(0, 9)
    ),
    "hybrid pixels 514 with a cross, large cell": Camera(
        optics(514, 0.0045, 6e4, 1.0, cross_width=4, background_width=0.15),
        LARGE,
        n=24,
        blank=(0, 5, 17),
    ),
    "counting 512, glare, beam off the middle": Camera(
        optics(512, 0.005, 4e5, 1.5, centre_offset=(60.0, -45.0)),
        "baddeleyite",
        glare=0.3,
        hot=20,
    ),
    "80 kV 512, halo and film": Camera(
        optics(512, 0.006, 3e5, 1.2, beam_energy=80.0, background=0.3, film=0.25),
        "rutile",
    ),
    "CCD 1024, pedestal, saturated beam": Camera(
        optics(1024, 0.0025, 2e5, 2.5),
        "anatase",
        gain=20.0,
        read=6.0,
        pedestal=100.0,
        spread=1.2,
        glare=0.1,
        full=65535.0,
        dead_lines=3,
        hot=100,
    ),
    "CCD 1024, beam stop, zone axes": Camera(
        optics(1024, 0.0025, 5e5, 2.0, scattered=0.35),
        "silicon",
        "zone",
        gain=10.0,
        read=5.0,
        pedestal=30.0,
        spread=1.0,
        stop=45.0,
        full=65535.0,
    ),
    "CMOS 1024, dark subtracted, negative counts": Camera(
        optics(1024, 0.0025, 1e5, 2.0),
        LARGE,
        gain=10.0,
        read=5.0,
        spread=1.0,
        hot=50,
        dtype=np.float32,
    ),
    "CMOS 2048, pedestal, spots 12 pixels wide": Camera(
        optics(2048, 0.00125, 3e5, 5.0),
        "baddeleyite",
        gain=30.0,
        read=8.0,
        pedestal=100.0,
        spread=1.5,
        glare=0.15,
        blank=(0,),
        n=6,
        full=65535.0,
    ),
    "CMOS 2048, sharp spots, large cell": Camera(
        optics(2048, 0.00125, 3e5, 1.0),
        LARGE,
        gain=20.0,
        read=6.0,
        spread=0.8,
        n=6,
        hot=200,
        dtype=np.int16,
        full=32767.0,
    ),
    "CMOS 2048, fine pixels, 100 pixels between spots": Camera(
        optics(2048, 0.0008, 2e5, 3.0, centre_offset=(150.0, 90.0)),
        LARGE,
        gain=20.0,
        read=8.0,
        pedestal=100.0,
        spread=1.5,
        n=6,
        full=65535.0,
        stop=60.0,
    ),
    "no crystal, 512, pedestal": Camera(
        optics(512, 0.005, 2e5, 1.5, film=0.3),
        "none",
        gain=20.0,
        read=6.0,
        pedestal=100.0,
        spread=1.2,
        glare=0.2,
    ),
    "powder, 512": Camera(optics(512, 0.005, 2e6, 1.5), "powder", n=4),
}


def large_cell() -> Crystal:
    """Return a monoclinic crystal of 24 light atoms, P2_1."""
    from diffpy.structure import Lattice

    rng = np.random.default_rng(0)
    sites = [orbit(position, 6) for position in rng.uniform(size=(12, 3))]
    numbers = np.repeat(rng.choice([6, 7, 8], 12), [len(site) for site in sites])
    return Crystal(
        material_id=LARGE,
        lattice=Lattice(10.73, 7.28, 11.11, 90, 108.06, 90).base,
        numbers=numbers.tolist(),
        positions=np.concatenate(sites),
    )


@dataclass(eq=False)
class Series:
    """Simulated patterns, and what is true of them."""

    images: np.ndarray
    centre: tuple[float, float]
    #: Of each pattern: (x, y) in pixels, ratio of signal to noise
    spots: list[tuple[np.ndarray, np.ndarray]]
    #: Pixels that count nothing or too much
    defects: np.ndarray
    #: Radius of the spots in pixels
    radius: float
    camera: Camera = field(repr=False, default=None)


def simulate(camera: Camera, seed: int) -> Series:
    """Return the patterns of a camera."""
    settings = camera.optics
    generator = torch.Generator().manual_seed(seed)
    rng = np.random.default_rng(seed)
    spots = _spots(camera, generator)
    masks = settings.detector_masks(generator)
    centre = tuple(np.add(settings.centre, settings.centre_offset))
    stop = torch.zeros_like(masks["hidden"])
    if camera.stop:
        stop = microscope.beam_stop(
            settings.detector, centre, camera.stop, 0.6 * camera.stop, 70.0
        )
    defects = masks["hidden"].numpy() | stop.numpy()
    lines = np.zeros_like(defects)
    for line in rng.integers(10, settings.detector[0] - 10, camera.dead_lines):
        lines[line] = True
        lines[:, (line * 7) % settings.detector[1]] = True
    hot = np.zeros_like(defects)
    hot[tuple(rng.integers(0, settings.detector[0], (2, camera.hot)))] = True

    tail = _tail(camera, centre)
    images, truth = [], []
    none = Spots(torch.zeros(1, 1, 2), torch.zeros(1, 1))
    if camera.crystal == "powder":
        tail += _rings(camera, centre)
    plain = expose(none, settings, masks)[0] + tail
    for i in range(camera.n):
        own = Spots(*(part[i : i + 1] for part in spots))
        expected = (expose(own, settings, masks)[0] + tail) * ~stop
        counted = torch.poisson(expected, generator=generator)[None]
        counts = camera.gain * microscope.blur(counted, camera.spread)[0].numpy()
        counts = counts + rng.normal(camera.pedestal, camera.read, counts.shape)
        counts[lines] = 0
        counts[hot] += rng.uniform(0.05, 1, hot.sum()) * min(camera.full, 3e4)
        counts = counts.clip(max=camera.full)
        if np.issubdtype(camera.dtype, np.integer):
            counts = counts.round().clip(np.iinfo(camera.dtype).min)
        images.append(counts.astype(camera.dtype))
        truth.append(_visible(own, camera, plain.numpy(), centre))
    return Series(
        np.stack(images), centre, truth, defects | lines | hot, _radius(camera), camera
    )


def _radius(camera: Camera) -> float:
    blur = math.hypot(camera.optics.blur, camera.spread)
    return camera.optics.disc_radius / camera.optics.pixel_size + 1.5 * blur


def _tail(camera: Camera, centre) -> torch.Tensor:
    settings = camera.optics
    if not camera.glare:
        return torch.zeros(settings.detector)
    r = microscope.radius_map(settings.detector, 1.0, centre)[0]
    core = 0.015 / settings.pixel_size
    tail = (r**2 + core**2) ** -1.5
    return camera.glare * settings.dose * tail / tail.sum()


def _spots(camera: Camera, generator: torch.Generator) -> Spots:
    """Return the spots of each pattern in parts of its electrons."""
    settings, n = camera.optics, camera.n
    if camera.crystal in ("none", "powder"):
        return Spots(torch.zeros(n, 1, 2), torch.zeros(n, 1))
    name = camera.crystal
    crystal = large_cell() if name == "large monoclinic" else example_phases()[name]
    found = compute_reflections(crystal, settings.corner_radius)
    reflections = Reflections.from_half(
        torch.as_tensor(found.hkl @ found.reciprocal_basis).double(),
        torch.as_tensor(found.intensity).double(),
    )
    if camera.orientation == "zone":
        rotations = zone_rotations(
            torch.as_tensor(found.conventional_lattice), n, 0.5, generator
        )
    else:
        rotations = _tilts(n) @ random_rotations(1, generator)
    spots = sample_patterns(
        reflections,
        rotations.double(),
        beam_energy=settings.beam_energy,
        reciprocal_radius=settings.corner_radius,
        max_excitation_error=settings.excitation_error,
        max_spots=400,
    )
    positions, intensities = (part.float() for part in spots)
    intensities = intensities * torch.exp(-2.0 * positions.square().sum(-1))
    intensities *= settings.scattered / intensities.sum(-1).mean()
    intensities[list(camera.blank)] = 0
    return Spots(positions, intensities)


def _tilts(n: int) -> torch.Tensor:
    """Return rotations about y, which lies across the beam."""
    angle = torch.deg2rad(STEP * torch.arange(n))
    zero, one = torch.zeros(n), torch.ones(n)
    cosine, sine = angle.cos(), angle.sin()
    rows = (cosine, zero, sine, zero, one, zero, -sine, zero, cosine)
    return torch.stack(rows, -1).reshape(n, 3, 3)


def _rings(camera: Camera, centre) -> torch.Tensor:
    """Return the rings of a fine powder."""
    settings = camera.optics
    found = compute_reflections(example_phases()["austenite"], settings.corner_radius)
    lengths = np.linalg.norm(found.hkl @ found.reciprocal_basis, axis=1)
    r = microscope.radius_map(settings.detector, settings.pixel_size, centre)[0]
    width = settings.blur * settings.pixel_size
    rings = torch.zeros(settings.detector)
    for length, intensity in zip(lengths.tolist(), found.intensity, strict=True):
        profile = torch.exp(-0.5 * ((r - length) / width) ** 2)
        rings += float(intensity) * math.exp(-2 * length**2) / length**2 * profile
    return settings.scattered * settings.dose * rings / rings.sum()


def _visible(spots: Spots, camera: Camera, plain: np.ndarray, centre):
    """Return spots on the detector and their ratio of signal to noise."""
    settings = camera.optics
    positions = spots.positions[0].numpy() / settings.pixel_size + np.array(centre)
    electrons = spots.intensities[0].numpy() * settings.dose
    index = positions.round().astype(int)
    inside = ((index >= 0) & (index < settings.detector[::-1])).all(1)
    inside &= electrons > 0
    positions, electrons, index = positions[inside], electrons[inside], index[inside]
    area = math.pi * (_radius(camera) + 0.5) ** 2
    behind = plain[index[:, 1], index[:, 0]] + (camera.read / camera.gain) ** 2
    return positions, electrons / np.sqrt(electrons + area * behind)


#: Ratios of signal to noise that spots are counted from
LEVELS = (3.0, 6.0, 12.0)


def measure(series: Series, finder: SpotFinder | None = None) -> dict:
    """Prepare all patterns as a user's, and compare with the truth."""
    camera, settings = series.camera, series.camera.optics
    geometry = PatternGeometry(settings.pixel_size)
    finder = SpotFinder() if finder is None else finder
    n = len(series.images)
    start = time.process_time()
    scan = prepare_array(series.images, np.arange(n), geometry)
    before = time.process_time() - start
    start = time.process_time()
    prepared = [
        prepare_pattern(image, scan, number=i, finder=finder)
        for i, image in enumerate(series.images)
    ]
    seconds = (time.process_time() - start) / n
    mask = prepared[0].mask
    tolerance = max(1.5 * series.radius, 2.0)
    # What is near the beam is left out; so is what is behind its stop
    nearest = max(0.045 / settings.pixel_size, 4 * series.radius + 2, camera.stop)
    found = dict.fromkeys(LEVELS, 0)
    wanted = dict.fromkeys(LEVELS, 0)
    n_found, n_false, errors, shifts = [], [], [], []
    for one, (positions, ratio) in zip(prepared, series.spots, strict=True):
        pixels = one.pixels
        n_found.append(len(pixels))
        shifts.append(math.dist(one.centre, series.centre))
        some = positions[ratio > 1]
        near = (
            np.linalg.norm(pixels[:, None] - some, axis=-1).min(1)
            if len(some)
            else np.full(len(pixels), np.inf)
        )
        n_false.append(int((near > tolerance).sum()))
        plain = _apart(positions, ratio, 2 * tolerance)
        plain &= np.linalg.norm(positions - series.centre, axis=1) > nearest
        plain &= _on_detector(positions, series)
        order = np.argsort(-ratio)
        order = order[plain[order]][: finder.settings["max_spots"]]
        distance = (
            np.linalg.norm(positions[order][:, None] - pixels, axis=-1).min(1)
            if len(pixels)
            else np.full(len(order), np.inf)
        )
        # Positions from the true beam, so that its error is told apart
        errors.extend(distance[distance < tolerance] * settings.pixel_size)
        for level in LEVELS:
            strong = ratio[order] > level
            wanted[level] += int(strong.sum())
            found[level] += int((strong & (distance < tolerance)).sum())
    return {
        "true_spots": wanted[LEVELS[0]] / n,
        "spots": float(np.mean(n_found)),
        "found": {
            level: found[level] / wanted[level] if wanted[level] else None
            for level in LEVELS
        },
        "false_share": sum(n_false) / max(sum(n_found), 1),
        "false_spots": float(np.mean(n_false)),
        "position_error": float(np.median(errors)) if errors else None,
        "centre_error": float(np.median(shifts)),
        "centre_error_worst": float(np.max(shifts)),
        "centre_method": scan.centre_method,
        "wrongly_masked": float((mask & ~_near(series.defects)).mean()),
        "defects_missed": float((series.defects & ~mask).mean()),
        "seconds_before": before,
        "seconds": seconds,
    }


def _near(defects: np.ndarray) -> np.ndarray:
    """Return defects with the pixels beside them, which may go with them."""
    from scipy import ndimage

    return ndimage.binary_dilation(defects, np.ones((3, 3)), iterations=3)


def _apart(positions: np.ndarray, ratio: np.ndarray, distance: float) -> np.ndarray:
    """Tell spots that no stronger one hides."""
    apart = np.linalg.norm(positions[:, None] - positions, axis=-1)
    stronger = 3 * ratio[None] > ratio[:, None]
    np.fill_diagonal(apart, np.inf)
    return ~((apart < distance) & stronger).any(1)


def _on_detector(positions: np.ndarray, series: Series) -> np.ndarray:
    """Tell spots that a whole neighbourhood of working pixels was seen."""
    from scipy import ndimage

    side = 2 * math.ceil(series.radius + 2) + 1
    hidden = np.pad(_large(series.defects), 1, constant_values=True)
    hidden = ndimage.maximum_filter(hidden, side)[1:-1, 1:-1]
    x, y = positions.round().astype(int).T
    return ~hidden[y, x]


def _large(defects: np.ndarray) -> np.ndarray:
    """Return defects of more than single pixels."""
    from scipy import ndimage

    return ndimage.median_filter(defects, 3)


def run(names: list[str] | None = None, seed: int = 0) -> dict[str, dict]:
    """Measure cameras, all by default."""
    results = {}
    for name in names or CAMERAS:
        series = simulate(CAMERAS[name], zlib.crc32(name.encode()) + seed)
        results[name] = measure(series)
        print(_row(name, results[name]), flush=True)
    return results


def _row(name: str, r: dict) -> str:
    def percent(value):
        return "–" if value is None else f"{100 * value:.0f} %"

    error = r["position_error"]
    cells = (
        name,
        f"{r['true_spots']:.0f}",
        f"{r['spots']:.0f}",
        *(percent(r["found"][level]) for level in LEVELS),
        f"{percent(r['false_share'])} ({r['false_spots']:.1f})",
        "–" if error is None else f"{1e3 * error:.2f}",
        f"{r['centre_error']:.2f}, {r['centre_error_worst']:.2f}",
        f"{100 * r['wrongly_masked']:.2f} %",
        f"{r['seconds']:.3f}",
    )
    return "| " + " | ".join(cells) + " |"


HEAD = (
    "detector",
    "true",
    "found",
    *(f"> {level:g} σ" for level in LEVELS),
    "false (a pattern)",
    "position, 10⁻³ Å⁻¹",
    "centre, px",
    "masked",
    "s",
)


REMARKS = """\
Of a sharp and fine powder the rings are taken apart into spots, and what is
outside of them for a shadow; on real gold no spots are found. Where a beam stop
hides the beam, and a single reflection is brighter than all of the halo in every
pattern of a series, that reflection is taken for the beam: give `centre`."""


def main() -> None:
    """Measure, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", help="parts of names; nothing is written")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    names = [
        name
        for name in CAMERAS
        if not options.only or any(part in name for part in options.only)
    ]
    results = run(names, options.seed)
    if options.only:
        return
    (HERE / "detectors.json").write_text(json.dumps(results, indent=1) + "\n")
    lines = [
        "# Spots, masks and the beam on many kinds of detectors",
        "",
        "Written by `python benchmarks/detectors.py`. Simulated series of tilts, or of",
        "zone axes, prepared as `classify_space_group` prepares them: masks and centre",
        "are found. True: spots a pattern that are 3 σ of the noise under them, and",
        "apart from others. Of these and of clearer ones the part that was found.",
        "False: found spots that are no true one of at least 1 σ. Position: median",
        "distance from the true one. Centre: median and largest error. Masked: part of",
        "the detector that is masked wrongly. Time of one pattern on one core that",
        "was shared with other work.",
        "",
        "| " + " | ".join(HEAD) + " |",
        "| --- |" + " ---: |" * (len(HEAD) - 1),
        *(_row(name, result) for name, result in results.items()),
        "",
        REMARKS,
    ]
    (HERE / "detectors.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
