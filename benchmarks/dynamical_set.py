# SPDX-License-Identifier: GPL-3.0-or-later
"""Simulate dynamical patterns of test crystals with Bloch waves (abTEM).

    python benchmarks/dynamical_set.py STRUCTURES SET.parquet [--crystals N]
        [--views N] [--max-volume A3] [--precession DEGREES] [--azimuths N] [--seed N]

STRUCTURES is the structure table, SET.parquet the file to write: a row a
crystal of the test split, with every beam of every view. What `dynamical.py`
reads. Needs ``pip install "pyxem-symnet[dynamical]"``. A run that was killed
goes on where it stopped.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from scipy.spatial.transform import Rotation

from pyxem_symnet.simulation.rotations import random_rotations
from pyxem_symnet.simulation.structures import Crystal, read_table
from pyxem_symnet.training.splits import name_fraction, split_of

#: Crystals simulated between two writings of the file
_WRITE_EVERY = 5

#: Beams weaker than this fraction of the strongest diffracted one, kinematically
#: and at every thickness, are not written
_CUT = 1e-6

#: abTEM's beam travels along +z; in the package's patterns the Ewald sphere lies
#: at positive z. Half a turn about x, and y counted backwards, bring both together.
_HALF_TURN = np.diag([1.0, -1.0, -1.0])

_METADATA = b"pyxem-symnet dynamical set"


@dataclasses.dataclass(frozen=True)
class SetSettings:
    """Settings of a set.

    Lengths in Å, reciprocal lengths in 1/Å, energies in kV.
    `thermal_sigma` is the root mean square displacement of every atom
    along one direction, 0.08 Å for a Debye-Waller factor B of 0.5 Å².
    A precessed beam is at the angle `precession_angle` in degrees, at
    `n_azimuths` azimuths in turn, whose intensities are averaged.
    """

    n_crystals: int = 400
    n_views: int = 16
    thicknesses: tuple[float, ...] = (50.0, 100.0, 200.0, 500.0, 1000.0)
    beam_energy: float = 200.0
    reciprocal_radius: float = 1.28
    max_excitation_error: float = 0.1
    thermal_sigma: float = 0.08
    max_volume: float = 600.0
    precession_angle: float = 0.0
    n_azimuths: int = 1
    seed: int = 0


@dataclasses.dataclass(frozen=True)
class Beams:
    """Diffracted beams of one crystal in several views.

    Parameters
    ----------
    first
        Where the beams of each view begin, of shape (views + 1,).
    positions
        Positions in the package's frame in 1/Å, of shape (beams, 2).
    excitation_error
        Distances from the Ewald sphere in 1/Å at every azimuth of the
        beam, of shape (azimuths, beams).
    structure_factor
        Squared structure-factor moduli, thermal vibration included, in
        any unit, of shape (beams,).
    intensity
        Fractions of the incident beam of shape (thicknesses, beams).
    direct
        Fractions left in the direct beam of shape (thicknesses, views).
    """

    first: np.ndarray
    positions: np.ndarray
    excitation_error: np.ndarray
    structure_factor: np.ndarray
    intensity: np.ndarray
    direct: np.ndarray


def choose_crystals(structures: Path, settings: SetSettings) -> list[Crystal]:
    """Return crystals of the test split, the first in the order of a hash."""
    chosen = [
        crystal
        for crystal in read_table(structures)
        if split_of(crystal.material_id, crystal.structure_type) == "test"
        and np.linalg.det(crystal.lattice) <= settings.max_volume
    ]
    chosen.sort(key=lambda c: name_fraction(f"{settings.seed}:{c.material_id}"))
    return chosen[: settings.n_crystals]


def views_of(crystal: Crystal, settings: SetSettings) -> np.ndarray:
    """Return a crystal's random orientations, which follow from its name."""
    fraction = name_fraction(f"{settings.seed}:random:{crystal.material_id}")
    generator = torch.Generator().manual_seed(int(fraction * 2**62))
    return random_rotations(settings.n_views, generator).double().numpy()


