"""Rules and pipelines that are none."""

from __future__ import annotations

from collections.abc import Sequence

from robustagg.errors.kinds import InvalidLedger
from robustagg.errors.words import shown


def reference_missing(client: object) -> ValueError:
    return ValueError(f"client {client!r}, the rule's reference, takes no part in this round")


def bad_pipeline(fault: str) -> TypeError:
    return TypeError(f"a pipeline is pre-aggregations and then one rule: {fault}")


def rows_without_clients(rule: str, member: str) -> ValueError:
    return ValueError(f"{rule} must know whose row is whose, but the rows that {member} makes are no single client's")


def no_such_tensor(pattern: str, names: Sequence[str]) -> ValueError:
    few = ", ".join(map(repr, names[:8])) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
    return ValueError(f"no tensor that votes fits {pattern!r}; there are {few or 'none'}")


def unknown_component(label: object) -> InvalidLedger:
    return InvalidLedger(f"no rule {shown(label)} is known here; import the module that defines it first")


def not_a_rule(label: object) -> ValueError:
    return ValueError(f"{label!r} is no rule{', call it' if isinstance(label, type) else ''}")


def rule_missing(name: object) -> ValueError:
    return ValueError(f"{name} is no rule but a pre-aggregation, which stands before one: '{name} + RULE'")


def unknown_module(label: object, missing: ImportError) -> ValueError:
    return ValueError(f"{label!r} cannot be imported: {missing}")


def measured_rows_must_be_sent(members: Sequence[str]) -> TypeError:
    return TypeError(
        f"a pipeline of {', '.join(members)}: Synthesis must come first, and be the only one that measures rows"
    )


def bad_record(name: str, allowed: str) -> ValueError:
    return ValueError(f"{name!r} of a rule's memory must be {allowed}")


def rule_expected(got: object) -> TypeError:
    return TypeError(f"aggregate_files() runs rules, got {shown(got)}; a pre-aggregation runs by preaggregate_files()")


def preaggregation_expected(got: object) -> TypeError:
    return TypeError(f"preaggregate_files() runs pre-aggregations, got {shown(got)}; a rule runs by aggregate_files()")
