# SPDX-License-Identifier: GPL-3.0-or-later
"""Subcommands: each file holds one click command of the same name.

``pyxem-symnet --help`` imports all of them, so heavy imports belong into
the functions.
"""
