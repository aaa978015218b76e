# SPDX-License-Identifier: GPL-3.0-or-later
"""Crystal symmetry from 4D-STEM.

Importing this package gives pyxem's diffraction signals the method
``classify_space_group()``. The import itself loads neither PyTorch nor
pyxem nor HyperSpy: the method is added when pyxem's signals are loaded,
before or after this package.
"""

import lazy_loader
import wrapt

__version__ = "0.1.0.dev0"

# The public names are listed in __init__.pyi
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__all__ += ["__version__"]


@wrapt.when_imported("pyxem.signals")
def _register_methods(_module):
    from pyxem_symnet.signals.register import register

    register()


del lazy_loader, wrapt
