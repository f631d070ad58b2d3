"""How the past of many clients is remembered: the rounds of a window, or two decayed sums.

Both hold a row per client and answer the same questions. ``rows`` is (n,) int64, -1 for a client without one: it finds
the last row of an array, which is always blank.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from robustagg import kernels
from robustagg.protocol import Floats

Places: TypeAlias = NDArray[np.int64]

LEAST_ALLOWED, GROWTH = 2**29, 200
"""Bytes that a window's memory may take when it is loaded, and how many times those of its file."""
EMPTY = -1  # the round of a slot, or of a row, that holds nothing


class History(Protocol):
    """What a :class:`~robustagg.ledger.Ledger` asks of the way it remembers."""

    def score(self, rows: Places, observed: Floats, round: int) -> Floats:
        """Decayed scores (n,), this round's observations included; changes nothing."""

    def reserve(self, count: int) -> None:
        """Make room for `count` rows; what is remembered stays."""

    def record(self, rows: Places, observed: Floats, round: int) -> None:
        """Remember this round's observations; every row has been reserved."""

    def look(self, row: int, round: int) -> float | None:
        """Score of one row as it stands in `round`; None where nothing counts any more."""

    def last(self, count: int) -> Places:
        """Round of the last observation of each of the first `count` rows."""

    def arrays(self, count: int) -> dict[str, NDArray[Any]]:
        """Copies of the first `count` rows, by name."""

    def restore(self, arrays: Mapping[str, Any], count: int, round: int) -> None:
        """Take over what `arrays` gave; ValueError, and no change, if it cannot be the past up to `round`."""

    def pack(self, rows: Places) -> list[bytes]:
        """Each row as bytes, little-endian, empty slots left out."""

    def unpack(self, packed: Sequence[bytes]) -> dict[str, NDArray[Any]]:
        """The arrays that `pack` was given; ValueError if the bytes are damaged."""


def history(decay: float, window: int | None, newcomer: float | None = None) -> History:
    """The memory for a finite window, or the one of constant size for an unlimited one.

    With `newcomer`, every score counts one observation more, of that value and of this round. Among a newcomer's own it
    weighs half; among many, as little as one of them.
    """
    return Sums(decay, newcomer) if window is None else Window(decay, window, newcomer)


