"""The commands together, and the one place where an error becomes a line on stderr and an exit code."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from robustagg.cli import aggregate, arguments, grid, info, ledger, rules, screen, simulate, truth
from robustagg.config import __version__

HELP = """Robust aggregation of clients' updates in federated learning.

Exit codes: 0 done, 1 it failed (the reason is on stderr; update and ledger are as they were), 2 wrong usage.
"""


class Commands(TyperGroup):
    """Ends in one clear line where what it was given is at fault."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise
        except (ImportError, OSError, TypeError, ValueError) as error:
            if ctx.params["traceback"]:
                raise
            screen.complain(error)
            raise typer.Exit(1) from error


app = typer.Typer(
    cls=Commands, help=HELP, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode="markdown"
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"robustagg {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
    traceback: Annotated[bool, typer.Option("--traceback", help="Show where in the code an error arose.")] = False,
) -> None:
    """The options of all commands; what they do, they do above."""


app.command(cls=arguments.Once)(aggregate.aggregate)
app.add_typer(ledger.app, name="ledger")
app.command()(rules.rules)
app.command()(simulate.simulate)
app.add_typer(grid.app, name="grid")
app.command()(grid.recommend)
app.add_typer(truth.app, name="truth")
app.command()(info.info)
