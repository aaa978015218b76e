# SPDX-License-Identifier: GPL-3.0-or-later
"""PyTorch's threads, set around a block and restored.

Dask's threads times PyTorch's threads are more than there are cores. The
habit is LiberTEM's (``libertem.common.threading``).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_lock = threading.Lock()
_users = 0
_original = 0


@contextmanager
def torch_threads(n_threads: int | None) -> Iterator[None]:
    """Let PyTorch compute with this many threads within the block.

    Blocks may overlap in time on several threads. The number there was
    before the first of them is what all restore.

    Parameters
    ----------
    n_threads
        Number of threads, None to leave it as it is.
    """
    global _users, _original
    if n_threads is None:
        yield
        return
    with _lock:
        # PyTorch keeps the number for the calling thread and for those to
        # come: a second user would take the first one's for the original
        if _users == 0:
            _original = torch.get_num_threads()
        _users += 1
        torch.set_num_threads(n_threads)
    try:
        yield
    finally:
        with _lock:
            torch.set_num_threads(_original)
            _users -= 1


def available_cores() -> int:
    """Return the number of cores this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS and Windows
        return os.cpu_count() or 1
