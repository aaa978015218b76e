# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of arguments: one clear message that says what to do."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral, Real

import numpy as np
from hyperspy.api import preferences
from hyperspy.signal import BaseSignal

from pyxem_symnet.lattice.search import LARGEST_STEP

# In so many patterns a lattice of each is found in half a minute or less
_FEW_PATTERNS = 256


def signal_type(signal) -> None:
    """Raise an error if a signal holds neither patterns nor vectors.

    Parameters
    ----------
    signal
        Anything.

    Raises
    ------
    TypeError
        If it is not a kind of Diffraction2D or ragged
        DiffractionVectors, or is a variance.
    ValueError
        If its values are not real numbers.
    """
    from pyxem.signals.diffraction2d import Diffraction2D
    from pyxem.signals.diffraction_variance2d import DiffractionVariance2D
    from pyxem.signals.diffraction_vectors import DiffractionVectors

    name = type(signal).__name__
    if isinstance(signal, DiffractionVariance2D):
        raise TypeError(
            f"A {name} holds variances over patterns, which show no spots of one "
            "crystal. Classify the patterns it was made from."
        )
    if isinstance(signal, DiffractionVectors):
        if not signal.ragged or signal._signal_type != DiffractionVectors._signal_type:
            raise TypeError(
                f"A {name} that lists vectors of many patterns together, or in other "
                "than Cartesian coordinates, cannot be classified. Pass the ragged "
                "DiffractionVectors with one list for each pattern."
            )
        return
    if not isinstance(signal, Diffraction2D):
        advice = "Pass a pyxem Diffraction2D, or DiffractionVectors."
        if isinstance(signal, BaseSignal) and len(signal.axes_manager.signal_axes) == 2:
            advice = (
                "If it holds diffraction patterns, say so: "
                "`signal.set_signal_type('electron_diffraction')`."
            )
        raise TypeError(f"A {name} cannot be classified. {advice}")
    if signal.data.dtype.kind not in "biuf":
        raise ValueError(
            f"The patterns must be real numbers, not {signal.data.dtype}. Convert them "
            "first: `signal.change_dtype('float32')`."
        )


def is_vectors(signal) -> bool:
    """Return whether a signal holds lists of vectors."""
    return bool(signal.ragged)


def further_views(views) -> list:
    """Return further signals as a list.

    Parameters
    ----------
    views
        None, a signal, or several.
    """
    if views is None:
        return []
    if isinstance(views, BaseSignal):
        return [views]
    return list(views)


def navigation_shape(signals: Sequence) -> tuple[int, ...]:
    """Return the navigation shape that all signals have.

    Parameters
    ----------
    signals
        One or more signals.

    Raises
    ------
    ValueError
        If they differ.
    """
    shapes = [signal.axes_manager._navigation_shape_in_array for signal in signals]
    for shape in shapes[1:]:
        if shape != shapes[0]:
            raise ValueError(
                f"All views need the signal's navigation shape {shapes[0]}, but one "
                f"has {shape}. Align and crop the scans first."
            )
    return tuple(shapes[0])


def navigation_mask(mask, shape: tuple[int, ...]) -> np.ndarray | None:
    """Return excluded scan points (True), None for none.

    Parameters
    ----------
    mask
        Array, or signal, of the navigation shape.
    shape
        Navigation shape.

    Raises
    ------
    ValueError
        If shape or type don't fit.
    """
    return _mask(mask, shape, "navigation_mask", "navigation")


def signal_mask(mask, signal) -> np.ndarray | None:
    """Return excluded detector pixels (True), None for none.

    Parameters
    ----------
    mask
        Array, or signal, of the signal shape; None, "auto" or False if
        none is given.
    signal
        Signal the mask is for.

    Raises
    ------
    ValueError
        If shape or type don't fit, all is excluded, or the signal holds
        vectors.
    """
    if isinstance(mask, str) and mask != "auto":
        raise ValueError(
            "signal_mask must be an array (True means excluded), 'auto' to find such "
            f"pixels, or False for none, not {mask!r}."
        )
    if mask is None or mask is False or isinstance(mask, str):
        return None
    if is_vectors(signal):
        raise ValueError(
            "signal_mask is for detector pixels; diffraction vectors have none. "
            "Remove unwanted vectors from the signal instead."
        )
    shape = signal.axes_manager._signal_shape_in_array
    mask = _mask(mask, tuple(shape), "signal_mask", "signal")
    if mask.all():
        raise ValueError(
            "signal_mask excludes every detector pixel (True means excluded)."
        )
    return mask if mask.any() else None


def regions(labels, shape: tuple[int, ...]) -> np.ndarray | None:
    """Return labels of regions, None for none.

    Parameters
    ----------
    labels
        Integer array, or signal, of the navigation shape.
    shape
        Navigation shape.

    Raises
    ------
    ValueError
        If shape or type don't fit.
    """
    if labels is None:
        return None
    labels = _array(labels, shape)
    if labels.dtype.kind == "b":
        labels = labels.astype(np.int64)
    if labels.dtype.kind not in "iu":
        raise ValueError(
            f"regions must hold integers, one label for each pattern, not "
            f"{labels.dtype}. Convert them: `labels.astype(int)`."
        )
    _check_shape(labels, shape, "regions", "navigation")
    return labels.astype(np.int64)


