# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line: ``pyxem-symnet``.

Each file of :mod:`pyxem_symnet.commands` is a subcommand of its name. Only
the one that is called does the heavy imports, within its function.
"""

from __future__ import annotations

import importlib
import pkgutil
import warnings

import click

import pyxem_symnet
from pyxem_symnet import commands


class _Commands(click.Group):
    """Group whose commands are looked up when they are needed."""

    def list_commands(self, context: click.Context) -> list[str]:
        found = (module.name for module in pkgutil.iter_modules(commands.__path__))
        return sorted(name for name in found if not name.startswith("_"))

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in self.list_commands(context):
            return None
        return getattr(importlib.import_module(f"{commands.__name__}.{name}"), name)


@click.command(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(pyxem_symnet.__version__, prog_name="pyxem-symnet")
def main() -> None:
    """Crystal symmetry from 4D-STEM scans.

    `pyxem-symnet COMMAND --help` says what a command takes.
    """
    # What libraries tell their developers is not for users of a command line
    for module in ("hyperspy", "pyxem", "rsciio", "zarr", "orix", "diffsims"):
        warnings.filterwarnings("ignore", module=rf"{module}(\..*)?")
