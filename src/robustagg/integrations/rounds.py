"""What the hosts' adapters share: rounds that begin with a model, whose log hears who is left out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import robustagg as ra
from robustagg import errors
from robustagg.inputs import PLAIN, survey


class Rounds:
    """The rounds of a host: an intake made with the first model, and the last result.

    Parameters
    ----------
    rule : Rule, or what :func:`robustagg.rule` takes
    warn : function of a text
        The host's log.
    **intake
        As for :class:`robustagg.Intake`.
    """

    def __init__(self, rule: Any, warn: Callable[[str], object], **intake: Any) -> None:
        rule = rule if isinstance(rule, ra.Rule) else ra.rule(rule)
        self._differences = rule.differences and "reference" not in intake
        self._intake_for = partial(ra.Intake, rule, **{"reference": False, **intake})
        self._intake: ra.Intake | None = None
        self._form: tuple[survey.Entry, ...] = ()
        self._warn = warn
        self.result: ra.Result | None = None

    @property
    def there(self) -> set[Any]:
        """The clients that took part in the last round."""
        if self.result is None:
            return set()
        return {client for client, admitted in zip(self.result.clients, self.result.admitted, strict=True) if admitted}

    def begin(self, model: Any, whole: bool = True) -> ra.Intake:
        """The intake; the first model, or one of another form, is what every update has to be like from then on.

        Where clients send whole models, a rule that needs differences gets those from the model that the round begins
        with.
        """
        form = survey.look("the model", model, PLAIN).structure
        if all(shape is None for _, _, shape in form):
            raise errors.no_model()
        if self._intake is None or form != self._form:
            self._intake, self._form = self._intake_for(like=model), form
        if self._differences:
            self._intake.reference = model if whole else None
        return self._intake

    def close(self) -> ra.Result | None:
        """Aggregate; None, and a word to the log, where nobody can be used."""
        assert self._intake is not None, "a round begins before it is closed"
        self.result = self._intake.close()
        if self.result is None:
            self._warn(f"robustagg: no update in this round: {self._intake.why}")
            return None
        for client, admitted, reason in zip(
            self.result.clients, self.result.admitted, self.result.reasons, strict=True
        ):
            if not admitted:
                self._warn(f"robustagg: round {self.result.round}: client {client!r}: {reason}")
        return self.result

    def hold(self, model: Any, replies: Iterable[tuple[Any, Any, Any]], whole: bool = True) -> Any:
        """A whole round of (client, update or how to read it, count): the update, or `model` where there is none."""
        intake = self.begin(model, whole)
        for client, update, count in replies:
            intake.add(client, update, count)
        result = self.close()
        return model if result is None else result.update
