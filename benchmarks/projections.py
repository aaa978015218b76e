# SPDX-License-Identifier: GPL-3.0-or-later
"""How far the symmetry of one zone axis tells that of the crystal.

    python benchmarks/projections.py STRUCTURES

A pattern along a zone axis shows the plane group of the projection, with Friedel's
law added: one of ten. STRUCTURES is the structure table or a reflection store made
of it. Writes `projections.md` beside this file, within half a minute.
"""

import argparse
import functools
import itertools
import math
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from _group_counts import count_groups

from pyxem_symnet.simulation.rotations import zone_axes
from pyxem_symnet.symmetry import PAPER_SPACE_GROUPS, level_of
from pyxem_symnet.symmetry.absences import (
    absent_reflections,
    laue_rotations,
    reflection_box,
)
from pyxem_symnet.symmetry.operations import standard_operations

HERE = Path(__file__).parent
SPLITS = ("test", "unseen-types")
# Along an axis of indices up to two, rows of a centred lattice are shorter than this
_LARGEST_INDEX = 12
_N_OF_NET = 60
LEVELS = ("crystal_system", "laue_class", "diffraction_symbol", "space_group")


@functools.cache
def plane_group(number: int, zone: tuple[int, int, int]) -> str:
    """Return the plane group that a pattern along a zone axis shows.

    Parameters
    ----------
    number
        Space group, in its standard setting.
    zone
        Zone axis [uvw].

    Returns
    -------
    str
        One of the ten that have a centre, such as ``"p2mg"``, by the symmetry
        of intensities, the net, and rows of which every other reflection is
        absent.
    """
    rotations, translations = standard_operations(number)
    laue = laue_rotations(rotations)
    kept = laue[(laue @ zone == zone).all(1)]
    handed = np.linalg.det(kept).round()
    order = math.lcm(2, int((handed > 0).sum()))
    mirrors = kept[handed < 0]
    if not len(mirrors):
        return f"p{order}"
    if order == 6:
        return "p6mm"
    hkl = reflection_box(_LARGEST_INDEX)
    hkl = hkl[(hkl @ zone == 0) & hkl.any(1)]
    hkl = hkl[np.argsort((hkl**2).sum(1), kind="stable")]
    absent = absent_reflections(rotations, translations, hkl)
    # Reflections along a mirror line and across it; of order 2 this is another's
    mirrors = mirrors[:1] if order == 2 else mirrors
    lines = [(hkl @ m == s * hkl).all(1) for m in mirrors for s in (1, -1)]
    # The net that reflections off all lines have
    net = hkl[~absent & ~np.any(lines, axis=0)][:_N_OF_NET]
    shortest, halved = [], []
    for line in lines:
        first = next(
            i
            for i in np.flatnonzero(line)
            if _index([*net, hkl[i]], zone) == _index(net, zone)
        )
        shortest.append(hkl[first])
        halved.append(absent[first])
    if order == 4:
        return "p4gm" if any(halved) else "p4mm"
    if _index(shortest, zone) != _index(net, zone):
        return "c2mm"
    return {0: "p2mm", 1: "p2mg", 2: "p2gg"}[sum(halved)]


def _index(vectors, zone) -> int:
    """Return how many of a plane's points there are for one of a net in it."""
    vectors = np.asarray(vectors)
    place = int(np.argmax(np.abs(zone)))
    first, second = np.delete(vectors, place, axis=1).T
    areas = np.outer(first, second) - np.outer(second, first)
    return int(np.gcd.reduce(areas, axis=None)) // abs(zone[place])


def right_shares(known, asked, among, axes=None) -> dict[str, float]:
    """Return how often whoever reads plane groups without error is right, by level.

    Parameters
    ----------
    known
        Number of crystals of each space group, of which the commonest answer
        to each plane group is known.
    asked
        The same of the crystals that are asked about.
    among
        Space groups.
    axes
        Zone axes, and how likely each is. Those of the protocol `zone` if
        not given.
    """
    zones, weights = axes or zone_axes()
    weights = weights.double()
    weights = (weights / weights.sum()).tolist()
    zones = [tuple(zone) for zone in zones.tolist()]
    shares = {}
    for level in LEVELS:
        votes = defaultdict(lambda: defaultdict(float))
        truth = defaultdict(lambda: defaultdict(float))
        for number in among:
            label = level_of(level, number)
            for zone, weight in zip(zones, weights, strict=True):
                seen = plane_group(number, zone)
                votes[seen][label] += weight * known[number]
                truth[seen][label] += weight * asked[number]
        right = sum(truth[seen][max(v, key=v.get)] for seen, v in votes.items())
        shares[level] = right / sum(asked[number] for number in among)
    return shares


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("structures")
    counts = count_groups(parser.parse_args().structures, ("train", *SPLITS))
    titles = [level.replace("_", " ") for level in LEVELS]
    lines = [
        "# What one zone axis tells by its symmetry",
        "",
        "Written by `python benchmarks/projections.py STRUCTURES`.",
        "",
        "<!-- figures -->",
        "",
        "Whoever reads the plane group of one pattern along a zone axis without",
        "error, and names what is commonest among the training crystals that show it",
        "along such axes, is right for this share (%). Axes: of the protocol `zone`,",
        "with indices up to two; or only a, b and c of the standard setting, one as",
        "likely as the other.",
        "",
        "| split | space groups | axis | " + " | ".join(titles) + " |",
        "| --- | --- | --- |" + " ---: |" * len(LEVELS),
    ]
    groups = {"the paper's 72": PAPER_SPACE_GROUPS, "all": range(1, 231)}
    along = {"`zone`": None, "a, b or c": (torch.eye(3, dtype=int), torch.ones(3))}
    for split, name, axis in itertools.product(SPLITS, groups, along):
        shares = right_shares(counts["train"], counts[split], groups[name], along[axis])
        cells = " | ".join(f"{100 * shares[level]:.1f}" for level in LEVELS)
        lines.append(f"| {split} | {name} | {axis} | {cells} |")
    (HERE / "projections.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
