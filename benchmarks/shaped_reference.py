# SPDX-License-Identifier: GPL-3.0-or-later
"""Compare the shaped patterns with those the paper's authors published.

Usage: ``python benchmarks/shaped_reference.py DATA_DIR``, where DATA_DIR
holds ``raw/sampleN_A.png`` and ``shaped/sampleN_A.jpg`` for N = 1, 2, 3 and
A = x, y, z, from the repository tiongleslie/crystal-structure-classification
(MIT licence). Writes ``shaped_reference.md`` beside this file.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from pyxem_symnet.descriptors.shaped import shape_patterns
from pyxem_symnet.descriptors.shaped_reference import shape_pattern_reference

# Published results are JPEG files: lines and spots are above this value.
THRESHOLD = 100
AXES = "xyz"
SAMPLES = (1, 2, 3)
REPORT = Path(__file__).with_suffix(".md")


def intersection_over_union(first: np.ndarray, second: np.ndarray) -> float:
    """Return the IoU of what is above the threshold in two images."""
    first, second = first > THRESHOLD, second > THRESHOLD
    return (first & second).sum() / (first | second).sum()


def main() -> None:
    """Read the samples, shape them, write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data_dir", type=Path, metavar="DATA_DIR")
    folder = parser.parse_args().data_dir
    names = [f"sample{n}_{axis}" for n in SAMPLES for axis in AXES]
    raw = np.stack([np.array(Image.open(folder / f"raw/{n}.png")) for n in names])
    published = [
        np.array(Image.open(folder / f"shaped/{name}.jpg"))[..., AXES.index(name[-1])]
        for name in names
    ]

    start = time.perf_counter()
    reference = np.stack([shape_pattern_reference(image) for image in raw])
    slow = time.perf_counter() - start
    images = torch.from_numpy(raw)
    shape_patterns(images)
    start = time.perf_counter()
    batched = shape_patterns(images).numpy()
    fast = time.perf_counter() - start

    scores = {
        name: intersection_over_union(ours, theirs)
        for name, ours, theirs in zip(names, batched, published, strict=True)
    }
    lines = [
        "# Shaped patterns against the authors' published ones",
        "",
        "Intersection over union with the nine JPEG files that the paper's authors",
        f"published, shaped channel above {THRESHOLD}; written by",
        "`python benchmarks/shaped_reference.py DATA_DIR`.",
        "",
        "| sample | x | y | z |",
        "|---|---|---|---|",
    ]
    for number in SAMPLES:
        row = " | ".join(f"{scores[f'sample{number}_{axis}']:.2f}" for axis in AXES)
        lines.append(f"| {number} | {row} |")
    different = int((batched != reference).sum())
    lines += [
        "",
        f"Pixels in which the batched rule differs from the literal one: {different}.",
        f"Time for the nine patterns: literal {slow:.2f} s, batched {fast:.3f} s "
        f"({torch.get_num_threads()} thread(s), CPU).",
    ]
    REPORT.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
