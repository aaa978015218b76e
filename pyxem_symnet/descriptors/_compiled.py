# SPDX-License-Identifier: GPL-3.0-or-later
"""Compiled code for patterns on a CPU, where numba is installed.

The functions of PyTorch are the reference and run on any device. What
replaces them gives the same values several times faster: their
counterparts are in the modules of this room that end in "kernels".
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from types import ModuleType

import numpy as np
import torch
from torch import Tensor


def kernels(name: str, *tensors: Tensor) -> ModuleType | None:
    """Return a module of compiled functions if it can work on *tensors*.

    Parameters
    ----------
    name
        Of the module in this room.
    tensors
        What it would read. They have to be float32 on a CPU, and need
        no gradient.

    Returns
    -------
    module
        None where the functions of PyTorch are to be used.
    """
    for tensor in tensors:
        if tensor.device.type != "cpu" or tensor.dtype != torch.float32:
            return None
        if tensor.requires_grad:
            return None
    return _load(name)


@cache
def _load(name: str) -> ModuleType | None:
    # Here, since a training node has no numba
    try:
        from numba import config
    except ImportError:
        return None
    if config.DISABLE_JIT:
        return None
    return import_module(f"pyxem_symnet.descriptors.{name}")


def arrays(*tensors: Tensor) -> tuple[np.ndarray, ...]:
    """Return contiguous arrays, as compiled functions take them."""
    return tuple(tensor.contiguous().numpy() for tensor in tensors)
