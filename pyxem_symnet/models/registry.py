# SPDX-License-Identifier: GPL-3.0-or-later
"""The models that are shipped with the package."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from pyxem_symnet.models.header import read_header

if TYPE_CHECKING:
    import torch

DEFAULT_MODEL = "msdn-any"

_WEIGHTS = Path(__file__).parent / "weights"


def available_models() -> dict[str, dict]:
    """Return the shipped models' names and short cards.

    Only the beginnings of the files are read, and PyTorch is not
    loaded.

    Returns
    -------
    models
        For each name: "summary", "architecture", "n_classes", "date",
        "megabytes", "path".
    """
    models = {}
    for path in sorted(_WEIGHTS.glob("*.safetensors")):
        header = read_header(path)
        models[path.stem] = {
            "summary": header.record.get("summary", ""),
            "architecture": header.architecture,
            "n_classes": len(header.classes),
            "date": header.record.get("date", ""),
            "megabytes": round(path.stat().st_size / 1e6, 1),
            "path": str(path),
        }
    return models


def model_path(name_or_path: str | os.PathLike = DEFAULT_MODEL) -> Path:
    """Return the file of a shipped model, or a path as it is.

    Parameters
    ----------
    name_or_path
        Name of a shipped model or path of a checkpoint. A name comes
        first; write ``./name`` for a file of the same name.

    Raises
    ------
    ValueError
        If it is neither.
    """
    name = os.fspath(name_or_path)
    shipped = _WEIGHTS / f"{name}.safetensors"
    if Path(name).name == name and shipped.is_file():
        return shipped
    path = Path(name_or_path).expanduser()
    if path.is_file():
        return path
    known = sorted(path.stem for path in _WEIGHTS.glob("*.safetensors"))
    raise ValueError(
        f"There is no model or file {name!r}. Shipped models are: "
        f"{', '.join(known) if known else 'none in this installation'}."
    )


def load_model(
    name_or_path: str | os.PathLike = DEFAULT_MODEL,
    device: str | torch.device = "cpu",
) -> torch.nn.Module:
    """Return a shipped model, or one from a checkpoint file.

    Parameters
    ----------
    name_or_path
        Name of a shipped model (see :func:`available_models`) or path
        of a checkpoint.
    device
        Where to put the weights.

    Returns
    -------
    model
        In evaluation mode.

    Raises
    ------
    ValueError
        If there is no such model or file.
    CheckpointError
        If the file isn't a checkpoint.
    """
    from pyxem_symnet.models.checkpoint import load_checkpoint

    return load_checkpoint(model_path(name_or_path), device)
