# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure how real patterns differ from perfect ones, beside ``noisy``'s ranges.

Usage: ``python benchmarks/real_ranges.py DATA_DIR``, where DATA_DIR holds
``labels.yaml`` and the patterns it lists (user guide, "Real patterns"). Writes
``real_ranges.json`` and ``real_ranges.md`` beside this file. Spots are those that
the shipped model is shown, out to the radius it reads. Entries whose unit cell is
in `KNOWN` are indexed; nothing is fitted by hand.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from _lattice_fit import Fit, fit_series, fit_zone, strain_of
from _ranges_table import report

from pyxem_symnet.inference.devices import get_model
from pyxem_symnet.inference.plan import ModelReference
from pyxem_symnet.inference.sources import PatternSource
from pyxem_symnet.signals.calibration import read_detector
from pyxem_symnet.signals.labels import Entry, load_entry, read_labels
from pyxem_symnet.simulation import PROTOCOLS, compute_reflections, example_phases
from pyxem_symnet.simulation.sampler import electron_wavelength

HERE = Path(__file__).parent
#: Radius that the descriptors read, in 1/Å
RADIUS = 1.28
#: Spots so close to each other's opposites are Friedel pairs, in 1/Å
PAIR_TOLERANCE = 0.03
#: Distortion leaves spots so far from their lattice points, in 1/Å
WIDE = 0.05
#: Reflections above this share of the strongest should be seen
STRONG = 0.1
#: Frames with fewer indexed spots have no centre of their own
LEAST_FOR_CENTRE = 4


class Known(NamedTuple):
    """What is known of an entry's crystal."""

    cell: tuple[float, ...]  # Å and degrees
    source: str
    structure: str | None = None  # name in example_phases()
    step: float | None = None  # degrees from file to file


KNOWN = {
    "moo3": Known(
        (3.9628, 13.855, 3.6964, 90, 90, 90),
        "L. Kihlborg, Ark. Kemi 21, 357 (1963), setting Pbnm",
        structure="molybdite",
    ),
    "cinchonine": Known(
        (10.73, 7.28, 11.11, 90, 108.06, 90),
        "as given with the Serial-3D-ED data; every tenth frame of 0.2522°",
        step=2.522,
    ),
}


