# SPDX-License-Identifier: GPL-3.0-or-later
"""``pyxem-symnet train``: from a configuration to a model that can be used."""

import dataclasses
from pathlib import Path

import click

from pyxem_symnet.commands._shared import needs_extra, user_errors

#: What the record of a model trained on the Materials Project table says
_RECORD = {
    "split": (
        "By crystal, from names alone: 5 % of the structure types are held out whole "
        "(unseen-types); of the other crystals 85 % train, 5 % validate, 10 % test "
        "(pyxem_symnet.training.splits)."
    ),
}


@click.command()
@click.argument("config")
@click.option(
    "--store",
    required=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Reflection store, written by `pyxem-symnet simulate`.",
)
@click.option(
    "--out",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for checkpoints, logs and the model. Resumed if begun.",
)
@click.option(
    "--start-from",
    metavar="MODEL",
    multiple=True,
    help="Shipped model or checkpoint whose weights to begin with. Given more than "
    "once, each part of the network is taken from the first model where it fits.",
)
@click.option("--workers", type=click.IntRange(0), default=1, show_default=True)
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True)
@click.option(
    "--precision",
    metavar="PRECISION",
    help="Instead of the configuration's: bf16-mixed, or 32-true for a CPU without "
    "AVX-512, which is slow with bfloat16.",
)
@click.option(
    "--tensorboard",
    is_flag=True,
    help="Write logs for TensorBoard beside those in CSV, in the folder --out.",
)
@click.option("--summary", default="", help="A sentence for the model card.")
@click.option("--data", default="", help="Where the crystals are from, for the card.")
@click.option("--limits", default="", help="Known limits, for the card.")
def train(
    config,
    store,
    out,
    start_from,
    workers,
    threads,
    precision,
    tensorboard,
    summary,
    data,
    limits,
):
    """Train, calibrate and measure the model of CONFIG.

    CONFIG is a YAML file or the name of a shipped model. A training that was
    killed goes on where it stopped when the command is given again.
    """
    import torch

    from pyxem_symnet.simulation.protocols import PROTOCOLS

    with needs_extra("train"):
        from pyxem_symnet.training.config import read_config
        from pyxem_symnet.training.finish import finish
        from pyxem_symnet.training.run import train as run_training

    torch.set_num_threads(threads)
    with user_errors():
        settings = read_config(config)
        if precision is not None:
            settings = dataclasses.replace(settings, precision=precision)
        trained = run_training(
            settings,
            store,
            out / "trained",
            start_from=start_from,
            n_workers=workers,
            tensorboard=tensorboard,
        )
    record = _RECORD | {
        "summary": summary or f"{settings.name}, trained from its configuration.",
        "data": data or "Not described.",
        "protocol": {
            name: f"{PROTOCOLS[name].name}, {share:.0%} of the crystals"
            for name, share in settings.protocols.items()
        },
        "limits": limits or "Not described.",
    }
    path = out / f"{settings.name}.safetensors"
    finish(trained, store, path, record=record, n_workers=workers, progress=click.echo)
    click.echo(f"Wrote {path}")
