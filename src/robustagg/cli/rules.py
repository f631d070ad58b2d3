"""``robustagg rules``."""

from __future__ import annotations

from robustagg.cli import screen
from robustagg.rules.table import PREAGGREGATIONS, RULES, Entry

_SHOWN = ("name", "class", "needs", "breakdown point", "passes", "differences", "source")


def rules(as_json: screen.Json = False) -> None:
    """The rules, the clients each needs, what it withstands, how often it reads the updates, and its source.

    Those with an f in what they need take it as a parameter, --param f=2. All but align-ins and fltrust, which ask for
    a tensor of the server's that only Python can give, are there for --rule; those that take differences need
    --reference where files hold whole models. Pre-aggregations stand before a rule: --rule "nnm(f=2) + krum(f=2)".
    """
    if as_json:
        kinds = {"rules": RULES, "pre-aggregations": PREAGGREGATIONS}
        screen.say_json({kind: [entry.facts() for entry in entries] for kind, entries in kinds.items()})
        return
    _table(RULES)
    screen.say("", "Pre-aggregations:", "")
    _table(PREAGGREGATIONS)


def _table(entries: tuple[Entry, ...]) -> None:
    screen.table(_SHOWN, ([_cell(entry.facts()[name]) for name in _SHOWN] for entry in entries))


def _cell(value: object) -> object:
    return ("yes" if value else "") if isinstance(value, bool) else value
