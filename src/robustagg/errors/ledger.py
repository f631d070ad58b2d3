"""Ledgers, in memory and on disk."""

from __future__ import annotations

from robustagg.errors.kinds import InvalidLedger
from robustagg.errors.words import shown


def unknown_client(client: object) -> LookupError:
    return LookupError(f"client {client!r} has never taken part in a round")


def bad_ledger_state(fault: str) -> InvalidLedger:
    return InvalidLedger(f"this is not the state of a ledger: {fault}")


def no_ledger(path: object) -> FileNotFoundError:
    return FileNotFoundError(f"there is no ledger at {path}")


def not_a_ledger(path: object) -> InvalidLedger:
    return InvalidLedger(f"{path} is not a ledger")


def damaged_ledger(path: object, fault: object) -> InvalidLedger:
    return InvalidLedger(f"{path} is not a ledger, or a damaged one: {fault}")


def newer_ledger(path: object, version: int, known: int) -> InvalidLedger:
    return InvalidLedger(f"{path} was written by a newer robustagg (format {version}; this one reads up to {known})")


def unusable_ledger(path: object, fault: object) -> OSError:
    return OSError(f"the ledger {path} cannot be used now: {fault}")


def cut_short(path: object) -> OSError:
    return OSError(
        f"the last save to the ledger {path} was cut short and must first be undone, where the file can be written: "
        f"run this there, or on a copy of it with its {path}-journal"
    )


def others_journal(path: object, journal: object) -> InvalidLedger:
    return InvalidLedger(
        f"{journal} is of another ledger {path}, which was moved away or deleted after a save that was cut short: "
        "move it there too, or delete it"
    )


def ledger_written_since(path: object, theirs: int | None, ours: int | None) -> InvalidLedger:
    return InvalidLedger(
        f"the ledger {path} (last round now: {theirs}) was written by someone else since this memory (last round, not "
        f"saved: {ours}) was loaded from it or saved to it; load it again and repeat the round (on the command line: "
        "run it again), or save to a new file"
    )


def bad_trail(round: object) -> ValueError:
    return ValueError(f"a line of round {shown(round)} is none that a rule has written")


def other_rules_ledger(path: object, rule: str) -> InvalidLedger:
    return InvalidLedger(f"the ledger {path} was not written by truth.{rule}")
