# SPDX-License-Identifier: GPL-3.0-or-later
"""How exactly the direct beam is found, behind a beam stop and beside the middle.

Usage: ``python benchmarks/centre.py [--data DATA_DIR]``. Writes ``centre.md``
beside this file. DATA_DIR holds real patterns (user guide, "Real patterns");
without it the table of real patterns is left out.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np
import torch

from pyxem_symnet.descriptors import PatternGeometry, SpotFinder, Spots
from pyxem_symnet.inference import prepare_pattern
from pyxem_symnet.simulation import microscope
from pyxem_symnet.simulation.imaging import Microscope, expose

HERE = Path(__file__).parent
SIZE, PIXEL = 256, 0.01
OFFSETS = (0.0, 0.05, 0.15, 0.25)
#: Name, electrons a pattern, radius of the discs in pixels, beam stop
SETTINGS = (
    ("open, sharp spots", 2e5, 0.0, None),
    ("open, discs of 4 pixels", 2e5, 4.0, None),
    ("open, 2,000 electrons", 2e3, 2.0, None),
    ("beam stop with an arm", 1e6, 2.0, "arm"),
    ("beam stop with an arm, 20,000 electrons", 2e4, 2.0, "arm"),
    ("beam stop without an arm", 1e6, 2.0, "disc"),
)


def crystal(generator: torch.Generator) -> Spots:
    """Return a zone-axis pattern: Friedel pairs that are nearly equal."""
    angle, between = torch.rand(2, generator=generator) * torch.tensor([6.28, 0.9])
    lengths = 0.12 + 0.2 * torch.rand(2, generator=generator)
    a = lengths[0] * torch.stack((angle.cos(), angle.sin()))
    turned = angle + 1.1 + between
    b = lengths[1] * torch.stack((turned.cos(), turned.sin()))
    steps = torch.cartesian_prod(torch.arange(-9, 10), torch.arange(-9, 10))
    steps = steps[(steps != 0).any(1)].float()
    # Structure factors of g and -g are the same, excitation errors are not
    strength = -torch.rand(19 * 19, generator=generator).log()
    row = (steps[:, 0].abs() * 19 + steps.prod(1).sign() * steps[:, 1].abs()) % 361
    unequal = torch.exp(0.3 * torch.randn(len(steps), generator=generator))
    positions = steps[:, :1] * a + steps[:, 1:] * b
    fall = torch.exp(-(positions.square().sum(1)) / 0.5)
    intensities = strength[row.long()] * unequal * fall
    seen = (positions.norm(dim=1) < 1.5) & (
        torch.rand(len(steps), generator=generator) < 0.8
    )
    intensities = torch.where(seen, intensities, 0.0)
    intensities *= 0.3 / intensities.sum()
    return Spots(positions[None], intensities[None])


def simulate(
    offset: float, dose: float, disc: float, stop: str | None, seed: int
) -> tuple[np.ndarray, tuple[float, float]]:
    """Return a pattern and its centre.

    Parameters
    ----------
    offset
        Distance of the beam from the middle in parts of the detector,
        along x and along y.
    dose
        Electrons.
    disc
        Radius of the discs in pixels.
    stop
        None, "disc", or "arm" for one held by an arm.
    seed
        Seed.
    """
    generator = torch.Generator().manual_seed(seed)
    signs = torch.randint(0, 2, (2,), generator=generator) * 2 - 1
    shift = (offset * SIZE * signs + torch.rand(2, generator=generator) - 0.5).tolist()
    settings = Microscope(
        detector=(SIZE, SIZE),
        pixel_size=PIXEL,
        dose=dose,
        disc_radius=disc * PIXEL,
        blur=0.7,
        background=0.25,
        background_width=0.25,
        centre_offset=tuple(shift),
    )
    centre = tuple(np.add(settings.centre, shift))
    masks = settings.detector_masks(generator)
    if stop is not None:
        # It doesn't sit exactly on the beam
        aside = 3 * torch.randn(2, generator=generator)
        masks["hidden"] |= microscope.beam_stop(
            settings.detector,
            tuple(np.add(centre, aside.tolist())),
            14.0,
            12.0 if stop == "arm" else 0.0,
            float(360 * torch.rand(1, generator=generator)),
        )
    images = expose(crystal(generator), settings, masks)
    # Something shines through
    images = images + 0.02 * images.median()
    return torch.poisson(images, generator=generator)[0].numpy(), centre


def errors(offset: float, setting: tuple, n: int) -> np.ndarray:
    """Return distances in pixels of found from true centres."""
    _, dose, disc, stop = setting
    found = []
    for seed in range(n):
        image, centre = simulate(offset, dose, disc, stop, seed)
        prepared = prepare_pattern(image, PatternGeometry(PIXEL), finder=_NOTHING)
        found.append(math.dist(prepared.centre, centre))
    return np.array(found)


# Spots are not looked at here
_NOTHING = SpotFinder(max_spots=1)


def friedel_midpoint(pixels: np.ndarray, centre, reach: float) -> tuple:
    """Return the median midpoint of spots that are opposite, and their number."""
    opposite = 2 * np.asarray(centre) - pixels
    distance = np.linalg.norm(pixels[:, None] - opposite, axis=-1)
    first, second = np.nonzero(distance < reach)
    middles = (pixels[first] + pixels[second])[first < second] / 2
    return (np.median(middles, axis=0) if len(middles) else None), len(middles)


def real(folder: Path) -> list[str]:
    """Return rows that compare centres with midpoints of opposite spots."""
    import tifffile

    rows = []
    for name in ("moo3_20cm.tif", "au_xgrating_20cm.tif"):
        image = tifffile.imread(folder / name)
        prepared = prepare_pattern(image, PatternGeometry(0.01024))
        middle, n = friedel_midpoint(prepared.pixels, prepared.centre, 6.0)
        from_symmetry = by_symmetry(image, prepared.mask)
        rows.append(
            f"| {name} | {prepared.centre_method} | {_point(prepared.centre)} | "
            f"{_point(middle)} ({n} pairs) | {_point(from_symmetry)} |"
        )
    return rows


def by_symmetry(image: np.ndarray, mask: np.ndarray) -> list[float]:
    """Return the centre of inversion symmetry, without looking for a beam."""
    from pyxem_symnet.descriptors import find_centre

    batch = torch.from_numpy(image.astype(np.float32))[None]
    return find_centre(batch, torch.from_numpy(mask), method="friedel")[0].tolist()


def _point(point) -> str:
    return "–" if point is None else f"({point[0]:.2f}, {point[1]:.2f})"


def main() -> None:
    """Measure, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, metavar="DATA_DIR")
    parser.add_argument("--n", type=int, default=60, help="patterns of each kind")
    parser.add_argument("--output", type=Path, default=HERE / "centre.md")
    options = parser.parse_args()
    lines = [
        "# How exactly the direct beam is found",
        "",
        "Written by `python benchmarks/centre.py`. Simulated zone-axis patterns of",
        f"{SIZE} × {SIZE} pixels, {options.n} of each kind; the beam is off the middle",
        "by the given part of the detector along x and along y. Nothing is given:",
        "masks and centre are found in the one pattern. In each cell: patterns whose",
        "centre is within 0.5 pixel, and the median distance in pixels.",
        "",
        "| pattern | " + " | ".join(f"{100 * o:g} %" for o in OFFSETS) + " |",
        "| --- |" + " ---: |" * len(OFFSETS),
    ]
    for setting in SETTINGS:
        cells = []
        for offset in OFFSETS:
            distance = errors(offset, setting, options.n)
            share = 100 * (distance <= 0.5).mean()
            cells.append(f"{share:.0f} %, {np.median(distance):.2f}")
        lines.append(f"| {setting[0]} | " + " | ".join(cells) + " |")
        print(lines[-1], flush=True)
    if options.data is not None:
        lines += [
            "",
            "Real patterns: the centre, the median midpoint of opposite spots, and the",
            "centre of inversion symmetry, (x, y) in pixels.",
            "",
            "| file | method | centre | midpoint of opposite spots | symmetry |",
            "| --- | --- | --- | --- | --- |",
            *real(options.data),
        ]
        print(*lines[-2:], sep="\n")
    options.output.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
