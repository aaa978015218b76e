# SPDX-License-Identifier: GPL-3.0-or-later
"""The method of pyxem's signals, and the signals it returns."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "calibration": ["CalibrationError", "DetectorCalibration"],
        "classify": ["classify_space_group"],
        "explain": ["Explanation"],
        "explain_influence": ["Influence", "Profile"],
        "explain_views": ["View"],
        "probabilities": ["LazySpaceGroupProbabilities", "SpaceGroupProbabilities"],
        "register": ["register", "unregister"],
        "validation": ["FailedValidation", "Validation", "validate"],
    },
)

del lazy_loader
