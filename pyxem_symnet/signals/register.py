# SPDX-License-Identifier: GPL-3.0-or-later
"""The method on pyxem's signals.

HyperSpy has no way to declare a method of somebody else's signal, so one
attribute is set on two classes. All others inherit it: lazy signals,
electron diffraction, in-situ scans.
"""

from __future__ import annotations

import functools
import importlib
import warnings

METHOD = "classify_space_group"

_CLASSES = (
    ("pyxem.signals.diffraction2d", "Diffraction2D"),
    ("pyxem.signals.diffraction_vectors", "DiffractionVectors"),
)


def register() -> bool:
    """Give pyxem's signals the method ``classify_space_group()``.

    Importing this package does it as soon as pyxem's signals are
    loaded. To do it again changes nothing.

    Returns
    -------
    registered
        Whether the method is there. If a class has something else of
        that name, which a newer pyxem might, it keeps it, and a warning
        says so.

    Raises
    ------
    ImportError
        If pyxem is not installed.
    """
    foreign = []
    for cls in _classes():
        if not hasattr(cls, METHOD):
            setattr(cls, METHOD, _method())
        elif not _is_ours(getattr(cls, METHOD)):
            foreign.append(cls.__name__)
    if foreign:
        warnings.warn(
            f"pyxem's {' and '.join(foreign)} already has a {METHOD}(), which is left "
            f"as it is. Use the function pyxem_symnet.{METHOD}(signal) instead.",
            stacklevel=2,
        )
    return not foreign


def unregister() -> None:
    """Take the method away from pyxem's signals again.

    Only what :func:`register` set is removed.

    Raises
    ------
    ImportError
        If pyxem is not installed.
    """
    for cls in _classes():
        if _is_ours(vars(cls).get(METHOD)):
            delattr(cls, METHOD)


def _classes() -> list[type]:
    return [getattr(importlib.import_module(module), cls) for module, cls in _CLASSES]


def _is_ours(attribute: object) -> bool:
    return getattr(attribute, "__module__", None) == __name__


@functools.cache
def _method():
    def classify_space_group(self, **kwargs):
        """Read the crystal symmetry from each pattern.

        The same as
        :func:`pyxem_symnet.classify_space_group(signal, ...)
        <pyxem_symnet.classify_space_group>`, whose keywords it takes.

        Parameters
        ----------
        **kwargs
            Keywords of the function.

        Returns
        -------
        SpaceGroupProbabilities
            Signal with the probability of each space group.
        """
        # PyTorch is loaded at the first use, not with pyxem
        from pyxem_symnet.signals.classify import classify_space_group as function

        return function(self, **kwargs)

    return classify_space_group
