# SPDX-License-Identifier: GPL-3.0-or-later
"""A model's answers for patterns whose symmetry is known."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pyxem_symnet.inference.devices import resolve_device
from pyxem_symnet.inference.plan import ModelReference
from pyxem_symnet.models.registry import DEFAULT_MODEL
from pyxem_symnet.signals import levels
from pyxem_symnet.signals.classify import classify_space_group
from pyxem_symnet.signals.labels import (
    BrokenEntry,
    Entry,
    LabelledPatterns,
    load_entry,
    read_labels,
)
from pyxem_symnet.symmetry import LEVELS, rank_of_truth

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from pyxem_symnet.signals.explain import Explanation

# Patterns of this many bytes are read once and kept, instead of once for
# every pass over them
_MAX_IN_MEMORY = 2**30
# The threshold of SpaceGroupProbabilities.abstained()
_LEVEL, _THRESHOLD = "crystal_system", 0.5


@dataclass(frozen=True, eq=False)
class Validation:
    """A model's answers for one set of patterns.

    Parameters
    ----------
    entry
        What the labels say of it.
    space_groups
        Numbers of the space groups that the model knows.
    single
        Probabilities of each pattern by itself, of shape (patterns,
        space groups).
    pooled
        Probabilities of all patterns as views of one crystal, of shape
        (space groups,).
    explanation
        What the pooled answer rests on.
    explanation_single
        The same of the pattern with the most spots, alone. If there is
        only one, it is that above.
    """

    entry: Entry
    space_groups: tuple[int, ...]
    single: np.ndarray
    pooled: np.ndarray
    explanation: Explanation
    explanation_single: Explanation

    @property
    def rank(self) -> dict[str, int] | None:
        """Place of the truth at each level, all patterns pooled."""
        if self.entry.space_group is None:
            return None
        return {level: int(self._ranks(self.pooled, level)) for level in LEVELS}

    @property
    def rank_single(self) -> dict[str, float] | None:
        """Median place of the truth at each level, patterns alone."""
        if self.entry.space_group is None:
            return None
        return {
            level: float(np.median(self._ranks(self.single, level))) for level in LEVELS
        }

    @property
    def best(self) -> dict[str, tuple[str, float]]:
        """Most probable label at each level, and its probability."""
        return {
            level: levels.ranking(self.pooled, self.space_groups, level, 1)[0]
            for level in LEVELS
        }

    @property
    def not_crystalline(self) -> float:
        """Probability that the patterns are not of a crystal."""
        return max(0.0, 1 - float(self.pooled.sum(dtype=np.float64)))

    @property
    def abstained(self) -> bool:
        """Whether the pooled answer should not be used.

        As :meth:`~pyxem_symnet.SpaceGroupProbabilities.abstained`.
        """
        code = levels.codes(self.pooled, self.space_groups, _LEVEL, _THRESHOLD)
        return bool(code == 0)

    def to_dict(self) -> dict:
        """Return the figures as plain values for JSON."""
        n_spots = [len(view.vectors) for view in self.explanation.views]
        return {
            "name": self.entry.name,
            "kind": self.entry.kind,
            "n_patterns": len(self.single),
            "n_spots": float(np.median(n_spots)),
            "space_group": self.entry.space_group,
            "rank": self.rank,
            "rank_single": self.rank_single,
            "abstained": self.abstained,
            "confidence": {level: value for level, (_, value) in self.best.items()},
            "best": {level: label for level, (label, _) in self.best.items()},
            "not_crystalline": self.not_crystalline,
        }

    def plot(self, single: bool = False) -> Figure:
        """Draw an answer and what it rests on.

        Parameters
        ----------
        single
            Whether it is that of the one pattern with the most spots,
            instead of that of all patterns.
        """
        entry, explanation = self.entry, self.explanation
        truth = 0 if entry.kind == "amorphous" else entry.space_group
        of = f", space group {truth}" if truth else ""
        views = "one pattern"
        if single:
            explanation = self.explanation_single
            views = f"pattern {explanation.shown.index[0]} alone"
        elif len(self.single) > 1:
            views = f"{len(self.single)} patterns pooled"
        title = f"{entry.name} ({entry.kind}{of}): {views}"
        return explanation.plot(title, truth)

    def _ranks(self, values: np.ndarray, level: str) -> np.ndarray:
        return rank_of_truth(values, self.space_groups, level, self.entry.space_group)


@dataclass(frozen=True)
class FailedValidation:
    """A set of patterns that could not be classified.

    Parameters
    ----------
    name, kind
        What the labels say of it.
    reason
        Why not.
    """

    name: str
    kind: str | None
    reason: str

    def to_dict(self) -> dict:
        """Return the keys of :meth:`Validation.to_dict`, and "error"."""
        return {
            "name": self.name,
            "kind": self.kind,
            "n_patterns": 0,
            "n_spots": 0.0,
            "space_group": None,
            "rank": None,
            "rank_single": None,
            "abstained": True,
            "confidence": None,
            "best": None,
            "not_crystalline": None,
            "error": self.reason,
        }


def validate(
    folder: str | os.PathLike,
    *,
    model: str | os.PathLike = DEFAULT_MODEL,
    device: str = "auto",
    show_progressbar: bool = False,
) -> Iterator[Validation | FailedValidation]:
    """Classify labelled patterns, each alone and those of a set pooled.

    Parameters
    ----------
    folder
        Folder with ``labels.yaml``, see the user guide.
    model, device, show_progressbar
        As for :func:`~pyxem_symnet.classify_space_group`.

    Yields
    ------
    validation
        The answers for each entry, in the file's order. An entry that
        is not as it must be, or whose files can't be read or
        classified, doesn't stop the others: it is a
        :class:`FailedValidation`, which says why.

    Raises
    ------
    pyxem_symnet.signals.labels.LabelError
        If there is no ``labels.yaml``, or it is no list.
    ValueError
        If there is no such model or device.
    """
    entries = read_labels(folder)
    # What is wrong for all of them is no failure of the first
    ModelReference.find(model)
    if device != "auto":
        resolve_device(device)
    for entry in entries:
        if isinstance(entry, BrokenEntry):
            yield FailedValidation(entry.name, entry.kind, entry.reason)
            continue
        try:
            yield _classify(load_entry(entry), model, device, show_progressbar)
        except Exception as error:
            # Readers raise whatever they like for files that are cut off
            yield FailedValidation(entry.name, entry.kind, _reason(error))


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())
    expected = isinstance(error, ValueError | OSError) and text
    return text if expected else f"{type(error).__name__}: {text}"


def _pool(signal, rotation_step: float | str | None, options: dict):
    """Classify all patterns together, as a rotation series if they are one."""
    header = ModelReference.find(options["model"])[1]
    reads_lattices = header.settings.get("lattice") is not None
    if rotation_step is None or len(signal.data) == 1 or not reads_lattices:
        one_crystal = np.zeros(len(signal.data), int)
        return classify_space_group(signal, regions=one_crystal, **options)
    with warnings.catch_warnings():
        # Labels of kind "series" need not mean that the steps are equal
        warnings.filterwarnings("ignore", message="No lattice explains the patterns")
        return classify_space_group(signal, rotation_step=rotation_step, **options)


def _classify(
    patterns: LabelledPatterns, model, device: str, show_progressbar: bool
) -> Validation:
    entry, signal = patterns.entry, patterns.signal
    if signal.data.nbytes <= _MAX_IN_MEMORY:
        signal = signal.deepcopy()
        signal.compute(show_progressbar=False)
    options = {
        "model": model,
        "device": device,
        "pixel_size": entry.pixel_size,
        "centre": entry.centre,
        "beam_energy": entry.beam_energy,
        "ellipticity": entry.ellipticity,
        "signal_mask": patterns.mask,
        "lazy_output": False,
        "show_progressbar": show_progressbar,
    }
    single = classify_space_group(signal, **options)
    pooled = _pool(signal, entry.rotation_step, options)
    explanation = pooled.explain(signal, region=0, device=device)
    alone = explanation
    if len(signal.data) > 1:
        alone = single.explain(signal, explanation.shown.index, device=device)
    return Validation(
        entry,
        single.space_groups,
        single.data,
        pooled.to_regions().data[0],
        explanation,
        alone,
    )
