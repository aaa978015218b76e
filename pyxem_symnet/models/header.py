# SPDX-License-Identifier: GPL-3.0-or-later
"""What a checkpoint file says about itself, read without its weights.

A checkpoint is one safetensors file. Its text metadata hold what is
needed to build the model and to judge it:

==================  ====================================================
``format``          ``pyxem_symnet.checkpoint``
``format_version``  integer, :data:`FORMAT_VERSION`
``architecture``    name in :data:`~.checkpoint.ARCHITECTURES`
``settings``        JSON, keywords of the architecture, preprocessing
                    included
``classes``         JSON, space-group numbers in the order of the logits
``calibration``     JSON, table of temperatures over numbers of views
``record``          JSON, how the model was trained and what it reaches
``sha256``          digest of names, types, shapes and bytes of the
                    tensors
==================  ====================================================
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

FORMAT = "pyxem_symnet.checkpoint"
FORMAT_VERSION = 1

# safetensors' own limit
_LONGEST_HEADER = 100_000_000
_JSON_FIELDS = {"settings": dict, "classes": list, "calibration": dict, "record": dict}


class CheckpointError(ValueError):
    """A file is no checkpoint that this version can read."""


@dataclass(frozen=True)
class Header:
    """Metadata of a checkpoint.

    Parameters
    ----------
    architecture
        Name of the network.
    settings
        Its keywords, beside the classes.
    classes
        Space-group numbers in the order of the logits.
    calibration
        Numbers of views and their temperatures.
    record
        Training record: data, split, protocol, figures, date, seed,
        hardware, limits.
    sha256
        Digest of the tensors.
    shapes
        Shape of each tensor by name.
    """

    architecture: str
    settings: dict
    classes: tuple[int, ...]
    calibration: dict
    record: dict
    sha256: str
    shapes: dict[str, tuple[int, ...]]


def read_header(path: str | os.PathLike) -> Header:
    """Return a checkpoint's metadata; no tensor is read.

    Parameters
    ----------
    path
        Name of the file.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    CheckpointError
        If it isn't a checkpoint of this package, was cut off, or has a
        newer format version.
    """
    path = Path(path)
    tensors = _read_safetensors_header(path)
    metadata = tensors.pop("__metadata__", {})
    if metadata.get("format") != FORMAT:
        raise CheckpointError(
            f"{path} is a safetensors file, but not a pyxem_symnet checkpoint. "
            "Write checkpoints with pyxem_symnet.models.save_checkpoint()."
        )
    _check_version(path, metadata.get("format_version"))
    values = {}
    for name, kind in _JSON_FIELDS.items():
        try:
            values[name] = json.loads(metadata[name])
        except (KeyError, ValueError) as error:
            raise CheckpointError(
                f"The metadata of {path} have no readable {name!r}: the file was "
                "damaged or edited. Get it again."
            ) from error
        if not isinstance(values[name], kind):
            raise CheckpointError(
                f"{name!r} in the metadata of {path} must be a JSON "
                f"{kind.__name__}, not {values[name]!r}."
            )
    values["classes"] = tuple(values["classes"])
    return Header(
        architecture=metadata.get("architecture", ""),
        sha256=metadata.get("sha256", ""),
        shapes={name: tuple(entry["shape"]) for name, entry in tensors.items()},
        **values,
    )


def _check_version(path: Path, version: str | None) -> None:
    if version is None or not version.isdecimal() or int(version) < 1:
        raise CheckpointError(
            f"{path} has the format version {version!r}, which never existed: the "
            "file was damaged or edited. Get it again."
        )
    if int(version) > FORMAT_VERSION:
        raise CheckpointError(
            f"{path} has the checkpoint format version {version}; this "
            f"pyxem_symnet reads versions up to {FORMAT_VERSION}. Upgrade it with "
            "`pip install --upgrade pyxem-symnet`."
        )


def _read_safetensors_header(path: Path) -> dict:
    """Return a safetensors header after checking the file's length."""
    size = path.stat().st_size
    not_safetensors = CheckpointError(
        f"{path} is not a safetensors file, or its beginning is damaged. Models are "
        "read from .safetensors files only."
    )
    with path.open("rb") as file:
        start = file.read(8)
        length = int.from_bytes(start, "little")
        if len(start) < 8 or not 2 <= length <= _LONGEST_HEADER:
            raise not_safetensors
        text = file.read(length)
    if not text.startswith(b"{"):
        raise not_safetensors
    try:
        header = json.loads(text)
        ends = [
            entry["data_offsets"][1]
            for name, entry in header.items()
            if name != "__metadata__"
        ]
    except (ValueError, KeyError, TypeError, IndexError) as error:
        if len(text) < length:
            raise _truncated(path, size) from error
        raise not_safetensors from error
    if size < 8 + length + max(ends, default=0):
        raise _truncated(path, size)
    return header


def _truncated(path: Path, size: int) -> CheckpointError:
    return CheckpointError(
        f"{path} is cut off after {size} bytes. Copy or download it again."
    )
