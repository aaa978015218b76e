# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks, their checkpoints and the models that are shipped."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "axes": ["AxesMSDN"],
        "calibration": ["TemperatureTable"],
        "card": ["model_card"],
        "checkpoint": ["load_checkpoint", "save_checkpoint"],
        "densenet": ["DenseNet"],
        "header": ["CheckpointError", "read_header"],
        "msdn": ["MSDN"],
        "registry": ["DEFAULT_MODEL", "available_models", "load_model"],
        "viewset": ["ViewSetMSDN"],
    },
)

del lazy_loader
