"""How a rule is saved and continued: its parameters, its memory, and the trail of its rounds."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robustagg import engine, errors, ledger
from robustagg.memory import states
from robustagg.memory.vectors import Vector
from robustagg.protocol import Client
from robustagg.rules.component import Component, kind_of

if TYPE_CHECKING:
    from typing_extensions import Self


class Saved(Component):
    """What can be saved: the number of its last round, vectors of the model's size, and what its kind adds."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._last_round: int | None = None
        self._vectors: Mapping[Client, Vector] = {}
        self._past = ledger.Past()
        self._policy: dict[str, Any] | None = None

    @property
    def last_round(self) -> int | None:
        """Number of the last completed round."""
        return self._last_round

    @property
    def vectors(self) -> Mapping[Client, Vector]:
        """What the rule remembers of the model's size, by name."""
        return self._vectors

    def for_worker(self, vectors: Mapping[Client, Vector]) -> Self:
        """A copy to observe, combine and learn with elsewhere: with these vectors, without all else it remembers."""
        twin = object.__new__(type(self))
        twin.__dict__.update(self.__dict__)
        twin._vectors, twin._past = vectors, ledger.Past()
        return twin

    @property
    def _reputations(self) -> ledger.Ledger | None:
        """The memory of reputations, where the rule has one."""
        return None

    def state_dict(self) -> dict[str, Any]:
        """Parameters and memory, for :meth:`load_state_dict`: numbers, texts, lists and dicts with text keys.

        So it goes through JSON and through loaders that execute nothing, as torch's with ``weights_only=True``.
        """
        with engine.turn(self):
            state = {**states.plain(self._state()), "vectors": states.pairs(self.vectors)}
            memory = self._reputations
            return state if memory is None else {**state, "ledger": states.plain(memory.state_dict())}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a state that a rule of the same kind and parameters has given.

        What the rule did since is forgotten, the records for the trail of a ledger included; a ledger that it has
        saved to is somebody else's from here on.

        Raises
        ------
        InvalidLedger
            If the state is none, is another rule's, or was reached with other parameters; nothing is changed then.
        """
        with engine.turn(self):
            try:
                self._check_state(state)
                self._restore(state)
                self._policy = _policy_of(state)
            except errors.InvalidLedger:
                raise
            except states.FAULTS as fault:
                raise errors.bad_state(fault) from fault
            self._past = ledger.Past()

    def save(self, path: str | Path) -> None:
        """Write parameters, memory, and the trail of the rounds since, to a ledger: an SQLite file, of any suffix.

        One transaction: after a crash the file holds the round before or the round after, never a half. Saved after
        every round, it is a complete audit trail; of rounds in between, the last thousand are recorded (fewer, where
        they have more than 131,072 clients in all).

        Raises
        ------
        InvalidLedger
            If the file is no ledger, was written with other parameters, or has been written by someone else since
            this rule was loaded from or saved to it.
        OSError
            If it cannot be written.
        """
        with self.saving(path):
            pass

    @contextmanager
    def saving(self, path: str | Path) -> Iterator[None]:
        """Save around a block: written before it, in force when it is done; what fails in the block undoes it.

        For what has to happen together with the save, as giving the update its name: killed in between, the round is
        not in the ledger and can be run again. Errors as in :meth:`save`.

        Examples
        --------
        >>> import pathlib, tempfile, numpy as np, robustagg as ra
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> rule = ra.Reputation()
        >>> update = rule(np.zeros((3, 2)))
        >>> with rule.saving(folder / "ledger.sqlite"):
        ...     np.save(folder / "update.npy", update)
        >>> ra.load(folder / "ledger.sqlite").last_round
        1
        """
        with engine.turn(self), ledger.saving(path, self._written(), self._past):
            yield

    @contextmanager
    def tentative(self) -> Iterator[None]:
        """Rounds around a block: what fails in it leaves the rule as it was before."""
        with engine.turn(self):
            shared = [*self.vectors.values(), *self._past.records]  # which nobody changes
            before = copy.deepcopy(self, {id(part): part for part in shared})
            try:
                yield
            except BaseException:
                self.__dict__.update(before.__dict__)
                raise

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """The rule, parameters and memory, that :meth:`save` has written.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        InvalidLedger
            If it does not hold the state of a rule, or holds another rule's; a ValueError.

        Notes
        -----
        More than a megabyte of vectors of the model's size is copied to a file without a name beside the ledger, piece
        by piece, so that neither they nor a change of the ledger meanwhile cost memory.
        """
        state, past = ledger.load(path)
        try:
            rule: Self = cls._kind(state.rule)._of(state.parameters)
            rule._restore(state.whole())
            rule._policy = _policy_of(state.own)
        except errors.InvalidLedger:
            raise
        except states.FAULTS as fault:
            raise errors.damaged_ledger(path, fault) from fault
        rule._past = past
        return rule

    @classmethod
    def _kind(cls, label: str) -> type[Self]:
        """The class of a saved rule: this one, or, where this one stands for many, whatever it is."""
        if label in (cls.label(), cls.__name__):
            return cls
        kind = kind_of(label)
        if not (inspect.isabstract(cls) and issubclass(kind, cls)):
            raise errors.other_rule(cls.label(), label)
        return kind

    def _written(self) -> ledger.State:
        """What a file holds of the rule."""
        state = self._state()
        named = state.pop("rule"), state.pop("parameters"), state.pop("round")
        return ledger.State(*named, states.plain(state), self.vectors, self._reputations)

    def _state(self) -> dict[str, Any]:
        """Parameters and memory, without the vectors and the reputations."""
        own = {} if self._policy is None else {"policy": self._policy}
        return {"rule": self.label(), "parameters": self.parameters, "round": self.last_round, **own}

    def _restore(self, state: Mapping[str, Any]) -> None:
        """Take over a state, once it is found sound; any error says that it is not."""
        round = None if state["round"] is None else ledger.checked_round(state["round"])
        self._vectors, self._last_round = states.vectors_of(state), round

    def _check_state(self, state: Mapping[str, Any]) -> None:
        if state.get("rule") != self.label():
            raise errors.other_rule(self.label(), state.get("rule"))
        theirs = self._of(state["parameters"]).parameters  # what an earlier version did not have is its default
        differences = [(k, theirs.get(k), v) for k, v in self.parameters.items() if theirs.get(k) != v]
        if differences:
            raise errors.other_parameters(differences)


def _policy_of(state: Mapping[str, Any]) -> dict[str, Any] | None:
    """The policy of a state's rounds, where they had one."""
    told = state.get("policy")
    if told is not None and not isinstance(told, dict):
        raise errors.bad_state(f"a policy that is none: {told!r}")
    return told