class Window:
    """The observations of the last `window` rounds; 16 * window bytes a client.

    Round r stands in slot r % window: rounds that count together never share a slot, and what a new round
    overwrites has left the window. So the buffer needs no pointers, and equal pasts lie in equal places.
    """

    _ENTRY = np.dtype([("round", "<i8"), ("observed", "<f8")])

    def __init__(self, decay: float, window: int, newcomer: float | None = None) -> None:
        self._decay = decay
        self._window = window
        self._newcomer = newcomer
        self._rounds = np.full((1, window), EMPTY, np.int64)
        self._observed = np.zeros((1, window))

    def score(self, rows: Places, observed: Floats, round: int) -> Floats:
        rounds = self._rounds.take(rows, axis=0)
        past = self._observed.take(rows, axis=0)
        slot = round % self._window
        rounds[:, slot] = round
        past[:, slot] = observed
        return self._scored(rounds, past, round)

    def _scored(self, rounds: NDArray[np.int64], observed: Floats, now: int) -> Floats:
        if self._newcomer is not None:
            rounds, observed = _with_column(rounds, now), _with_column(observed, self._newcomer)
        return kernels.active().decayed_score(rounds, observed, now, self._decay, self._window)

    def reserve(self, count: int) -> None:
        rounds = _reserved(self._rounds, count, EMPTY)
        observed = _reserved(self._observed, count, 0.0)
        self._rounds, self._observed = rounds, observed

    def record(self, rows: Places, observed: Floats, round: int) -> None:
        slot = round % self._window
        self._observed[:, slot][rows] = observed
        self._rounds[:, slot][rows] = round

    def look(self, row: int, round: int) -> float | None:
        rounds = self._rounds[row : row + 1]
        counts = (rounds != EMPTY) & (round - rounds < self._window)
        if not counts.any():
            return None
        # The ratios of the weights do not change with time; seen from the last observation, none underflows.
        latest = int(rounds.max())
        rounds = np.where(counts, rounds, EMPTY)
        return float(self._scored(rounds, self._observed[row : row + 1], latest)[0])

    def last(self, count: int) -> Places:
        last: Places = self._rounds[:count].max(axis=1)
        return last

    def arrays(self, count: int) -> dict[str, NDArray[Any]]:
        return {"rounds": self._rounds[:count].copy(), "observed": self._observed[:count].copy()}

    def restore(self, arrays: Mapping[str, Any], count: int, round: int) -> None:
        rounds = _checked("rounds", arrays["rounds"], (count, self._window), np.int64)
        observed = _checked("observed", arrays["observed"], (count, self._window), np.float64)
        filled = rounds != EMPTY
        in_place = rounds % self._window == np.arange(self._window)
        if not (in_place & (rounds >= 0) & (rounds <= round) | ~filled).all():
            raise ValueError(f"rounds must lie between 0 and {round}, each in slot round % {self._window}")
        if not filled.any(axis=1).all():
            raise ValueError("a client without any observation")
        if not ((observed >= 0) & (observed <= 1) | ~filled).all():
            raise ValueError("observed values must lie between 0 and 1")
        self._rounds, self._observed = _blank_after(rounds, EMPTY), _blank_after(observed, 0.0)

    def pack(self, rows: Places) -> list[bytes]:
        rounds = self._rounds[rows]
        filled = rounds != EMPTY
        entries = np.empty(np.count_nonzero(filled), self._ENTRY)
        entries["round"] = rounds[filled]
        entries["observed"] = self._observed[rows][filled]
        return _split(entries, np.count_nonzero(filled, axis=1))

    def unpack(self, packed: Sequence[bytes]) -> dict[str, NDArray[Any]]:
        entries, counts = _joined(packed, self._ENTRY)
        if len(packed) * self._window * 16 > max(LEAST_ALLOWED, GROWTH * entries.nbytes):
            told = f"{len(packed)} clients, a window of {self._window} rounds"
            raise ValueError(f"{told} and {len(entries)} observations, which would take {GROWTH} times their bytes")
        rounds = np.full((len(packed), self._window), EMPTY, np.int64)
        observed = np.zeros((len(packed), self._window))
        place = np.repeat(np.arange(len(packed)), counts), entries["round"] % self._window
        rounds[place] = entries["round"]
        observed[place] = entries["observed"]
        if not np.array_equal(np.count_nonzero(rounds != EMPTY, axis=1), counts):
            raise ValueError("two observations of one client in one slot")
        return {"rounds": rounds, "observed": observed}


