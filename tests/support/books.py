"""A ledger of reputations on disk, without the rule that fills it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from robustagg.ledger import Ledger, Past, RoundRecord, State, reading, writing


def past(memory: Ledger) -> Past:
    """The files that hold earlier states of a memory, and its records."""
    found: Past = vars(memory).setdefault("past", Past())
    return found


def save(path: Path | str, parameters: Mapping[str, Any], memory: Ledger, record: RoundRecord | None = None) -> None:
    """Save the memory, with the record of its last round."""
    own = past(memory)
    if record is not None and record not in own.records:
        own.add(record)
    state = State("Reputation", parameters, memory.round, reputation=memory)
    with writing.saving(path, state, own):
        pass


def load(path: Path | str) -> tuple[dict[str, Any], Ledger]:
    """Parameters and memory."""
    state, own = reading.load(path)
    assert state.reputation is not None
    vars(state.reputation)["past"] = own
    return dict(state.parameters), state.reputation
