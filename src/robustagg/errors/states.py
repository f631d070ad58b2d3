"""What rules have saved."""

from __future__ import annotations

from collections.abc import Iterable

from robustagg.errors.kinds import InvalidLedger
from robustagg.errors.words import shown


def vector_cut_short(name: str, end: int) -> InvalidLedger:
    return InvalidLedger(f"{name} ends at byte {end}, before a vector that the rule remembers: it was written to since")


def no_vector(name: object) -> ValueError:
    return ValueError(f"member {name!r} is no vector of numbers as they were saved")


def bad_archive(fault: str) -> ValueError:
    return ValueError(f"an archive that no rule has written: {fault}")


def bad_state(fault: object) -> InvalidLedger:
    return InvalidLedger(f"this is not the state of a rule: {type(fault).__name__}: {str(fault)[:200]}")


def other_rule(expected: str, got: object) -> InvalidLedger:
    return InvalidLedger(f"this is the state of {shown(got)}, not of {expected!r}")


def other_memory(path: object, theirs: int | None, ours: int) -> InvalidLedger:
    return InvalidLedger(
        f"the ledger {path} ends with round {theirs}, and the rule remembers round {ours}: give a new rule, which goes "
        "on where the ledger ends, or the name of a new ledger"
    )


def fixed_parameter(name: str) -> AttributeError:
    return AttributeError(f"{name} is fixed once a rule is made: what it remembers depends on it; make another rule")


def other_parameters(differences: Iterable[tuple[str, object, object]]) -> InvalidLedger:
    told = ", ".join(f"{name} = {theirs!r} (here {ours!r})" for name, theirs, ours in differences)
    return InvalidLedger(
        f"written with other parameters: {told}; to continue it, make the rule with those (load() does), "
        "or begin a new one"
    )
