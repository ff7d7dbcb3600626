"""Sphinx configuration. `sphinx-build -W docs site` builds the site; every page's commands are run
by `pytest -m docs`."""

from __future__ import annotations

import sys
from pathlib import Path

from hetbuild import __version__

sys.path.insert(0, str(Path(__file__).parent / "extensions"))

project = "hetbuild"
author = "The hetbuild developers"
copyright = "The hetbuild developers, MIT licence"
release = version = __version__
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.mathjax",
    "sphinx_click",
    "sphinx_copybutton",
    "messages",
    "recipe_reference",
    "gallery",
    "public_names",
]
exclude_patterns = ["extensions", "_build"]
myst_enable_extensions = ["dollarmath", "colon_fence", "deflist"]
myst_heading_anchors = 3
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 300
autodoc_member_order = "bysource"
autodoc_typehints = "description"
napoleon_numpy_docstring = True
# Fields of several classes share a name (along, across); the text says which is meant.
suppress_warnings = ["ref.python"]
html_theme = "furo"
html_title = f"hetbuild {release}"
html_theme_options = {"source_edit_link": "", "sidebar_hide_name": False}
copybutton_prompt_text = "$ "