def simulate(crystal: Crystal, rotations: np.ndarray, settings: SetSettings) -> Beams:
    """Return the beams of a crystal.

    Parameters
    ----------
    crystal
        Crystal.
    rotations
        Crystal-to-laboratory matrices of shape (views, 3, 3).
    settings
        Settings.
    """
    from abtem.bloch import BlochWaves, StructureFactor
    from abtem.bloch.utils import cell_bounds, excitation_errors
    from ase import Atoms

    atoms = Atoms(
        numbers=crystal.numbers,
        cell=crystal.lattice,
        scaled_positions=crystal.positions,
        pbc=True,
    )
    # abTEM counts indices up to g_max times the extent of the cell along x, y and z,
    # which misses some where a, b or c is longer than that
    edges = np.linalg.norm(crystal.lattice, axis=1)
    margin = max(1.0, float((edges / cell_bounds(crystal.lattice)).max()))
    structure_factor = StructureFactor(
        atoms,
        g_max=2 * margin * settings.reciprocal_radius,
        parametrization="lobato",
        thermal_sigma=settings.thermal_sigma,
        centering="P",
    ).build(lazy=False)
    moduli = np.abs(structure_factor.array) ** 2
    is_direct = (structure_factor.hkl == 0).all(1)
    views, direct = [], []
    for rotation in rotations:
        g = structure_factor.g_vec @ (_HALF_TURN @ rotation).T
        intensity = np.zeros((len(settings.thicknesses), len(moduli)))
        errors = []
        for tilt in _tilts(settings):
            waves = BlochWaves(
                structure_factor,
                energy=settings.beam_energy * 1e3,
                sg_max=settings.max_excitation_error,
                g_max=settings.reciprocal_radius,
                orientation_matrix=tilt @ _HALF_TURN @ rotation,
                centering="P",
            )
            patterns = waves.calculate_diffraction_patterns(
                settings.thicknesses, lazy=False
            )
            intensity[:, waves.hkl_mask] += patterns.array / settings.n_azimuths
            errors.append(excitation_errors(g @ tilt.T, settings.beam_energy * 1e3))
        direct.append(intensity[:, is_direct][:, 0])
        beams = np.flatnonzero(intensity.any(0) & ~is_direct)
        relative = np.vstack([moduli, intensity])[:, beams]
        relative = relative / relative.max(1, keepdims=True)
        beams = beams[(relative > _CUT).any(0)]
        views.append(
            (
                g[beams, :2] * [1, -1],
                np.stack(errors)[:, beams],
                moduli[beams],
                intensity[:, beams],
            )
        )
    counts = [len(view[0]) for view in views]
    positions, errors, strengths, intensities = zip(*views, strict=True)
    return Beams(
        first=np.concatenate([[0], np.cumsum(counts)]),
        positions=np.concatenate(positions).astype(np.float32),
        excitation_error=np.concatenate(errors, axis=1).astype(np.float32),
        structure_factor=np.concatenate(strengths).astype(np.float32),
        intensity=np.concatenate(intensities, axis=1).astype(np.float32),
        direct=np.stack(direct, axis=1).astype(np.float32),
    )


def _tilts(settings: SetSettings) -> np.ndarray:
    """Return what turns the crystal under the beam at each azimuth."""
    azimuth = 2 * np.pi * np.arange(settings.n_azimuths) / settings.n_azimuths
    axis = np.stack([np.cos(azimuth), np.sin(azimuth), np.zeros_like(azimuth)], -1)
    angle = np.radians(settings.precession_angle)
    return Rotation.from_rotvec(angle * axis).as_matrix()


