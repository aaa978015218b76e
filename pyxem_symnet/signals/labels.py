# SPDX-License-Identifier: GPL-3.0-or-later
"""Folders of patterns whose symmetry is known: ``labels.yaml``."""

from __future__ import annotations

import glob
import math
import os
import re
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pyxem_symnet.signals import checks
from pyxem_symnet.signals.calibration import (
    read_beam_energy,
    read_detector,
    read_ellipticity,
    reciprocal_unit,
    wavelength,
)
from pyxem_symnet.signals.io import load_array, load_patterns

LABELS_FILE = "labels.yaml"

#: Kinds of sets: one orientation, many orientations of one crystal, a
#: polycrystal, no crystal
KINDS = ("pattern", "series", "rings", "amorphous")

_REQUIRED = ("name", "files", "pixel_size", "units", "kind")
_OPTIONAL = (
    "beam_energy",
    "centre",
    "ellipticity",
    "mask",
    "rotation_step",
    "space_group",
)
# Words for people
_REMARKS = ("comment", "description", "licence", "note", "phase", "source")


# Folders that HyperSpy reads as one file
_STORES = (".zspy", ".zarr")


class LabelError(ValueError):
    """A folder's labels or files are not as they must be."""


@dataclass(frozen=True)
class Entry:
    """One set of patterns of ``labels.yaml``.

    Parameters
    ----------
    name
        What it is called.
    files
        Files with the patterns, one or more in each.
    pixel_size
        Reciprocal size of a detector pixel in 1/Å, or (x, y).
    kind
        One of :data:`KINDS`, or another word.
    space_group
        True space group, 1 to 230, or None if there is none.
    centre
        Direct beam (x, y) in pixels, or "auto" to find it in each
        pattern.
    beam_energy
        In kV, None if it is not known.
    mask
        File of detector pixels to exclude: those that are not 0.
    rotation_step
        Angle between patterns of a series in degrees; "auto" to find it
        if they are one; None if they are not.
    ellipticity
        Distortion (ratio, angle) to correct; "auto" to measure it, or
        None.
    slug
        The name as part of the name of a file.
    """

    name: str
    files: tuple[Path, ...]
    pixel_size: float | tuple[float, float]
    kind: str
    space_group: int | None = None
    centre: str | tuple[float, float] = "auto"
    beam_energy: float | None = None
    mask: Path | None = None
    rotation_step: float | str | None = None
    ellipticity: str | tuple[float, float] | None = None
    slug: str = ""


@dataclass(frozen=True)
class BrokenEntry:
    """An entry of ``labels.yaml`` that can't be used.

    Parameters
    ----------
    name
        What it is called, or its number if it has no name.
    kind
        What it says it is, or None.
    reason
        Why it can't be used.
    """

    name: str
    kind: str | None
    reason: str


@dataclass(frozen=True)
class LabelledPatterns:
    """An entry and its patterns, which were not computed yet.

    Parameters
    ----------
    entry
        What the labels say.
    signal
        Lazy signal with one navigation axis, over all files.
    mask
        Excluded detector pixels (True), or None.
    """

    entry: Entry
    signal: object
    mask: np.ndarray | None


