# SPDX-License-Identifier: GPL-3.0-or-later
"""What several commands need: errors, safe output, rankings as text."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

#: Labels that are printed at each level
N_RANKED = {"space_group": 5, "diffraction_symbol": 5}


class UserError(click.ClickException):
    """Something the user can repair; printed as one line."""

    exit_code = 2


@contextmanager
def user_errors() -> Iterator[None]:
    """Print expected errors as one line instead of a traceback."""
    try:
        yield
    except (ValueError, OSError) as error:
        raise UserError(str(error)) from error


@contextmanager
def needs_extra(name: str) -> Iterator[None]:
    """Tell what to install if a module of an extra is missing.

    Parameters
    ----------
    name
        Name of the extra.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise UserError(
            f"{error.name} is not installed. This command needs the extra {name!r}: "
            f"pip install 'pyxem-symnet[{name}]'."
        ) from error


@contextmanager
def replacing(path: Path, overwrite: bool) -> Iterator[Path]:
    """Write a file or folder under another name, then put it in place.

    A kill leaves what was there before, or the new one, never a part.

    Parameters
    ----------
    path
        What is to be written.
    overwrite
        Whether it may replace something.

    Yields
    ------
    temporary
        Name to write to, with the same extension.
    """
    check_free(path, overwrite)
    path.parent.mkdir(parents=True, exist_ok=True)
    mark = f".part-{os.getpid()}-"
    temporary = path.with_name(mark + path.name)
    old = path.with_name(mark + "old-" + path.name)
    try:
        yield temporary
        if path.is_dir():
            # A folder can't be replaced in one step
            os.replace(path, old)
        os.replace(temporary, path)
    finally:
        for rest in (temporary, old):
            if rest.is_dir():
                shutil.rmtree(rest)
            else:
                rest.unlink(missing_ok=True)


def check_free(path: Path, overwrite: bool) -> None:
    """Raise a UserError if something is there that must not be replaced."""
    if path.exists() and not overwrite:
        raise UserError(f"{path} exists already. Add --overwrite to replace it.")


def show_progress() -> bool:
    """Return whether somebody is watching."""
    return sys.stderr.isatty()


def ranking_lines(values, space_groups, indent: str = "  ") -> list[str]:
    """Return ranked labels at each level as lines of text.

    Parameters
    ----------
    values
        Probabilities of shape (space groups,).
    space_groups
        Their numbers.
    indent
        What each line starts with.
    """
    from pyxem_symnet.signals.levels import ranking
    from pyxem_symnet.symmetry import LEVELS

    lines = []
    for level in LEVELS:
        best = ranking(values, space_groups, level, N_RANKED.get(level, 3))
        text = "   ".join(f"{label} {100 * value:.1f}" for label, value in best)
        lines.append(f"{indent}{level.replace('_', ' '):<19}{text}")
    rest = max(0.0, 1 - float(sum(values)))
    lines.append(f"{indent}{'not crystalline':<19}{100 * rest:.1f}")
    return lines


model_option = click.option(
    "--model",
    default="msdn-any",
    show_default=True,
    help="Name of a shipped model, or a checkpoint file.",
)
device_option = click.option(
    "--device",
    default="auto",
    show_default=True,
    help="auto, cpu, cuda, cuda:1, mps, ...",
)
overwrite_option = click.option(
    "--overwrite", is_flag=True, help="Replace what is there already."
)
