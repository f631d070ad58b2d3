"""Runs a rule over blocks, wherever they come from. State changes last: a round that fails leaves no trace."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from robustagg import errors, kernels
from robustagg.engine.counts import checked_counts
from robustagg.engine.shared import Masked, inspect
from robustagg.engine.turns import turn, uninterrupted
from robustagg.kernels.interface import Rows
from robustagg.memory.vectors import Vector
from robustagg.protocol import NON_FINITE, ROUNDS, Block, Client, Notes, Result, Round, Sink, Source, Verbs, Verdict


class Done(NamedTuple):
    """A round that is decided and computed, but not yet seen by anybody."""

    round: Round
    verdict: Verdict
    update: Any
    sink: Sink
    vectors: Mapping[Client, Vector]


def run(
    rule: Verbs,
    source: Source,
    sample_counts: Sequence[float] | Mapping[Client, float] | None = None,
    number: int | None = None,
    extras: Mapping[str, Any] | None = None,
    remarks: Mapping[int, str] | None = None,
) -> Result:
    """One round of `rule` over `source`. A rule does one round at a time; other threads wait.

    `remarks`, by the client's index, stand in the result beside the rule's reasons.
    What the caller has told NumPy to do about overflow and the like does not reach into the round.
    """
    with turn(rule), np.errstate(all="ignore"):
        round = Round(
            number=_round_number(number, rule.last_round),
            clients=source.clients,
            d=source.d,
            sample_counts=checked_counts(sample_counts, source.clients),
            extras=extras or {},
            remarks=remarks or {},
            spans=source.spans if rule.by_tensor else (),
        ).without(source.excluded)
        references = rule.references(round)
        if references:
            source = source.with_references(references)
        while True:
            try:
                done = _attempt(rule, source, round, tuple(references))
                break
            except errors.Unusable as found:  # each time at least one client fewer
                round = round.without(found.reasons)
        result = result_of(rule, done.verdict, done.round, done.update)
        with uninterrupted():
            done.sink.publish()
            rule.commit(done.verdict, done.round, done.vectors)
            rule.record(result)
    return result


def _attempt(rule: Verbs, source: Source, round: Round, references: Sequence[str]) -> Done:
    if rule.unguarded:
        source = _examined(rule, source, round, references) or source
    try:
        rule.check(round)
        return _passes(rule, source, _prepared(rule, round))
    except errors.NonFinite:
        masked = _examined(rule, source, round, references)
        if masked is None:
            raise errors.non_finite_memory(type(rule).__name__) from None
    return _passes(rule, masked, _prepared(rule, round))


def _prepared(rule: Verbs, round: Round) -> Round:
    drawn = rule.prepare(round)
    return round if drawn is None else replace(round, prepared=drawn)


def _passes(rule: Verbs, source: Source, round: Round) -> Done:
    kept = round.kept
    notes: Notes | None = None
    verdict: Verdict | None = None
    while rule.observes and (verdict is None or verdict.again):
        evidence, notes = None, source.notes()
        for block in _placed(source.blocks(kept)):
            seen, note = rule.observe(block, round, verdict)
            if isinstance(seen, (tuple, list, str)):
                raise errors.evidence_does_not_add(type(rule).__name__, seen)
            evidence = seen if evidence is None else evidence + seen
            notes.append(note)
        verdict = rule.decide(evidence, round)
    if verdict is None:
        verdict = rule.decide(None, round)
    sink = source.sink(kept)
    memory = source.memory(rule.vectors, verdict.learns) if verdict.learns else None
    remembered = iter(notes) if notes is not None else None
    for block in _placed(source.blocks(kept)):
        piece = rule.combine(block, None if remembered is None else next(remembered), verdict)
        if memory is not None:
            memory.add(*kernels.active().home([rule.learn(block, piece, verdict)]))
        sink.add(piece)
    return Done(round, verdict, sink.result(), sink, rule.vectors if memory is None else memory.vectors())


def _placed(blocks: Iterator[Rows]) -> Iterator[Block]:
    start = 0
    for rows in blocks:
        yield Block(rows, start)
        start += rows[0].size


def _examined(rule: Verbs, source: Source, round: Round, references: Sequence[str]) -> Source | None:
    """The source without the NaN and infinities that all clients share; None where there are none.

    Whoever sent others is left out; a reference vector with one is the caller's mistake.
    """
    kept = round.kept
    found = inspect(source, kept, len(references))
    for name, bad in zip(references, found.guilty[len(kept) :], strict=True):
        if bad:
            raise errors.non_finite_reference(name)
    guilty = [i for i, bad in zip(kept, found.guilty[: len(kept)], strict=True) if bad]
    if not guilty:
        return Masked(source, kept) if found.shared else None
    if rule.nonfinite == "raise":
        raise errors.non_finite_clients([round.clients[i] for i in guilty])
    raise errors.Unusable(dict.fromkeys(guilty, NON_FINITE))


def result_of(rule: Verbs, verdict: Verdict, round: Round, update: Any = None) -> Result:
    """The answer to a round, as its caller sees it."""
    standing = {} if verdict.standing is None else vars(verdict.standing)
    return Result(
        update=update,
        clients=round.clients,
        weights=round.spread(verdict.weights, 0),
        admitted=round.admitted,
        reasons=round.told(verdict.reasons),
        round=round.number,
        rule=type(rule).__name__,
        f=rule.withstood(len(round.kept)),
        certificate=verdict.certificate,
        **{name: values.copy() for name, values in standing.items()},  # the rule keeps its own
    )


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
