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
        Anything that HyperSpy reads.

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
    if file.suffix == ".npy":
        try:
            return np.load(file)
        except (OSError, ValueError, EOFError) as error:
            raise ValueError(f"{file} can't be read by NumPy: {error}") from error
    loaded = _load(file, lazy=False)
    if isinstance(loaded, list):
        raise ValueError(
            f"{file} holds {len(loaded)} signals; exactly one is needed. Save the one "
            "you mean to its own file."
        )
    return np.asarray(loaded.data)


def _load(file: Path, lazy: bool):
    import hyperspy.api as hs

    lazy = lazy and file.suffix.lower() not in _EAGER
    try:
        return hs.load(str(file), lazy=lazy, escape_square_brackets=True)
    except Exception as error:
        # Readers raise whatever they like for files that are not theirs
        raise ValueError(f"{file} can't be read by HyperSpy: {error}") from error
