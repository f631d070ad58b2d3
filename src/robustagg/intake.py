"""One round as a server lives it: replies come in one by one, some of them bad, and one update goes out."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from robustagg import engine, errors, inputs
from robustagg.engine.counts import checked_counts
from robustagg.inputs import survey
from robustagg.kernels.interface import Rows
from robustagg.memory.vectors import Memory, Vector
from robustagg.protocol import Client, Notes, Result, Sink, Source
from robustagg.rules.base import Rule
from robustagg.rules.checks import positive
from robustagg.rules.table import Spec
from robustagg.rules.table import rule as rule_of

K = TypeVar("K")
LONGEST = 300  # characters of a stranger's reason
COUNT_CAP = 4.0  # times the median: claims of more samples are no more believed


class Intake:
    """Takes the replies of a round as they come, leaves out what cannot be used, and aggregates the others.

    What a server needs around a rule, and what the integrations are made of. A reply that is not as `like` is left out
    for the reason that it has, and costs nobody else anything. Neither the order of arrival nor the process matters:
    clients are sorted by id, and rounds continue the ledger's count.

    Parameters
    ----------
    rule : Rule, or what :func:`robustagg.rule` takes
        How to aggregate.
    like : tensor, or nested dicts, lists and tuples of tensors
        The model: structure, shapes and dtypes of every reply, and what the result will be. Its values do not matter.
    ledger : path, optional
        Where the rule's memory is kept, with the parameters it was made with; continued if it is there, and saved after
        every round.
    count_cap : float or None
        Sample counts are claims: a client counts for at most this times the (lower) median of the round's positive
        counts. None believes them all.
    weigh : bool
        Whether sample counts are used where the rule can; a rule that cannot never hears of them.

    buffers : mapping from pattern to action, optional
        What becomes of tensors that do not vote, as for :meth:`robustagg.Rule.aggregate`.

    Attributes
    ----------
    rule : Rule
        The rule, with its memory.
    refused : dict of client to str
        Who has been left out of the round so far, and why.
    why : str or None
        Why the last :meth:`close` gave no result.

    Raises
    ------
    TypeError, ValueError
        If a parameter is none of these.
    InvalidLedger
        If the file is no ledger, or one of another rule or other parameters.

    Examples
    --------
    >>> import numpy as np, robustagg as ra
    >>> intake = ra.Intake("median", like={"w": np.zeros(2)})
    >>> for client, w in [("lima", [1.0, 2.0]), ("berlin", [1.0, 2.5]), ("osaka", [1.0, 2.2]), ("eve", [9.0])]:
    ...     reason = intake.add(client, {"w": np.array(w)})
    >>> intake.refuse("oslo", "its signature is wrong")
    >>> result = intake.close()
    >>> result.update, result.clients
    ({'w': array([1. , 2.2])}, ('berlin', 'eve', 'lima', 'osaka', 'oslo'))
    >>> result.reasons[4]
    'not admitted: its signature is wrong'
    """

    def __init__(
        self,
        rule: Rule[Any] | Spec,
        like: Any,
        *,
        ledger: str | os.PathLike[str] | None = None,
        count_cap: float | None = COUNT_CAP,
        weigh: bool = True,
        buffers: Mapping[str, str] | None = None,
    ) -> None:
        self.rule = rule if isinstance(rule, Rule) else rule_of(rule)
        self._ledger = None if ledger is None else Path(ledger)
        if self._ledger is not None and self._ledger.exists():
            self.rule = _continued(self.rule, self._ledger)
        self._policy = inputs.Policy.of(buffers)
        self._model = inputs.gather([like], strict=True, buffers=self._policy)
        self._seen = survey.look("the model", like, self._policy)
        self._count_cap = None if count_cap is None else positive("count_cap", count_cap)
        self._weigh = weigh and self.rule.weighs_samples
        self.why: str | None = None
        self._begin()

    def _begin(self) -> None:
        self.refused: dict[Client, str] = {}
        self._taken: dict[Client, tuple[Any, float | None]] = {}

    def add(self, client: Client, update: Any, count: float | None = None) -> str | None:
        """Take a client's reply, or leave it out.

        Parameters
        ----------
        client : int or str
            Who sent it, as the server knows it.
        update : tree of tensors, or function
            A tree like the model, or a function without arguments that reads it: what it raises is the client's fault.
        count : float, optional
            The training samples that the client says it has. Who says none counts like the median client.

        Returns
        -------
        str or None
            Why the reply is left out; None where it is not. A NaN is found, and left out, when the round is closed.

        Raises
        ------
        TypeError
            If `client` is no id.
        """
        (client,) = inputs.client_ids([client], 1)
        if client in self._taken or client in self.refused:
            self.refuse(client, "more than one reply in this round")
            return self.refused[client]
        try:
            tree = update() if callable(update) else update
            seen = survey.look(client, tree, self._policy)
            if seen.structure != self._seen.structure:
                raise survey.difference(client, seen, None, self._seen)
            self._taken[client] = tree, self._claim(client, count)
        except Exception as fault:  # whatever reading a stranger's reply trips over
            self.refuse(client, (str(fault) or type(fault).__name__)[:LONGEST])
        return self.refused.get(client)

    def refuse(self, client: Client, reason: str) -> None:
        """Leave a client out of the round: its reply, if it has come, and any that may yet come.

        It is one of the f that the rule withstands, and a rule that remembers its clients remembers this. A client that
        has sent nothing need not be refused: it takes no part.
        """
        (client,) = inputs.client_ids([client], 1)
        self._taken.pop(client, None)
        self.refused.setdefault(client, reason)

    def close(self, **extras: Any) -> Result | None:
        """Aggregate, save, and begin the next round.

        Parameters
        ----------
        **extras
            What some rules need besides, see their own documentation.

        Returns
        -------
        Result or None
            The update, and the weight and reason of each client, the refused ones included. None where no round can
            be held with those who are left, and ``why`` says why not; the rule's memory is then as it was.

        Raises
        ------
        OSError, InvalidLedger
            If the ledger cannot be saved.
        """
        clients = sorted({**self._taken, **self.refused}, key=lambda client: (isinstance(client, str), client))
        counts, remarks = self._counts(clients)
        self.why = None
        try:
            if not self._taken:
                raise errors.nobody_admitted(self.refused.items()) if self.refused else errors.no_clients()
            source = self._source(clients)
            result = engine.run(self.rule, source, counts, extras=extras, remarks=remarks)
        except errors.NoRound as fault:
            self.why = str(fault)
            self._begin()
            return None
        self._begin()
        if self._ledger is not None:
            self.rule.save(self._ledger)
        return result

    def _source(self, clients: Sequence[Client]) -> Source:
        """Those that are there as the model is, among the refused."""
        there = [i for i, client in enumerate(clients) if client in self._taken]
        trees = [self._taken[clients[i]][0] for i in there]
        found = inputs.gather(trees, [clients[i] for i in there], buffers=self._policy)
        leaves = [replace(leaf, wrap=own.wrap) for leaf, own in zip(found.leaves, self._model.leaves, strict=True)]
        excluded = {i: f"not admitted: {self.refused[c]}" for i, c in enumerate(clients) if c in self.refused}
        excluded |= {there[row]: reason for row, reason in found.excluded.items()}
        updates = replace(found, leaves=leaves, rebuild=self._model.rebuild)
        return _Among(updates, tuple(clients), excluded, {i: row for row, i in enumerate(there)})

    def _claim(self, client: Client, count: Any) -> float | None:
        """A sample count that can be weighed; raises if it is none."""
        if count is None or not self._weigh:
            return None
        checked = checked_counts([count], [client])
        return None if checked is None else float(checked[0])

    def _counts(self, clients: Sequence[Client]) -> tuple[list[float] | None, dict[int, str]]:
        """What each client counts for, and what is to be said of it; None where nobody says."""
        claims = {client: count for client, (_, count) in self._taken.items()}
        if not any(count is not None for count in claims.values()):
            return None, {}
        believed = capped_counts(claims, self._count_cap)
        remarks = {
            i: f"says {claim:g} samples, counts for {believed[client]:g}"
            for i, client in enumerate(clients)
            if (claim := claims.get(client)) is not None and believed[client] < claim
        }
        return [believed.get(client, 0.0) for client in clients], remarks


def capped_counts(claims: Mapping[K, float | None], cap: float | None = COUNT_CAP) -> dict[K, float]:
    """What clients count for that claim so many samples each.

    Parameters
    ----------
    claims : mapping from client to number
        None of who says none: it counts like the median client.
    cap : float or None
        The most that is believed, as a multiple of the lower median of the positive claims; None: everything.

    Returns
    -------
    dict of client to float

    Examples
    --------
    >>> import robustagg as ra
    >>> ra.capped_counts({"lima": 100, "osaka": 120, "oslo": None, "eve": 10**6})
    {'lima': 100.0, 'osaka': 120.0, 'oslo': 120.0, 'eve': 480.0}
    """
    positives = sorted(count for count in claims.values() if count is not None and count > 0)
    middle = positives[(len(positives) - 1) // 2] if positives else 1.0
    most = math.inf if cap is None or not positives else cap * middle
    return {client: float(middle if count is None else min(count, most)) for client, count in claims.items()}


def _continued(rule: Rule[Any], ledger: Path) -> Rule[Any]:
    """The rule that a ledger remembers, if it is this one."""
    kept = type(rule).load(ledger)
    ours = rule.parameters
    differences = [(name, value, ours.get(name)) for name, value in kept.parameters.items() if value != ours.get(name)]
    if differences:
        raise errors.other_parameters(differences)
    return kept


@dataclass(frozen=True)
class _Among:
    """Some clients' updates, among other clients who are left out."""

    _there: Source
    clients: tuple[Client, ...]
    excluded: Mapping[int, str]
    _rows: Mapping[int, int]
    """Index of each client that is there, and of its update."""

    @property
    def d(self) -> int:
        return self._there.d

    def blocks(self, kept: Sequence[int]) -> Iterator[Rows]:
        return self._there.blocks([self._rows[i] for i in kept])

    def with_references(self, trees: Mapping[str, Any]) -> Source:
        return _Among(self._there.with_references(trees), self.clients, self.excluded, self._rows)

    def notes(self) -> Notes:
        return self._there.notes()

    def sink(self, kept: Sequence[int]) -> Sink:
        return self._there.sink([self._rows[i] for i in kept])

    def memory(self, old: Mapping[Client, Vector], names: Sequence[Client]) -> Memory:
        return self._there.memory(old, names)
