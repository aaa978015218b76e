# SPDX-License-Identifier: GPL-3.0-or-later
"""Checkpoints: weights with all that is needed to use and judge them.

The layout of the file is described in
:mod:`pyxem_symnet.models.header`.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import platform
import tempfile
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import pyxem_symnet
from pyxem_symnet.models.axes import AxesMSDN
from pyxem_symnet.models.calibration import TemperatureTable
from pyxem_symnet.models.header import (
    FORMAT,
    FORMAT_VERSION,
    CheckpointError,
    Header,
    read_header,
)
from pyxem_symnet.models.msdn import MSDN
from pyxem_symnet.models.viewset import ViewSetMSDN

ARCHITECTURES: dict[str, type[nn.Module]] = {
    "AxesMSDN": AxesMSDN,
    "MSDN": MSDN,
    "ViewSetMSDN": ViewSetMSDN,
}


def save_checkpoint(
    path: str | os.PathLike, model: nn.Module, record: dict | None = None
) -> None:
    """Write a model to a safetensors file.

    Tensors whose values all are numbers of half precision are written as
    such, and are loaded as what they were.

    The file is written beside its final place and then moved there, so
    that a kill leaves the old file or the new one, never a part.

    Parameters
    ----------
    path
        Name of the file, with the extension .safetensors.
    model
        One of :data:`ARCHITECTURES`.
    record
        How it was trained and what it reaches, as JSON-able values:
        "summary", "data", "split", "protocol", "figures" (a list of
        what ``pyxem-symnet evaluate`` writes), "seed", "hardware",
        "limits" and whatever else should stay with the weights. "date",
        "hardware", "pyxem_symnet" and "torch" are filled in if missing.

    Raises
    ------
    TypeError
        If the architecture is unknown or the record is not JSON-able.
    ValueError
        If the extension is another one.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise ValueError(f"Name the file {path.stem}.safetensors, not {path.name}.")
    architecture = type(model).__name__
    if ARCHITECTURES.get(architecture) is not type(model):
        raise TypeError(
            f"{architecture} is not one of the architectures that a checkpoint can "
            f"hold: {', '.join(ARCHITECTURES)}."
        )
    record = {
        "date": datetime.date.today().isoformat(),
        "hardware": f"{platform.machine()}, {os.cpu_count()} CPU cores",
        "pyxem_symnet": pyxem_symnet.__version__,
        "torch": torch.__version__,
    } | dict(record or {})
    tensors = {
        name: _shortest(value.detach().cpu().contiguous())
        for name, value in model.state_dict().items()
    }
    metadata = {
        "format": FORMAT,
        "format_version": str(FORMAT_VERSION),
        "architecture": architecture,
        "settings": _dumps(model.settings, "The model's settings"),
        "classes": _dumps(list(model.classes), "The classes"),
        "calibration": _dumps(model.calibration.to_dict(), "The calibration"),
        "record": _dumps(record, "The record"),
        "sha256": _digest(tensors),
    }
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".saving-") as folder:
        part = Path(folder) / path.name
        save_file(tensors, part, metadata)
        os.replace(part, path)


def load_checkpoint(
    path: str | os.PathLike, device: str | torch.device = "cpu"
) -> nn.Module:
    """Return the model of a checkpoint, ready to use.

    Parameters
    ----------
    path
        Name of a file written by :func:`save_checkpoint`.
    device
        Where to put the weights.

    Returns
    -------
    model
        In evaluation mode. Its ``record`` is the training record.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    CheckpointError
        If the file isn't a whole checkpoint of a known architecture
        with fitting tensors.
    """
    header = read_header(path)
    try:
        architecture = ARCHITECTURES[header.architecture]
    except KeyError:
        raise CheckpointError(
            f"{path} holds a model of the unknown architecture "
            f"{header.architecture!r}; known are {', '.join(ARCHITECTURES)}. A newer "
            "pyxem_symnet may know it."
        ) from None
    try:
        model = architecture(header.classes, **header.settings)
        model.calibration = TemperatureTable.from_dict(header.calibration)
    except (TypeError, ValueError, KeyError) as error:
        raise CheckpointError(
            f"The settings in {path} do not make a {header.architecture}: {error}"
        ) from error
    _check_shapes(path, header, model)
    try:
        tensors = load_file(path)
    except SafetensorError as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    if header.sha256 and _digest(tensors) != header.sha256:
        raise CheckpointError(
            f"The weights in {path} are not those that were saved (their SHA-256 "
            "differs). Get the file again."
        )
    model.load_state_dict(tensors)
    model.record = header.record
    return model.to(device).eval()


def _shortest(value: Tensor) -> Tensor:
    """Return a tensor in half precision if nothing is lost by it."""
    if value.dtype != torch.float32:
        return value
    half = value.half()
    return half if torch.equal(half.float(), value) else value


def _check_shapes(path: str | os.PathLike, header: Header, model: nn.Module) -> None:
    """Raise an error that names every tensor that does not fit."""
    expected = {name: tuple(v.shape) for name, v in model.state_dict().items()}
    faults = [f"{name} is missing" for name in expected if name not in header.shapes]
    for name, shape in header.shapes.items():
        if name not in expected:
            faults.append(f"{name} does not belong to it")
        elif shape != expected[name]:
            faults.append(f"{name} has the shape {shape} instead of {expected[name]}")
    if faults:
        rest = f", and {len(faults) - 5} more" if len(faults) > 5 else ""
        raise CheckpointError(
            f"The tensors in {path} do not fit its {header.architecture}: "
            f"{', '.join(faults[:5])}{rest}."
        )


def _dumps(value, what: str) -> str:
    try:
        return json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{what} must hold JSON values only: {error}") from error


def _digest(tensors: dict[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        value = tensors[name]
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()
