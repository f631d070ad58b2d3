"""The command line. Only this module is there without the ``cli`` extra, to say what to install."""

from __future__ import annotations

import signal
import sys
from io import TextIOWrapper

from robustagg import errors


def main() -> None:
    """Run ``robustagg``."""
    try:
        _run()
    except ModuleNotFoundError as missing:
        package = str(missing.name).partition(".")[0]
        if package not in ("rich", "typer"):
            raise
        sys.exit(f"robustagg: {errors.optional_package(package, 'cli')}")
    except KeyboardInterrupt:  # before the app hears it
        sys.exit(128 + signal.SIGINT)


def _run() -> None:
    from robustagg.cli.app import app

    came: list[int] = []

    def stop(number: int, frame: object) -> None:  # so that unfinished files are removed
        came.append(number)
        sys.exit(128 + number)

    signal.signal(signal.SIGTERM, stop)
    if isinstance(sys.stdout, TextIOWrapper):  # a client's name may have letters that the terminal has not
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        app(prog_name="robustagg")
    except SystemExit:
        if came:  # Ray has a code of its own
            sys.exit(128 + came[0])
        raise
