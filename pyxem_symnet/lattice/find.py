# SPDX-License-Identifier: GPL-3.0-or-later
"""The search for a crystal's lattice in the spots of its views.

No candidate cell is needed. A precise view has a lattice by itself
(:mod:`~pyxem_symnet.lattice.one_view`), which often explains all others
(:mod:`~pyxem_symnet.lattice.suggested`). Views in unknown orientations have lengths
and products of reciprocal vectors in common: metrics put together from these
(:mod:`~pyxem_symnet.lattice.candidates`) are sieved by how well they explain the
lengths, then the pairs of spots, then some of the views and last all of them.
"""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Sequence

import numpy as np

from pyxem_symnet.lattice.alternatives import rank_lattices, with_alternatives
from pyxem_symnet.lattice.best_distorted import DistortedFits
from pyxem_symnet.lattice.candidates import (
    candidate_metrics,
    distinct,
    find_lines,
    find_zones,
    pairs_of_spots,
    shortest_spots,
)
from pyxem_symnet.lattice.distortion import pair_slopes, turned_distortion
from pyxem_symnet.lattice.electrons import electron_wavelength, on_ewald_sphere
from pyxem_symnet.lattice.ellipse import without_ellipse
from pyxem_symnet.lattice.fit import LatticeFit
from pyxem_symnet.lattice.indexing import (
    FEWEST_SPOTS,
    SpotList,
    best_related,
    index_views,
    refine_often,
)
from pyxem_symnet.lattice.metric import is_plausible, reduce_metric
from pyxem_symnet.lattice.nets import find_nets
from pyxem_symnet.lattice.one_view import find_lattice_of_view
from pyxem_symnet.lattice.polish import polish_fit
from pyxem_symnet.lattice.scores import IMPOSSIBLE, refine_by_pairs, score_lines
from pyxem_symnet.lattice.search import (
    COARSE,
    PRECISE,
    STEPS_OF_VOLUME,
    Search,
)
from pyxem_symnet.lattice.sharpen import sharpen
from pyxem_symnet.lattice.suggested import suggested_by_views

# Distances in 1/Å that differ by less are equal
_DECIMALS = 5
# The coarse search is left out where the precise one explains this share of spots
_EXPLAINED = 0.8
# That which nets alone suggest should explain this share
_EXPLAINED_BY_NETS = 0.95
# Views that a lattice is looked at with first: those of most spots
_FIRST_VIEWS = 6
_FIRST_ORIENTATIONS = 150
# Lattices refined on all views, and with few views, which say less
_N_REFINED = 5
_N_REFINED_FEW = 8
# Refinements on the first views at most
_N_FIRST_REFINEMENTS = 2
# A lattice that explains this share of the spots of many views is the right one
_RIGHT = 0.9
_PAIR_REFINEMENTS = 2
# Least length of a reciprocal vector, in tolerances and in shortest lines
_TOLERANCES = 2.5
_OF_SHORTEST_LINE = 0.4
_log_likelihood = operator.attrgetter("log_likelihood")


