# SPDX-License-Identifier: GPL-3.0-or-later
"""What an indexed lattice says for and against each of the 230 space groups."""

from __future__ import annotations

import dataclasses
import functools
import math

import numpy as np

from pyxem_symnet.lattice.fit import LatticeFit, SeriesFit
from pyxem_symnet.lattice.laue import (
    VARIANCES,
    forbidden,
    left_cosets,
    log_likelihoods,
    reflection_keys,
    rescaled,
    resolve_views,
)
from pyxem_symnet.lattice.observations import Observations, observe
from pyxem_symnet.lattice.settings import conventional_settings
from pyxem_symnet.lattice.strain import strain_information, symmetry_evidence
from pyxem_symnet.lattice.symmetry import SYSTEMS, LatticeGroup, lattice_groups
from pyxem_symnet.symmetry.absences import laue_rotations, reflection_box
from pyxem_symnet.symmetry.groups import space_group
from pyxem_symnet.symmetry.operations import standard_operations

COLUMNS = (
    "deviation",
    "forbidden_seen",
    "forbidden_strong",
    "forbidden_unseen",
    "absence",
    "likelihood",
    "noise",
    "chi_square",
    "shape",
    "found",
    "behind",
)
"""Columns of :attr:`Evidence.table`.

Deviation of the lattice from the symmetry that the space group needs, in
degrees; how many different reflections that the space group forbids are seen,
how many of these are strong, and how many are not seen where they might be;
the logarithm of how unlikely the unseen ones are by chance; the logarithm of
how much better than *P*-1 its Laue class explains the intensities; the
variance of scaled log intensities that goes with it; how far the lattice is from
one with the symmetry, in squared standard deviations; the logarithm of how much
likelier a lattice with the symmetry is than one that misses it; 1 where the
lattice may have the space group; and the logarithm of how much likelier the lattice
is than the alternative that has the space group, zero if it has.
"""

UNLIKE = -1e4
"""Least logarithm of a likelihood ratio of a lattice's shape."""

# In place of the deviation where there is none within the tolerance of 4
_NO_DEVIATION = 5.0
# What speaks against a setting: how far the lattice is from its symmetry, at most,
# and a forbidden reflection that is seen, as logarithms of likelihood ratios
_MOST_UNLIKE = 50.0
_PER_SEEN = 4.0
# Scaled log intensity from which a spot is strong
_STRONG = -0.5
# Of settings that are equally likely the first is taken, whatever the rounding
_MARGIN = 1e-6
# Deviation in degrees, precise and coarse search, within which a view of a lattice
# that is nearly symmetric may be indexed in any of the ways
_ALIKE = {False: 0.03, True: 1.0}
# Views are told apart and scaled in turn, with smaller and smaller variances
_RESOLVING_VARIANCES = (0.1, 0.03, 0.01)
# As if some reflections were always missed
_MOST_SEEN = 0.97


@dataclasses.dataclass(frozen=True, eq=False)
class Evidence:
    """What a lattice says of the space groups.

    Parameters
    ----------
    table
        One row for each space group, in order of their numbers, with the
        columns of :data:`COLUMNS`, of shape (230, 11). A space group is
        looked for in all settings that the lattice, or an alternative to
        it, allows; the row is of the likeliest.
    summary
        ``deviation_a`` to ``deviation_c``, smallest deviation by letter
        of the lattice system in degrees, 5 where above 4; ``shape_a`` to
        ``shape_c``, largest logarithm of how much likelier this symmetry
        is than none, :data:`UNLIKE` where there is none; ``error`` and
        ``strain``, standard deviation of a spot's coordinates in 1/Å and
        of the lattice's strains; ``sd`` and
        ``slope``, standard deviation of the log intensities, and power of
        their fall with distance from the Ewald sphere; ``n`` and ``nv``,
        number of observations and of views; ``seen``, share of the
        observations that are spots, and ``q``, the same of different
        reflections; ``base`` and ``bs0``, log likelihood of the
        intensities in *P*-1 and the variance that goes with it.
    """

    table: np.ndarray
    summary: dict[str, float]


