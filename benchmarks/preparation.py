# SPDX-License-Identifier: GPL-3.0-or-later
"""How many patterns a second are prepared, and what takes the time.

Usage: ``python benchmarks/preparation.py``. Writes ``preparation.md`` and
``preparation.json`` beside this file. Processor time of one thread is counted;
other work on the computer still matters, since it shares memory and caches.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from pathlib import Path
from unittest import mock

import numpy as np
import torch

from pyxem_symnet.descriptors import (
    PatternGeometry,
    SpotFinder,
    _compiled,
    _pixels,
    find_masks,
)
from pyxem_symnet.descriptors.candidates import Limits, Map, find_candidates
from pyxem_symnet.descriptors.centre import beam_radius, centre_of_mean
from pyxem_symnet.descriptors.noise import remove_pedestal, smoothed_noise
from pyxem_symnet.descriptors.refine import refine
from pyxem_symnet.inference.sources import to_device

HERE = Path(__file__).parent
SIZE = 256
#: Patterns a second on two cores that were aimed at
GOAL = 5000


def patterns(n: int) -> np.ndarray:
    """Return uint16 patterns of a beam, a halo and about 60 spots."""
    rng = np.random.default_rng(0)
    row, column = np.mgrid[:SIZE, :SIZE]
    r = np.hypot(column - 127.3, row - 128.1)
    image = 0.5 * np.exp(-r / 40) + 0.05 + 100 * np.exp(-(r**2) / 12)
    for i in range(-4, 5):
        for j in range(-4, 5):
            x, y = 127.3 + 26 * i + 5 * j, 128.1 - 4 * i + 24 * j
            image += np.exp(-((column - x) ** 2 + (row - y) ** 2) / 6)
    return rng.poisson(20 * image, (n, SIZE, SIZE)).astype(np.uint16)


def per_second(function, n: int, repeats: int = 5) -> float:
    """Return patterns a second of processor time, the best of some repeats."""
    function()
    times = []
    for _ in range(repeats):
        start = time.process_time()
        function()
        times.append(time.process_time() - start)
    return n / min(times)


def measure(n: int) -> dict[str, float]:
    """Return patterns a second for the whole and for its steps."""
    images = patterns(n)
    device = torch.device("cpu")
    tensor = to_device(images, device).float()
    centred, searched = PatternGeometry(0.01, (127.3, 128.1)), PatternGeometry(0.01)
    finder = SpotFinder()
    mask = torch.from_numpy(find_masks(images[:4]).combined)
    mask[100:110, :60] = True
    part = tensor[:16]
    radius = finder.measure_disc_radius(part, centred)
    scan = dataclasses.replace(centred, disc_radius=radius)

    def prepared(geometry: PatternGeometry, mask: torch.Tensor | None = None) -> float:
        return per_second(lambda: finder(to_device(images, device), geometry, mask), n)

    rates = {
        "whole, centre searched in each pattern": prepared(searched),
        "whole, centre known": prepared(centred),
        "whole, centre known, with a mask": prepared(centred, mask),
        "whole, centre and spots' radius known, as in scans": prepared(scan),
    }
    # As on a computer without numba
    with mock.patch.object(_compiled, "_load", lambda name: None):
        rates["the second line with PyTorch alone"] = prepared(centred)
    rates["step: to float32"] = per_second(lambda: to_device(images, device).float(), n)
    return rates | steps(part)


def steps(images: torch.Tensor) -> dict[str, float]:
    """Return patterns a second for what is done with patterns, step by step."""
    weights = torch.ones(1, SIZE, SIZE)
    levelled = remove_pedestal(images, weights)
    mean, weight = _pixels.smooth(images, weights)
    centres, _ = centre_of_mean(mean, weight)

    def noise():
        return smoothed_noise(mean, weight, *levelled[1:4])

    finest = Map(images, mean, weight, centres, torch.full((len(images),), 4.0), 1)
    measured, limits = noise(), Limits(4.5, 0.2, 96)

    def candidates():
        return find_candidates(finest, measured, limits)

    level = candidates()
    done = {
        "a pedestal told from counts": lambda: remove_pedestal(images, weights),
        "hot pixels": lambda: _pixels.clip_hot_pixels(images, levelled.gain),
        "smoothing, finest scale": lambda: _pixels.smooth(images, weights),
        "noise, finest scale": noise,
        "comparing with what is around, finest scale": candidates,
        "refining 80 spots": lambda: refine([level]),
        "centre searched": lambda: centre_of_mean(mean, weight),
        "the beam's radius": lambda: beam_radius(mean, centres),
    }
    return {
        f"step: {name}": per_second(function, len(images), 20)
        for name, function in done.items()
    }


def main() -> None:
    """Measure, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=64, help="patterns")
    parser.add_argument("--output", type=Path, default=HERE)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rates = measure(options.n)
    lines = [
        "# Speed of preparation",
        "",
        f"Written by `python benchmarks/preparation.py`: patterns of {SIZE} × {SIZE}",
        "pixels, uint16, a second of processor time, on one core. The goal is",
        f"{GOAL // 2:,} (that is {GOAL:,} on two cores).",
        "",
        "| what | patterns a second | time of one in ms |",
        "| --- | ---: | ---: |",
        *(f"| {k} | {v:,.0f} | {1000 / v:.2f} |" for k, v in rates.items()),
    ]
    lines += [
        "",
        "With numba, steps that read whole patterns are compiled; the line with",
        "PyTorch alone is what is done without it. The steps are those of patterns",
        "that lie in the processor's cache. What they leave of the whole are two",
        "coarser scales, unless the spots' radius is known (about a third of the",
        "finest one's time), one millisecond for each 16 patterns in which functions",
        "are called, and the way of new arrays through the cache, which the computer's",
        "other work shares: on the same day the second line was between 1,100 and",
        "2,100. No step stands out any more.",
    ]
    print(*lines, sep="\n")
    (options.output / "preparation.md").write_text(
        "\n".join(lines) + "\n", encoding="utf-8"
    )
    (options.output / "preparation.json").write_text(
        json.dumps(rates, indent=1) + "\n", encoding="utf-8"
    )


if __name__ == "__main__":
    main()
