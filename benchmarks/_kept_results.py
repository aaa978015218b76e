# SPDX-License-Identifier: GPL-3.0-or-later
"""Results of a long benchmark, kept as they come, so that it can be gone on with."""

import hashlib
import json
import os
from pathlib import Path

import pyxem_symnet

PACKAGE = Path(pyxem_symnet.__file__).parent
SUFFIXES = (".py", ".safetensors")


class KeptResults:
    """Results that were measured with the code, weights and settings of now.

    Parameters
    ----------
    path
        JSON file that holds them. What was measured with others is forgotten.
    settings
        What else the results depend on, such as the text of the benchmark.
    """

    def __init__(self, path: Path, **settings):
        digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
        for file in sorted(PACKAGE.rglob("*")):
            if file.suffix in SUFFIXES:
                digest.update(file.read_bytes())
        self._path = path
        self._digest = digest.hexdigest()
        self.results: list[dict] = []
        if path.exists():
            kept = json.loads(path.read_text())
            if kept["digest"] == self._digest:
                self.results = kept["results"]

    def keep(self, result: dict) -> None:
        """Add a result, and write all of them."""
        self.results.append(result)
        kept = {"digest": self._digest, "results": self.results}
        temporary = self._path.with_suffix(".tmp")
        temporary.write_text(json.dumps(kept))
        os.replace(temporary, self._path)

    def forget(self) -> None:
        """Remove the file, once all results are where they belong."""
        self._path.unlink(missing_ok=True)
