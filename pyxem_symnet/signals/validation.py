# SPDX-License-Identifier: GPL-3.0-or-later
"""A model's answers for patterns whose symmetry is known."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pyxem_symnet.inference.devices import resolve_device
from pyxem_symnet.inference.plan import ModelReference
from pyxem_symnet.models.registry import DEFAULT_MODEL
from pyxem_symnet.signals import levels
from pyxem_symnet.signals.classify import classify_space_group
from pyxem_symnet.signals.evidence import Evidence, find_evidence, plot_evidence
from pyxem_symnet.signals.labels import Entry, LabelledPatterns, load_entry, read_labels
from pyxem_symnet.symmetry import LEVELS, rank_of_truth

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Patterns of this many bytes are read once and kept, instead of once for
# every pass over them
_MAX_IN_MEMORY = 2**30
# The threshold of SpaceGroupProbabilities.abstained()
_LEVEL, _THRESHOLD = "crystal_system", 0.5


class ValidationError(ValueError):
    """Some sets of patterns could not be classified."""


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
    evidence
        Spots that were found.
    """

    entry: Entry
    space_groups: tuple[int, ...]
    single: np.ndarray
    pooled: np.ndarray
    evidence: Evidence

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
        return {
            "name": self.entry.name,
            "kind": self.entry.kind,
            "n_patterns": len(self.single),
            "n_spots": float(np.median(self.evidence.n_spots)),
            "space_group": self.entry.space_group,
            "rank": self.rank,
            "rank_single": self.rank_single,
            "abstained": self.abstained,
            "confidence": {level: value for level, (_, value) in self.best.items()},
            "best": {level: label for level, (label, _) in self.best.items()},
            "not_crystalline": self.not_crystalline,
        }

    def plot(self) -> Figure:
        """Draw what the pooled answer rests on, and the answer."""
        truth = 0 if self.entry.kind == "amorphous" else self.entry.space_group
        of = f", space group {truth}" if truth else ""
        n_patterns = len(self.single)
        views = "one pattern" if n_patterns == 1 else f"{n_patterns} patterns pooled"
        return plot_evidence(
            self.evidence,
            self.pooled,
            self.space_groups,
            title=f"{self.entry.name} ({self.entry.kind}{of}): {views}",
            truth=truth,
        )

    def _ranks(self, values: np.ndarray, level: str) -> np.ndarray:
        return rank_of_truth(values, self.space_groups, level, self.entry.space_group)


def validate(
    folder: str | os.PathLike,
    *,
    model: str | os.PathLike = DEFAULT_MODEL,
    device: str = "auto",
    show_progressbar: bool = False,
) -> Iterator[Validation]:
    """Classify labelled patterns, each alone and those of a set pooled.

    All entries are checked, and their files opened, before the first is
    classified.

    Parameters
    ----------
    folder
        Folder with ``labels.yaml``, see the user guide.
    model, device, show_progressbar
        As for :func:`~pyxem_symnet.classify_space_group`.

    Yields
    ------
    validation
        The answers for each entry, in the file's order.

    Raises
    ------
    pyxem_symnet.signals.labels.LabelError
        If labels or files are not as they must be; nothing is
        classified then.
    ValueError
        If there is no such model or device.
    ValidationError
        After the last entry, if the patterns of some could not be read
        or classified.
    """
    sets = [load_entry(entry) for entry in read_labels(folder)]
    # What is wrong for all of them is no failure of the first
    ModelReference.find(model)
    if device != "auto":
        resolve_device(device)
    failures = []
    for patterns in sets:
        try:
            validation = _classify(patterns, model, device, show_progressbar)
        except (ValueError, OSError) as error:
            failures.append(f"Entry {patterns.entry.name!r}: {error}")
        else:
            yield validation
    if failures:
        raise ValidationError("\n".join(failures))


def _classify(
    patterns: LabelledPatterns, model, device: str, show_progressbar: bool
) -> Validation:
    entry, signal = patterns.entry, patterns.signal
    if signal.data.nbytes <= _MAX_IN_MEMORY:
        signal = _in_memory(signal)
    options = {
        "model": model,
        "device": device,
        "pixel_size": entry.pixel_size,
        "centre": entry.centre,
        "beam_energy": entry.beam_energy,
        "signal_mask": patterns.mask,
    }
    shown = {"lazy_output": False, "show_progressbar": show_progressbar}
    single = classify_space_group(signal, **options, **shown)
    one_crystal = np.zeros(len(signal.data), int)
    pooled = classify_space_group(signal, regions=one_crystal, **options, **shown)
    return Validation(
        entry,
        single.space_groups,
        single.data,
        pooled.to_regions().data[0],
        find_evidence(signal, **options),
    )


def _in_memory(signal):
    signal = signal.deepcopy()
    try:
        signal.compute(show_progressbar=False)
    except Exception as error:
        # Readers raise whatever they like for files that are cut off
        raise OSError(f"the patterns can't be read: {error}") from error
    return signal
