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
from pathlib import Path

import numpy as np
import torch
from _detector_cameras import CAMERAS
from _detector_series import Series, simulate

from pyxem_symnet.descriptors import PatternGeometry, SpotFinder
from pyxem_symnet.inference import prepare_pattern
from pyxem_symnet.signals.preparation import prepare_array

HERE = Path(__file__).parent
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
