# SPDX-License-Identifier: GPL-3.0-or-later
"""A small structure table, made of the textbook crystals strained a little."""

import dataclasses

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pyxem_symnet.simulation.structures import Crystal, from_phase, label
from tests.simulation.crystals import CELLS, make_phase


def make_crystals(n_each: int = 3) -> list[Crystal]:
    """Return crystals of all systems with cells of slightly different size."""
    crystals = []
    for system in CELLS:
        crystal = from_phase(make_phase(system))
        for number in range(n_each):
            strained = dataclasses.replace(
                crystal,
                material_id=f"{system}-{number}",
                lattice=crystal.lattice * (1 + 0.03 * number),
            )
            crystals.append(label(strained))
    return crystals


def write_table(path, crystals) -> None:
    """Write crystals as a structure table."""
    rows = [
        {
            "material_id": crystal.material_id,
            "space_group": crystal.space_group,
            "space_group_tight": crystal.space_group_tight,
            "structure_type": crystal.structure_type,
            "lattice": crystal.lattice.astype(np.float32).ravel(),
            "numbers": crystal.numbers.astype(np.uint8),
            "positions": crystal.positions.astype(np.float32).ravel(),
        }
        for crystal in crystals
    ]
    schema = pa.schema(
        [
            ("material_id", pa.string()),
            ("space_group", pa.uint8()),
            ("space_group_tight", pa.uint8()),
            ("structure_type", pa.string()),
            ("lattice", pa.list_(pa.float32(), 9)),
            ("numbers", pa.list_(pa.uint8())),
            ("positions", pa.list_(pa.float32())),
        ]
    )
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path, row_group_size=4)


def write_cif(path, crystal, cell) -> None:
    """Write a crystal as a CIF file that lists all atoms of its cell."""
    lines = ["data_test"]
    lengths = zip(("a", "b", "c"), cell[:3], strict=True)
    lines += [f"_cell_length_{name} {value}" for name, value in lengths]
    angles = zip(("alpha", "beta", "gamma"), cell[3:], strict=True)
    lines += [f"_cell_angle_{name} {value}" for name, value in angles]
    lines += ["loop_", "_space_group_symop_operation_xyz", "'x, y, z'"]
    lines += ["loop_", "_atom_site_label", "_atom_site_type_symbol"]
    lines += [f"_atom_site_fract_{axis}" for axis in "xyz"]
    lines += ["_atom_site_occupancy"]
    symbols = {40: "Zr", 30: "Zn", 22: "Ti", 8: "O"}
    for index, (number, position) in enumerate(
        zip(crystal.numbers, crystal.positions, strict=True)
    ):
        symbol = symbols[int(number)]
        x, y, z = position
        lines.append(f"{symbol}{index} {symbol} {x:.6f} {y:.6f} {z:.6f} 1.0")
    path.write_text("\n".join(lines) + "\n")