def find_lattice(
    views: Sequence[np.ndarray],
    beam_energy: float = 200.0,
    common_distortion: bool = True,
    turns: Sequence[np.ndarray] | None = None,
) -> LatticeFit | None:
    """Find the lattice that explains the spots of the views of a crystal.

    The orientations need not be known and the views need not be of zone
    axes. What is found may be a multiple or a fraction of the true
    lattice where few views show the difference.

    Parameters
    ----------
    views
        Spots of each view, arrays of shape (spots, 3): x and y in 1/Å
        from the direct beam, and the intensity. Views of fewer than three
        spots are left out.
    beam_energy
        Beam energy in kV.
    common_distortion
        Whether the views may have an elliptical distortion in common, as
        patterns of one camera have, which is then refined with the
        lattice and undone.
    turns
        How each view was turned or mirrored since it was recorded,
        orthogonal matrices of shape (2, 2), if any was. A common
        distortion is that of the patterns as they were.

    Returns
    -------
    LatticeFit or None
        None if no lattice is found. Its views are those that it explains
        well enough to be oriented, of which the spots nearest to the
        direct beam are indexed.

    Raises
    ------
    ValueError
        If a view is of another shape, holds what is not finite, or lies
        farther out than the Ewald sphere reaches, if there are not as many
        turns as views, or for a beam energy that is none.

    Notes
    -----
    A single view has a lattice if its positions are precise and its spots not
    in one plane (:func:`~pyxem_symnet.lattice.one_view.find_lattice_of_view`).
    Of several views, the lattice of one is taken if it explains all of them
    exactly (:func:`~pyxem_symnet.lattice.suggested.suggested_by_views`).
    Otherwise it is first assumed that positions are precise and few spots are
    false (:data:`~pyxem_symnet.lattice.search.PRECISE`), but for a small ellipse
    (:func:`~pyxem_symnet.lattice.ellipse.without_ellipse`), and where this
    leaves more than a fifth of the spots unexplained, that they are not, with
    one tolerance after the other
    (:data:`~pyxem_symnet.lattice.search.COARSE`). Each looks at the
    likeliest lattice found before, too. What is found is fitted with a
    distortion of each view, and the best with one that all have in common
    (:class:`~pyxem_symnet.lattice.best_distorted.DistortedFits`); where
    the latter explains the views so well that no other lattice will, no
    further tolerance is tried. The likeliest is taken. Its log likelihood
    is about one for each spot where all of them lie by chance. Where all
    else is precise once a common distortion is undone, or where
    positions turn out to be precise once reflections may be far from the
    Ewald sphere (:func:`~pyxem_symnet.lattice.sharpen.sharpen`), that is
    the lattice. Views along zone axes may leave several that are about as
    likely, which are its alternatives
    (:func:`~pyxem_symnet.lattice.alternatives.with_alternatives`).
    """
    wavelength = electron_wavelength(beam_energy)
    listed = [spot_list(view, wavelength) for view in views]
    turns = [np.eye(2)] * len(listed) if turns is None else turns
    # Those of views that are turned differently are not seen in pairs of spots
    alike = all(np.array_equal(turn, turns[0]) for turn in turns)
    used = [
        (view, turned_distortion(turn))
        for view, turn in zip(listed, turns, strict=True)
        if len(view.vectors) >= FEWEST_SPOTS
    ]
    if not used:
        return None
    spots, frames = map(list, zip(*used, strict=True))
    if len(spots) == 1:
        return find_lattice_of_view(spots[0])
    fits, search = suggested_by_views(spots)
    shortest = PRECISE.tolerance * _TOLERANCES
    if fits and search is not PRECISE:
        fits = [polish_fit(fit, spots, search) for fit in fits]
        return with_alternatives(fits[0], fits[1:], spots, search, wavelength)
    if not fits:
        fits, shortest = _search(spots, PRECISE)
    nets = find_nets(spots, PRECISE)
    ranked = rank_lattices(fits, spots, nets, PRECISE, shortest, wavelength)
    sharpened: list[LatticeFit] = []
    if ranked:
        fit = polish_fit(ranked[0], spots, PRECISE)
        other = without_ellipse(fit, spots, frames) if common_distortion else None
        if other is not None:
            fit = other
        explained = _EXPLAINED if fits else _EXPLAINED_BY_NETS
        if fit.n_matched > explained * fit.n_spots:
            # The others were found in views whose ellipse is undone now
            ranked = ranked[1:] if other is None else []
            return with_alternatives(fit, ranked, spots, PRECISE, wavelength)
        # What nets alone suggest is the lattice, or nothing
        fits = [fit] if fits and fit.n_matched else []
        sharp = sharpen(fit, spots, shortest) if fits else None
        if sharp is not None:
            if sharp.n_matched > _EXPLAINED * sharp.n_spots:
                return sharp
            sharpened.append(sharp)
    distorted = DistortedFits(spots, frames if common_distortion else None)
    seen = list(fits)
    for search in COARSE:
        if not (common_distortion and alike):
            search = dataclasses.replace(search, ellipticity=0.0)
        before = max(seen, key=_log_likelihood, default=None)
        known = None if before is None else before.metric
        found, shortest = _search(spots, search, known)
        nets = find_nets(spots, search)
        # Distortions leave residuals that denser lattices make smaller
        if found and 2 * sum(net is not None for net in nets) > len(nets):
            fit = rank_lattices(found, spots, nets, search, shortest, wavelength)[0]
            fits.append(dataclasses.replace(fit, coarse=True))
            found = fits[-1:]
        seen += found
        distorted.add(found, search, shortest)
        if distorted.is_certain():
            break
    fits += filter(None, [distorted.best()])
    # All are against spots that lie by chance, and so say which is better
    fits = [fit for fit in fits if fit.n_matched]
    fit = max(fits, key=_log_likelihood, default=None)
    if fit is None:
        return None
    if fit.coarse and fit.is_shared:
        precise = without_ellipse(fit, spots, frames)
        if precise is not None:
            return precise
    sharp = sharpen(fit, spots, shortest)
    if sharp is not None:
        sharpened.append(sharp)
    return max(sharpened, key=lambda one: one.n_matched / one.n_spots, default=fit)


def spot_list(view: np.ndarray, wavelength: float) -> SpotList:
    """Return the spots of a view on the Ewald sphere.

    Parameters
    ----------
    view
        Of shape (spots, 3): x and y in 1/Å and the intensity.
    wavelength
        Of the electrons in Å.

    Raises
    ------
    ValueError
        As :func:`find_lattice`.
    """
    view = np.asarray(view, dtype=float)
    if view.ndim != 2 or view.shape[1] != 3:
        raise ValueError(
            "Each view must be an array of shape (spots, 3): x and y in 1/Å and the "
            f"intensity; got one of shape {view.shape}."
        )
    if not np.isfinite(view).all():
        raise ValueError(
            "Positions and intensities of spots must be finite. Remove the spots with "
            "NaN or infinite values."
        )
    # Equally distant ones, as Friedel pairs are, stay in the order given
    distances = np.hypot(view[:, 0], view[:, 1]).round(_DECIMALS)
    view = view[np.argsort(distances, kind="stable")]
    return SpotList(on_ewald_sphere(view[:, :2], wavelength), view[:, 2].copy())