def find_spots(entry: Entry, model: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return positions and intensities of each pattern's spots."""
    loaded = load_entry(entry)
    signal = loaded.signal
    geometry = read_detector(
        signal, entry.pixel_size, entry.centre, entry.beam_energy
    ).to_geometry()
    reference, _ = ModelReference.find(model)
    device = torch.device("cpu")
    network = get_model(reference, device)
    found = []
    for number in range(len(signal.data)):
        block = np.asarray(signal.data[number : number + 1])
        numbers = np.array([number])
        source = PatternSource(block, geometry, loaded.mask, numbers, network, device)
        with torch.no_grad():
            spots = source.spots(np.arange(1))
        positions, intensities = spots.positions[0].numpy(), spots.intensities[0]
        intensities = intensities.numpy()
        there = (intensities > 0) & (np.hypot(*positions.T) <= RADIUS)
        found.append((positions[there].astype(float), intensities[there].astype(float)))
    return found


def friedel_pairs(found) -> dict:
    """Compare spots with their opposites: needs no unit cell."""
    middles, ratios = [], []
    for positions, intensities in found:
        sums = positions[:, None] + positions
        near = np.hypot(sums[..., 0], sums[..., 1]) < PAIR_TOLERANCE
        one, two = np.nonzero(np.triu(near, 1))
        middles.append(sums[one, two] / 2)
        ratios.append(np.log(intensities[one] / intensities[two]))
    middles, ratios = np.concatenate(middles), np.concatenate(ratios)
    if len(ratios) == 0:
        return {"pairs": 0}
    return {
        "pairs": len(ratios),
        "centre": middles.mean(0),
        "centre_scatter": rms(middles - middles.mean(0)),
        # Of one spot: a ratio has the scatter of two
        "intensity_scatter": float(np.sqrt((ratios**2).mean() / 2)),
    }


def index(entry: Entry, known: Known, found) -> dict:
    """Return what a fit of the known cell says."""
    frames = np.repeat(np.arange(len(found)), [len(p) for p, _ in found])
    positions = np.concatenate([p for p, _ in found])
    intensities = np.concatenate([i / i.max() for _, i in found if len(i)])
    if entry.kind == "series":
        wavelength = electron_wavelength(entry.beam_energy)
        fit = fit_series(positions, frames, known.cell, known.step, wavelength)
    else:
        fit = fit_zone(positions, known.cell)
    good = fit.explained
    scale, ratio, angle = strain_of(fit.distortion)
    result = {
        "found": fit.label,
        "cell": known.source,
        "spots": len(good),
        "explained": int(good.sum()),
        "explained_by_chance": fit.chance,
        "within_wide": int((np.hypot(*fit.residuals.T) < WIDE).sum()),
        "scale": scale,
        "ellipticity": ratio,
        "ellipse_angle": angle,
        "centre": fit.centre,
    }
    result |= position_errors(fit, frames)
    if fit.transform is not None:
        result["hkl_to_positions"] = fit.transform
    if known.structure is not None:
        result |= compare_intensities(fit, known.structure, positions, intensities)
    else:
        result |= absences(fit, *screw_axis(fit.hkl), intensities)
    return result


def position_errors(fit: Fit, frames: np.ndarray) -> dict:
    """Return the scatter of spots in a frame, and of the frames' centres."""
    scatter, centres = [], []
    for frame in np.unique(frames):
        errors = fit.residuals[(frames == frame) & fit.explained]
        n = len(errors)
        if n < LEAST_FOR_CENTRE:
            continue
        centres.append(errors.mean(0))
        scatter.append((errors - errors.mean(0)) * np.sqrt(n / (n - 1)))
    errors = {"position_scatter": rms(np.concatenate(scatter))}
    if len(centres) > 1:
        excitation = abs(fit.excitation[fit.explained])
        errors |= {
            "centre_scatter": rms(centres - np.mean(centres, 0)),
            "excitation_error": rms(excitation),
            "excitation_error_95": float(np.quantile(excitation, 0.95)),
        }
    return errors


def screw_axis(hkl: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return which reflections 2_1 along b forbids, and which it is told by."""
    axis = (hkl[:, 0] == 0) & (hkl[:, 2] == 0)
    return axis & (hkl[:, 1] % 2 == 1), axis


def absences(fit: Fit, forbidden, concerned, intensities) -> dict:
    """Return how many forbidden reflections were seen, and how strong."""
    seen = forbidden & fit.explained
    return {
        "forbidden": int(seen.sum()),
        "forbidden_of": int((concerned & fit.explained).sum()),
        "forbidden_strongest": float(intensities[seen].max(initial=0.0)),
    }


def compare_intensities(fit: Fit, structure: str, positions, intensities) -> dict:
    r"""Compare with the structure: forbidden, missed, flattened.

    :math:`\log I = c + \gamma (\log|F|^2 - B g^2 / 2)` is fitted to the
    allowed reflections, as a protocol flattens and damps them. Thickness,
    tilt and multiple scattering all go into its parameters.
    """
    half = compute_reflections(example_phases()[structure], 1.5, 0.0, standardise=False)
    hkl = np.concatenate([half.hkl, -half.hkl])
    strength = np.tile(half.intensity, 2)
    in_zone = hkl @ fit.zone == 0
    hkl, strength = hkl[in_zone], strength[in_zone] / strength[in_zone].max()
    of = {tuple(h): s for h, s in zip(hkl.tolist(), strength, strict=True)}
    expected = np.array([of.get(tuple(h), 0.0) for h in fit.hkl.tolist()])
    allowed = fit.explained & (expected > 1e-6)
    matrix = np.column_stack(
        [
            np.ones(allowed.sum()),
            np.log(expected[allowed]),
            -0.5 * (positions[allowed] ** 2).sum(1),
        ]
    )
    logarithm = np.log(intensities[allowed])
    x, *_ = np.linalg.lstsq(matrix, logarithm, rcond=None)
    scatter = (logarithm - matrix @ x).std(ddof=3)
    length = np.hypot(*(hkl @ fit.transform).T)
    strong = (strength > STRONG) & (length <= 0.97 * RADIUS)
    seen = {tuple(h) for h in fit.hkl.tolist()}
    missed = sum(tuple(h) not in seen for h in hkl[strong].tolist())
    return absences(
        fit, expected <= 1e-6, np.ones(len(expected), bool), intensities
    ) | {
        "strong": int(strong.sum()),
        "strong_missed": missed,
        "gamma": float(x[1]),
        "b_factor": float(x[2] / x[1]),
        "gamma_b": float(x[2]),
        "intensity_scatter": float(scatter),
    }


def measure(entry: Entry, model: str) -> dict:
    """Return all that can be measured of an entry."""
    found = find_spots(entry, model)
    counts = [len(p) for p, _ in found]
    decades = [np.log10(i.max() / i.min()) for _, i in found if len(i) > 1]
    result = {
        "name": entry.name,
        "kind": entry.kind,
        "n_patterns": len(found),
        "spots": quartiles(counts),
        "decades": quartiles(decades),
        "nearest": min(
            (np.hypot(*p.T).min() for p, _ in found if len(p)), default=None
        ),
        "friedel": friedel_pairs(found),
        "fit": None,
    }
    if entry.name in KNOWN and entry.kind in ("pattern", "series"):
        result["fit"] = index(entry, KNOWN[entry.name], found)
    return plain(result)


def quartiles(values) -> list[float] | None:
    """Return smallest, quartiles and largest."""
    return (
        None if len(values) == 0 else list(np.quantile(values, [0, 0.25, 0.5, 0.75, 1]))
    )


def rms(values) -> float:
    """Return the root mean square of all elements."""
    return float(np.sqrt(np.mean(np.square(values))))


def plain(value):
    """Return numbers that JSON can hold, with the digits that mean something."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [plain(item) for item in value]
    if isinstance(value, (float, np.floating)):
        return float(f"{value:.4g}")
    return value


def main() -> None:
    """Measure all crystals, write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data_dir", type=Path, metavar="DATA_DIR")
    parser.add_argument("--model", default="msdn-any")
    options = parser.parse_args()
    results = []
    for entry in read_labels(options.data_dir):
        if entry.space_group is not None:
            results.append(measure(entry, options.model))
            print(f"{entry.name}: measured", flush=True)
    data = {"protocol": PROTOCOLS["noisy"].name, "radius": RADIUS, "sets": results}
    (HERE / "real_ranges.json").write_text(
        json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    (HERE / "real_ranges.md").write_text(
        report(results, RADIUS, STRONG), encoding="utf-8"
    )


if __name__ == "__main__":
    main()
