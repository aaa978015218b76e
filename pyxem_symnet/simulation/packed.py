# SPDX-License-Identifier: GPL-3.0-or-later
"""Reflections of many crystals in memory, ready to sample from."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from pyxem_symnet.simulation.sampler import Reflections
from pyxem_symnet.simulation.store import LABELS, StoreError, read_manifest


class NoCrystalsError(StoreError):
    """A store or table holds none of the crystals asked for."""


@dataclasses.dataclass(frozen=True)
class PackedReflections:
    """Reflections of many crystals in a few flat arrays.

    Parameters
    ----------
    material_id, structure_type
        Labels, of shape (crystals,).
    space_group, space_group_tight
        Space-group numbers found with the loose (the label) and the
        tight tolerance, of shape (crystals,).
    reciprocal_basis
        Reciprocal lattice vectors as rows in 1/Å, of shape
        (crystals, 3, 3).
    conventional_lattice
        Vectors of the conventional cells as rows in Å, of shape
        (crystals, 3, 3).
    first
        Where the reflections of each crystal begin, of shape
        (crystals + 1,).
    hkl
        Miller indices of shape (reflections, 3), one of each Friedel
        pair.
    intensity
        Squared structure-factor moduli of shape (reflections,).
    settings
        Settings of the store they were read from.
    """

    material_id: np.ndarray
    structure_type: np.ndarray
    space_group: np.ndarray
    space_group_tight: np.ndarray
    reciprocal_basis: np.ndarray
    conventional_lattice: np.ndarray
    first: np.ndarray
    hkl: np.ndarray
    intensity: np.ndarray
    settings: dict

    def __len__(self) -> int:
        return len(self.space_group)

    def __getitem__(self, index: int) -> Reflections:
        """Return all reflections of a crystal."""
        part = slice(self.first[index], self.first[index + 1])
        basis = torch.from_numpy(self.reciprocal_basis[index].astype(np.float32))
        g = torch.from_numpy(self.hkl[part].astype(np.float32)) @ basis
        return Reflections.from_half(g, torch.from_numpy(self.intensity[part]))

    def take(self, index: np.ndarray) -> PackedReflections:
        """Return some of the crystals, in the given order.

        Parameters
        ----------
        index
            Indices of crystals.
        """
        index = np.asarray(index, dtype=np.int64)
        counts = np.diff(self.first)[index]
        first = np.concatenate([[0], counts.cumsum()])
        place = np.arange(first[-1]) + np.repeat(self.first[index] - first[:-1], counts)
        labels = (*LABELS, "reciprocal_basis", "conventional_lattice")
        return dataclasses.replace(
            self,
            **{name: getattr(self, name)[index] for name in labels},
            first=first,
            hkl=self.hkl[place],
            intensity=self.intensity[place],
        )

    @classmethod
    def from_store(
        cls,
        path: str | Path,
        select: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None,
    ) -> PackedReflections:
        """Read a reflection store, leaving out the crystals that failed.

        Parameters
        ----------
        path
            Folder of the store.
        select
            Function of the names and the structure types that returns the
            indices of the crystals to keep, in order. All if not given.

        Raises
        ------
        StoreError
            If the folder holds no store or an unfinished one, or, as a
            NoCrystalsError, none of the crystals to keep.
        """
        import pyarrow.parquet as pq

        path = Path(path)
        manifest = read_manifest(path)
        parts = sorted(path.glob("part-*.parquet"))
        n_parts = -(
            -manifest["n_crystals"] // manifest["settings"]["crystals_per_part"]
        )
        if len(parts) != n_parts:
            raise StoreError(
                f"{path} is unfinished: {len(parts)} of {n_parts} parts are there. "
                "Run `pyxem-symnet simulate` again to go on."
            )
        pieces = []
        for part in parts:
            table = pq.read_table(part)
            table = table.filter(table["failure"].is_null())
            if select is not None:
                names = table["material_id"].to_numpy()
                table = table.take(select(names, table["structure_type"].to_numpy()))
            if table.num_rows:
                pieces.append(_columns(table))
        if not pieces:
            raise NoCrystalsError(f"{path} holds none of the crystals asked for.")
        return cls._join(pieces, manifest["settings"])

    @classmethod
    def from_rows(
        cls, rows: Sequence[dict[str, object]], settings: dict
    ) -> PackedReflections:
        """Return reflections that were computed just now.

        Parameters
        ----------
        rows
            A mapping a crystal, of the store's columns.
        settings
            Settings they were computed with.
        """
        pieces = [
            {
                **{name: np.array([row[name]]) for name in LABELS},
                "reciprocal_basis": np.reshape(row["reciprocal_basis"], (1, 3, 3)),
                "conventional_lattice": np.reshape(
                    row["conventional_lattice"], (1, 3, 3)
                ),
                "counts": np.array([len(row["intensity"])]),
                "hkl": np.reshape(row["hkl"], (-1, 3)),
                "intensity": np.asarray(row["intensity"], dtype=np.float32),
            }
            for row in rows
        ]
        return cls._join(pieces, settings)

    @classmethod
    def _join(
        cls, pieces: Sequence[dict[str, np.ndarray]], settings: dict
    ) -> PackedReflections:
        joined = {
            name: np.concatenate([piece[name] for piece in pieces])
            for name in pieces[0]
        }
        counts = joined.pop("counts")
        first = np.concatenate([[0], counts.cumsum()])
        return cls(first=first, settings=settings, **joined)


def _columns(table) -> dict[str, np.ndarray]:
    columns = {
        name: table[name].combine_chunks().to_numpy(zero_copy_only=False)
        for name in LABELS
    }
    intensity = table["intensity"].combine_chunks()
    columns["counts"] = intensity.value_lengths().to_numpy()
    columns["intensity"] = intensity.flatten().to_numpy()
    columns["hkl"] = table["hkl"].combine_chunks().flatten().to_numpy().reshape(-1, 3)
    for name in ("reciprocal_basis", "conventional_lattice"):
        flat = table[name].combine_chunks().flatten().to_numpy()
        columns[name] = flat.reshape(-1, 3, 3)
    return columns
