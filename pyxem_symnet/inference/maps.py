# SPDX-License-Identifier: GPL-3.0-or-later
"""Probabilities of every pattern of a scan, as a dask array."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext

import dask
import dask.array as da
import numpy as np

from pyxem_symnet.inference.blocks import classify_block
from pyxem_symnet.inference.plan import Plan


def probability_map(
    selection: np.ndarray, arrays: Sequence[da.Array], plan: Plan
) -> da.Array:
    """Return the probabilities of all patterns; nothing is computed.

    Parameters
    ----------
    selection
        Number of each pattern, negative where it is excluded, of the
        navigation shape.
    arrays
        One array for each signal, cut by
        :func:`~pyxem_symnet.inference.chunks.align_blocks`.
    plan
        Settings.

    Returns
    -------
    probabilities
        Float32 array of shape (..., classes).
    """
    n_navigation = selection.ndim
    navigation = tuple(range(n_navigation))
    chunks = arrays[0].chunks[:n_navigation]
    pairs = [da.from_array(selection, chunks=chunks), navigation]
    letter = n_navigation + 1
    for array in arrays:
        # Detectors may differ, so each has letters of its own
        own = range(letter, letter + array.ndim - n_navigation)
        letter += len(own)
        pairs += [array, (*navigation, *own)]
    return da.blockwise(
        classify_block,
        (*navigation, n_navigation),
        *pairs,
        plan=plan,
        new_axes={n_navigation: len(plan.classes)},
        concatenate=True,
        align_arrays=False,
        dtype=np.float32,
        meta=np.empty((0,) * (n_navigation + 1), np.float32),
    )


def compute(
    collection,
    *,
    show_progressbar: bool = False,
    num_workers: int | None = None,
    in_memory: bool = False,
):
    """Compute a dask collection.

    Parameters
    ----------
    collection
        What to compute.
    show_progressbar
        Whether progress is shown.
    num_workers
        Threads that work on blocks, for dask's own scheduler.
    in_memory
        Whether the patterns are in this process's memory. They are then
        worked on here, even if a distributed client is active, instead
        of being sent to others.
    """
    options = {}
    if in_memory:
        options["scheduler"] = "threads"
    distributed = not in_memory and has_client()
    if num_workers is not None and not distributed:
        options["num_workers"] = num_workers
    if distributed:
        future = collection.persist(**options)
        if show_progressbar:
            from distributed import progress

            progress(future)
        return future.compute(**options)
    bar = _progress_bar() if show_progressbar else nullcontext()
    with bar:
        return dask.compute(collection, **options)[0]


def has_client() -> bool:
    """Return whether dask would hand the work to a distributed client."""
    get = dask.base.get_scheduler()
    return type(getattr(get, "__self__", None)).__module__.startswith("distributed")


def _progress_bar():
    from tqdm.dask import TqdmCallback

    return TqdmCallback(desc="classify_space_group")
