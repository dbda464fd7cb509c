"""How Sphinx builds these pages: `tox run -e docs`, offline, warnings as errors."""

from __future__ import annotations

from importlib.metadata import version as version_of

project = "fairvision"
author = "The fairvision developers"
copyright = "the fairvision developers"
release = version = version_of("fairvision")

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "fairvision"

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autosummary_generate = True
autodoc_typehints = "none"  # numpydoc's parameters say it in words
# Inherited attributes would be scikit-learn's pages over again.
numpydoc_show_class_members = False
templates_path = ["_templates"]
