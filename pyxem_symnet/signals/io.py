# SPDX-License-Identifier: GPL-3.0-or-later
"""Patterns and masks from files, with errors that name the file."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

# HyperSpy's reader of these fails if it is asked to be lazy
_EAGER = {".bmp", ".gif", ".jpeg", ".jpg", ".png"}


def load_patterns(file: str | os.PathLike):
    """Load the one signal of patterns, or of vectors, in a file.

    Parameters
    ----------
    file
        Anything that HyperSpy reads, or patterns of shape
        (..., ky, kx) in NumPy's .npy.

    Returns
    -------
    signal
        A kind of pyxem's Diffraction2D or ragged DiffractionVectors,
        lazy if the format allows it. A plain signal of images is taken
        for electron diffraction.

    Raises
    ------
    ValueError
        If the file can't be read, or doesn't hold exactly one such
        signal.
    """
    from pyxem_symnet.signals.checks import signal_type

    if Path(file).suffix.lower() == ".npy":
        return _from_numpy(Path(file))
    loaded = _load(Path(file), lazy=True)
    signals = loaded if isinstance(loaded, list) else [loaded]
    patterns = [s for s in signals if len(s.axes_manager.signal_axes) == 2]
    vectors = [s for s in signals if s._signal_type == "diffraction_vectors"]
    if len(patterns + vectors) != 1:
        raise ValueError(
            f"{file} holds {len(signals)} signals, {len(patterns)} of them of "
            "patterns; exactly one is needed. Save the one you mean to its own file."
        )
    signal = (patterns + vectors)[0]
    if signal._signal_type == "":
        signal.set_signal_type("electron_diffraction")
    try:
        signal_type(signal)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{file}: {error}") from error
    return signal


def load_array(file: str | os.PathLike) -> np.ndarray:
    """Load a mask or a map.

    Parameters
    ----------
    file
        NumPy's .npy, or anything that HyperSpy reads.

    Raises
    ------
    ValueError
        If the file can't be read, or holds several signals.
    """
    file = Path(file)
    if file.suffix.lower() == ".npy":
        return _load_npy(file)
    loaded = _load(file, lazy=False)
    if isinstance(loaded, list):
        raise ValueError(
            f"{file} holds {len(loaded)} signals; exactly one is needed. Save the one "
            "you mean to its own file."
        )
    return np.asarray(loaded.data)


def _from_numpy(file: Path):
    """Return the patterns of a .npy file as a lazy signal."""
    import dask.array as da
    from pyxem.signals import LazyElectronDiffraction2D

    from pyxem_symnet.signals.checks import signal_type

    data = _load_npy(file, mmap_mode="r")
    if data.ndim < 2 or 0 in data.shape:
        raise ValueError(
            f"{file} has the shape {data.shape}; patterns need two axes or more, the "
            "last two being (ky, kx)."
        )
    chunks = (*("auto",) * (data.ndim - 2), -1, -1)
    signal = LazyElectronDiffraction2D(da.from_array(data, chunks=chunks))
    try:
        signal_type(signal)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{file}: {error}") from error
    return signal


def _load_npy(file: Path, mmap_mode: str | None = None) -> np.ndarray:
    try:
        return np.load(file, mmap_mode=mmap_mode)
    except (OSError, ValueError, EOFError) as error:
        raise ValueError(f"{file} can't be read by NumPy: {error}") from error


def _load(file: Path, lazy: bool):
    import hyperspy.api as hs

    lazy = lazy and file.suffix.lower() not in _EAGER
    try:
        return hs.load(str(file), lazy=lazy, escape_square_brackets=True)
    except Exception as error:
        # Readers raise whatever they like for files that are not theirs
        raise ValueError(f"{file} can't be read by HyperSpy: {error}") from error