def space_group_evidence(
    fit: LatticeFit, wavelength: float = 0.025079
) -> Evidence | None:
    """Return what a lattice with its indexed views says of each space group.

    Each group of rotations that the lattice has within 4 degrees gives
    conventional cells, and these the space groups of their Bravais
    lattices. Three things tell them apart: the shape of the lattice, the
    reflections that are systematically absent, and how well symmetric
    reflections agree in intensity.

    Parameters
    ----------
    fit
        Lattice and indexed views.
    wavelength
        Of the electrons in Å; the default is that of 200 kV.

    Returns
    -------
    Evidence or None
        None if there are fewer than eight spots.
    """
    evidence = _of_lattice(fit, wavelength)
    if evidence is None:
        return None
    table, best, summary = evidence
    for other in fit.alternatives:
        evidence = _of_lattice(other, wavelength)
        if evidence is not None:
            rows, scores, _ = evidence
            better = scores > best + _MARGIN
            table[better] = rows[better]
            best[better] = scores[better]
    return Evidence(table, summary)


def _of_lattice(
    fit: LatticeFit, wavelength: float
) -> tuple[np.ndarray, np.ndarray, dict[str, float]] | None:
    """Return table, its rows' scores and summary for one of the lattices."""
    observed = observe(fit, wavelength)
    if observed is None:
        return None
    # One orientation for all of a series: there is no choice of indexing in a view
    apart = not isinstance(fit, SeriesFit)
    identity = np.eye(3, dtype=np.int64)[None]
    groups = lattice_groups(fit.metric)
    known = strain_information(fit)
    alike = _indistinguishable(groups, fit.coarse)
    base = _fit_laue_class(observed, observed.hkl, alike, identity, apart)
    seen_share = min(float(base.seen.mean()), _MOST_SEEN)
    per_unseen = -math.log(1 - seen_share)
    deviations = dict.fromkeys(SYSTEMS, _NO_DEVIATION)
    shapes = dict.fromkeys(SYSTEMS, UNLIKE)
    table = np.zeros((230, len(COLUMNS)), np.float32)
    table[:, 0] = _NO_DEVIATION
    table[:, -4:-2] = -2 * UNLIKE, UNLIKE
    best = np.full(230, -np.inf)
    for group in groups:
        deviation = min(deviations[group.system], group.deviation)
        deviations[group.system] = deviation
        chi_square, shape = symmetry_evidence(fit.metric, group.operations, known)
        shape = max(shape, UNLIKE)
        shapes[group.system] = max(shapes[group.system], shape)
        for setting in conventional_settings(group, fit.metric):
            to_cell = setting.basis.T
            hkl = observed.hkl @ to_cell
            own = group.operations
            operations = alike if _contains(alike, own) else own
            turned = np.linalg.inv(to_cell) @ operations @ to_cell
            rotations = turned.round().astype(np.int64)
            for laue_class, sets in _candidates(setting.bravais):
                laue = _fit_laue_class(observed, hkl, rotations, laue_class, apart)
                gain = laue.likelihood - base.likelihood
                for numbers, *shifts in sets:
                    absent = forbidden(*shifts, laue.reflections)
                    n_seen = (absent & laue.seen).sum()
                    n_unseen = absent.sum() - n_seen
                    absence = per_unseen * n_unseen
                    score = (
                        gain
                        - min(0.5 * chi_square, _MOST_UNLIKE)
                        - _PER_SEEN * n_seen
                        + absence
                        - fit.behind
                    )
                    if score > best[numbers[0]] + _MARGIN:
                        best[numbers] = score
                        table[numbers] = (
                            group.deviation,
                            n_seen,
                            (absent & laue.strong).sum(),
                            n_unseen,
                            absence,
                            gain,
                            laue.variance,
                            min(chi_square, -2 * UNLIKE),
                            shape,
                            1,
                            fit.behind,
                        )
    summary = {
        **{f"deviation_{system}": deviations[system] for system in SYSTEMS},
        **{f"shape_{system}": shapes[system] for system in SYSTEMS},
        "error": known.error,
        "strain": known.typical_strain,
        "sd": observed.spread,
        "slope": observed.slope,
        "n": float(len(observed.hkl)),
        "nv": float(observed.n_views),
        "q": seen_share,
        "base": base.likelihood,
        "bs0": base.variance,
        "seen": float(observed.seen.mean()),
    }
    return table, best, summary


def _indistinguishable(groups: list[LatticeGroup], coarse: bool) -> np.ndarray:
    """Return the rotations that views may be indexed in, as far as positions tell."""
    near = [group for group in groups if group.deviation <= _ALIKE[coarse]]
    return max(near, key=lambda group: len(group.operations)).operations