def series(step, signals: Sequence, shape: tuple[int, ...], labels) -> np.ndarray:
    """Return the labels of a rotation series, which is one region.

    Parameters
    ----------
    step
        Angle between patterns in degrees, or "auto".
    signals
        All signals.
    shape
        The navigation shape.
    labels
        Regions that were given, or None.

    Raises
    ------
    ValueError
        If the step is no angle, there are other regions or signals, or
        not one navigation axis.
    """
    number = not isinstance(step, bool) and isinstance(step, Real)
    if step != "auto" and not (number and 0 < abs(step) <= LARGEST_STEP):
        raise ValueError(
            "rotation_step must be the angle between patterns in degrees, up to "
            f"{LARGEST_STEP:g}, or 'auto', not {step!r}."
        )
    if labels is not None or len(signals) > 1:
        raise ValueError(
            "A rotation series is one region of one signal: give rotation_step "
            "without regions and views."
        )
    if len(shape) != 1:
        raise ValueError(
            "A rotation series has one navigation axis, in the order of its angles; "
            f"this signal has {len(shape)}."
        )
    return np.zeros(shape, int)


def candidates(wanted, classes: Sequence[int]) -> tuple[int, ...]:
    """Return the space groups of the answer, ascending.

    Parameters
    ----------
    wanted
        None for all, or space-group numbers or orix phases, or an orix
        phase list.
    classes
        Classes of the model.

    Raises
    ------
    ValueError
        If one is no space group, has none, or is unknown to the model.
    """
    known = sorted(set(classes) - {0})
    if wanted is None:
        return tuple(known)
    if hasattr(wanted, "ids") and hasattr(wanted, "names"):
        wanted = [phase for number, phase in wanted if number >= 0]
    elif isinstance(wanted, Integral) or hasattr(wanted, "space_group"):
        wanted = [wanted]
    numbers = sorted({_space_group(candidate) for candidate in wanted})
    if not numbers:
        raise ValueError(
            "candidates is empty: name one space group at least, or leave it out."
        )
    unknown = [number for number in numbers if number not in known]
    if unknown:
        raise ValueError(
            f"The model has no class for the space groups {unknown}; it knows "
            f"{known}. Leave them out, or choose another model."
        )
    return tuple(numbers)


def positive_integer(value, name: str) -> None:
    """Raise a ValueError unless a value is None or 1, 2, 3, ..."""
    if value is not None and not (_is(value, Integral) and value > 0):
        raise ValueError(f"{name} must be a positive integer, not {value!r}.")


def positive_number(value, name: str, unit: str) -> None:
    """Raise a ValueError unless a value is None or a positive number."""
    if value is not None and not (
        _is(value, Real) and math.isfinite(value) and value > 0
    ):
        raise ValueError(f"{name} must be a positive number in {unit}, not {value!r}.")


def lattices(asked: bool | str, n_patterns: int) -> bool:
    """Return whether lattices of single patterns are looked for.

    Parameters
    ----------
    asked
        Whether they are, or "auto" where there are few patterns.
    n_patterns
        Number of patterns to classify.

    Raises
    ------
    ValueError
        If it is something else.
    """
    if isinstance(asked, bool | np.bool_):
        return bool(asked)
    if isinstance(asked, str) and asked == "auto":
        return n_patterns <= _FEW_PATTERNS
    raise ValueError(f"lattices must be True, False or 'auto', not {asked!r}.")


def progressbar(show: bool | None) -> bool:
    """Return whether to show progress, by default as HyperSpy is told."""
    return bool(preferences.General.show_progressbar if show is None else show)


def _is(value, kind: type) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool | np.bool_)


def _space_group(candidate) -> int:
    number = candidate
    if hasattr(candidate, "space_group"):
        # An orix phase may know its point group only
        number = getattr(candidate.space_group, "number", None)
        if number is None:
            raise ValueError(
                f"The candidate phase {candidate.name!r} has no space group. Set "
                "`phase.space_group = 225` or the like."
            )
    if not _is(number, Integral) or not 1 <= number <= 230:
        raise ValueError(
            "candidates must be space-group numbers 1 to 230, orix phases or an orix "
            f"phase list; got {candidate!r}."
        )
    return int(number)


def map_axes(signal, what: str) -> tuple:
    """Return the navigation axes of a signal that is to become a map.

    Parameters
    ----------
    signal
        Signal.
    what
        What it is to become, for the message.

    Raises
    ------
    ValueError
        If there are more than two.
    """
    axes = signal.axes_manager.navigation_axes
    if len(axes) > 2:
        raise ValueError(
            f"{what} has two axes at most, but the signal has {len(axes)} navigation "
            "axes. Take slices with `sym.inav[..., 0]`."
        )
    return axes


def _mask(mask, shape: tuple[int, ...], name: str, axes: str) -> np.ndarray | None:
    if mask is None:
        return None
    mask = _array(mask, shape)
    _check_shape(mask, shape, name, axes)
    if mask.dtype.kind not in "biu" or not np.isin(mask, (0, 1)).all():
        raise ValueError(
            f"{name} must be boolean, True meaning excluded, not {mask.dtype}."
        )
    return mask.astype(bool)


def _array(values, shape: tuple[int, ...]) -> np.ndarray:
    if isinstance(values, BaseSignal):
        values = values.data
    if hasattr(values, "compute"):
        values = values.compute()
    values = np.asarray(values)
    # HyperSpy keeps a single value in an array of one
    return values.reshape(()) if shape == () and values.shape == (1,) else values


def _check_shape(values, shape: tuple[int, ...], name: str, axes: str) -> None:
    if values.shape != shape:
        raise ValueError(
            f"{name} has the shape {values.shape}, but the {axes} shape is {shape} "
            "(rows first, as in signal.data)."
        )