def read_labels(folder: str | os.PathLike) -> tuple[Entry | BrokenEntry, ...]:
    """Read what ``labels.yaml`` says of the files beside it.

    Parameters
    ----------
    folder
        The folder that ``labels.yaml`` and the files are in.

    Returns
    -------
    entries
        In the file's order. An entry that lacks something, has
        something impossible or names a file that doesn't exist is a
        :class:`BrokenEntry`, which says so; the others can be used.

    Raises
    ------
    LabelError
        If there is no such file, or it is no list of entries.
    """
    import yaml

    folder = Path(folder)
    path = folder / LABELS_FILE
    try:
        described = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise LabelError(
            f"{path} can't be read ({error.strerror}). It has to list the sets of "
            f"patterns in {folder}."
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise LabelError(f"{path} is not YAML: {reason}") from error
    if not isinstance(described, list) or not described:
        raise LabelError(
            f"{path} must be a list of entries, each starting with '- name: ...'."
        )
    return _with_slugs(
        _read_entry(values, number, folder)
        for number, values in enumerate(described, start=1)
    )


def load_entry(entry: Entry) -> LabelledPatterns:
    """Open the files of an entry as one stack of patterns.

    Parameters
    ----------
    entry
        One of those that :func:`read_labels` returned.

    Raises
    ------
    LabelError
        If a file can't be read, holds no patterns, the patterns differ
        in size, or centre, pixel size, beam energy or mask don't fit.
    """
    try:
        signal = _stack(entry.files)
        energy = read_beam_energy(signal, entry.beam_energy)
        read_detector(signal, entry.pixel_size, entry.centre, energy)
        mask = None if entry.mask is None else load_array(entry.mask) != 0
        return LabelledPatterns(entry, signal, checks.signal_mask(mask, signal))
    except (ValueError, TypeError, OSError) as error:
        raise LabelError(str(error)) from error


def _stack(files: Sequence[Path]):
    """Return the patterns of all files in a lazy signal."""
    import dask.array as da
    from pyxem.signals import LazyElectronDiffraction2D

    parts: list[da.Array] = []
    for file in files:
        signal = load_patterns(file)
        if checks.is_vectors(signal):
            raise ValueError(f"{file} holds diffraction vectors, not patterns.")
        shape = tuple(signal.axes_manager._signal_shape_in_array)
        if parts and shape != parts[0].shape[-2:]:
            raise ValueError(
                f"the patterns of {files[0].name} have {_size(parts[0].shape[-2:])} "
                f"pixels, those of {file.name} {_size(shape)}. Make one entry for "
                "each size."
            )
        data = signal.data
        if not isinstance(data, da.Array):
            data = da.from_array(data, chunks=(*("auto",) * (data.ndim - 2), -1, -1))
        parts.append(data.reshape(-1, *shape))
    return LazyElectronDiffraction2D(da.concatenate(parts))


def _size(shape: Sequence[int]) -> str:
    return f"{shape[1]} x {shape[0]}"


def _with_slugs(
    entries: Iterable[Entry | BrokenEntry],
) -> tuple[Entry | BrokenEntry, ...]:
    """Give entries names for files, no two the same."""
    taken: set[str] = set()
    named: list[Entry | BrokenEntry] = []
    for entry in entries:
        if isinstance(entry, Entry):
            stem = slug = re.sub(r"[^\w.-]+", "_", entry.name)
            number = 1
            # Some file systems take A and a for the same
            while slug.lower() in taken:
                number += 1
                slug = f"{stem}_{number}"
            taken.add(slug.lower())
            entry = replace(entry, slug=slug)
        named.append(entry)
    return tuple(named)


def _read_entry(values, number: int, folder: Path) -> Entry | BrokenEntry:
    """Return an entry; its values are whatever somebody typed."""
    if not isinstance(values, dict):
        reason = f"an entry must have keys such as 'name: ...', not be {values!r}."
        return BrokenEntry(f"number {number}", None, reason)
    name, kind = values.get("name"), values.get("kind")
    title = f"number {number}" if name is None else str(name)
    try:
        missing = [key for key in _REQUIRED if values.get(key) is None]
        if missing:
            raise ValueError(f"the key {missing[0]!r} is missing.")
        _tell_oddities(values, title)
        energy, mask = values.get("beam_energy"), values.get("mask")
        energy = None if energy is None else _number(energy, "beam_energy")
        return Entry(
            name=title,
            files=_find_files(values["files"], folder),
            pixel_size=_pixel_size(values["pixel_size"], values["units"], energy),
            kind=str(kind),
            space_group=_space_group(values.get("space_group")),
            centre=_centre(values.get("centre")),
            beam_energy=energy,
            mask=None if mask is None else _find_files(mask, folder)[0],
            rotation_step=_rotation_step(values, kind),
            ellipticity=read_ellipticity(values.get("ellipticity")),
        )
    except ValueError as error:
        return BrokenEntry(title, None if kind is None else str(kind), str(error))


def _tell_oddities(values: dict, title: str) -> None:
    """Warn of what is not used: somebody else's folder may say more."""
    known = (*_REQUIRED, *_OPTIONAL)
    unknown = [key for key in values if key not in (*known, *_REMARKS)]
    if unknown:
        warnings.warn(
            f"Entry {title!r}: the key {str(unknown[0])!r} is not used. The keys are "
            f"{', '.join(known)}.",
            stacklevel=2,
        )
    if values["kind"] not in KINDS:
        warnings.warn(
            f"Entry {title!r}: the kind {values['kind']!r} is none of "
            f"{', '.join(KINDS)}. It is classified all the same.",
            stacklevel=2,
        )


def _find_files(wanted, folder: Path) -> tuple[Path, ...]:
    patterns = wanted if isinstance(wanted, list) else [wanted]
    if not patterns or not all(isinstance(pattern, str) for pattern in patterns):
        raise ValueError(f"files must be a path, a glob or a list, not {wanted!r}.")
    found: list[Path] = []
    for pattern in patterns:
        # A name may have brackets in it that are no glob
        if (folder / pattern).exists():
            names = [pattern]
        else:
            names = sorted(glob.glob(pattern, root_dir=folder, recursive=True))
        here = [path for name in names for path in _in_folder(folder / name)]
        if not here:
            raise ValueError(f"there is no file {pattern!r} in {folder}.")
        found += here
    # The same file may fit two patterns
    return tuple(dict.fromkeys(found))


def _in_folder(path: Path) -> list[Path]:
    """Return a file itself, or the files of a folder, which is a series."""
    if not path.is_dir() or path.suffix.lower() in _STORES:
        return [path]
    return sorted(
        each
        for each in path.iterdir()
        if not each.name.startswith(".")
        and (each.is_file() or each.suffix.lower() in _STORES)
    )


def _pixel_size(value, units, beam_energy: float | None):
    """Return the size in 1/Å, one or (x, y)."""
    factor = reciprocal_unit(units)
    if factor is None and str(units).strip().lower() == "mrad":
        if beam_energy is None:
            raise ValueError("units in mrad need the key 'beam_energy', in kV.")
        factor = 1e-3 / wavelength(beam_energy)
    if factor is None:
        raise ValueError(f"units must be 1/A, 1/nm or mrad, not {units!r}.")
    values = value if isinstance(value, list) else [value]
    sizes = tuple(_number(each, "pixel_size") * factor for each in values)
    if len(sizes) not in (1, 2) or min(sizes) <= 0:
        raise ValueError(
            f"pixel_size must be positive, one number or [x, y], not {value!r}."
        )
    return sizes if len(sizes) == 2 else sizes[0]


def _space_group(value) -> int | None:
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 230:
        raise ValueError(
            f"space_group must be a number from 1 to 230, or null, not {value!r}."
        )
    return value


def _centre(value) -> str | tuple[float, float]:
    if value is None or value == "auto":
        return "auto"
    if not isinstance(value, list) or len(value) != 2:
        raise ValueError(f"centre must be 'auto' or [x, y] in pixels, not {value!r}.")
    return _number(value[0], "centre"), _number(value[1], "centre")


def _rotation_step(values: dict, kind) -> float | str | None:
    """Return the step. Of a series it may be "auto", the default, or null."""
    value = values.get("rotation_step", "auto" if kind == "series" else None)
    return value if value in (None, "auto") else _number(value, "rotation_step")


def _number(value, name: str) -> float:
    # YAML takes 1e-2 for text
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{name} must be a number, not {value!r}.")
    return number