class Sums:
    """All observations there were, in 24 bytes a client: sum theta*R and sum theta, as of its last round.

    Both fade by exp(-decay) a round, so they are brought up to date only when the client is seen again.
    """

    _ENTRY = np.dtype([("last", "<i8"), ("numerator", "<f8"), ("denominator", "<f8")])

    def __init__(self, decay: float, newcomer: float | None = None) -> None:
        self._decay = decay
        self._newcomer = newcomer
        self._last = np.full(1, EMPTY, np.int64)
        self._numerator = np.zeros(1)
        self._denominator = np.zeros(1)

    def score(self, rows: Places, observed: Floats, round: int) -> Floats:
        numerator, denominator = self._advanced(rows, observed, round)
        return self._scored(numerator, denominator)

    def _scored(self, numerator: Floats, denominator: Floats) -> Floats:
        if self._newcomer is None:
            return numerator / denominator
        return (numerator + self._newcomer) / (denominator + 1.0)

    def _advanced(self, rows: Places, observed: Floats, round: int) -> tuple[Floats, Floats]:
        theta = np.exp(-self._decay * (round - self._last[rows]))
        numerator = theta * self._numerator[rows] + observed
        denominator = theta * self._denominator[rows] + 1.0
        return numerator, denominator

    def reserve(self, count: int) -> None:
        last = _reserved(self._last, count, EMPTY)
        numerator = _reserved(self._numerator, count, 0.0)
        denominator = _reserved(self._denominator, count, 0.0)
        self._last, self._numerator, self._denominator = last, numerator, denominator

    def record(self, rows: Places, observed: Floats, round: int) -> None:
        numerator, denominator = self._advanced(rows, observed, round)
        self._last[rows], self._numerator[rows], self._denominator[rows] = round, numerator, denominator

    def look(self, row: int, round: int) -> float | None:
        return float(self._scored(self._numerator[row : row + 1], self._denominator[row : row + 1])[0])

    def last(self, count: int) -> Places:
        return self._last[:count]

    def arrays(self, count: int) -> dict[str, NDArray[Any]]:
        return {
            "last": self._last[:count].copy(),
            "numerator": self._numerator[:count].copy(),
            "denominator": self._denominator[:count].copy(),
        }

    def restore(self, arrays: Mapping[str, Any], count: int, round: int) -> None:
        last = _checked("last", arrays["last"], (count,), np.int64)
        numerator = _checked("numerator", arrays["numerator"], (count,), np.float64)
        denominator = _checked("denominator", arrays["denominator"], (count,), np.float64)
        if not ((last >= 0) & (last <= round)).all():
            raise ValueError(f"last rounds must lie between 0 and {round}")
        sound = (numerator >= 0) & (numerator <= denominator) & (denominator >= 1) & np.isfinite(denominator)
        if not sound.all():
            raise ValueError("sums of a client that no observations add up to")
        self._last = _blank_after(last, EMPTY)
        self._numerator, self._denominator = _blank_after(numerator, 0.0), _blank_after(denominator, 0.0)

    def pack(self, rows: Places) -> list[bytes]:
        entries = np.empty(len(rows), self._ENTRY)
        entries["last"] = self._last[rows]
        entries["numerator"] = self._numerator[rows]
        entries["denominator"] = self._denominator[rows]
        return _split(entries, np.ones(len(rows), np.int64))

    def unpack(self, packed: Sequence[bytes]) -> dict[str, NDArray[Any]]:
        entries, counts = _joined(packed, self._ENTRY)
        if not (counts == 1).all():
            raise ValueError("a client without sums, or with several")
        names = ("last", "numerator", "denominator")
        return {name: entries[name].astype(entries.dtype[name].newbyteorder("=")) for name in names}


def _with_column(array: NDArray[Any], value: float) -> NDArray[Any]:
    return np.column_stack([array, np.full(len(array), value, array.dtype)])


def _blank_after(array: NDArray[Any], blank: float) -> NDArray[Any]:
    """A copy of the array, and a blank row after it."""
    return np.concatenate([array, np.full((1, *array.shape[1:]), blank, array.dtype)])


def _reserved(array: NDArray[Any], count: int, blank: float) -> NDArray[Any]:
    """The array with a blank row after at least `count` rows, grown by doubling: each is copied a few times in all."""
    if count < len(array):
        return array
    grown = np.full((max(count + 1, 2 * len(array)), *array.shape[1:]), blank, array.dtype)
    grown[: len(array)] = array
    return grown


def _checked(name: str, value: Any, shape: tuple[int, ...], dtype: type[np.generic]) -> NDArray[Any]:
    """`value`, which must be an array of that shape and dtype already."""
    array = np.asarray(value)
    if array.shape != shape or array.dtype != dtype:
        raise ValueError(f"{name} must be {np.dtype(dtype)} {shape}, not {array.dtype} {array.shape}")
    return array


def _split(entries: NDArray[np.void], counts: Places) -> list[bytes]:
    """The bytes of the first ``counts[0]`` entries, of the next ``counts[1]``, and so on."""
    data = entries.tobytes()
    ends = (np.cumsum(counts) * entries.itemsize).tolist()
    return [data[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def _joined(packed: Sequence[bytes], entry: np.dtype[np.void]) -> tuple[NDArray[np.void], Places]:
    """All entries of `packed`, and how many each of them holds."""
    counts, rest = np.divmod(np.fromiter(map(len, packed), np.int64, len(packed)), entry.itemsize)
    if rest.any():
        raise ValueError(f"a client's memory is not a multiple of {entry.itemsize} bytes")
    return np.frombuffer(bytearray().join(packed), entry), counts
