# SPDX-License-Identifier: GPL-3.0-or-later
"""Print constraints.txt: this environment's releases of what the package needs.

Run in an environment in which the tests pass, with the package installed:
``python .ci/freeze.py > constraints.txt``.
"""

from importlib.metadata import PackageNotFoundError, distribution

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

EXTRAS = {"distributed", "docs", "tests", "train", "dev"}
HEADER = """\
# The releases that the tests ran with (Python 3.11, CPU build of PyTorch).
# Written by .ci/freeze.py; use with: pip install -c constraints.txt ...
"""


def closure(root: str, extras: set[str]) -> dict[str, str]:
    """Return {name: release} of all installed requirements of `root`."""
    found: dict[str, str] = {}
    seen: set[tuple[str, str]] = set()
    todo = [(root, extra) for extra in extras | {""}]
    while todo:
        name, extra = todo.pop()
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        try:
            dist = distribution(name)
        except PackageNotFoundError:
            continue  # optional, and not needed by the tests
        # "+cpu" and the like name a build, not a release
        found[canonicalize_name(name)] = Version(dist.version).public
        for line in dist.requires or []:
            needed = Requirement(line)
            if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                child = canonicalize_name(needed.name)
                todo += [(child, e) for e in needed.extras | {""}]
    del found[canonicalize_name(root)]
    return found


if __name__ == "__main__":
    print(HEADER, end="")
    for name, release in sorted(closure("pyxem-symnet", EXTRAS).items()):
        print(f"{name}=={release}")