def _search(
    views: list[SpotList],
    search: Search,
    known: np.ndarray | None = None,
) -> tuple[list[LatticeFit], float]:
    """Return the best lattices with one set of tolerances.

    A known metric is looked at beside those that are found. Also returns the length
    of the shortest reciprocal vector that is plausible, in 1/Å.
    """
    seeds = [shortest_spots(view.vectors, search) for view in views]
    pairs = np.concatenate([pairs_of_spots(vectors) for vectors in seeds])
    slopes = np.concatenate([pair_slopes(vectors) for vectors in seeds])
    lengths = np.concatenate([np.linalg.norm(vectors, axis=1) for vectors in seeds])
    lines, weights, seed_lines = find_lines(lengths, search)
    zones = find_zones(pairs, seed_lines[0], search)
    shortest = max(_TOLERANCES * search.tolerance, _OF_SHORTEST_LINE * seed_lines[0])
    if not len(zones):
        return [], shortest
    metrics = candidate_metrics(zones, seed_lines, search)
    metrics = _best_by_lines(metrics, lines, weights, search, shortest)
    pairs = np.column_stack([pairs, slopes])
    lattices = _best_by_pairs(metrics, pairs, search, shortest)
    fits = _best_by_views(lattices, views, search)
    if not fits or fits[0].n_matched < search.fewest_matched * fits[0].n_spots:
        return [], shortest
    many = len(views) > _FIRST_VIEWS
    fits = fits[: _N_REFINED if many else _N_REFINED_FEW]
    if known is not None:
        fits.append(index_views(known, views, search))
    refined = []
    for fit in fits:
        fit = index_views(fit.metric, views, search, distortion=fit.distortion)
        fit = refine_often(fit, views, search)
        refined.append(best_related(fit, views, search, shortest))
        if many and refined[-1].n_matched > _RIGHT * refined[-1].n_spots:
            break
    return refined, shortest


def _best_by_lines(
    metrics: np.ndarray,
    lines: np.ndarray,
    weights: np.ndarray,
    search: Search,
    shortest: float,
) -> np.ndarray:
    """Return the distinct metrics, reduced, that explain the lines best."""
    scores, metrics = score_lines(
        metrics,
        lines,
        weights,
        search.tolerance,
        lines[-1] + search.tolerance,
        search.largest_volume,
        shortest,
        search.outliers,
    )
    order = np.argsort(-scores, kind="stable")
    metrics = metrics[order[scores[order] > IMPOSSIBLE]]
    return metrics[distinct(metrics, search.tolerance, 10, search.n_paired)]


def _best_by_pairs(
    metrics: np.ndarray, pairs: np.ndarray, search: Search, shortest: float
) -> list[tuple[np.ndarray, tuple[float, float]]]:
    """Return the distinct metrics, refined and reduced, that explain pairs best.

    With each is the distortion that goes with it.
    """
    lengths = np.sqrt(pairs[:, :2])
    order = np.argsort(lengths[:, 0] + lengths[:, 1], kind="stable")
    pairs = pairs[order[: search.n_pairs]]
    radius = np.sqrt(pairs[:, :2].max()) + 2 * search.tolerance
    flatness = search.excitation_error**2 * 0.5
    refined = [
        refine_by_pairs(
            metric,
            pairs,
            search.tolerance,
            flatness,
            radius,
            search.outliers,
            search.ellipticity,
            _PAIR_REFINEMENTS,
        )
        for metric in metrics
    ]
    refined.sort(key=lambda result: -result[2])
    best = [
        (reduce_metric(metric), tuple(distortion.tolist()))
        for metric, distortion, _ in refined
    ]
    best = [lattice for lattice in best if is_plausible(lattice[0], shortest)]
    metrics = [metric for metric, _ in best]
    chosen = distinct(metrics, search.tolerance / 2, STEPS_OF_VOLUME, search.n_oriented)
    return [best[i] for i in chosen]


def _best_by_views(
    lattices: list[tuple[np.ndarray, tuple[float, float]]],
    views: list[SpotList],
    search: Search,
) -> list[LatticeFit]:
    """Return the lattices with a few views indexed, the best first."""
    first = sorted(views, key=lambda view: -min(len(view.vectors), search.n_spots))
    first = first[:_FIRST_VIEWS]
    fits = [
        index_views(metric, first, search, _FIRST_ORIENTATIONS, distortion)
        for metric, distortion in lattices
    ]
    fits.sort(key=lambda fit: -fit.log_likelihood)
    fits[: search.n_improved] = [
        refine_often(fit, first, search, _N_FIRST_REFINEMENTS, _FIRST_ORIENTATIONS)
        for fit in fits[: search.n_improved]
    ]
    return sorted(fits, key=lambda fit: -fit.log_likelihood)
