# SPDX-License-Identifier: GPL-3.0-or-later
"""``pyxem-symnet classify``: the symmetry of what is in a file."""

from __future__ import annotations

from pathlib import Path

import click

from pyxem_symnet.commands._shared import (
    UserError,
    check_free,
    device_option,
    model_option,
    overwrite_option,
    ranking_lines,
    replacing,
    show_progress,
    user_errors,
)

_FILE = click.Path(exists=True, path_type=Path)


@click.command()
@click.argument("file", type=_FILE)
@click.option("--pixel-size", type=float, help="Reciprocal size of a detector pixel.")
@click.option(
    "--units", default="1/A", show_default=True, help="Of --pixel-size: 1/A or 1/nm."
)
@click.option("--energy", type=float, help="Beam energy in kV.")
@click.option(
    "--centre",
    metavar="X,Y",
    help="Direct beam in pixels, or 'auto' to find it in each pattern.",
)
@click.option(
    "--ellipticity",
    metavar="RATIO,ANGLE",
    help="Distortion to correct: ratio of the axes of a ring, and angle of the first "
    "in degrees; or 'auto' to measure it where the patterns tell it.",
)
@click.option("--signal-mask", type=_FILE, help="Detector pixels to exclude: not 0.")
@click.option("--regions", type=_FILE, help="Integer map; a label is one phase.")
@click.option(
    "--candidates", metavar="N,N,...", help="Space groups to choose among, by number."
)
@click.option("--reciprocal-radius", type=float, help="Leave out spots beyond, in 1/Å.")
@click.option(
    "--lattices/--no-lattices",
    default=None,
    help="Whether to look for the lattice of each pattern, a tenth of a second for "
    "each; by default if there are at most 256.",
)
@model_option
@device_option
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Where to write the probabilities: .zspy or .hspy.",
)
@overwrite_option
def classify(
    file: Path,
    pixel_size: float | None,
    units: str,
    energy: float | None,
    centre: str | None,
    ellipticity: str | None,
    signal_mask: Path | None,
    regions: Path | None,
    candidates: str | None,
    reciprocal_radius: float | None,
    lattices: bool | None,
    model: str,
    device: str,
    out: Path | None,
    overwrite: bool,
) -> None:
    """Print the symmetry of the patterns in FILE, and write it with --out.

    FILE is anything HyperSpy reads. Maps and masks are too, or NumPy's
    .npy. With several patterns, the answers are averaged, and given once
    more with all patterns taken as views of one phase.
    """
    if out is not None:
        if out.suffix not in (".zspy", ".hspy"):
            raise UserError(f"--out must end in .zspy or .hspy, not {out.name!r}.")
        check_free(out, overwrite)
    import numpy as np

    from pyxem_symnet.signals.io import load_array, load_patterns

    with user_errors():
        signal = load_patterns(file)
        options = {
            "pixel_size": _in_reciprocal_angstrom(pixel_size, units),
            "beam_energy": energy,
            "centre": _read_pair(centre, "--centre", "X,Y"),
            "ellipticity": _read_pair(ellipticity, "--ellipticity", "RATIO,ANGLE"),
            "candidates": _read_numbers(candidates),
            "reciprocal_radius": reciprocal_radius,
            "lattices": "auto" if lattices is None else lattices,
            "model": model,
            "device": device,
            "lazy_output": False,
            "show_progressbar": show_progress(),
        }
        if signal_mask is not None:
            options["signal_mask"] = load_array(signal_mask) != 0
        labels = None if regions is None else load_array(regions)
        sym = _classify(signal, regions=labels, **options)
        _report(file, sym)
        if labels is None and sym.axes_manager.navigation_size > 1:
            one_phase = np.zeros(sym.data.shape[:-1], int)
            _report_pooled(_classify(signal, regions=one_phase, **options))
        if out is not None:
            with replacing(out, overwrite) as temporary:
                sym.save(temporary)
            click.echo(f"Written to {out}.")


def _classify(signal, **options):
    from pyxem_symnet import classify_space_group
    from pyxem_symnet.signals.calibration import CalibrationError

    try:
        return classify_space_group(signal, **options)
    except CalibrationError as error:
        given = options["pixel_size"] is not None
        advice = "" if given else " Here: --pixel-size 0.01 --units 1/A."
        raise UserError(f"{error}{advice}") from error


def _report(file: Path, sym) -> None:
    from pyxem_symnet.signals.levels import mean

    record = sym.metadata.Symmetry
    calibration = record.calibration.view_0
    centre = calibration.centre
    if not isinstance(centre, str):
        centre = f"({centre[0]:.1f}, {centre[1]:.1f})"
    click.echo(f"{file}: {_count(sym)}, model {record.model.name}")
    click.echo(f"pixel size {calibration.pixel_size[0]:g} 1/Å, direct beam {centre}")
    click.echo("Probabilities in percent, the most probable first.")
    if record.has_item("regions"):
        table = sym.to_regions()
        counts = record.regions.n_patterns
        for label, n, row in zip(
            record.regions.labels, counts, table.data, strict=True
        ):
            click.echo(f"\nRegion {label}, {n} patterns taken as views of one phase:")
            _echo_ranking(row, sym)
    else:
        if sym.axes_manager.navigation_size > 1:
            click.echo("\nAverage over the patterns, each decided on alone:")
        _echo_ranking(mean(sym.data), sym)


def _report_pooled(pooled) -> None:
    click.echo("\nAll patterns taken as views of one phase:")
    _echo_ranking(pooled.to_regions().data[0], pooled)


def _echo_ranking(values, sym) -> None:
    from pyxem_symnet.signals.levels import codes, names

    for line in ranking_lines(values, sym.space_groups):
        click.echo(line)
    level = "crystal_system"
    code = int(codes(values, sym.space_groups, level, 0.5))
    if code == 0:
        click.echo("  No crystal system reaches 50 %: take this for no answer.")
    else:
        click.echo(f"  Answer: {names(level)[code]}.")


def _count(sym) -> str:
    shape = sym.axes_manager.navigation_shape
    if not shape:
        return "one pattern"
    return f"{' x '.join(map(str, shape))} patterns"


def _in_reciprocal_angstrom(pixel_size: float | None, units: str) -> float | None:
    from pyxem_symnet.signals.calibration import reciprocal_unit

    factor = reciprocal_unit(units)
    if factor is None:
        raise UserError(f"--units must be 1/A or 1/nm, not {units!r}.")
    return None if pixel_size is None else pixel_size * factor


def _read_pair(text: str | None, option: str, form: str):
    if text is None or text == "auto":
        return text
    try:
        first, second = (float(number) for number in text.split(","))
    except ValueError:
        raise UserError(f"{option} must be 'auto' or {form}, not {text!r}.") from None
    return first, second


def _read_numbers(text: str | None) -> list[int] | None:
    if text is None:
        return None
    try:
        return [int(number) for number in text.split(",")]
    except ValueError:
        raise UserError(
            f"--candidates must be numbers such as 62,225, not {text!r}."
        ) from None
