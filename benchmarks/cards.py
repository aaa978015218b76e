# SPDX-License-Identifier: GPL-3.0-or-later
"""Put the figures of `accuracy.json` into the shipped models and their cards.

    python benchmarks/cards.py [--summary MODEL TEXT]

The records in the files of the shipped weights are written anew; the weights stay
as they are. Writes `docs/models/*.md` of them.
"""

import argparse
import json
from pathlib import Path

from pyxem_symnet.models import (
    available_models,
    load_checkpoint,
    model_card,
    save_checkpoint,
)
from pyxem_symnet.training.finish import CARD, measurements

HERE = Path(__file__).parent
CARDS = HERE.parent / "docs" / "models"


def record_figures(path: Path, results: list[dict], summary: str | None) -> None:
    """Write what was measured into a model's record."""
    model = load_checkpoint(path)
    axes = model.ordered_views
    found = {
        (r["model"], r["protocol"], r["views"], r["noise"], r["split"]): r
        for r in results
    }
    figures = [
        found[path.stem, what.protocol, what.views, what.noise, what.split]
        for orientation in (CARD if axes is None else [("axes", axes)])
        for what in measurements([orientation])
    ]
    record = {**model.record, "figures": figures}
    if summary is not None:
        record["summary"] = summary
    save_checkpoint(path, model, record)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--summary",
        nargs=2,
        action="append",
        default=[],
        metavar=("MODEL", "TEXT"),
        help="what a card says first",
    )
    summaries = dict(parser.parse_args().summary)
    results = json.loads((HERE / "accuracy.json").read_text(encoding="utf-8"))
    for name, model in available_models().items():
        path = Path(model["path"])
        record_figures(path, results, summaries.pop(name, None))
        (CARDS / f"{name}.md").write_text(model_card(path), encoding="utf-8")
    if summaries:
        parser.error(f"no such model is shipped: {', '.join(summaries)}")


if __name__ == "__main__":
    main()
