"""``robustagg ledger``: asking a ledger what happened, and why."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer

from robustagg import errors
from robustagg import ledger as ledgers
from robustagg.cli import arguments, screen
from robustagg.cli import plot as plots

app = typer.Typer(no_args_is_help=True, help="Ask a ledger what happened, and why.")

Ledger: TypeAlias = Annotated[Path, typer.Argument(help="The ledger's file.", show_default=False, **arguments.READ)]
Client: TypeAlias = Annotated[str | None, typer.Option("--client", "-c", help="Only this client, round by round.")]
Round: TypeAlias = Annotated[int | None, typer.Option("--round", "-r", help="Only this round, client by client.")]
Out: TypeAlias = Annotated[Path, typer.Option("--out", "-o", **arguments.DRAWN)]

_COLUMNS = ("admitted", "accepted", "rejected", "reputation", "weight", "reason")  # those that the rule tells


@app.command()
def show(ledger: Ledger, client: Client = None, round: Round = None, as_json: screen.Json = False) -> None:
    """Show the rounds; with --client or --round, who was given which weight, and why."""
    if client is None and round is None:
        _overview(ledger, as_json)
        return
    lines = _lines(ledger, client, round)
    if as_json:
        screen.say_json({"ledger": str(ledger), "observations": lines})
    elif client is not None and round is not None:
        for line in lines:
            screen.say(*_answer(line))
    else:
        asked, key = (f"round {round}", "client") if client is None else (f"client {lines[0]['client']}", "round")
        screen.say(f"{ledger}: {asked}", "")
        header = (key, *(name for name in _COLUMNS if any(name in line for line in lines)))
        screen.table(header, ([line.get(name) for name in header] for line in lines))


@app.command()
def plot(ledger: Ledger, out: Out = Path("reputations.png"), as_json: screen.Json = False) -> None:
    """Draw the clients' reputation over the rounds, or their weight where the rule keeps no reputation."""
    plots.standing(ledgers.course(ledger), out)
    if as_json:
        screen.say_json({"ledger": str(ledger), "out": str(out)})
    else:
        screen.say(f"Picture: {out}")


def _overview(ledger: Path, as_json: bool) -> None:
    summary, rounds = ledgers.summary(ledger), ledgers.rounds(ledger)
    parameters, clients, policy = summary["parameters"], summary["clients"], summary["policy"]
    if as_json:
        told = {"ledger": str(ledger), "clients": clients, "parameters": parameters, "policy": policy}
        screen.say_json({**told, "rounds": rounds})
        return
    screen.say(
        f"{ledger}: {_number(clients, 'client')}, {_number(len(rounds), 'round')}",
        "Parameters: " + ", ".join(f"{name} {value}" for name, value in parameters.items()),
        *([] if policy is None else [f"Policy: {json.dumps(policy)}"]),
        "",
    )
    header = ("round", "finished", "rule", "clients", "admitted")
    screen.table(header, ([line[name] for name in header] for line in rounds))


def _lines(ledger: Path, client: str | None, round: int | None) -> list[dict[str, Any]]:
    """What the ledger holds on it; a client called 7 is the text "7", or else the number."""
    lines = ledgers.history(ledger, client, round)
    if not lines and client is not None and _NUMBER.fullmatch(client):
        lines = ledgers.history(ledger, int(client), round)
    if not lines:
        raise errors.unrecorded(ledger, client, round)
    return lines


_NUMBER = re.compile(r"0|-?[1-9][0-9]{0,3999}")  # as one is printed: 07 is a text


def _number(count: int, what: str) -> str:
    return f"{count} {what}{'s' * (count != 1)}"


def _answer(line: dict[str, Any]) -> list[str]:
    """Why was lima's weight 0 in round 7?"""
    weight = "no weight" if line["weight"] is None else f"weight {line['weight']:.4f}"
    said = [f"In round {line['round']}, client {line['client']} had {weight}: {line['reason']}."]
    if all(line.get(name) is not None for name in ("accepted", "rejected", "observed", "reputation")):
        d = line["accepted"] + line["rejected"]
        said.append(
            f"{line['accepted']} of {d} coordinates accepted: observed {line['observed']:.4f} in this round, "
            f"reputation {line['reputation']:.4f}."
        )
    return said
