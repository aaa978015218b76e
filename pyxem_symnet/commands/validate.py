# SPDX-License-Identifier: GPL-3.0-or-later
"""``pyxem-symnet validate``: a model on patterns whose symmetry is known."""

from __future__ import annotations

import json
from pathlib import Path

import click

from pyxem_symnet.commands._shared import (
    UserError,
    device_option,
    model_option,
    replacing,
    show_progress,
    user_errors,
)

_COLUMNS = {
    "crystal_system": "system",
    "laue_class": "Laue",
    "point_group": "point",
    "bravais_lattice": "Bravais",
    "diffraction_symbol": "symbol",
    "space_group": "group",
}


@click.command()
@click.argument(
    "folder",
    metavar="DIR",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
)
@model_option
@device_option
@click.option(
    "--json",
    "json_path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where to write the figures; what is there is replaced.",
)
@click.option(
    "--figures",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for pictures that explain the answer of each entry.",
)
def validate(
    folder: Path, model: str, device: str, json_path: Path | None, figures: Path | None
) -> None:
    """Compare a model's answers with the labels of the patterns in DIR.

    DIR/labels.yaml lists sets of patterns: name, files, pixel_size, units,
    beam_energy, centre, space_group, kind. Each pattern is classified by
    itself, and all of a set as views of one crystal. Printed is the place
    of the truth among the ranked answers, 1 for the first.

    A set that can't be read or classified is reported and doesn't stop the
    others. The exit status is 2 if all of them fail.
    """
    from pyxem_symnet.signals.validation import FailedValidation
    from pyxem_symnet.signals.validation import validate as run

    results, failures = [], []
    with user_errors():
        for validation in run(
            folder, model=model, device=device, show_progressbar=show_progress()
        ):
            if not results:
                _echo_header(model)
            results.append(validation.to_dict())
            if isinstance(validation, FailedValidation):
                failures.append(validation)
                click.echo(f"{validation.name:<24}  failed: {validation.reason}")
                continue
            _echo(results[-1])
            if figures is not None:
                _draw(validation, figures)
        if json_path is not None:
            with replacing(json_path, overwrite=True) as temporary:
                temporary.write_text(json.dumps(results, indent=1) + "\n", "utf-8")
    if len(failures) == len(results):
        raise UserError("None of the sets could be classified; see above.")
    if failures:
        names = ", ".join(repr(failure.name) for failure in failures)
        click.echo(f"Warning: not classified, see above: {names}.", err=True)


def _draw(validation, folder: Path) -> None:
    """Write the explanation of all patterns, and of the best one alone."""
    slug = validation.entry.slug
    with replacing(folder / f"{slug}.png", overwrite=True) as temporary:
        validation.plot().savefig(temporary, dpi=100)
    if len(validation.single) > 1:
        with replacing(folder / f"{slug}_single.png", overwrite=True) as temporary:
            validation.plot(single=True).savefig(temporary, dpi=100)


def _echo_header(model: str) -> None:
    click.echo(f"Model {model}. Place of the true label at each level:\n")
    titles = "".join(f"{title:>8}" for title in _COLUMNS.values())
    click.echo(f"{'':<24}{'patterns':>8}{'spots':>7}{'truth':>7}{titles}  answer")


def _echo(result: dict) -> None:
    n_patterns = result["n_patterns"]
    level = "crystal_system"
    answer = f"{result['best'][level]} {100 * result['confidence'][level]:.0f} %"
    if result["abstained"]:
        answer = f"none ({answer})"
    truth = "-" if result["space_group"] is None else result["space_group"]
    click.echo(
        f"{result['name']:<24}{n_patterns:>8}{result['n_spots']:>7.0f}{truth:>7}"
        f"{_ranks(result['rank'])}  {answer}"
    )
    if n_patterns > 1:
        title = "  alone, median"
        click.echo(f"{title:<46}{_ranks(result['rank_single'])}")


def _ranks(ranks: dict | None) -> str:
    if ranks is None:
        return "".join(f"{'-':>8}" for _ in _COLUMNS)
    return "".join(f"{ranks[level]:>8g}" for level in _COLUMNS)