def _contains(operations: np.ndarray, others: np.ndarray) -> bool:
    known = {operation.tobytes() for operation in operations}
    return all(other.tobytes() in known for other in others)


@dataclasses.dataclass(frozen=True, eq=False)
class _LaueFit:
    """Observations as those of a Laue class, different reflections once.

    Parameters
    ----------
    likelihood
        Logarithm of the likelihood of the intensities, the choices of
        indexing paid for.
    variance
        Variance of scaled log intensities it is largest at.
    reflections
        One of each set of equivalent reflections, of shape (n, 3).
    seen, strong
        Whether it is seen, and as a strong spot, each of shape (n,).
    """

    likelihood: float
    variance: float
    reflections: np.ndarray
    seen: np.ndarray
    strong: np.ndarray


def _fit_laue_class(
    observed: Observations,
    hkl: np.ndarray,
    rotations: np.ndarray,
    laue: np.ndarray,
    apart: bool,
) -> _LaueFit:
    """Return how observations agree with a Laue class, in the best indexing.

    Rotations are those of the lattice and of the Laue class in the cell that
    the reflections are given in. Views are indexed each by itself, or alike.
    """
    ways = left_cosets(rotations, laue)
    by_way = np.stack([reflection_keys(hkl @ way, laue) for way in ways])
    known, keys = np.unique(by_way, return_inverse=True)
    keys = keys.reshape(by_way.shape)
    seen = observed.seen
    views = observed.view[seen]
    indexed = observed.view if apart else np.zeros_like(observed.view)
    n_indexed = int(indexed[-1]) + 1
    start = np.searchsorted(indexed[seen], np.arange(n_indexed + 1))
    seen_keys = np.ascontiguousarray(keys[:, seen])
    best = -np.inf
    values = observed.values
    for noise in _RESOLVING_VARIANCES:
        chosen = np.zeros(n_indexed, np.int64)
        if len(ways) > 1:
            chosen = resolve_views(seen_keys, values, start, len(known), noise)
        resolved = seen_keys[chosen[indexed[seen]], np.arange(len(views))]
        values = rescaled(
            resolved,
            observed.values,
            observed.falls,
            views,
            len(known),
            observed.n_views,
        )
        likelihoods = log_likelihoods(resolved, values, len(known), VARIANCES)
        if likelihoods.max() > best:
            best, variance = float(likelihoods.max()), VARIANCES[likelihoods.argmax()]
            way, scaled = chosen, values
        if len(ways) == 1:
            break
    way = way[indexed]
    resolved = keys[way, np.arange(len(hkl))]
    # every view but the first may be indexed in any of the ways
    price = math.log(len(ways)) * (n_indexed - 1)
    _, first, place = np.unique(resolved, return_index=True, return_inverse=True)
    flags = np.zeros((2, len(first)), bool)
    flags[0, place[seen]] = True
    flags[1, place[seen][scaled > _STRONG]] = True
    return _LaueFit(
        best - price,
        float(variance),
        (hkl[first, None] @ ways[way[first]])[:, 0],
        *flags,
    )


@functools.cache
def _candidates(bravais: str) -> list[tuple[np.ndarray, list[tuple]]]:
    """Return the space groups of a Bravais lattice, as diffraction shows them.

    By Laue class in its orientation to the cell: its proper rotations, and sets
    of space groups with the same absences. A set is the indices of their rows, and
    the rotations and translations of those operations that can make a reflection
    absent. A lattice letter and a centring stand for the Bravais lattice, as in
    :class:`~pyxem_symnet.lattice.ConventionalSetting`.
    """
    box = reflection_box()
    classes: dict[bytes, tuple[np.ndarray, dict[bytes, tuple]]] = {}
    for number in range(1, 231):
        group = space_group(number)
        if group.bravais_lattice[0] + group.centring != bravais:
            continue
        rotations, translations = standard_operations(number)
        laue = laue_rotations(rotations)
        laue = laue[np.linalg.det(laue) > 0].astype(np.int64)
        shifts = (translations % 1).any(1)
        operations = rotations[shifts].astype(np.int64), translations[shifts]
        _, sets = classes.setdefault(laue.tobytes(), (laue, {}))
        absences = forbidden(*operations, box).tobytes()
        rows, *_ = sets.setdefault(absences, ([], *operations))
        rows.append(number - 1)
    return [(laue, list(sets.values())) for laue, sets in classes.values()]
