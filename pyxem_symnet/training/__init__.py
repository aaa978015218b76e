# SPDX-License-Identifier: GPL-3.0-or-later
"""Datasets, training, splits, evaluation."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "config": ["ConfigError", "TrainingConfig", "read_config"],
        "data": ["TrainingBatches"],
        "module": ["SymmetryModule"],
        "run": ["train"],
        "splits": ["SPLITS", "select_split", "split_of"],
    },
)
