"""The answer: one update, and what became of each client."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from robustagg.names import Client, Floats, printable
from robustagg.protocol.outcome import Outcome
from robustagg.protocol.verdict import Certificate

SHOWN = 40  # clients that print(result) lists
LONGEST = 40  # characters of an id


@dataclass(init=False, eq=False)
class Result:
    """One update, and what became of each client. It is its receiver's, made of the outcome where it is first read.

    Attributes
    ----------
    update
        The aggregate: kind, dtype, device and structure of what the clients sent.
    clients : tuple of int or str
        The n clients, in the order given.
    weights : (n,) float64
        Each client's share of the update; sums to 1, zero for who is not admitted. For rules that choose per
        coordinate (median, trimmed mean) the admitted clients' equal say.
    admitted : (n,) bool
        Whether the client took part at all.
    reasons : tuple of str
        Why each weight is what it is.
    round : int
        Number of the round.
    rule : str
        Name of the rule.
    f : int or None
        Byzantine clients that the rule withstood among the admitted ones: its own f, or fewer where clients were left
        out, each of whom is one of the f; None for rules without.
    reputation, observed : (n,) float64 or None
        Decayed score, and this round's observation; None for rules that keep no reputation.
    accepted, rejected : (n,) int64 or None
        Coordinates of each client that were accepted and rejected; None for rules that do not judge coordinates.
    certificate : Certificate or None
        How far the update can be from the coordinate-wise median, where the round was asked to ``certify=True``.
    """

    update: Any
    clients: tuple[Client, ...]
    weights: Floats
    admitted: NDArray[np.bool_]
    reasons: tuple[str, ...]
    round: int
    rule: str
    f: int | None
    reputation: Floats | None
    observed: Floats | None
    accepted: NDArray[np.int64] | None
    rejected: NDArray[np.int64] | None
    certificate: Certificate | None

    def __init__(self, update: Any, outcome: Outcome) -> None:
        self.update = update
        self.outcome = outcome  # the same, which is not to be written to

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            if name not in Result.__annotations__:
                raise AttributeError(name, name=name, obj=self)
            value = self.__dict__[name] = getattr(self.outcome, name)
            return value

    def to_dict(self) -> dict[str, Any]:
        """Everything but the update, ready for :func:`json.dumps`."""
        columns = {name: None if value is None else value.tolist() for name, value in self._columns().items()}
        return {
            "rule": self.rule,
            "round": self.round,
            "f": self.f,
            "clients": list(self.clients),
            **columns,
            "reasons": list(self.reasons),
            **({} if self.certificate is None else {"certificate": self.certificate.to_dict()}),
        }

    def metrics(self, per_client: bool = False) -> dict[str, float]:
        """What a dashboard draws: numbers by name.

        Parameters
        ----------
        per_client : bool
            Whether to add ``weight/CLIENT``, and ``reputation/CLIENT`` where there is one.

        Returns
        -------
        dict of str to int or float
            round, admitted, refused, f where the rule has one, least_weight and largest_weight of the admitted clients,
            and effective_clients, the number of clients of equal weight that the mean would be as steady of:
            :math:`1 / \\sum_i w_i^2`. Of a certificate certified_l2 and certified_largest.

        Examples
        --------
        >>> import robustagg as ra
        >>> ra.Krum(f=1).aggregate([[1.0], [1.1], [1.2], [9.0], [1.0]]).metrics()["effective_clients"]
        1.0
        """
        weights = self.weights[self.admitted]
        squares = float(weights @ weights)
        told: dict[str, float] = {
            "round": self.round,
            "admitted": int(self.admitted.sum()),
            "refused": int((~self.admitted).sum()),
            "least_weight": float(weights.min()),
            "largest_weight": float(weights.max()),
            "effective_clients": 1 / squares if squares > 0 else 0.0,
        }
        if self.f is not None:
            told["f"] = self.f
        if self.certificate is not None:
            told |= {"certified_l2": self.certificate.l2, "certified_largest": self.certificate.largest}
        for name, values in (("weight", self.weights), ("reputation", self.reputation)):
            if per_client and values is not None:
                told |= {f"{name}/{client}": float(value) for client, value in zip(self.clients, values, strict=True)}
        return told

    def __str__(self) -> str:
        formats = {"accepted": "d", "rejected": "d", "observed": ".4f", "reputation": ".4f", "weights": ".4f"}
        columns = {name: value for name, value in self._columns().items() if value is not None}
        header = ["client", *columns, "reason"]
        lines = [
            [
                _shown(client),
                *(
                    "yes" if v[i] is np.True_ else "no" if v[i] is np.False_ else format(v[i], formats[k])
                    for k, v in columns.items()
                ),
                printable(self.reasons[i]),
            ]
            for i, client in enumerate(self.clients[:SHOWN])
        ]
        widths = [max(map(_columns_of, column)) for column in zip(header, *lines, strict=True)]
        table = [
            "  ".join(
                cell + " " * (width - _columns_of(cell)) for cell, width in zip(line, widths, strict=True)
            ).rstrip()
            for line in [header, *lines]
        ]
        if len(self.clients) > SHOWN:
            table.append(f"… and {len(self.clients) - SHOWN} more clients")
        withstands = "" if self.f is None else f", withstands {self.f} of {int(self.admitted.sum())}"
        return "\n".join([f"{self.rule}, round {self.round}{withstands}", *table])

    def _columns(self) -> dict[str, NDArray[Any] | None]:
        names = ("admitted", "accepted", "rejected", "observed", "reputation", "weights")
        return {name: getattr(self, name) for name in names}


def _shown(client: Client) -> str:
    """An id for a terminal, which it cannot command."""
    name = hex(client) if isinstance(client, int) and abs(client) >= 2**64 else str(client)  # str() refuses long ones
    return printable(name if len(name) <= LONGEST else name[: LONGEST - 1] + "…")


def _columns_of(text: str) -> int:
    """Columns of a terminal: two for wide characters, none for those that combine with the one before."""
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in text)
    return len(text) + wide - sum(unicodedata.category(c) in ("Mn", "Me") for c in text)
