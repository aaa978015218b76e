# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings of the search for a lattice."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Search:
    """Tolerances and numbers of the search for a lattice.

    Parameters
    ----------
    tolerance
        Largest error of a spot's position in 1/Å.
    scale_error
        Largest relative error of distances from the direct beam, such
        as that of an elliptical distortion.
    ellipticity
        Typical size of an elliptical distortion that all views have in
        common, see :mod:`~pyxem_symnet.lattice.distortion`. With zero,
        there is none.
    excitation_error
        Largest distance of visible reflections from the Ewald sphere in
        1/Å.
    outliers
        Share of spots that no lattice explains.
    fewest_matched
        A lattice that explains a smaller share of the spots is none.
    support
        Number of spots at which a line has 63 % of its full weight.
        Below one, all lines have the same.
    symmetry_tolerance
        Deviation in degrees within which a lattice has a symmetry. Of
        lattices that explain the spots alike, one of higher symmetry is
        preferred.
    n_paired
        Number of metrics, by their lines, that pairs of spots are looked
        at with.
    n_oriented
        Number of metrics, by their pairs, that views are oriented with.
    n_improved
        Number of these, by the views, that are refined on some views.
    n_orientations
        Number of orientations of a view that are tried.
    largest_volume
        Largest volume of a primitive cell in Å³.
    n_seed_spots
        Number of spots of a view, nearest to the direct beam, that lines
        and zones are made of.
    n_lines, n_zones
        Number of lines and of zones that metrics are put together from.
    few_zones
        With no more zones than this, more rows of each are tried.
    n_metrics
        Once more metrics than this are put together, no others are.
    n_pairs
        Number of pairs, the shortest ones.
    n_spots
        Number of spots of a view, nearest to the direct beam, that a
        lattice should explain.
    """

    tolerance: float
    scale_error: float
    ellipticity: float
    excitation_error: float
    outliers: float
    fewest_matched: float
    support: float
    symmetry_tolerance: float
    n_paired: int
    n_oriented: int
    n_improved: int
    n_orientations: int
    largest_volume: float = 3000.0
    n_seed_spots: int = 14
    n_lines: int = 15
    n_zones: int = 40
    few_zones: int = 12
    n_metrics: int = 60000
    n_pairs: int = 150
    n_spots: int = 40


#: For patterns with well calibrated distances and few false spots
PRECISE = Search(
    tolerance=0.004,
    scale_error=0.0,
    ellipticity=0.0,
    excitation_error=0.02,
    outliers=0.05,
    fewest_matched=0.4,
    support=0.5,
    symmetry_tolerance=0.3,
    n_paired=300,
    n_oriented=12,
    n_improved=0,
    n_orientations=600,
)

_COARSE = Search(
    tolerance=0.008,
    scale_error=0.01,
    ellipticity=0.015,
    excitation_error=0.03,
    outliers=0.35,
    fewest_matched=0.0,
    support=1.5,
    symmetry_tolerance=1.2,
    n_paired=800,
    n_oriented=48,
    n_improved=12,
    n_orientations=300,
)

#: For distorted patterns, displaced and false spots, or thin crystals. Which
#: tolerance finds a lattice differs from crystal to crystal
COARSE = tuple(
    dataclasses.replace(_COARSE, tolerance=tolerance)
    for tolerance in (0.0125, 0.010, 0.008)
)

#: For a rotation series: how a lattice is oriented is known from all of its views,
#: so that a spot may be farther away, and reflections cross the Ewald sphere while
#: a view is taken
SERIES = dataclasses.replace(
    _COARSE, tolerance=0.010, excitation_error=0.035, outliers=0.2
)

#: Steps of the logarithm of the volume in which lattices are different
STEPS_OF_VOLUME = 20

#: Largest angle in degrees between successive views of a rotation series
LARGEST_STEP = 15.0
