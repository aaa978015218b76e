# SPDX-License-Identifier: GPL-3.0-or-later
"""Reflection store: the reflections of many crystals on disk.

A store is a folder:

``manifest.json``
    Format version, settings, number of crystals and a fingerprint of the
    source.
``part-00000.parquet``, ...
    A fixed number of crystals each, in the order of the source. A row is a
    crystal: its labels, ``reciprocal_basis`` and ``conventional_lattice``
    (row-major 3 x 3), ``hkl`` (flat, 3 a reflection, one of each Friedel
    pair), ``intensity`` (squared structure-factor moduli), and ``failure``
    (why it has no reflections, else null).
``failures.csv``
    The crystals that failed with their reasons, written last.

Parts are computed independently of each other and written under a temporary
name first, so the store is the same whatever the number of workers, and an
interrupted run goes on where it stopped.
"""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import json
import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import numpy as np

from pyxem_symnet.simulation.structures import (
    Crystal,
    StructureError,
    count_table,
    read_cif,
    read_table_rows,
)

FORMAT = "pyxem-symnet reflection store"
FORMAT_VERSION = 1

#: Label columns copied from the source
LABELS = ("material_id", "space_group", "space_group_tight", "structure_type")


class StoreError(ValueError):
    """A reflection store cannot be written or read."""


@dataclasses.dataclass(frozen=True)
class StoreSettings:
    """Settings of a reflection store.

    Parameters
    ----------
    reciprocal_radius
        Largest :math:`|g|` in 1/Å.
    intensity_cut
        Reflections weaker than this fraction of the crystal's strongest
        are left out.
    standardise
        Whether crystals are turned to the conventional setting.
    scattering_params
        ``"lobato"`` or ``"xtables"``.
    crystals_per_part
        Number of crystals in a part.
    """

    reciprocal_radius: float = 1.3
    intensity_cut: float = 1e-5
    standardise: bool = True
    scattering_params: str = "lobato"
    crystals_per_part: int = 1024

    def __post_init__(self) -> None:
        if not 0.1 <= self.reciprocal_radius <= 5:
            raise StoreError(
                "reciprocal_radius must lie between 0.1 and 5 1/Å, not "
                f"{self.reciprocal_radius}."
            )
        if not 0 <= self.intensity_cut < 1:
            raise StoreError(
                "intensity_cut must be at least 0 and below 1, not "
                f"{self.intensity_cut}."
            )
        if self.crystals_per_part < 1:
            raise StoreError("crystals_per_part must be at least 1.")


