# SPDX-License-Identifier: GPL-3.0-or-later
"""The function behind the method: checks, and then hands over arrays."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import dask.array as da
import numpy as np

import pyxem_symnet
from pyxem_symnet.descriptors.ellipticity import ellipse_of
from pyxem_symnet.inference.chunks import align_blocks, memory_chunks
from pyxem_symnet.inference.devices import resolve_device
from pyxem_symnet.inference.maps import compute, has_client, probability_map
from pyxem_symnet.inference.plan import ModelReference, Plan
from pyxem_symnet.inference.regions import region_table, spread
from pyxem_symnet.inference.series import find_series
from pyxem_symnet.inference.threads import available_cores
from pyxem_symnet.models.registry import DEFAULT_MODEL
from pyxem_symnet.signals import checks
from pyxem_symnet.signals.calibration import (
    read_beam_energy,
    read_detector,
    read_ellipticity,
    read_vectors,
)
from pyxem_symnet.signals.domain import warn_outside
from pyxem_symnet.signals.preparation import prepare_array
from pyxem_symnet.signals.probabilities import SpaceGroupProbabilities
from pyxem_symnet.signals.results import from_array

if TYPE_CHECKING:
    from pyxem_symnet.lattice import SeriesFit


def classify_space_group(
    signal,
    *,
    model: str | os.PathLike = DEFAULT_MODEL,
    device: str = "auto",
    batch_size: int | None = None,
    navigation_mask=None,
    signal_mask=None,
    regions=None,
    rotation_step: float | str | None = None,
    views=None,
    candidates=None,
    pixel_size: float | Sequence[float] | None = None,
    centre: str | Sequence[float] | None = None,
    beam_energy: float | None = None,
    ellipticity: str | Sequence[float] | None = None,
    reciprocal_radius: float | None = None,
    lattices: bool | str = "auto",
    lazy_output: bool | None = None,
    show_progressbar: bool | None = None,
    num_workers: int | None = None,
) -> SpaceGroupProbabilities:
    """Read the crystal symmetry from each pattern of a scan.

    Parameters
    ----------
    signal
        pyxem's :class:`~pyxem.signals.Diffraction2D`, or a class made
        from it, or ragged
        :class:`~pyxem.signals.DiffractionVectors`; lazy or not, with
        any number of navigation axes. It is not changed.
    model
        Name of a shipped model, or path of a checkpoint. "msdn-axes"
        needs two further `views`: see there.
    device
        Where to compute: "auto" (CUDA, else MPS, else CPU), or a name
        that PyTorch knows.
    batch_size
        Patterns that are prepared at a time. Chosen by the device if
        not given. It does not change the result.
    navigation_mask
        Scan points to exclude (True), an array of the navigation shape
        or a signal of it. They are NaN in the result.
    signal_mask
        Detector pixels to exclude (True), an array of the signal shape
        or a signal of it: a beam stop, dead pixels, the gaps of a
        detector. By default, or with "auto", they are found in a few
        of the patterns, which are read at once even if the signal is
        lazy. False for none.
    regions
        Integers of the navigation shape, an array or a signal: all
        patterns of one label are views of one phase and are decided on
        together. Every pixel has its region's answer. Negative labels
        belong to no region and are excluded. 0 is a label like others.
    rotation_step
        Angle in degrees between successive patterns of a rotation
        series: one crystal, turned by equal steps about an axis in the
        plane of the detector. "auto" finds it; between few patterns or
        small angles it is then badly determined. The patterns have one
        navigation axis, in the order of the series, and are one region:
        they are indexed together at once, even if the signal is lazy,
        which needs far fewer spots than unknown orientations do.
    views
        Further signals of the same navigation shape: other views, such
        as tilts, of what is at each scan point. Overrides and the
        signal mask hold for them too. For "msdn-axes" the signal and
        its two views are along a, b and c of the conventional cell,
        each turned so that the next axis's part across the beam (of b,
        of c, of a) lies along +x.
    candidates
        Space groups to choose among: numbers, orix phases or an orix
        phase list. The probability that the pattern is crystalline is
        shared out among them. By default all that the model knows.
    pixel_size
        Reciprocal size of a pixel in 1/Å, or (x, y), instead of what
        the signal axes say.
    centre
        Position (x, y) of the direct beam in pixels, counted from the
        centre of the first one, or "auto" to find it in each pattern.
        By default it is where the signal axes are zero, if that is
        within the detector, and found otherwise. Where it is found, the
        beams of larger scans are put on a common path across the scan,
        if they are near to one.
    beam_energy
        Beam energy in kV instead of what the metadata say. The present
        models use distances and angles in the plane of the detector
        only, so it is recorded, and turns axes in mrad into 1/Å, but
        the answer does not depend on it otherwise.
    ellipticity
        Distortion that turns rings into ellipses, to be corrected: the
        ratio of the axes, and the angle of the first of them from x to y
        in degrees. The pixel size is that of a circle of the same area.
        With "auto" it is measured where spots of many orientations, in a
        few of the patterns, tell it; in diffraction vectors it is not.
        By default nothing is corrected: lattices of regions and series
        are fitted with a distortion anyhow.
    reciprocal_radius
        Spots farther from the direct beam, in 1/Å, are left out. By
        default the model's own limits hold.
    lattices
        Whether the lattice of each pattern is looked for where patterns
        are decided on one by one, which takes a tenth of a second a
        pattern, and says much if the positions of spots are precise, to
        a few ten-thousandths of an inverse ångström. "auto" does so for
        up to 256 patterns. Those of regions and series always are.
    lazy_output
        Whether the result is lazy. By default it is if the signal is.
    show_progressbar
        Whether progress is shown. By default as HyperSpy's preferences
        say.
    num_workers
        Threads that work on blocks, for dask's own scheduler.

    Returns
    -------
    SpaceGroupProbabilities
        Signal with the same navigation axes and the model's space
        groups as its signal axis.

    Raises
    ------
    TypeError
        If the signal has another type.
    pyxem_symnet.signals.calibration.CalibrationError
        If scale, centre or beam energy are missing or impossible.
    ValueError
        If another argument doesn't fit, there is no such model or
        device, nothing is left to classify, or patterns hold NaN. For
        a lazy result, NaN is met when it is computed.

    Warns
    -----
    UserWarning
        If the model was trained on nothing like the patterns: at other
        beam energies, or that reach farther in reciprocal space. If no
        lattice explains a rotation series: its patterns are then
        decided on as views in unknown orientations.

    Notes
    -----
    A lazy signal is worked through in blocks of whole patterns, by an
    active ``dask.distributed`` client if there is one. Patterns in
    memory always stay in this process.

    Examples
    --------
    >>> import pyxem_symnet
    >>> sym = pyxem_symnet.classify_space_group(scan)  # doctest: +SKIP
    >>> sym.to_map("crystal_system").plot()  # doctest: +SKIP
    """
    signals = [signal, *checks.further_views(views)]
    n_views = len(signals) if regions is None else None
    reference, header = ModelReference.find(model, n_views)
    device = str(device)
    if device != "auto":
        resolve_device(device)
    checks.positive_integer(batch_size, "batch_size")
    checks.positive_integer(num_workers, "num_workers")
    checks.positive_number(reciprocal_radius, "reciprocal_radius", "1/Å")

    for each in signals:
        checks.signal_type(each)
    shape = checks.navigation_shape(signals)
    energy = read_beam_energy(signal, beam_energy)
    ellipse = read_ellipticity(ellipticity)
    calibrations = [
        read_vectors(each, pixel_size, centre, ellipse)
        if checks.is_vectors(each)
        else read_detector(each, pixel_size, centre, energy)
        for each in signals
    ]
    patterns = [i for i, each in enumerate(signals) if not checks.is_vectors(each)]
    outside = warn_outside(
        header.record.get("trained_range"),
        [calibrations[i] for i in patterns],
        [signals[i].data.shape[-2:] for i in patterns],
        energy,
    )
    given = [checks.signal_mask(signal_mask, each) for each in signals]
    excluded = checks.navigation_mask(navigation_mask, shape)
    labels = checks.regions(regions, shape)
    if rotation_step is not None:
        labels = checks.series(rotation_step, signals, shape, labels)
        _check_reads_lattices(header, model)
    selection = _selection(shape, excluded, labels)
    numbers = checks.candidates(candidates, header.classes)
    lattices = checks.lattices(lattices, int((selection >= 0).sum()))

    in_memory = not any(each._lazy for each in signals)
    arrays = align_blocks([_dask_array(each, shape) for each in signals], len(shape))
    geometries = tuple(
        each.to_geometry() if hasattr(each, "to_geometry") else each
        for each in calibrations
    )
    preparations = [
        prepare_array(
            array,
            selection,
            geometry,
            "auto" if mask is None and signal_mask is not False else mask,
            ellipse,
            finder=header.settings.get("finder"),
            in_memory=in_memory,
        )
        for array, geometry, mask in zip(arrays, geometries, given, strict=True)
    ]
    masks = [None if each is None else each.mask for each in preparations]
    geometries = [
        geometry if each is None else each.geometry
        for geometry, each in zip(geometries, preparations, strict=True)
    ]
    plan = Plan(
        model=reference,
        device=device,
        geometries=tuple(geometries),
        masks=tuple(masks),
        descans=tuple(None if each is None else each.descan for each in preparations),
        classes=numbers,
        candidates=candidates is not None,
        batch_size=batch_size,
        n_threads=_threads(arrays[0].npartitions, num_workers, in_memory),
        reciprocal_radius=reciprocal_radius,
        lattices=lattices,
    )
    record = {
        "model": {
            "name": os.fspath(model),
            "architecture": header.architecture,
            "sha256": header.sha256,
            # What it was measured to reach is in the checkpoint and on its card
            "record": {k: v for k, v in header.record.items() if k != "figures"},
        },
        "preprocessing": header.settings,
        "calibration": {
            f"view_{i}": each.to_metadata()
            if hasattr(each, "to_metadata")
            else asdict(each)
            for i, each in enumerate(calibrations)
        },
        "preparation": {
            f"view_{i}": each.to_metadata()
            for i, each in enumerate(preparations)
            if each is not None
        },
        "beam_energy": energy,
        "outside_of_training": outside,
        "reciprocal_radius": reciprocal_radius,
        "lattices": lattices,
        "candidates": list(numbers) if candidates is not None else None,
        "excluded_detector_pixels": [
            0 if mask is None else int(mask.sum()) for mask in masks
        ],
        "excluded_patterns": int((selection < 0).sum()),
        "version": pyxem_symnet.__version__,
    }
    if labels is not None:
        record["regions"] = _region_record(selection, labels)

    options = {
        "show_progressbar": checks.progressbar(show_progressbar),
        "num_workers": num_workers,
        "in_memory": in_memory,
    }
    lattice = None
    if rotation_step is not None:
        step = None if rotation_step == "auto" else float(rotation_step)
        lattice = find_series(
            selection, arrays[0], plan, beam_energy=energy, step=step, **options
        )
        record["series"] = _series_record(rotation_step, lattice)

    lazy = signal._lazy if lazy_output is None else bool(lazy_output)
    if labels is None:
        answer = probability_map(selection, arrays, plan)
    else:
        answer = region_table(selection, labels, arrays, plan, lattice)
    if not lazy:
        answer = compute(answer, **options)
    if labels is not None:
        answer = spread(selection, labels, answer, arrays[0].chunks[: len(shape)])
    return from_array(answer, numbers, signal, record)


def _check_reads_lattices(header, model) -> None:
    if header.settings.get("lattice") is None:
        raise ValueError(
            f"The model {os.fspath(model)!r} does not look for lattices, which is what "
            "rotation_step is for. Leave rotation_step out, or use another model."
        )


def _series_record(step: float | str, fit: SeriesFit | None) -> dict:
    """Return what metadata say of a rotation series."""
    asked = step if step == "auto" else float(step)
    if fit is None:
        warnings.warn(
            "No lattice explains the patterns as a rotation series with equal steps: "
            "they are decided on as views in unknown orientations. Are they in order, "
            "and calibrated?",
            stacklevel=3,
        )
        return {"rotation_step": asked, "found": False}
    return {
        "rotation_step": asked,
        "found": True,
        "step": fit.step,
        "axis": fit.axis,
        "centre": list(fit.centre),
        "reduced_cell": list(fit.cell),
        "ellipse": list(ellipse_of(fit.distortion)),
        "n_spots": fit.n_spots,
        "n_matched": fit.n_matched,
    }


def _selection(
    shape: tuple[int, ...], excluded: np.ndarray | None, labels: np.ndarray | None
) -> np.ndarray:
    """Return each pattern's number, -1 where it is excluded."""
    selection = np.arange(int(np.prod(shape))).reshape(shape)
    if excluded is not None:
        selection = np.where(excluded, -1, selection)
    if labels is not None:
        selection = np.where(labels < 0, -1, selection)
    if not (selection >= 0).any():
        raise ValueError(
            "No pattern is left to classify: the signal is empty, or navigation_mask "
            "(True means excluded) and regions (negative labels are excluded) exclude "
            "all of them."
        )
    return selection


