# SPDX-License-Identifier: GPL-3.0-or-later
"""The crystal's lattice from views in unknown orientations, and what it says."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "evidence": ["COLUMNS", "Evidence", "space_group_evidence"],
        "find": ["find_lattice"],
        "fit": ["IndexedView", "LatticeFit", "SeriesFit"],
        "search": ["Search"],
        "series": ["find_series_lattice"],
        "settings": ["ConventionalSetting", "conventional_settings"],
        "symmetry": ["LatticeGroup", "lattice_groups"],
    },
)

del lazy_loader
