"""The site: ``nox -s docs`` builds it, warnings are errors."""

from __future__ import annotations

from importlib.metadata import version as version_of

project = "robustagg"
author = copyright = "the robustagg authors"
version = release = version_of("robustagg")

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "sphinx_copybutton",
    "sphinxcontrib.typer",
]
exclude_patterns = ["_build"]
nitpicky = True

html_theme = "furo"
html_title = f"robustagg {version}"
html_copy_source = False
copybutton_prompt_text = r"\$ |>>> |\.\.\. "
copybutton_prompt_is_regexp = True

myst_heading_anchors = 3
autodoc_typehints = "none"  # the docstrings say it, with shapes and units
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

# What other projects document (the build needs no network), and bases whose methods are shown where they are inherited.
nitpick_ignore_regex = [
    ("py:.*", r"(json|scipy)\..*"),
    ("py:class", r"robustagg\.rules\.evidence\..*"),
]
