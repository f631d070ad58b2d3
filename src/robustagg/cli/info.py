"""``robustagg info``."""

from __future__ import annotations

from robustagg import config
from robustagg.cli import screen


def info(as_json: screen.Json = False) -> None:
    """What is installed and in force here: version, backends, instruction set, threads, optional packages."""
    found = config.config()
    if as_json:
        screen.say_json(found)
        return
    config.show_config()
    if not found["backends"]["native"].startswith("available"):
        screen.say(
            "",
            "The native core is missing: results are the same, but slower. To have it, install GCC or Clang and",
            "then robustagg once more, with pip install --force-reinstall -v: its output tells what fails.",
        )
