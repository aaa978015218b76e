# SPDX-License-Identifier: GPL-3.0-or-later
"""Devices, and the one copy of a network that each process has on each."""

from __future__ import annotations

import threading
from collections import OrderedDict, defaultdict
from contextlib import AbstractContextManager, nullcontext

import torch

from pyxem_symnet.inference.plan import ModelReference
from pyxem_symnet.models.checkpoint import load_checkpoint
from pyxem_symnet.models.header import CheckpointError, read_header

#: Networks kept in memory; the one unused for longest goes first
MAX_MODELS = 4

_models: OrderedDict[tuple[ModelReference, str], torch.nn.Module] = OrderedDict()
_models_lock = threading.Lock()
_device_locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)


def resolve_device(device: str | torch.device = "auto") -> torch.device:
    """Return the device of a name.

    Parameters
    ----------
    device
        "auto" takes CUDA where there is one, else Apple's MPS, else the
        CPU. Otherwise a name PyTorch knows, such as "cuda:1".

    Raises
    ------
    ValueError
        If there is no such device on this computer.
    """
    if device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", torch.cuda.current_device())
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    advice = "Use device='auto' or 'cpu'."
    try:
        resolved = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise ValueError(f"There is no device {device!r}. {advice}") from error
    count = {
        "cpu": 1,
        "cuda": torch.cuda.device_count(),
        "mps": int(torch.backends.mps.is_available()),
    }.get(resolved.type, 0)
    if (resolved.index or 0) >= count:
        raise ValueError(
            f"The device {str(device)!r} is not available on this computer, or not to "
            f"this installation of PyTorch. {advice}"
        )
    if resolved.type == "cuda" and resolved.index is None:
        return torch.device("cuda", torch.cuda.current_device())
    return resolved


def device_lock(device: torch.device) -> AbstractContextManager:
    """Return what makes tasks take turns on a device.

    On an accelerator one task at a time copies its block, computes and
    frees it: more would fill the memory without being faster, while
    others read theirs from disk. On the CPU, tasks run side by side.

    Parameters
    ----------
    device
        The device.
    """
    if device.type == "cpu":
        return nullcontext()
    with _models_lock:
        return _device_locks[str(device)]


def get_model(reference: ModelReference, device: torch.device) -> torch.nn.Module:
    """Return this process's network on a device; load it if necessary.

    Parameters
    ----------
    reference
        Which checkpoint.
    device
        Where it has to be.

    Raises
    ------
    CheckpointError
        If the file isn't the one the reference was made from.
    """
    key = (reference, str(device))
    with _models_lock:
        if key not in _models:
            if read_header(reference.path).sha256 != reference.sha256:
                raise CheckpointError(
                    f"{reference.path} has other weights than when the map was set "
                    "up. Call classify_space_group() again."
                )
            model = load_checkpoint(reference.path, device)
            _models[key] = model.requires_grad_(False)
            while len(_models) > MAX_MODELS:
                _models.popitem(last=False)
        _models.move_to_end(key)
        return _models[key]
