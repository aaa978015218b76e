# SPDX-License-Identifier: GPL-3.0-or-later
"""``pyxem-symnet evaluate``: measure a model on a structure table."""

import json
import os
from pathlib import Path

import click

from pyxem_symnet.commands._shared import needs_extra, replacing, user_errors


@click.command()
@click.argument("model")
@click.option(
    "--structures",
    required=True,
    type=click.Path(exists=True, path_type=Path),
    help="Parquet structure table, or the folder of a reflection store.",
)
@click.option(
    "--protocol",
    type=click.Choice(["axes", "zone", "random", "tilt"]),
    default="random",
    show_default=True,
    help="How crystals are oriented.",
)
@click.option("--views", type=click.IntRange(1), default=16, show_default=True)
@click.option(
    "--noise",
    default="clean",
    show_default=True,
    metavar="clean|noisy|harsh",
    help="Latest version of the protocol, or one by its name, such as noisy-1.",
)
@click.option(
    "--split",
    type=click.Choice(["all", "train", "validation", "test", "unseen-types"]),
    default="test",
    show_default=True,
)
@click.option(
    "--classes",
    type=click.Choice(["all", "paper"]),
    default="all",
    show_default=True,
    help="All of the model's space groups, or the 72 of Tiong et al. (2020).",
)
@click.option("--limit", type=click.IntRange(1), help="Largest number of crystals.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option(
    "--workers",
    type=click.IntRange(0),
    help="Processes that draw views and look for lattices. "
    "By default one a core on the CPU, and none beside an accelerator.",
)
@click.option("--device", default="cpu", show_default=True)
@click.option(
    "--json",
    "json_path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where to write the figures.",
)
@click.option(
    "--figures",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for confusion matrices and reliability diagrams.",
)
def evaluate(
    model,
    structures,
    protocol,
    views,
    noise,
    split,
    classes,
    limit,
    seed,
    workers,
    device,
    json_path,
    figures,
):
    """Measure MODEL (a name or a file) on crystals it can be asked about.

    Crystals of space groups that the model has no class for are counted
    as `n_outside`, not scored.
    """
    from pyxem_symnet.models import load_model
    from pyxem_symnet.simulation.protocols import PROTOCOLS
    from pyxem_symnet.symmetry import LEVELS, PAPER_SPACE_GROUPS

    with needs_extra("train"):
        from pyxem_symnet.training.evaluate import load_crystals, predict, report

    if workers is None:
        workers = (os.cpu_count() or 1) if device == "cpu" else 0
    with user_errors():
        network = load_model(model, device)
        crystals = load_crystals(structures, split, limit, seed)
        with click.progressbar(length=len(crystals), label="Crystals") as bar:
            predictions, n_outside = predict(
                network,
                crystals,
                protocol,
                views,
                noise,
                seed=seed,
                n_workers=workers,
                progress=lambda done, total: bar.update(done - bar.pos),
            )
    if classes == "paper":
        n_all = len(predictions.space_group)
        predictions = predictions.restricted(PAPER_SPACE_GROUPS)
        n_outside += n_all - len(predictions.space_group)
    result = {
        "model": model,
        "protocol": protocol,
        "views": views,
        "noise": noise,
        "noise_version": PROTOCOLS[noise].name,
        "split": split,
        "classes": classes,
        "seed": seed,
        "n_outside": n_outside,
        **report(predictions),
    }
    click.echo(f"{result['n_crystals']} crystals, {n_outside} outside the classes")
    click.echo(f"{'level':<20}{'top 1':>8}{'macro':>8}{'top 5':>8}{'ECE':>8}  (%)")
    for level in LEVELS:
        values = (
            result["top1"][level]["micro"],
            result["top1"][level]["macro"],
            result["top5"][level]["micro"],
            result["ece"][level],
        )
        row = "".join(f"{100 * value:8.1f}" for value in values)
        click.echo(f"{level.replace('_', ' '):<20}{row}")
    if json_path is not None:
        with replacing(json_path, overwrite=True) as temporary:
            temporary.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    if figures is not None:
        from pyxem_symnet.training.figures import save_figures

        for path in save_figures(predictions, figures):
            click.echo(f"Wrote {path}")
