# SPDX-License-Identifier: GPL-3.0-or-later
"""Folders of patterns whose symmetry is known: ``labels.yaml``."""

from __future__ import annotations

import glob
import math
import os
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pyxem_symnet.signals import checks
from pyxem_symnet.signals.calibration import (
    read_beam_energy,
    read_detector,
    reciprocal_unit,
)
from pyxem_symnet.signals.io import load_array, load_patterns

LABELS_FILE = "labels.yaml"

#: Kinds of sets: one orientation, many orientations of one crystal, a
#: polycrystal, no crystal
KINDS = ("pattern", "series", "rings", "amorphous")

_REQUIRED = ("name", "files", "pixel_size", "units", "space_group", "kind")
_OPTIONAL = ("beam_energy", "centre", "mask")
# Words for people
_REMARKS = ("comment", "description", "licence", "note", "phase", "source")


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
        Reciprocal size of a detector pixel in 1/Å.
    kind
        One of :data:`KINDS`.
    space_group
        True space group, 1 to 230, or None if there is none.
    centre
        Direct beam (x, y) in pixels, or "auto" to find it in each
        pattern.
    beam_energy
        In kV, None if it is not known.
    mask
        File of detector pixels to exclude: those that are not 0.
    """

    name: str
    files: tuple[Path, ...]
    pixel_size: float
    kind: str
    space_group: int | None = None
    centre: str | tuple[float, float] = "auto"
    beam_energy: float | None = None
    mask: Path | None = None

    @property
    def slug(self) -> str:
        """The name as part of the name of a file."""
        return re.sub(r"[^\w.-]+", "_", self.name)


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


def read_labels(folder: str | os.PathLike) -> tuple[Entry, ...]:
    """Read what ``labels.yaml`` says of the files beside it.

    Parameters
    ----------
    folder
        The folder that ``labels.yaml`` and the files are in.

    Returns
    -------
    entries
        In the file's order. All their files exist.

    Raises
    ------
    LabelError
        If there is no such file, it is no list of entries, or an entry
        lacks something, has something impossible, or names a
        file that doesn't exist.
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
    entries = tuple(
        _read_entry(values, number, folder)
        for number, values in enumerate(described, start=1)
    )
    seen: dict[str, str] = {}
    for entry in entries:
        if entry.slug in seen:
            raise LabelError(
                f"{path}: the names {seen[entry.slug]!r} and {entry.name!r} are the "
                "same, or would be as names of files. Choose others."
            )
        seen[entry.slug] = entry.name
    return entries


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
        raise LabelError(f"Entry {entry.name!r}: {error}") from error


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


def _read_entry(values, number: int, folder: Path) -> Entry:
    """Return an entry; its values are whatever somebody typed."""
    if not isinstance(values, dict):
        raise LabelError(
            f"Entry number {number} of {LABELS_FILE} must have keys such as 'name: "
            f"...', not be {values!r}."
        )
    name = values.get("name")
    title = f"Entry number {number}" if name is None else f"Entry {str(name)!r}"
    try:
        known = (*_REQUIRED, *_OPTIONAL)
        unknown = [key for key in values if key not in (*known, *_REMARKS)]
        if unknown:
            # Somebody else's folder may say more than is of use here
            warnings.warn(
                f"{title}: the key {str(unknown[0])!r} is not used. The keys are "
                f"{', '.join(known)}.",
                stacklevel=2,
            )
        missing = [key for key in _REQUIRED if key not in values]
        if missing:
            advice = " (null for none)" if missing[0] == "space_group" else ""
            raise ValueError(f"the key {missing[0]!r} is missing{advice}.")
        if values["kind"] not in KINDS:
            raise ValueError(
                f"kind must be one of {', '.join(KINDS)}, not {values['kind']!r}."
            )
        energy = values.get("beam_energy")
        mask = values.get("mask")
        return Entry(
            name=str(name),
            files=_find_files(values["files"], folder),
            pixel_size=_pixel_size(values["pixel_size"], values["units"]),
            kind=values["kind"],
            space_group=_space_group(values["space_group"]),
            centre=_centre(values.get("centre")),
            beam_energy=None if energy is None else _number(energy, "beam_energy"),
            mask=None if mask is None else _find_files(mask, folder)[0],
        )
    except ValueError as error:
        raise LabelError(f"{title}: {error}") from error


def _find_files(wanted, folder: Path) -> tuple[Path, ...]:
    patterns = wanted if isinstance(wanted, list) else [wanted]
    if not patterns or not all(isinstance(pattern, str) for pattern in patterns):
        raise ValueError(f"files must be a path, a glob or a list, not {wanted!r}.")
    found: list[Path] = []
    for pattern in patterns:
        # A name may have brackets in it that are no glob
        if (folder / pattern).exists():
            found.append(folder / pattern)
            continue
        names = sorted(glob.glob(pattern, root_dir=folder, recursive=True))
        if not names:
            raise ValueError(f"there is no file {pattern!r} in {folder}.")
        found += [folder / name for name in names]
    return tuple(found)


def _pixel_size(value, units) -> float:
    factor = reciprocal_unit(units)
    if factor is None:
        raise ValueError(f"units must be 1/A or 1/nm, not {units!r}.")
    size = _number(value, "pixel_size") * factor
    if size <= 0:
        raise ValueError(f"pixel_size must be positive, not {value!r}.")
    return size


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


def _number(value, name: str) -> float:
    # YAML takes 1e-2 for text
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{name} must be a number, not {value!r}.")
    return number
