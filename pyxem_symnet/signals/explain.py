# SPDX-License-Identifier: GPL-3.0-or-later
"""Why an answer is what it is: the evidence, read again from the patterns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pyxem_symnet.inference.devices import device_lock, get_model, resolve_device
from pyxem_symnet.inference.plan import ModelReference, Plan, VectorGeometry
from pyxem_symnet.inference.preparation import ScanPreparation
from pyxem_symnet.inference.series import USUAL_BEAM_ENERGY
from pyxem_symnet.lattice import find_series_lattice
from pyxem_symnet.signals import checks, levels
from pyxem_symnet.signals.calibration import read_detector
from pyxem_symnet.signals.explain_influence import Influence, Profile, Trial, shares
from pyxem_symnet.signals.explain_place import find_answer, find_points
from pyxem_symnet.signals.explain_views import View, read_views
from pyxem_symnet.signals.level_maps import NODE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from pyxem_symnet.descriptors.spots import Spots
    from pyxem_symnet.lattice import LatticeFit, SeriesFit

# Answers for the same patterns differ by less, on whatever device
_SAME = 0.02


@dataclass(frozen=True, eq=False)
class Explanation:
    """An answer and what it rests on.

    ``print()`` says it in words, :meth:`plot` draws it.

    Parameters
    ----------
    index
        Scan point (x, y, ...) in HyperSpy's order, None for a region.
    region
        Label of the region, or None.
    space_groups
        Numbers of the space groups that were ranked.
    probabilities
        The answer, of shape (space groups,). What it lacks to one is
        the probability of "not crystalline".
    recomputed
        The same, from the patterns that were looked at now. It only
        differs, but for rounding, if these were not all.
    n_patterns
        Number of patterns that the answer was made from.
    views
        The patterns that were looked at now, all or 256 of each signal.
    n_distinct
        Number of different orientations that the model takes them for.
    profile
        Distances of the spots from the beam.
    influences
        What the answer is without a part of the evidence. The lattice
        stays that of all patterns.
    level, threshold
        Level of symmetry, and smallest confidence, at which the answer
        is taken for one.
    record
        What was done, from ``metadata.Symmetry`` of the result.
    lattice
        The lattice that explains several patterns, if the model looks
        for one and it was found.
    """

    index: tuple[int, ...] | None
    region: int | None
    space_groups: tuple[int, ...]
    probabilities: np.ndarray
    recomputed: np.ndarray
    n_patterns: int
    views: tuple[View, ...]
    n_distinct: float
    profile: Profile
    influences: tuple[Influence, ...]
    level: str
    threshold: float
    record: dict
    lattice: LatticeFit | None = None

    @property
    def shown(self) -> View:
        """The pattern with the most spots."""
        return max(self.views, key=lambda view: len(view.vectors))

    @property
    def not_crystalline(self) -> float:
        """Probability that the patterns are not of a crystal."""
        return max(0.0, 1 - float(self.probabilities.sum(dtype=np.float64)))

    @property
    def abstained(self) -> bool:
        """Whether the answer should not be used.

        As :meth:`~pyxem_symnet.SpaceGroupProbabilities.abstained` with
        the same level and threshold.
        """
        values, groups = self.probabilities, self.space_groups
        return bool(levels.codes(values, groups, self.level, self.threshold) == 0)

    def ranking(
        self, level: str = "space_group", n: int = 5
    ) -> list[tuple[str, float]]:
        """Return the most probable labels, the best first.

        Parameters
        ----------
        level
            One of :data:`pyxem_symnet.symmetry.LEVELS`.
        n
            Number of labels.
        """
        return levels.ranking(self.probabilities, self.space_groups, level, n)

    def most_influential(
        self, n: int = 12, level: str | None = None
    ) -> list[tuple[Influence, float]]:
        """Return what the answer hangs on.

        Parameters
        ----------
        n
            Number of changes to the evidence. Streams and scales are
            always among them.
        level
            Level of symmetry, that of the decision by default.

        Returns
        -------
        influences
            Each with the change of the probability of what is the first
            answer with everything present. Streams and scales
            first, then rings and patterns, the largest change first.
        """
        level = level or self.level
        base, _ = shares(self.recomputed, self.space_groups, level)
        best = int(base.argmax())
        changes = []
        for each in self.influences:
            values, _ = shares(each.probabilities, self.space_groups, level)
            changes.append((each, float(values[best] - base[best])))
        always = [c for c in changes if c[0].kind in ("stream", "scale")]
        others = [c for c in changes if c[0].kind not in ("stream", "scale")]
        others.sort(key=lambda change: -abs(change[1]))
        return always + others[: max(0, n - len(always))]

    def findings(self) -> list[str]:
        """Return what the answer is, and what the data can tell."""
        from pyxem_symnet.signals.explain_words import findings

        return findings(self)

    def preparation(self) -> list[str]:
        """Return what was done to the patterns, with which numbers."""
        from pyxem_symnet.signals.explain_words import preparation

        return preparation(self)

    def plot(self, title: str | None = None, truth: int | None = None) -> Figure:
        """Draw the evidence and the answer.

        Parameters
        ----------
        title
            What is written above.
        truth
            True space group if it is known, 0 for no crystal. Its
            labels are marked.

        Returns
        -------
        matplotlib.figure.Figure
            A new figure, which is not one of pyplot's: a notebook shows
            it, ``figure.savefig()`` writes it.
        """
        from pyxem_symnet.signals.explain_figure import draw

        return draw(self, title, truth)

    def __str__(self) -> str:
        parts = ("Answer", self.findings()), ("Preparation", self.preparation())
        return "\n\n".join(
            f"{title}\n" + "\n".join(f"- {line}" for line in lines)
            for title, lines in parts
        )


def explain(
    sym,
    signal,
    index=None,
    *,
    region: int | None = None,
    views=None,
    level: str = "crystal_system",
    threshold: float = 0.5,
    device: str = "auto",
) -> Explanation:
    """Read the patterns behind an answer again, and say why it is so.

    Parameters
    ----------
    sym
        :class:`~pyxem_symnet.SpaceGroupProbabilities`.
    signal, index, region, views, level, threshold, device
        As for its method ``explain()``.

    Raises
    ------
    TypeError
        If the signal has another type.
    ValueError
        If an argument doesn't fit, the point was excluded, or the
        patterns are not those that were classified.
    """
    record = _record(sym)
    checks.signal_type(signal)
    signals = [signal, *checks.further_views(views)]
    for each in signals[1:]:
        checks.signal_type(each)
    shape = checks.navigation_shape(signals)
    levels.codes(np.zeros(len(sym.space_groups)), sym.space_groups, level, threshold)
    place, label = find_answer(sym, record, shape, index, region)
    points, included = find_points(record, place, label)
    answer = np.asarray(sym.data[place], np.float32)
    if np.isnan(answer).any():
        raise ValueError(
            f"The point {place[::-1]} was excluded by navigation_mask: there is no "
            "answer to explain."
        )
    where = resolve_device(device)
    reference, header = _model(record)
    scans = _preparations(record, signals)
    plan = _plan(record, sym, scans, reference, str(where), label is not None)
    with device_lock(where):
        model = get_model(reference, where)
        spots, found = read_views(signals, points, scans, plan, model)
        lattice = None
        if record.get("series") and len(points) == included:
            lattice = _series_lattice(record, spots[0], points, shape)
        trial = Trial(model, spots, plan, lattice)
        profile = trial.profile()
        names = [_name(view, len(signals)) for view in found]
        recomputed = trial.probabilities
        if len(points) == included:
            _check_same(answer, recomputed)
        return Explanation(
            index=None if label is not None else place[::-1],
            region=label,
            space_groups=sym.space_groups,
            probabilities=answer,
            recomputed=recomputed,
            n_patterns=included * len(signals),
            views=found,
            n_distinct=trial.n_distinct,
            profile=profile,
            influences=tuple(trial.influences(profile, names)),
            level=level,
            threshold=threshold,
            record=record,
            lattice=trial.lattice,
        )


def _record(sym) -> dict:
    node = sym.metadata.get_item(NODE)
    record = {} if node is None else node.as_dictionary()
    if not {"model", "calibration", "preparation", "preprocessing"} <= set(record):
        raise ValueError(
            "The result does not say how it was made, in metadata.Symmetry. Explain "
            "what this version's classify_space_group() returned, or what was saved "
            "of it."
        )
    return record


def _model(record: dict):
    name = record["model"]["name"]
    reference, header = ModelReference.find(name)
    if reference.sha256 != record["model"]["sha256"]:
        raise ValueError(
            f"The model {name!r} has other weights than those that gave the answer. "
            "Call classify_space_group() again."
        )
    return reference, header


def _preparations(record: dict, signals) -> list:
    """Return how each signal was read, from what the result says."""
    calibrations = list(record["calibration"].values())
    if len(calibrations) != len(signals):
        raise ValueError(
            f"The answer was made from {len(calibrations)} signals: give the same "
            f"views=, {len(calibrations) - 1} of them."
        )
    scans = []
    for number, signal in enumerate(signals):
        geometry = _geometry(calibrations[number], signal)
        done = record["preparation"].get(f"view_{number}")
        if done is not None:
            geometry = ScanPreparation.from_metadata(done, geometry)
        scans.append(geometry)
    return scans


def _plan(
    record: dict, sym, scans: list, reference, device: str, of_region: bool
) -> Plan:
    return Plan(
        model=reference,
        device=device,
        geometries=tuple(getattr(scan, "geometry", scan) for scan in scans),
        masks=tuple(getattr(scan, "mask", None) for scan in scans),
        descans=tuple(getattr(scan, "descan", None) for scan in scans),
        classes=sym.space_groups,
        candidates=record.get("candidates") is not None,
        reciprocal_radius=record.get("reciprocal_radius"),
        lattices=of_region or record.get("lattices", False),
    )


def _geometry(calibration: dict, signal):
    of_vectors = "scale" in calibration
    if of_vectors != checks.is_vectors(signal):
        kinds = "diffraction vectors", "patterns"
        raise ValueError(
            f"The answer was made from {kinds[not of_vectors]}, not from "
            f"{kinds[of_vectors]}: give the signal that was classified."
        )
    if of_vectors:
        plain = {
            key: tuple(value) if isinstance(value, list | tuple) else value
            for key, value in calibration.items()
        }
        return VectorGeometry(**plain)
    centre = calibration["centre"]
    centre = "auto" if isinstance(centre, str) else tuple(centre)
    return read_detector(signal, tuple(calibration["pixel_size"]), centre).to_geometry()


def _check_same(answer: np.ndarray, recomputed: np.ndarray) -> None:
    if np.abs(answer - recomputed).max() > _SAME:
        raise ValueError(
            "The patterns give another answer than the result has there: they are not "
            "those that were classified, or were changed since. Give the signal that "
            "was classified, or classify this one."
        )


def _series_lattice(record: dict, spots: Spots, points, shape) -> SeriesFit | None:
    """Return the lattice that the patterns had as a rotation series."""
    views = [np.empty((0, 3)) for _ in range(shape[0])]
    for (place,), each in zip(points, spots.to_arrays(), strict=True):
        views[place] = each
    asked = record["series"]["rotation_step"]
    return find_series_lattice(
        views,
        record.get("beam_energy") or USUAL_BEAM_ENERGY,
        None if asked == "auto" else asked,
    )


def _name(view: View, n_signals: int) -> str:
    point = ", ".join(str(i) for i in view.index)
    name = f"({point})" if len(view.index) != 1 else point
    return name if n_signals == 1 else f"{name} of view {view.signal + 1}"
