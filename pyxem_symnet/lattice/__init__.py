# SPDX-License-Identifier: GPL-3.0-or-later
"""The crystal's lattice from views in unknown orientations, and what it says."""
