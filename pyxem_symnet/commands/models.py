# SPDX-License-Identifier: GPL-3.0-or-later
"""``pyxem-symnet models``: what is shipped, and what it can do."""

from __future__ import annotations

import click

from pyxem_symnet.commands._shared import user_errors


@click.command()
@click.argument("name", required=False)
def models(name: str | None) -> None:
    """List the shipped models, or print the card of one.

    NAME is that of a shipped model, or a checkpoint file.
    """
    from pyxem_symnet.models.card import model_card
    from pyxem_symnet.models.registry import available_models, model_path

    if name is not None:
        with user_errors():
            click.echo(model_card(model_path(name)))
        return
    shipped = available_models()
    if not shipped:
        click.echo("No models are shipped with this installation.")
    for model, facts in shipped.items():
        click.echo(
            f"{model}: {facts['architecture']}, {facts['n_classes']} classes, "
            f"{facts['megabytes']} MB, {facts['date']}"
        )
        if facts["summary"]:
            click.echo(f"    {facts['summary']}")
    if shipped:
        click.echo(
            f"`pyxem-symnet models {next(iter(shipped))}` prints a model's card."
        )