def write_store(
    source: str | Path,
    store: str | Path,
    settings: StoreSettings | None = None,
    *,
    n_workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, int]:
    """Compute the reflections of a structure table or folder of CIFs.

    Parts that are there already are kept, so a run that was killed is
    resumed by calling this again.

    Parameters
    ----------
    source
        Parquet structure table, CIF file, or folder of CIF files.
    store
        Folder to write.
    settings
        Settings. The defaults if not given.
    n_workers
        Number of processes.
    progress
        Called with the number of crystals done and their total.

    Returns
    -------
    summary
        Number of ``crystals`` and ``failures``.

    Raises
    ------
    StoreError
        If the folder holds something else, or a store of other settings
        or of another source.
    """
    source, store = Path(source), Path(store)
    settings = settings or StoreSettings()
    n_crystals = _count(source)
    if n_crystals == 0:
        raise StoreError(f"{source} holds no structures.")
    manifest = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "settings": dataclasses.asdict(settings),
        "n_crystals": n_crystals,
        "source": _fingerprint(source),
    }
    _begin(store, manifest)
    size = settings.crystals_per_part
    starts = range(0, n_crystals, size)
    todo = [start for start in starts if not _part(store, start // size).exists()]
    done = n_crystals - sum(min(size, n_crystals - start) for start in todo)
    report = progress or (lambda done, total: None)
    report(done, n_crystals)
    for start in _run(source, store, settings, todo, n_workers):
        done += min(size, n_crystals - start)
        report(done, n_crystals)
    for leftover in store.glob("*.tmp"):
        # Of runs that were killed while writing
        leftover.unlink()
    return {"crystals": n_crystals, "failures": _write_failures(store)}


def _run(
    source: Path,
    store: Path,
    settings: StoreSettings,
    starts: list[int],
    n_workers: int,
) -> Iterator[int]:
    if n_workers <= 1:
        for start in starts:
            yield _write_part(source, store, settings, start)
        return
    # Spawned, not forked: the parent may hold torch's and BLAS's threads
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(n_workers, mp_context=context) as pool:
        futures = [
            pool.submit(_write_part, source, store, settings, start) for start in starts
        ]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _write_part(source: Path, store: Path, settings: StoreSettings, start: int) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq
    from threadpoolctl import threadpool_limits

    # spglib's C code reports each tolerance it gives up on the way to an answer
    os.environ.setdefault("SPGLIB_WARNING", "OFF")
    rows = []
    # Sums in another order differ in the last bit: one thread always
    with threadpool_limits(1):
        for labels, make in _read(source, start, start + settings.crystals_per_part):
            rows.append(compute_row(labels, make, settings))
    table = pa.Table.from_pylist(rows, schema=_schema())
    path = _part(store, start // settings.crystals_per_part)
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    pq.write_table(
        table,
        temporary,
        compression="zstd",
        use_dictionary=False,
        use_byte_stream_split=["hkl.list.element", "intensity.list.element"],
    )
    os.replace(temporary, path)
    return start


def compute_row(
    labels: dict, make: Callable[[], Crystal], settings: StoreSettings
) -> dict[str, object]:
    """Return a crystal's row of the store, or why it has no reflections.

    Parameters
    ----------
    labels
        Labels to fall back on if there is no crystal.
    make
        Returns the crystal, or raises a StructureError.
    settings
        Settings.
    """
    from pyxem_symnet.simulation.reflections import compute_reflections

    try:
        crystal = make()
        labels = {name: getattr(crystal, name) for name in LABELS}
        reflections = compute_reflections(
            crystal,
            settings.reciprocal_radius,
            settings.intensity_cut,
            standardise=settings.standardise,
            scattering_params=settings.scattering_params,
        )
        if len(reflections.hkl) == 0:
            raise StructureError("It has no reflection within the radius.")
    except StructureError as error:
        return {**labels, "failure": str(error)}
    return {
        **labels,
        "reciprocal_basis": reflections.reciprocal_basis.ravel(),
        "conventional_lattice": reflections.conventional_lattice.ravel(),
        "hkl": reflections.hkl.ravel(),
        "intensity": reflections.intensity.astype(np.float32),
        "failure": None,
    }


def _schema():
    import pyarrow as pa

    return pa.schema(
        [
            ("material_id", pa.string()),
            ("space_group", pa.uint8()),
            ("space_group_tight", pa.uint8()),
            ("structure_type", pa.string()),
            ("reciprocal_basis", pa.list_(pa.float64())),
            ("conventional_lattice", pa.list_(pa.float64())),
            ("hkl", pa.list_(pa.int16())),
            ("intensity", pa.list_(pa.float32())),
            ("failure", pa.string()),
        ]
    )


def _cif_paths(source: Path) -> list[Path]:
    return sorted(source.rglob("*.cif")) if source.is_dir() else [source]


def _is_table(source: Path) -> bool:
    return source.is_file() and source.suffix.lower() != ".cif"


def _count(source: Path) -> int:
    return count_table(source) if _is_table(source) else len(_cif_paths(source))


def _read(
    source: Path, start: int, stop: int
) -> Iterator[tuple[dict, Callable[[], Crystal]]]:
    """Yield the labels of crystals and what makes each, which may fail."""
    if _is_table(source):
        for row in read_table_rows(source, start, stop):
            labels = {name: row[name] for name in LABELS}
            yield labels, lambda row=row: Crystal(**row)
    else:
        for path in _cif_paths(source)[start:stop]:
            labels = {"material_id": path.stem, "structure_type": ""}
            yield labels, lambda path=path: read_cif(path)


def _fingerprint(source: Path) -> str:
    """Return a hash of the source's content."""
    digest = hashlib.sha256()
    for path in [source] if _is_table(source) else _cif_paths(source):
        with open(path, "rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return f"sha256:{digest.hexdigest()}"


def _part(store: Path, number: int) -> Path:
    return store / f"part-{number:05d}.parquet"


def _begin(store: Path, manifest: dict) -> None:
    path = store / "manifest.json"
    if path.exists():
        if (existing := read_manifest(store)) != manifest:
            differing = [key for key in manifest if existing.get(key) != manifest[key]]
            raise StoreError(
                f"{store} holds a store that differs in: {', '.join(differing)}. "
                "Choose another folder, or remove that one."
            )
        return
    if store.exists() and any(store.iterdir()):
        raise StoreError(
            f"{store} is not empty and holds no store. Choose another folder."
        )
    store.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    os.replace(temporary, path)


def read_manifest(store: Path) -> dict:
    """Return the manifest of a store.

    Parameters
    ----------
    store
        Folder.

    Raises
    ------
    StoreError
        If the folder holds no store, or one of another format version.
    """
    try:
        manifest = json.loads((store / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise StoreError(
            f"{store} holds no reflection store ({error}). Write one with "
            "`pyxem-symnet simulate`."
        ) from error
    if manifest.get("format") != FORMAT:
        raise StoreError(f"{store} holds no reflection store.")
    if manifest.get("format_version") != FORMAT_VERSION:
        raise StoreError(
            f"{store} is of format version {manifest.get('format_version')}; this "
            f"package reads version {FORMAT_VERSION}. Write it again with "
            "`pyxem-symnet simulate`."
        )
    return manifest


def _write_failures(store: Path) -> int:
    import pyarrow.parquet as pq

    temporary = store / "failures.tmp"
    n_failures = 0
    with open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["material_id", "failure"])
        for path in sorted(store.glob("part-*.parquet")):
            rows = pq.read_table(path, columns=["material_id", "failure"])
            for row in rows.to_pylist():
                if row["failure"] is not None:
                    writer.writerow([row["material_id"], row["failure"]])
                    n_failures += 1
    os.replace(temporary, store / "failures.csv")
    return n_failures
