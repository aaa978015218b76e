# SPDX-License-Identifier: GPL-3.0-or-later
"""Configuration of the documentation. The build needs no network."""

import os
from importlib.metadata import version as installed_version
from pathlib import Path

import pyxem_symnet
from pyxem_symnet.models import available_models, model_card

os.environ.setdefault("MPLBACKEND", "Agg")

HERE = Path(__file__).parent

# -- Project ------------------------------------------------------------------
project = "pyxem-symnet"
author = "The pyxem-symnet developers"
copyright = author  # noqa: A001
release = installed_version("pyxem-symnet")
version = release

# -- General ------------------------------------------------------------------
extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    "sphinxcontrib.bibtex",
]
templates_path = ["_templates"]
exclude_patterns = ["_build", "**/GALLERY_HEADER.rst", "gallery/**/*.ipynb"]
default_role = "literal"
nitpicky = False

# -- Markdown: model cards and the changelog ----------------------------------
myst_enable_extensions = ["dollarmath"]
# A card is a page of its own, and links to files of the repository
suppress_warnings = ["myst.header", "myst.xref_missing"]

# -- Reference ----------------------------------------------------------------
autosummary_generate = True
autosummary_ignore_module_all = False
autosummary_imported_members = True
# Names that have their page at the top are left out of their room's
autosummary_context = {"top_level": pyxem_symnet.__all__}
autodoc_typehints = "signature"
autodoc_class_signature = "mixed"
# PyTorch's and Lightning's words about a method that is overridden here
autodoc_inherit_docstrings = False
numpydoc_show_class_members = False
numpydoc_use_plots = True
numpydoc_xref_param_type = False
# What every public docstring must have; a miss is a warning, and the build in
# .ci/run turns warnings into errors.
numpydoc_validation_checks = {
    "GL01",  # summary starts in the line after the quotes, or in it
    "GL03",  # double blank lines
    "GL06",  # unknown section
    "GL07",  # order of sections
    "GL08",  # no docstring
    "PR01",  # parameter not documented
    "PR02",  # unknown parameter documented
    "PR03",  # wrong order of parameters
    "PR07",  # parameter without description
    "RT03",  # return value without description
    "SS01",  # no summary
}
numpydoc_validation_exclude = {
    r"\.__init__$",
    r"\._",
    r"^(?!pyxem_symnet)",
    # Made by classify_space_group(); the constructor is HyperSpy's
    r"SpaceGroupProbabilities$",
}

# -- Model cards: what each shipped file says of itself ------------------------
for _name, _model in available_models().items():
    (HERE / "models" / f"{_name}.md").write_text(
        model_card(_model["path"]), encoding="utf-8"
    )

# -- Bibliography -------------------------------------------------------------
bibtex_bibfiles = ["bibliography.bib"]
bibtex_reference_style = "author_year"

# -- Gallery ------------------------------------------------------------------
sphinx_gallery_conf = {
    "examples_dirs": str(HERE.parent / "examples"),
    "gallery_dirs": "gallery",
    "filename_pattern": r"plot_",
    "abort_on_example_error": True,
    "download_all_examples": False,
    "plot_gallery": True,
    "remove_config_comments": True,
    "reset_modules_order": "both",
    "show_memory": False,
}

# -- HTML ---------------------------------------------------------------------
html_theme = "pydata_sphinx_theme"
html_title = f"pyxem-symnet {release}"
html_static_path = ["_static"]
html_show_sourcelink = False
html_theme_options = {
    "navbar_end": ["theme-switcher"],
    "show_toc_level": 2,
    "use_edit_page_button": False,
}
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
