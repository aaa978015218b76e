# SPDX-License-Identifier: GPL-3.0-or-later
"""``pyxem-symnet simulate``: structures to a store of reflections."""

from __future__ import annotations

from pathlib import Path

import click

from pyxem_symnet.commands._shared import user_errors


@click.command()
@click.argument("source", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--out",
    "store",
    required=True,
    type=click.Path(path_type=Path),
    help="Folder of the store. A run that was interrupted is resumed there.",
)
@click.option(
    "--radius",
    type=click.FloatRange(0.1, 5),
    default=1.3,
    show_default=True,
    help="Largest |g| = 1/d in 1/Å.",
)
@click.option(
    "--intensity-cut",
    type=click.FloatRange(0, 1, max_open=True),
    default=1e-5,
    show_default=True,
    help="Weaker reflections, relative to the strongest, are left out.",
)
@click.option(
    "--scattering",
    type=click.Choice(["lobato", "xtables"]),
    default="lobato",
    show_default=True,
    help="Scattering factors.",
)
@click.option(
    "--cell",
    type=click.Choice(["standardised", "as-given"]),
    default="standardised",
    show_default=True,
    help="Turn crystals to the conventional setting, or leave them.",
)
@click.option(
    "--workers",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Number of processes. The store is the same with any.",
)
def simulate(
    source: Path,
    store: Path,
    radius: float,
    intensity_cut: float,
    scattering: str,
    cell: str,
    workers: int,
) -> None:
    """Compute the reflections of crystals, once and for all.

    SOURCE is a structure table (Parquet), a CIF file, or a folder of CIF
    files.
    """
    from tqdm import tqdm

    from pyxem_symnet.simulation.store import StoreSettings, write_store

    with user_errors(), tqdm(unit="crystal", disable=None) as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        summary = write_store(
            source,
            store,
            StoreSettings(
                reciprocal_radius=radius,
                intensity_cut=intensity_cut,
                scattering_params=scattering,
                standardise=cell == "standardised",
            ),
            n_workers=workers,
            progress=progress,
        )
    click.echo(
        f"{store}: {summary['crystals']} crystals, {summary['failures']} of them "
        "without reflections (failures.csv says why)."
    )
