"""Holds the built site to what a reader expects of it: ``python docs/check.py build/site``.

Links lead somewhere, in the site and in the Markdown beside it; everything public has an entry; examples run.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import unquote, urlsplit

from sphinx.util.inventory import InventoryFile

DOCS = Path(__file__).parent
ROOT = DOCS.parent
MODULES = ["", ".attacks", ".engine.ray", ".simulation", ".studies", ".testing", ".theory", ".truth", ".truth.attacks"]
IN_THE_SUITE = {"guarantees.md", "start.md", "studies.md", "tensors.md", "writing-rules.md"}
"""Pages whose examples are tests already; some need torch."""


class Page(HTMLParser):
    """What a page links to, and what in it can be linked to."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = {""}
        self.feed(file.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.anchors.add(given.get("id") or "")
        self.links += [given[name] or "" for name in ("href", "src") if name in given]


def dead_links(site: Path) -> Iterator[str]:
    """Links of the site that lead to no file or no anchor of it."""
    pages = {file.resolve(): Page(file) for file in site.rglob("*.html")}
    for file, page in pages.items():
        for link in page.links:
            url = urlsplit(link)
            if url.scheme or url.netloc:
                continue
            target = (file.parent / unquote(url.path)).resolve() if url.path else file
            anchored = target not in pages or url.fragment in pages[target].anchors
            if not target.exists() or not anchored:
                yield f"{file.relative_to(site.resolve())}: {link} leads nowhere"


def dead_paths() -> Iterator[str]:
    """Relative links of the Markdown files that lead to no file of the repository."""
    for file in (*ROOT.glob("*.md"), *DOCS.rglob("*.md")):
        for link in re.findall(r"\]\(([^)#\s]+)[^)\s]*\)", file.read_text("utf-8")):
            if not urlsplit(link).scheme and not (file.parent / link).exists():
                yield f"{file.relative_to(ROOT)}: {link} leads nowhere"


def without_entry(site: Path) -> Iterator[str]:
    """Public names that the reference does not have."""
    inventory = InventoryFile.loads((site / "objects.inv").read_bytes(), uri="")
    entries = {name for kind in inventory.data for name in inventory.data[kind]}
    for module in (f"robustagg{name}" for name in MODULES):
        for name in import_module(module).__all__:
            if not name.startswith("__") and f"{module}.{name}" not in entries | sys.modules.keys():
                yield f"{module}.{name} has no entry in the reference"


def broken_examples() -> Iterator[str]:
    """Pages whose examples, run one after another in an empty folder, fail."""
    for file in DOCS.glob("*.md"):
        blocks = re.findall(r"```python\n(.*?)```", file.read_text("utf-8"), re.DOTALL)
        if file.name in IN_THE_SUITE or not blocks:
            continue
        with TemporaryDirectory() as folder:
            command = [sys.executable, "-W", "error", "-c", "\n".join(blocks)]
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            yield f"{file.name}: {done.stderr}"


if __name__ == "__main__":
    site = Path(sys.argv[1])
    found = [*dead_links(site), *dead_paths(), *without_entry(site), *broken_examples()]
    sys.exit("\n".join(found) or None)
