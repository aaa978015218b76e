# SPDX-License-Identifier: GPL-3.0-or-later
"""What is found out about a scan before, and about one pattern for a look."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import nn

from pyxem_symnet.descriptors._pixels import PATTERNS_AT_ONCE
from pyxem_symnet.descriptors.centre import locate_beam
from pyxem_symnet.descriptors.ellipticity import measure_ellipticity
from pyxem_symnet.descriptors.finder import SpotFinder
from pyxem_symnet.descriptors.geometry import PatternGeometry
from pyxem_symnet.descriptors.masks import find_masks
from pyxem_symnet.inference.descan import Descan, fit_descan
from pyxem_symnet.inference.sources import to_device

#: Patterns of a scan that masks and the beam's path are taken from
MAX_SAMPLE = 36

#: Patterns that the size of a scan's spots is measured in, at least
MIN_FOR_DISCS = 9

#: How the background is removed, for the record
BACKGROUND = "largest mean of opposite points around each spot"


@dataclass(frozen=True, eq=False)
class ScanPreparation:
    """What was found out about a scan's detector and beam.

    Parameters
    ----------
    geometry
        Calibration, with the centre and the radius of spots that hold
        for all patterns, if any do.
    masks
        Excluded detector pixels (True) of shape (ky, kx) by reason:
        "given", or "dead", "hot" and "shadow". Empty if nothing is.
    descan
        Path of the beam across the scan, None if the centre is given or
        found in each pattern.
    ellipse
        Elliptical distortion (ratio, angle) that the geometry has beside
        that of the calibration, or None.
    ellipse_method
        How it was found: "given", "measured" or "none".
    """

    geometry: PatternGeometry
    masks: dict[str, np.ndarray] = field(default_factory=dict)
    descan: Descan | None = None
    ellipse: tuple[float, float] | None = None
    ellipse_method: str = "none"

    @property
    def mask(self) -> np.ndarray | None:
        """All excluded pixels (True), None if there are none."""
        if not self.masks:
            return None
        mask = np.logical_or.reduce(list(self.masks.values()))
        return mask if mask.any() else None

    @property
    def centre_method(self) -> str:
        """How the beam is located: "given", "descan" or "each pattern"."""
        if self.geometry.centre is not None:
            return "given"
        return "each pattern" if self.descan is None else "descan"

    def with_ellipse(
        self, ellipse: tuple[float, float], method: str
    ) -> ScanPreparation:
        """Return the same with an elliptical distortion that is corrected.

        Parameters
        ----------
        ellipse
            Ratio of the axes, and the angle of the first in degrees.
        method
            "given" or "measured".
        """
        ratio, angle = map(float, ellipse)
        return replace(
            self,
            geometry=self.geometry.with_ellipse(ratio, angle),
            ellipse=(ratio, angle),
            ellipse_method=method,
        )

    def to_metadata(self) -> dict:
        """Return what was done as plain values."""
        record = {
            "masks": dict(self.masks),
            "masked_pixels": {k: int(v.sum()) for k, v in self.masks.items()},
            "masked_share": 0.0 if self.mask is None else float(self.mask.mean()),
            "centre": self.centre_method,
            "ellipticity": list(self.geometry.ellipticity or (1.0, 0.0)),
            "ellipse": list(self.ellipse or (1.0, 0.0)),
            "ellipse_method": self.ellipse_method,
            "disc_radius": self.geometry.disc_radius,
            "background": BACKGROUND,
        }
        if self.descan is not None:
            record["descan"] = self.descan.to_metadata()
        return record

    @classmethod
    def from_metadata(
        cls, record: Mapping, geometry: PatternGeometry
    ) -> ScanPreparation:
        """Make it again from what `to_metadata` returned.

        Parameters
        ----------
        record
            Plain values.
        geometry
            Calibration that it was made with.
        """
        masks = {k: np.asarray(v, bool) for k, v in dict(record["masks"]).items()}
        geometry = replace(geometry, disc_radius=dict(record).get("disc_radius"))
        path = dict(record).get("descan")
        scan = cls(
            geometry, masks, None if path is None else Descan.from_metadata(path)
        )
        method = dict(record).get("ellipse_method", "none")
        if method == "none":
            return scan
        return scan.with_ellipse(tuple(record["ellipse"]), method)


@dataclass(frozen=True, eq=False)
class Preparation:
    """Everything that preparation did to one pattern.

    Parameters
    ----------
    image
        The pattern as it was recorded, float32 of shape (ky, kx).
    mask
        Excluded pixels (True) of the same shape.
    masks
        The same by reason, see :class:`ScanPreparation`.
    centre
        Direct beam (x, y) in pixels.
    centre_method
        "given", "descan", "beam" (brightest blob) or "friedel" (point
        of inversion symmetry).
    ellipticity
        (ratio, angle) that positions are corrected for; (1, 0) for
        none.
    ellipse_method
        See :class:`ScanPreparation`.
    background
        How the background is removed, in words.
    pixels
        Spots (x, y) in pixels of shape (spots, 2), strongest first.
    vectors
        The same (kx, ky) in 1/Å from the beam.
    intensities
        Their counts above the background, of shape (spots,).
    """

    image: np.ndarray
    mask: np.ndarray
    masks: dict[str, np.ndarray]
    centre: tuple[float, float]
    centre_method: str
    ellipticity: tuple[float, float]
    ellipse_method: str
    background: str
    pixels: np.ndarray
    vectors: np.ndarray
    intensities: np.ndarray


def sample_numbers(selection: np.ndarray, most: int = MAX_SAMPLE) -> np.ndarray:
    """Return which patterns of a scan to look at before.

    They are spread evenly along both axes of a map, so that a beam that
    wanders is seen everywhere.

    Parameters
    ----------
    selection
        Number of each pattern, negative where it is excluded, of the
        navigation shape.
    most
        Most patterns.

    Returns
    -------
    numbers
        Ascending numbers of patterns that are not excluded.
    """
    included = selection[selection >= 0]
    if included.size <= most:
        return np.sort(included)
    # A lattice of about as many nodes; of excluded ones the next is taken
    long_axes = [n for n in selection.shape if n > 1]
    share = (most / np.prod(long_axes, dtype=float)) ** (1 / len(long_axes))
    steps = [max(1, round(n * min(1.0, share))) for n in long_axes]
    while np.prod(steps) > most:
        steps[int(np.argmax(steps))] -= 1
    lines = [
        np.linspace(0, n - 1, k + 2)[1:-1].round().astype(int)
        if k < n
        else np.arange(n)
        for n, k in zip(long_axes, steps, strict=True)
    ]
    nodes = np.ravel_multi_index(np.meshgrid(*lines, indexing="ij"), long_axes).ravel()
    included = np.sort(included)
    place = np.searchsorted(included, nodes).clip(max=included.size - 1)
    return np.unique(included[place])


def prepare_scan(
    patterns: np.ndarray,
    geometry: PatternGeometry,
    mask: np.ndarray | str | None = "auto",
    numbers: np.ndarray | None = None,
    shape: tuple[int, ...] = (),
    finder: SpotFinder | None = None,
    ellipticity: str | tuple[float, float] | None = None,
) -> ScanPreparation:
    """Find out what is the same for all patterns of a scan.

    Parameters
    ----------
    patterns
        Some of its patterns, of shape (patterns, ky, kx).
    geometry
        Calibration. With no centre, the beam's path is looked for.
    mask
        Excluded detector pixels (True) of shape (ky, kx), "auto" to
        find them, or None for none.
    numbers
        Their numbers within the scan, of shape (patterns,). Without,
        the beam is found in each pattern by itself.
    shape
        Navigation shape of the scan.
    finder
        The model's spot finder, to measure the spots' radius with, which
        is the same in all patterns if the beam is. Without, or with few
        patterns, it is chosen in each.
    ellipticity
        Elliptical distortion (ratio, angle) to correct, "auto" to measure
        it with the model's spot finder where the patterns tell it, or None.
    """
    if isinstance(mask, str):
        found = find_masks(patterns)
        masks = {"dead": found.dead, "hot": found.hot, "shadow": found.shadow}
        if found.combined.all():
            masks = {}
    else:
        masks = {} if mask is None else {"given": np.asarray(mask, bool)}
    masks = {reason: pixels for reason, pixels in masks.items() if pixels.any()}
    preparation = ScanPreparation(geometry, masks)
    if ellipticity is not None and not isinstance(ellipticity, str):
        preparation = preparation.with_ellipse(ellipticity, "given")
    if len(patterns) == 0:
        return preparation
    # Broken patterns are for who reads them to complain of
    excluded = False if preparation.mask is None else preparation.mask
    whole = (np.isfinite(patterns) | excluded).all((1, 2))
    patterns = patterns[whole]
    if finder is not None and len(patterns) >= MIN_FOR_DISCS:
        radius = _disc_radius(finder, patterns, geometry, preparation.mask)
        preparation = replace(
            preparation, geometry=replace(preparation.geometry, disc_radius=radius)
        )
    centres = None
    if geometry.centre is None and numbers is not None:
        numbers = numbers[whole]
        descan = fit_descan(patterns, numbers, shape, preparation.mask)
        preparation = replace(preparation, descan=descan)
        centres = None if descan is None else descan.centres(numbers)
    if finder is None or ellipticity != "auto":
        return preparation
    found = _ellipticity(finder, patterns, preparation, centres)
    return preparation if found is None else preparation.with_ellipse(found, "measured")


def _disc_radius(finder, patterns, geometry, mask) -> float | None:
    images = to_device(patterns, torch.device("cpu")).to(torch.float32)
    excluded = None if mask is None else torch.from_numpy(mask)
    return finder.measure_disc_radius(images, geometry, excluded)


def _ellipticity(
    finder: SpotFinder,
    patterns: np.ndarray,
    scan: ScanPreparation,
    centres: np.ndarray | None,
) -> tuple[float, float] | None:
    views = []
    excluded = None if scan.mask is None else torch.from_numpy(scan.mask)
    for first in range(0, len(patterns), PATTERNS_AT_ONCE):
        some = slice(first, first + PATTERNS_AT_ONCE)
        images = to_device(patterns[some], torch.device("cpu")).to(torch.float32)
        beams = None if centres is None else torch.from_numpy(centres[some]).to(images)
        spots = finder(images, scan.geometry, excluded, beams)
        spots = spots.strongest(spots.intensities.shape[1])
        for positions, intensities in zip(*spots, strict=True):
            views.append(positions[intensities > 0].numpy())
    return measure_ellipticity(views)


def prepare_pattern(
    image: np.ndarray,
    scan: ScanPreparation | PatternGeometry,
    mask: np.ndarray | str | None = "auto",
    *,
    number: int | None = None,
    finder: nn.Module | None = None,
) -> Preparation:
    """Prepare one pattern and return what was done, step by step.

    Parameters
    ----------
    image
        Pattern of shape (ky, kx), any real type.
    scan
        What :func:`prepare_scan` returned for its scan; or its
        calibration only, and all is found in this pattern.
    mask
        As for :func:`prepare_scan`; not used with a preparation.
    number
        Its number within the scan, for a beam that wanders.
    finder
        The model's
        :class:`~pyxem_symnet.descriptors.finder.SpotFinder`, by default
        one with default settings.

    Returns
    -------
    Preparation
        Image, masks, centre, spots and settings.

    Examples
    --------
    >>> import numpy as np
    >>> from pyxem_symnet.descriptors import PatternGeometry
    >>> from pyxem_symnet.inference import prepare_pattern
    >>> image = np.random.default_rng(0).poisson(1.0, (64, 64))
    >>> prepared = prepare_pattern(image, PatternGeometry(0.02, (31.5, 31.5)))
    >>> prepared.centre, prepared.centre_method
    ((31.5, 31.5), 'given')
    """
    image = np.asarray(image)
    if isinstance(scan, PatternGeometry):
        scan = prepare_scan(image[None], scan, mask)
    combined = scan.mask
    recorded = image.astype(np.float32)
    finder = SpotFinder() if finder is None else finder
    device = next(iter(finder.state_dict().values()), torch.empty(0)).device
    batch = to_device(image[None], device).to(torch.float32)
    excluded = None if combined is None else torch.from_numpy(combined).to(device)
    if scan.geometry.centre is not None:
        centres, method = scan.geometry.centres(batch), "given"
    elif scan.descan is not None and number is not None:
        centres = torch.from_numpy(scan.descan.centres(np.array([number])))
        centres, method = centres.to(batch), "descan"
    else:
        centres, by_beam = locate_beam(batch, excluded)
        method = "beam" if bool(by_beam[0]) else "friedel"
    spots = finder(batch, scan.geometry, excluded, centres)
    found = spots.intensities[0] > 0
    vectors = spots.positions[0][found]
    return Preparation(
        image=recorded,
        mask=np.zeros(image.shape, bool) if combined is None else combined,
        masks=scan.masks,
        centre=tuple(centres[0].tolist()),
        centre_method=method,
        ellipticity=scan.geometry.ellipticity or (1.0, 0.0),
        ellipse_method=scan.ellipse_method,
        background=BACKGROUND,
        pixels=scan.geometry.to_pixels(vectors[None], centres)[0].cpu().numpy(),
        vectors=vectors.cpu().numpy(),
        intensities=spots.intensities[0][found].cpu().numpy(),
    )
