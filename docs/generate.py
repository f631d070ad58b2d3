"""Writes the pages that are made from code: ``python docs/generate.py``. A test holds them to be current."""

from __future__ import annotations

from pathlib import Path

from robustagg.rules.table import PREAGGREGATIONS, RULES, Entry

HERE = Path(__file__).parent

HEAD = """# Rules

*Made by `python docs/generate.py` from `robustagg/rules/table.py`; `robustagg rules` prints the same.*

n clients are admitted, f of them at most are Byzantine, an update has d coordinates.

- **needs**: what a round's admitted clients must number; if not, the round is refused and the error says both numbers.
- **breakdown point**: the share of Byzantine clients from which on they can carry the result anywhere; "-" where
  nothing is proven.
- **passes**: how often each update is read, which is what a round over files costs.
- **sample counts**: whether `sample_counts` weigh.
- **differences**: whether updates must be differences from the global model. On whole parameters such a rule is wrong
  without a word: give it the global model as `reference=` then.
- **remembers**: what it keeps from round to round, by client id; saved and loaded with `save`/`load`.

A client whose update holds a NaN or an infinity is not admitted, whatever the rule. Every rule runs in memory
(`aggregate`) and over files larger than memory (`aggregate_files`), with the same bits, whatever the number of threads.
After a round over files, what is remembered of a model's size is on disk too.
"""

MIDDLE = """
## Pre-aggregations

Rows in, rows out: on their own, `NNM(f=2)(updates)`, or `preaggregate_files(NNM(f=2), paths, folder)` over files, with
the same bits; or before a rule, `Pipeline(NNM(f=2), Krum(f=2))`. In a pipeline the mixed rows are never all in memory,
and where the rule ends in a weighted mean they do not exist at all.
"""

SOURCES = """
## Where they come from
"""


def rules() -> str:
    """docs/rules.md."""
    return "\n".join([HEAD, *table(RULES), MIDDLE, *table(PREAGGREGATIONS), SOURCES, *sources(), ""])


def table(entries: tuple[Entry, ...]) -> list[str]:
    """Markdown, without the columns in which nothing stands."""
    facts = [entry.facts() for entry in entries]
    header = [name for name in facts[0] if name not in ("name", "source") and any(cell(fact[name]) for fact in facts)]
    lines = [[cell(fact[name]) for name in header] for fact in facts]
    return ["| " + " | ".join(line) + " |" for line in [header, ["---"] * len(header), *lines]]


def sources() -> list[str]:
    """Who has published what, a line each."""
    known = [entry for entry in (*RULES, *PREAGGREGATIONS) if entry.source]
    return [f"- {entry.kind.__name__}: {entry.source}" for entry in known]


def cell(value: object) -> str:
    return ("yes" if value else "") if isinstance(value, bool) else str(value)


if __name__ == "__main__":
    (HERE / "rules.md").write_text(rules(), "utf-8")
