"""How Sphinx builds these pages: `tox run -e docs`, offline, warnings as errors."""

from __future__ import annotations

from importlib.metadata import version as version_of

project = "fairvision"
author = "The fairvision developers"
copyright = "the fairvision developers"
release = version = version_of("fairvision")

extensions = [
    "myst_nb",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
]
source_suffix = {".rst": "restructuredtext", ".md": "myst-nb"}
# Pages that say so in their head are run, and show what came out; nothing is kept of an old run.
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 600
nb_execution_in_temp = True
exclude_patterns = ["_build", "papers/tables"]  # which the pages include
html_theme = "furo"
html_title = "fairvision"

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autosummary_generate = True
autodoc_typehints = "none"  # numpydoc's parameters say it in words
# Inherited attributes would be scikit-learn's pages over again.
numpydoc_show_class_members = False
templates_path = ["_templates"]
