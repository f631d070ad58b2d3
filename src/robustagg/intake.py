"""One round as a server lives it: replies come in one by one, some of them bad, and one update goes out."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from robustagg import engine, errors, inputs
from robustagg.engine.counts import checked_count
from robustagg.inputs import survey
from robustagg.inputs.among import Among
from robustagg.inputs.claims import COUNT_CAP, capped_counts
from robustagg.inputs.gather import rebuilder
from robustagg.ledger.reading import begun
from robustagg.protocol import Client, Result, Source
from robustagg.rules.base import Rule
from robustagg.rules.checks import positive
from robustagg.rules.table import Spec
from robustagg.rules.table import rule as rule_of

LONGEST = 300  # characters of a stranger's reason


class Intake:
    """Takes the replies of a round as they come, leaves out what cannot be used, and aggregates the others.

    What a server needs around a rule, and what the integrations are made of. A reply that is not as `like` is left out
    for the reason that it has, and costs nobody else anything. Neither the order of arrival nor the process matters:
    clients are sorted by id, and rounds continue the ledger's count. Replies may be added from several threads.

    Parameters
    ----------
    rule : Rule, or what :func:`robustagg.rule` takes
        How to aggregate.
    like : tensor, or nested dicts, lists and tuples of tensors
        The model: structure, shapes and dtypes of every reply, and what the result will be. Its values do not matter;
        where it lies on a GPU, replies that do, too, are aggregated there.
    ledger : path, optional
        Where the rule's memory is kept, with the parameters it was made with; continued if it is there, and saved after
        every round. An empty file is a new one.
    count_cap : float or None
        Sample counts are claims: a client counts for at most this times the (lower) median of the round's positive
        counts, and for less where f of the clients (the rule's f; any minority, where it has none; nobody for the mean)
        would come close to outweighing the others, see :func:`capped_counts`. None believes them all.
    weigh : bool
        Whether sample counts are used where the rule can; a rule that cannot never hears of them.
    policy : Policy, optional
        Which tensors vote; by default ``Policy()``, under which BatchNorm's running statistics do not, tied tensors
        count once, and wrappers' prefixes do not matter. The ledger keeps it.
    buffers : mapping from pattern to action, optional
        In place of a policy, what becomes of tensors that do not vote, as for :meth:`robustagg.Rule.aggregate`.
    reference : bool or tree of tensors, optional
        What replies are. False: differences from the global model. True, or the global model: whole parameters. The
        rule then gets the differences from ``reference``: `like`, or the model given, and from the second round on
        the last update. None: as they are, with a warning if the rule needs differences.

    Attributes
    ----------
    rule : Rule
        The rule, with its memory.
    reference : tree of tensors or None
        The global model that replies are compared with, of which the intake keeps a copy. To be set before the round is
        closed where it is not the last update: after a server's optimiser, say.
    refused : dict of client to str
        Who has been left out of the round so far, and why.
    why : str or None
        Why the last :meth:`close` gave no result.

    Raises
    ------
    TypeError, ValueError
        If a parameter is none of these.
    InvalidLedger
        If the file is no ledger, or one of another rule, other parameters or another policy.

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
        policy: inputs.Policy | None = None,
        reference: Any = None,
    ) -> None:
        self.rule = rule if isinstance(rule, Rule) else rule_of(rule)
        self._ledger = None if ledger is None else Path(ledger)
        if self._ledger is not None and begun(self._ledger):
            self.rule = _continued(self.rule, self._ledger)
        self._policy = inputs.Policy() if policy is None and buffers is None else inputs.Policy.of(buffers, policy)
        self.rule.check_policy(self._policy)
        self._model = inputs.gather([like], strict=True, policy=self._policy)
        own = survey.apart(like, self._policy)
        like = self._model.rebuild(own.leaves)  # nodes that are nobody else's
        self._model = replace(self._model, rebuild=rebuilder(like, self._policy))
        self._nodes, self._seen = own.nodes, survey.look("the model", own, self._policy)
        self._set_out(like, reference)
        self._count_cap = None if count_cap is None else positive("count_cap", count_cap)
        self._weigh = weigh and self.rule.weighs_samples
        self.why: str | None = None
        self.refused: dict[Client, str] = {}
        self._taken: dict[Client, tuple[Any, float | None]] = {}

    def _set_out(self, like: Any, reference: Any) -> None:
        if reference is None and self.rule.differences:
            warnings.warn(errors.REFERENCE_UNKNOWN.format(type(self.rule).__name__), stacklevel=3)
        self._reference: Any = None
        if reference is not None and reference is not False:
            self.reference = like if reference is True else reference

    @property
    def reference(self) -> Any:
        """The global model that replies are compared with; None: they are taken as they are."""
        return self._reference

    @reference.setter
    def reference(self, model: Any) -> None:
        with engine.turn(self):
            self._reference = None if model is None else inputs.copied(model, self._policy)

    def add(self, client: Client, update: Any, count: float | None = None) -> str | None:
        """Take a client's reply, or leave it out.

        Parameters
        ----------
        client : int or str
            Who sent it, as the server knows it.
        update : tree of tensors, or function
            A tree like the model, or a function without arguments that reads it: what it raises is the client's fault.
            The tree is read now; its tensors are not copied. Whole numbers, as JSON writes some floats, are float64
            where the model has that.
        count : float, optional
            The training samples that the client says it has. Who says none counts like the median client.

        Returns
        -------
        str or None
            Why the reply is left out; None where it is not. A NaN is found, and left out, when the round is closed.

        Raises
        ------
        TypeError, ValueError
            If `client` is no id, or one of more than 1,024 characters.
        """
        (client,) = inputs.client_ids([client], 1)
        reply, fault = self._read(client, update, count)
        with engine.turn(self):
            if client in self._taken or client in self.refused:
                fault = "more than one reply in this round"
            if fault is None:
                self._taken[client] = reply
            else:
                self.refuse(client, fault)
            return self.refused.get(client)

    def _read(self, client: Client, update: Any, count: Any) -> tuple[Any, str | None]:
        """A reply, its sample count, and what is wrong with it; other threads may add theirs meanwhile."""
        try:
            tree = update() if callable(update) else update
            tree = survey.apart(tree, self._policy)  # read once; its owner may do with it whatever he likes
            seen = survey.look(client, tree, self._policy, self._seen)
            if seen.structure != self._seen.structure:
                raise survey.difference(client, seen, None, self._seen)
            return (tree._replace(nodes=self._nodes), self._claim(client, count)), None
        except Exception as fault:  # whatever reading a stranger's reply trips over
            return None, (str(fault) or type(fault).__name__)[:LONGEST]

    def refuse(self, client: Client, reason: str) -> None:
        """Leave a client out of the round: its reply, if it has come, and any that may yet come.

        It is one of the f that the rule withstands, and a rule that remembers its clients remembers this. A client that
        has sent nothing need not be refused: it takes no part.
        """
        (client,) = inputs.client_ids([client], 1)
        with engine.turn(self):
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
            If the ledger cannot be saved. The replies are still there then, and the rule is as it was before.
        """
        with self.closing(**extras) as result:
            return result

    @contextmanager
    def closing(self, **extras: Any) -> Iterator[Result | None]:
        """Close around a block: the round is in the ledger once the block is done; what fails in it undoes the round.

        For what has to happen together with it, as storing the model: killed in between, the round is not in the
        ledger, and after a fault the replies are still there. Ctrl-C undoes the round, or, once the ledger is written,
        waits until the round is over. A client that first replies within the block is one of the next round's.
        Arguments and errors as for :meth:`close`.

        Examples
        --------
        >>> import pathlib, tempfile, numpy as np, robustagg as ra
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> intake = ra.Intake("median", like=np.zeros(2), ledger=folder / "ledger.sqlite")
        >>> reasons = [intake.add(client, np.ones(2)) for client in ("lima", "osaka")]
        >>> with intake.closing() as result:
        ...     np.save(folder / "model.npy", result.update)
        >>> ra.load(folder / "ledger.sqlite").last_round
        1
        """
        with engine.turn(self), ExitStack() as last, self.rule.tentative():
            senders = {**self._taken, **self.refused}
            result = self._held(sorted(senders, key=lambda client: (isinstance(client, str), client)), extras)
            with nullcontext() if result is None or self._ledger is None else self.rule.saving(self._ledger):
                yield result
                following = self._reference
                if result is not None and following is not None:
                    following = inputs.copied(result.update, self._policy)
                last.enter_context(engine.uninterrupted())  # from here on all of it is done, or nothing
            self._reference = following
            self._taken = {client: reply for client, reply in self._taken.items() if client not in senders}
            self.refused = {client: reason for client, reason in self.refused.items() if client not in senders}

    def _held(self, clients: Sequence[Client], extras: Mapping[str, Any]) -> Result | None:
        """The round, not yet saved; None where none can be held."""
        counts, remarks = self._counts(clients)
        self.why = None
        try:
            if not self._taken:
                raise errors.nobody_admitted(self.refused.items()) if self.refused else errors.no_clients()
            updates = self._updates([client for client in clients if client in self._taken])
            source = self._among(clients, updates)
            if self._reference is not None:
                source = inputs.Relative(source, self._reference)
            with updates.near():
                return self.rule.hold(source, self._policy, counts, None, extras, remarks)
        except errors.NoRound as fault:
            self.why = str(fault)
            return None

    def _updates(self, clients: Sequence[Client]) -> inputs.Updates:
        """What these have sent, as the model is."""
        trees = [self._taken[client][0] for client in clients]
        turned = self.rule.isometric and self._reference is None
        stay = not self.rule.unguarded
        found = inputs.gather(trees, clients, policy=self._policy, isometric=turned, resident=stay, like=self._seen)
        leaves = [leaf.of_model(own) for leaf, own in zip(found.leaves, self._model.leaves, strict=True)]
        return replace(found, leaves=leaves, rebuild=self._model.rebuild)

    def _among(self, clients: Sequence[Client], updates: inputs.Updates) -> Source:
        """The updates of those who are there, among the refused."""
        there = [i for i, client in enumerate(clients) if client in self._taken]
        rows = {i: row for row, i in enumerate(there)}
        excluded = {i: f"not admitted: {self.refused[c]}" for i, c in enumerate(clients) if c in self.refused}
        excluded |= {i: updates.excluded[row] for i, row in rows.items() if row in updates.excluded}
        return Among(updates, tuple(clients), excluded, rows)

    def _claim(self, client: Client, count: Any) -> float | None:
        """A sample count that can be weighed; raises if it is none."""
        return None if count is None or not self._weigh else checked_count(client, count)

    def _counts(self, clients: Sequence[Client]) -> tuple[list[float] | None, dict[int, str]]:
        """What each client counts for, and what is to be said of it; None where nobody says."""
        claims = {client: count for client, (_, count) in self._taken.items()}
        if not any(count is not None for count in claims.values()):
            return None, {}
        mean = self.rule.linear and not self.rule.observes  # it withstands nobody, whatever the counts
        believed = capped_counts(claims, self._count_cap, 0 if mean else self.rule.withstood(len(claims)))
        remarks = {
            i: f"says {claim:g} samples, counts for {believed[client]:g}"
            for i, client in enumerate(clients)
            if (claim := claims.get(client)) is not None and believed[client] < claim
        }
        return [believed.get(client, 0.0) for client in clients], remarks


def _continued(rule: Rule[Any], ledger: Path) -> Rule[Any]:
    """The rule that a ledger remembers, if it is this one."""
    kept = type(rule).load(ledger)
    ours = rule.parameters
    differences = [(name, value, ours.get(name)) for name, value in kept.parameters.items() if value != ours.get(name)]
    if differences:
        raise errors.other_parameters(differences)
    if rule.last_round not in (None, kept.last_round):
        raise errors.other_memory(ledger, kept.last_round, rule.last_round)
    return kept
