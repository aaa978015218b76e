# SPDX-License-Identifier: GPL-3.0-or-later
"""Blocks of a scan to a device and back, and sums over regions."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "blocks": ["classify_block", "sum_block"],
        "chunks": ["align_blocks"],
        "descan": ["Descan", "fit_descan"],
        "devices": ["device_lock", "get_model", "resolve_device"],
        "maps": ["compute", "probability_map"],
        "plan": ["ModelReference", "Plan", "VectorGeometry"],
        "preparation": [
            "Preparation",
            "ScanPreparation",
            "prepare_pattern",
            "prepare_scan",
        ],
        "regions": ["region_table", "spread"],
        "threads": ["torch_threads"],
    },
)

del lazy_loader
