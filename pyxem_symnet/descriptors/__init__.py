# SPDX-License-Identifier: GPL-3.0-or-later
"""From raw patterns to spots, and from spots to what a network reads."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "centre": ["find_centre"],
        "ellipticity": ["measure_ellipticity"],
        "finder": ["SpotFinder"],
        "masks": ["DetectorMasks", "find_masks"],
        "geometry": ["PatternGeometry", "grid_coordinates", "resample"],
        "kept_views": ["KeptViews"],
        "pairs": ["PairMap"],
        "radial": ["RadialProfile"],
        "render": ["SpotRenderer", "render_for_shaping", "render_spots"],
        "shaped": ["shape_patterns", "shaped_input"],
        "shaped_reference": ["shape_pattern_reference"],
        "spots": ["Spots"],
    },
)

del lazy_loader
