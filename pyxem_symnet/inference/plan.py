# SPDX-License-Identifier: GPL-3.0-or-later
"""What a task of the graph has to know, in plain and small values.

A network never is in the graph: dask would hash it for every task and
pickle it for every worker. Its file's name is, and each process loads the
file once (:mod:`pyxem_symnet.inference.devices`).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pyxem_symnet.descriptors.geometry import PatternGeometry
from pyxem_symnet.models.header import Header, read_header
from pyxem_symnet.models.registry import model_path

if TYPE_CHECKING:
    from pyxem_symnet.inference.descan import Descan


#: Patterns of a crystal that a model for axis patterns reads
_N_AXES = 3


@dataclass(frozen=True)
class ModelReference:
    """A checkpoint, by name and content.

    Parameters
    ----------
    path
        Name of the file.
    sha256
        Digest of its weights.
    """

    path: str
    sha256: str

    @classmethod
    def find(
        cls, model: str | os.PathLike, n_views: int | None = None
    ) -> tuple[ModelReference, Header]:
        """Return the reference and the header of a model.

        Parameters
        ----------
        model
            Name of a shipped model or of a checkpoint file.
        n_views
            Number of patterns of each crystal, in a fixed order, or None
            if they are any number in any order.

        Raises
        ------
        ValueError
            If there is none, or it can't read such patterns.
        """
        path = model_path(model).resolve()
        header = read_header(path)
        ordered = header.architecture == "AxesMSDN"
        if ordered and n_views == _N_AXES:
            return cls(str(path), header.sha256), header
        if ordered:
            raise ValueError(
                f"The model {os.fspath(model)!r} reads three patterns of each crystal, "
                "along its a, b and c axes: give the signal along a and "
                "views=[along_b, along_c], without regions. For other patterns choose "
                "'msdn-any'."
            )
        if header.architecture != "ViewSetMSDN":
            raise ValueError(
                f"The model {os.fspath(model)!r} ({header.architecture}) reads images "
                "made for it, not scans. Choose one such as 'msdn-any'; "
                "`pyxem-symnet models` lists them."
            )
        return cls(str(path), header.sha256), header


@dataclass(frozen=True)
class VectorGeometry:
    """How to read lists of diffraction vectors.

    Parameters
    ----------
    scale
        Factors (y, x) from the first two columns to 1/Å.
    origin
        Direct beam (y, x) in the columns' units.
    intensity_column
        Column with the intensities, or None if there is none. All
        spots are equally strong then.
    ellipticity
        Elliptical distortion (ratio, angle) to correct, or None.
    """

    scale: tuple[float, float]
    origin: tuple[float, float] = (0.0, 0.0)
    intensity_column: int | None = None
    ellipticity: tuple[float, float] | None = None


@dataclass(frozen=True, eq=False)
class Plan:
    """Settings that every block of a scan is worked through with.

    Parameters
    ----------
    model
        Which network.
    device
        Name of the device, or "auto": each process finds its own.
    geometries
        One :class:`~pyxem_symnet.descriptors.geometry.PatternGeometry`
        or :class:`VectorGeometry` for each signal.
    masks
        Excluded detector pixels (True) of each signal, or None.
    classes
        Space groups of the answer, in its order.
    candidates
        Whether the answer is made to sum up to one over *classes*,
        apart from what is "not crystalline".
    batch_size
        Patterns that are prepared at a time, None to choose.
    n_threads
        PyTorch's threads within a task on the CPU, None for its own
        choice.
    reciprocal_radius
        Spots farther from the direct beam, in 1/Å, are left out.
    descans
        Path of the beam in each signal, or None for those without.
        Empty if there is no path at all.
    lattices
        Whether lattices of patterns that are decided on one by one are
        looked for. Those of regions always are.
    """

    model: ModelReference
    device: str
    geometries: tuple[PatternGeometry | VectorGeometry, ...]
    masks: tuple[np.ndarray | None, ...]
    classes: tuple[int, ...]
    candidates: bool = False
    batch_size: int | None = None
    n_threads: int | None = None
    reciprocal_radius: float | None = None
    descans: tuple[Descan | None, ...] = ()
    lattices: bool = False
