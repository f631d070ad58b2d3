"""The site: ``nox -s docs`` builds it, warnings are errors."""

from __future__ import annotations

import shutil
from importlib import import_module
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any

from docutils.nodes import SkipNode
from docutils.utils.math.latex2mathml import tex2mathml

from robustagg import Withstanding

project = "robustagg"
author = copyright = "the robustagg authors"
version = release = version_of("robustagg")

HOSTS = ["appfl", "fedbiomed", "fedlab", "fedml", "flwr", "fluke", "nvflare", "omegaconf", "openfl", "pfl", "torch"]

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_copybutton",
    "sphinxcontrib.typer",
]
exclude_patterns = ["_build"]
templates_path = ["_templates"]
nitpicky = True

pygments_style = "friendly"

html_theme = "furo"
html_title = f"robustagg {version}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_math_renderer = "mathml"
copybutton_prompt_text = r"\$ |>>> |\.\.\. "
copybutton_prompt_is_regexp = True

myst_heading_anchors = 3
autodoc_typehints = "none"  # the docstrings say it, with shapes and units
autodoc_member_order = "bysource"
autodoc_inherit_docstrings = False  # a verb without words of its own is described where it is inherited from
autodoc_mock_imports = HOSTS
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

# What other projects document (the build needs no network), and bases whose methods are shown where they are inherited.
nitpick_ignore_regex = [
    ("py:.*", rf"({'|'.join(['collections', 'fnmatch', 'json', 'scipy', *HOSTS])})(\..*)?"),
    ("py:class", r"robustagg\.rules\.evidence\..*"),
]

HERE = Path(__file__).parent


def pack_examples() -> None:
    """One archive for each example, so that the pages need no repository beside them."""
    for folder in (HERE.parent / "examples").iterdir():
        shutil.make_archive(str(HERE.parent / "build" / "examples" / folder.name), "zip", folder.parent, folder.name)


def formula(page: Any, node: Any) -> None:
    """A formula as the browsers themselves show it: no script, and no network."""
    block = node.tagname == "math_block"
    page.body.append(tex2mathml(node.astext(), as_block=block))
    raise SkipNode


def public_classes() -> dict[type, str]:
    """The classes that have a page, and their names."""
    modules = [import_module(name) for name in ("robustagg", "robustagg.truth", "robustagg.simulation")]
    named = {f"{module.__name__}.{name}": getattr(module, name) for module in modules for name in module.__all__}
    return {one: name for name, one in named.items() if isinstance(one, type)}


def public_bases(app: Any, name: str, kind: type, options: Any, bases: list[Any]) -> None:
    """Of a class's bases the nearest that has a page."""
    pages = public_classes()
    near = [pages[base] for base in kind.__mro__[1:] if base in pages and base is not Withstanding]
    bases[:] = [f":class:`~{name}`" for name in near[:1]]


def setup(app: Any) -> None:
    pack_examples()
    app.add_html_math_renderer("mathml", (formula, None), (formula, None))
    app.connect("autodoc-process-bases", public_bases)