def _dask_array(signal, shape: tuple[int, ...]) -> da.Array:
    """Return a signal's data with the navigation axes first."""
    data = signal.data
    # A ragged signal without navigation axes holds one list in an array of one
    if checks.is_vectors(signal):
        data = data.reshape(shape)
    if isinstance(data, da.Array):
        return data
    detector = data.shape[len(shape) :]
    pattern_bytes = int(np.prod(detector)) * data.dtype.itemsize
    # Without a name, dask would read all of the data to make one
    return da.from_array(
        data, chunks=(*memory_chunks(shape, pattern_bytes), *detector), name=False
    )


def _threads(n_blocks: int, num_workers: int | None, in_memory: bool) -> int | None:
    """Return PyTorch's threads in a task, so that all tasks fit the cores."""
    if has_client() and not in_memory:
        # A worker's threads are set where it is started
        return None
    cores = available_cores()
    tasks = min(n_blocks, num_workers or cores)
    return max(1, cores // max(1, tasks))


def _region_record(selection: np.ndarray, labels: np.ndarray) -> dict:
    included = selection >= 0
    found, first, counts = np.unique(
        labels[included], return_index=True, return_counts=True
    )
    return {
        "labels": found.tolist(),
        "n_patterns": counts.tolist(),
        "first_pattern": selection[included][first].tolist(),
        "map": np.where(included, labels, -1),
    }
