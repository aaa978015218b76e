# SPDX-License-Identifier: GPL-3.0-or-later
"""Blocks of whole patterns, neither too large nor too small."""

from __future__ import annotations

import math
from collections.abc import Sequence

import dask
import dask.array as da

#: Largest block of raw patterns in bytes
BLOCK_BYTES = 64 * 2**20
#: Blocks a scan is cut into at least, if it has patterns enough, so that
#: several cores have work and progress is seen
MIN_BLOCKS = 16
#: Patterns a block has at least, where they fit
MIN_PATTERNS = 32


def align_blocks(
    arrays: Sequence[da.Array], n_navigation: int, block_bytes: int = BLOCK_BYTES
) -> list[da.Array]:
    """Cut scans along the same lines, between patterns only.

    Parameters
    ----------
    arrays
        Arrays with the same navigation axes, which come first.
    n_navigation
        Number of navigation axes.
    block_bytes
        Limit of a block in bytes. A single pattern may exceed it.

    Returns
    -------
    arrays
        Rechunked arrays. The chunks of the first are kept where they
        have a sensible size.
    """
    shape = arrays[0].shape[:n_navigation]
    pattern_bytes = max(
        math.prod(array.shape[n_navigation:]) * array.dtype.itemsize for array in arrays
    )
    most = max(1, block_bytes // max(1, pattern_bytes))
    fewest = min(most, MIN_PATTERNS)
    chunks = arrays[0].chunks[:n_navigation]
    largest = math.prod(max(sizes) for sizes in chunks)
    n_blocks = math.prod(len(sizes) for sizes in chunks)
    if largest > most or (largest < fewest and n_blocks > 1):
        chunks = _navigation_chunks(shape, chunks, most)
    return [
        array.rechunk({**dict(enumerate(chunks)), **_whole(array, n_navigation)})
        for array in arrays
    ]


def memory_chunks(
    shape: Sequence[int], pattern_bytes: int, block_bytes: int = BLOCK_BYTES
) -> tuple[tuple[int, ...], ...]:
    """Return navigation chunks for a scan that is in memory.

    Parameters
    ----------
    shape
        Navigation shape.
    pattern_bytes
        Size of a pattern.
    block_bytes
        Limit of a block.
    """
    most = max(1, block_bytes // max(1, pattern_bytes))
    share = math.ceil(math.prod(shape) / MIN_BLOCKS)
    return _navigation_chunks(shape, None, min(most, max(share, MIN_PATTERNS)))


def _whole(array: da.Array, n_navigation: int) -> dict[int, int]:
    return dict.fromkeys(range(n_navigation, array.ndim), -1)


def _navigation_chunks(shape, previous, n_patterns: int):
    if not shape:
        return ()
    # With items of one byte, the limit in bytes is that in patterns; dask would
    # exceed it by a quarter to keep previous chunks
    with dask.config.set({"array.chunk-size-tolerance": 1.0}):
        return da.core.normalize_chunks(
            "auto", shape, limit=n_patterns, dtype="u1", previous_chunks=previous
        )