def write_set(structures: Path, path: Path, settings: SetSettings) -> None:
    """Simulate a set, going on with what the file holds already."""
    table = _schema(settings).empty_table()
    if path.exists():
        if read_settings(path) != settings:
            raise SystemExit(f"{path} holds a set of other settings. Remove it.")
        table = pq.read_table(path)
    done = set(table["material_id"].to_pylist())
    crystals = choose_crystals(structures, settings)
    todo = [crystal for crystal in crystals if crystal.material_id not in done]
    print(f"{len(done)} of {len(crystals)} crystals are there", flush=True)
    for start in range(0, len(todo), _WRITE_EVERY):
        rows = [_row(crystal, settings) for crystal in todo[start:][:_WRITE_EVERY]]
        new = pa.Table.from_pylist(rows, schema=table.schema)
        table = pa.concat_tables([table, new])
        temporary = path.with_suffix(f".{os.getpid()}.tmp")
        pq.write_table(table, temporary, compression="zstd")
        os.replace(temporary, path)
        print(f"{len(table)} of {len(crystals)}", flush=True)


def _row(crystal: Crystal, settings: SetSettings) -> dict:
    beams = simulate(crystal, views_of(crystal, settings), settings)
    return {
        "material_id": crystal.material_id,
        "space_group": crystal.space_group,
        "space_group_tight": crystal.space_group_tight,
        "volume": float(np.linalg.det(crystal.lattice)),
        **{name: value.ravel() for name, value in dataclasses.asdict(beams).items()},
    }


def _schema(settings: SetSettings) -> pa.Schema:
    names = [field.name for field in dataclasses.fields(Beams)]
    return pa.schema(
        [
            ("material_id", pa.string()),
            ("space_group", pa.uint8()),
            ("space_group_tight", pa.uint8()),
            ("volume", pa.float64()),
            ("first", pa.list_(pa.int32())),
            *((name, pa.list_(pa.float32())) for name in names if name != "first"),
        ],
        metadata={_METADATA: json.dumps(dataclasses.asdict(settings)).encode()},
    )


def read_settings(path: Path) -> SetSettings:
    """Return the settings a set was simulated with."""
    metadata = pq.read_schema(path).metadata or {}
    if _METADATA not in metadata:
        raise SystemExit(f"{path} was not written by dynamical_set.py.")
    settings = json.loads(metadata[_METADATA])
    settings["thicknesses"] = tuple(settings["thicknesses"])
    return SetSettings(**settings)


def read_set(path: Path) -> Iterator[tuple[dict, Beams]]:
    """Yield the labels and the beams of each crystal of a set."""
    settings = read_settings(path)
    for batch in pq.ParquetFile(path).iter_batches(16):
        columns = {name: batch.column(name) for name in batch.schema.names}
        for index in range(batch.num_rows):
            labels, arrays = {}, {}
            for name, column in columns.items():
                if pa.types.is_list(column.type):
                    arrays[name] = column[index].values.to_numpy().copy()
                else:
                    labels[name] = column[index].as_py()
            arrays["positions"] = arrays["positions"].reshape(-1, 2)
            n_thicknesses = len(settings.thicknesses)
            for name in ("intensity", "direct"):
                arrays[name] = arrays[name].reshape(n_thicknesses, -1)
            errors = arrays["excitation_error"]
            arrays["excitation_error"] = errors.reshape(settings.n_azimuths, -1)
            yield labels, Beams(**arrays)


def main() -> None:
    """Simulate a set."""
    default = SetSettings()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("structures", type=Path)
    parser.add_argument("set", type=Path)
    parser.add_argument("--crystals", type=int, default=default.n_crystals)
    parser.add_argument("--views", type=int, default=default.n_views)
    parser.add_argument("--max-volume", type=float, default=default.max_volume)
    parser.add_argument("--precession", type=float, default=default.precession_angle)
    parser.add_argument("--azimuths", type=int, default=default.n_azimuths)
    parser.add_argument("--seed", type=int, default=default.seed)
    options = parser.parse_args()
    settings = SetSettings(
        n_crystals=options.crystals,
        n_views=options.views,
        max_volume=options.max_volume,
        precession_angle=options.precession,
        n_azimuths=options.azimuths,
        seed=options.seed,
    )
    write_set(options.structures, options.set, settings)


if __name__ == "__main__":
    main()
