# SPDX-License-Identifier: GPL-3.0-or-later
"""Small folders of labelled patterns."""

import numpy as np
import tifffile
import yaml

from pyxem_symnet.simulation import example_phases, make_scan

PIXEL_SIZE = 0.03


def patterns(phase, shape, seed=0):
    """Return a signal of simulated patterns in one orientation each."""
    scan = make_scan(
        [example_phases()[phase]],
        shape,
        grains=int(np.prod(shape)),
        detector=(64, 56),
        pixel_size=PIXEL_SIZE,
        seed=seed,
    )
    return scan.signal


def entry(name, files, **changes):
    """Return what labels.yaml says of a set; "leave out" takes a key away."""
    values = {
        "name": name,
        "files": files,
        "pixel_size": PIXEL_SIZE,
        "units": "1/A",
        "beam_energy": 200,
        "centre": "auto",
        "space_group": 136,
        "kind": "series",
    } | changes
    return {key: value for key, value in values.items() if value != "leave out"}


def write_labels(folder, *entries):
    (folder / "labels.yaml").write_text(yaml.safe_dump(list(entries)))


def write_folder(folder):
    """Write one set of each kind, in files of several formats."""
    folder.mkdir(parents=True, exist_ok=True)
    rutile = patterns("rutile", (2, 2))
    rutile.save(folder / "stack.hspy")
    (folder / "frames").mkdir()
    for number, image in enumerate(rutile.data.reshape(-1, 64, 56)):
        tifffile.imwrite(folder / "frames" / f"{number:03}.tif", image)
    one = patterns("molybdite", (1, 1), seed=1).data[0, 0]
    tifffile.imwrite(folder / "one.tif", one)
    empty = np.random.default_rng(0).poisson(20, (64, 56)).astype(np.uint16)
    tifffile.imwrite(folder / "film.tif", empty)
    mask = np.zeros((64, 56), np.uint8)
    mask[:3] = 1
    np.save(folder / "mask.npy", mask)
    write_labels(
        folder,
        entry("stack of rutile", "stack.hspy"),
        entry("frames", "frames/*.tif", pixel_size=10 * PIXEL_SIZE, units="1/nm"),
        entry(
            "one",
            "one.tif",
            space_group=62,
            kind="pattern",
            centre=[27.5, 31.5],
            mask="mask.npy",
        ),
        entry("film", ["film.tif"], space_group=None, kind="amorphous"),
    )
    return folder
