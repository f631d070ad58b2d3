"""The command line."""

from __future__ import annotations

from collections.abc import Mapping


def not_a_line_of_rules(text: str) -> ValueError:
    return ValueError(f"{text!r} is not of the form NAME, NAME(PARAMETER=VALUE, ...) or several of these joined by +")


def not_an_assignment(text: str) -> ValueError:
    return ValueError(f"{text!r} is not of the form NAME=VALUE")


def unknown_parameter(rule: str, name: str, known: Mapping[str, object]) -> ValueError:
    told = ", ".join(f"{name}={default}" for name, default in known.items())
    return ValueError(f"the rule {rule} has no parameter {name!r}; it has {told}")


def parameter_needed(rule: str, name: str) -> ValueError:
    return ValueError(f"the rule {rule} needs its parameter {name}: give {name}=VALUE")


def rule_asks(rule: str, kind: str, name: str) -> ValueError:
    return ValueError(f"the rule {rule} is for Python alone, where {kind}().aggregate gets its {name}")


def ledger_needed(rule: str) -> ValueError:
    return ValueError(f"the rule {rule} remembers the clients: say where with --ledger, or choose another --rule")


def ledger_unused(rule: str) -> ValueError:
    return ValueError(f"the rule {rule} remembers nothing: leave out --ledger")


def ledger_is_another_file(path: object) -> ValueError:
    return ValueError(f"--ledger {path} is the update's file or one of the clients', and would be overwritten")


def written_twice(path: object) -> ValueError:
    return ValueError(f"{path} is also one of the other files of this command, and would be overwritten")


def no_folder(path: object) -> ValueError:
    return ValueError(f"there is no folder {path}")


def not_writable(path: object) -> ValueError:
    return ValueError(f"{path} cannot be written: permission denied, or a read-only file system")


def bad_sample_counts(path: object, fault: str) -> ValueError:
    return ValueError(f"{path} must hold a JSON object, client to number of samples: {fault}")


def unrecorded(path: object, client: object | None, round: int | None) -> ValueError:
    asked = [f"client {client!r}"] * (client is not None) + [f"round {round}"] * (round is not None)
    return ValueError(f"the ledger {path} has no record of {' in '.join(asked)}")
