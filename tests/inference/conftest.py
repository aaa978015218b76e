# SPDX-License-Identifier: GPL-3.0-or-later
from tests.signals.conftest import close, model  # noqa: F401 (fixtures)
