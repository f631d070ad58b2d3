"""Runs a rule over blocks, wherever they come from. State changes last: a round that fails leaves no trace."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias, cast

import numpy as np

from robustagg import errors
from robustagg.engine.counts import checked_counts
from robustagg.engine.serial import Serial
from robustagg.engine.shared import Found, Masked, inspect
from robustagg.engine.spread import Crew, Spread
from robustagg.engine.turns import uninterrupted
from robustagg.memory.vectors import Vector
from robustagg.names import SampleCounts
from robustagg.protocol import (
    NON_FINITE,
    ROUNDS,
    Client,
    Divisible,
    Executor,
    Outcome,
    Result,
    Round,
    Sink,
    Source,
    Verbs,
    Verdict,
)

Done: TypeAlias = tuple[Round, Verdict, Any, Sink, Mapping[Client, Vector]]
"""A round that is decided and computed, but not yet seen by anybody: its update, who publishes it, what is learnt."""


def run(
    rule: Verbs,
    source: Source,
    sample_counts: SampleCounts | None = None,
    number: int | None = None,
    extras: Mapping[str, Any] | None = None,
    remarks: Mapping[int, str] | None = None,
    executor: Executor | None = None,
) -> Result:
    """One round of `rule` over `source`. A rule does one round at a time: who calls holds its turn.

    `remarks`, by the client's index, stand in the result beside the rule's reasons. With an executor the source must be
    :class:`Divisible`; the bits are the same.
    What the caller has told NumPy to do about overflow and the like does not reach into the round.
    """
    with np.errstate(all="ignore"):
        counts = None if sample_counts is None else checked_counts(sample_counts, source.clients)
        round = Round(
            _round_number(number, rule.last_round),
            source.clients,
            source.d,
            counts,
            {},
            remarks or {},
            extras or {},
            None,
            source.spans if rule.by_tensor else (),
            source.dtype,
        )
        if source.excluded:
            round = round.without(source.excluded)
        references = rule.references(round)
        if references:
            source = source.with_references(references)
        names = tuple(references)
        crew = None if executor is None else Crew(executor, rule, cast(Divisible, source), names)
        while True:
            try:
                if crew is None:
                    round, verdict, update, sink, vectors = _here(rule, source, round, names)
                else:
                    round, verdict, update, sink, vectors = _there(rule, cast(Divisible, source), round, names, crew)
                break
            except errors.Unusable as found:  # each time at least one client fewer
                round = round.without(found.reasons)
        outcome = Outcome.of(round, verdict, type(rule).__name__, rule.withstood(len(round.kept)))
        result = Result(update, outcome)
        with uninterrupted():
            sink.publish()
            rule.commit(verdict, round, vectors)
            rule.record(result)
    return result


def _there(rule: Verbs, source: Divisible, round: Round, references: Sequence[str], crew: Crew) -> Done:
    rule.check(round)
    round = _prepared(rule, round)
    passes = crew.over(source, round, looks=True)
    try:
        return _passes(rule, passes, round)
    except errors.NonFinite:
        assert passes.found is not None
        _judge(rule, passes.found, round, references)
    return _passes(rule, crew.over(Masked(source, round.kept), round, looks=False), round)


def _here(rule: Verbs, source: Source, round: Round, references: Sequence[str]) -> Done:
    if rule.unguarded:
        source = _examined(rule, source, round, references) or source
    try:
        rule.check(round)
        prepared = _prepared(rule, round)
        return _passes(rule, Serial(rule, source, prepared), prepared)
    except errors.NonFinite:
        masked = _examined(rule, source, round, references)
        if masked is None:
            raise errors.non_finite_memory(type(rule).__name__) from None
    prepared = _prepared(rule, round)
    return _passes(rule, Serial(rule, masked, prepared), prepared)


def _prepared(rule: Verbs, round: Round) -> Round:
    drawn = rule.prepare(round)
    return round if drawn is None else replace(round, prepared=drawn)


def _passes(rule: Verbs, passes: Serial | Spread, round: Round) -> Done:
    observes = rule.observes
    verdict: Verdict = rule.decide(passes.observe(None) if observes else None, round)
    while observes and verdict.again:
        verdict = rule.decide(passes.observe(verdict), round)
    sink, memory = passes.combine(verdict)
    return round, verdict, sink.result(), sink, rule.vectors if memory is None else memory.vectors()


def _examined(rule: Verbs, source: Source, round: Round, references: Sequence[str]) -> Source | None:
    """The source without the NaN and infinities that all clients share; None where there are none."""
    found = inspect(source, round.kept, len(references))
    _judge(rule, found, round, references)
    return Masked(source, round.kept) if found.shared else None


def _judge(rule: Verbs, found: Found, round: Round, references: Sequence[str]) -> None:
    """Whoever sent NaN or infinities that are not shared is left out; in a reference they are the caller's mistake."""
    kept, told = round.kept, found.guilty
    for name, bad in zip(references, told[len(kept) :], strict=True):
        if bad:
            raise errors.non_finite_reference(name)
    guilty = [i for i, bad in zip(kept, told[: len(kept)], strict=True) if bad]
    if guilty and rule.nonfinite == "raise":
        raise errors.non_finite_clients([round.clients[i] for i in guilty])
    if guilty:
        raise errors.Unusable(dict.fromkeys(guilty, NON_FINITE))


def _round_number(number: int | None, last: int | None) -> int:
    if number is None:
        return 1 if last is None else last + 1
    if isinstance(number, bool) or not isinstance(number, (int, np.integer)) or number < 0:
        raise errors.bad_round(number)
    if number >= ROUNDS:
        raise errors.out_of_range("round", number, f"less than {ROUNDS}")
    if last is not None and number <= last:
        raise errors.round_not_later(int(number), last)
    return int(number)
