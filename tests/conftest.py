# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings for the whole test session, made before any test is imported."""

import os
from pathlib import Path

# numba's cache is not made for processes that fill it at the same time: vectorised
# functions of orix then load as broken machine code. One cache for each process.
if "PYTEST_XDIST_WORKER" in os.environ:
    _CACHE = Path(__file__).parents[1] / ".pytest_cache" / "numba"
    os.environ.setdefault(
        "NUMBA_CACHE_DIR", str(_CACHE / os.environ["PYTEST_XDIST_WORKER"])
    )

# One thread a process: the tests run in several, and a library that takes every
# core in each of them makes all of them slower. Read when a library is loaded.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
os.environ.setdefault("NUMBA_NUM_THREADS", "2")
os.environ.setdefault("MPLBACKEND", "Agg")

from hypothesis import HealthCheck, settings  # noqa: E402

# No deadline: how long an example takes says nothing about whether it is right
_COMMON = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("local", max_examples=25, **_COMMON)
settings.register_profile("ci", max_examples=50, derandomize=True, **_COMMON)
settings.load_profile("ci" if os.environ.get("CI") else "local")
