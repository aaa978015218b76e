# SPDX-License-Identifier: GPL-3.0-or-later
from .signals.classify import classify_space_group
from .signals.probabilities import (
    LazySpaceGroupProbabilities,
    SpaceGroupProbabilities,
)
from .signals.register import register, unregister

__all__ = [
    "LazySpaceGroupProbabilities",
    "SpaceGroupProbabilities",
    "classify_space_group",
    "register",
    "unregister",
]

__version__: str
