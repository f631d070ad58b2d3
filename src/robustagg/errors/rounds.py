"""A round that cannot be held as it was asked for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from robustagg.errors.kinds import InvalidLedger, NoRound
from robustagg.errors.words import shown


def no_clients() -> NoRound:
    return NoRound("no updates: a round needs at least one client")


def no_model() -> ValueError:
    return ValueError(
        "the model that the round begins with holds no tensors, so that there is nothing to compare replies with: "
        "let the server begin with initial parameters"
    )


def of_the_average(names: Sequence[str]) -> ValueError:
    return ValueError(
        f"{' and '.join(names)} would have no effect: they are for the average. Which tensors vote is said with "
        'intake={"buffers": ...} (see robustagg.Policy), and what a client may count for with intake={"count_cap": ...}'
    )


def non_finite_clients(clients: Sequence[object]) -> ValueError:
    return ValueError(f"NaN or infinite values in the update of {_listed(clients)}")


def non_finite_memory(rule: str) -> InvalidLedger:
    return InvalidLedger(
        f"NaN or infinite values in what {rule} remembers, and in nobody's update: its state is damaged"
    )


def non_finite_reference(name: str) -> ValueError:
    return ValueError(f"NaN or infinite values in {name}")


def nobody_admitted(reasons: Iterable[tuple[object, str]]) -> NoRound:
    said = [(f"client {client!r}: ", reason) for client, reason in list(reasons)[:5]]
    told = "; ".join(reason if reason.startswith(whose) else whose + reason for whose, reason in said)
    return NoRound(f"no client's update can be used: {told}")


def _listed(clients: Sequence[object]) -> str:
    names = ", ".join(repr(client) for client in clients[:8])
    more = f" and {len(clients) - 8} more" if len(clients) > 8 else ""
    return f"client{'s' if len(clients) > 1 else ''} {names}{more}"


def bad_round(round: object) -> TypeError:
    return TypeError(f"round must be a non-negative integer, got {round!r}")


def round_not_later(round: int, last: int) -> ValueError:
    return ValueError(f"round {round} is not later than the last completed round, {last}")


def sample_count_length(got: int, clients: int) -> ValueError:
    return ValueError(f"{got} sample counts for {clients} clients")


def sample_count_missing(client: object) -> ValueError:
    return ValueError(f"no sample count for client {client!r}")


def bad_sample_count(client: object, count: object) -> ValueError:
    return ValueError(f"client {client!r}: a sample count must be finite and not negative, got {shown(count)}")


def sample_count_no_number(client: object, count: object) -> TypeError:
    return TypeError(f"client {client!r}: a sample count must be a number, got {shown(count)}")


def no_sample_counts(counts: object) -> TypeError:
    return TypeError(
        f"sample_counts must be a number for each client, in their order, or a mapping from client to number, "
        f"got {shown(counts)}"
    )


def no_samples() -> NoRound:
    return NoRound("the sample counts of all admitted clients are zero")


def sample_counts_unused(rule: str) -> ValueError:
    return ValueError(f"{rule} does not weigh by sample counts; leave sample_counts out")


def unknown_argument(rule: str, name: str) -> TypeError:
    return TypeError(f"{rule}.aggregate() got an unexpected keyword argument {name!r}")


def cannot_certify(rule: str) -> TypeError:
    return TypeError(f"{rule} certifies nothing; of the rules Reputation does (certify=True)")


def missing_argument(rule: str, name: str) -> TypeError:
    return TypeError(f"{rule}.aggregate() needs the keyword argument {name!r}")


def evidence_does_not_add(rule: str, evidence: object) -> TypeError:
    kind = type(evidence).__name__
    return TypeError(f"{rule}.observe returned evidence of type {kind}, which + does not add up but puts end to end")


def too_few_clients(rule: str, admitted: int, lost: int, condition: str) -> NoRound:
    left_out = f", {lost} left out" if lost else ""
    return NoRound(f"{rule} needs {condition}; {admitted} clients are admitted in this round{left_out}")


def other_size(before: int, now: int) -> ValueError:
    return ValueError(f"the model has {now} coordinates, but had {before} in the round before")
