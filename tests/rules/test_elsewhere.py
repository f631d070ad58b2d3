"""Rules run where rows live: they leave them to primitives, so that a backend may keep them on a device."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from cases import ASKING, CASES, Case

import robustagg as ra
from robustagg import engine, inputs, kernels
from robustagg.kernels.interface import GRAM_TILE
from robustagg.rules.mixing.base import Mixer

N, D = 11, GRAM_TILE + 70
NUMBERS = {
    "agreements",
    "finite",
    "gram",
    "home",
    "manhattan",
    "magnitude_counts",
    "measure",
    "outermost",
    "residual_weights",
    "sign_counts",
}  # per client, or per pair: what rules compute with; and what is brought to the host


@dataclass(frozen=True, eq=False)
class Far:
    """Rows that only their backend reads: there is nothing to index or iterate, and NumPy is refused."""

    values: np.ndarray
    __array_ufunc__ = None

    def __array__(self, *_: Any, **__: Any) -> np.ndarray:
        raise TypeError("rows are read outside of the backend")

    @property
    def size(self) -> int:
        return self.values.size

    @property
    def dtype(self) -> np.dtype:
        return self.values.dtype


def near(value: Any) -> Any:
    """The same on the host."""
    if isinstance(value, (list, tuple)) and any(isinstance(each, Far) for each in value):
        return [near(each) for each in value]
    return value.values if isinstance(value, Far) else value


def far(value: Any) -> Any:
    if isinstance(value, kernels.Detection):
        return kernels.Detection(Far(value.rejected), Far(value.median), value.rejections)
    return [Far(each) for each in value] if isinstance(value, (list, tuple)) else Far(value)


class Device:
    """A backend that keeps rows: what it computes of them stays with it, but for numbers."""

    def __init__(self, host: kernels.Kernels) -> None:
        self.host = host

    def __getattr__(self, name: str) -> Any:
        primitive = getattr(self.host, name)
        if not callable(primitive):
            return primitive

        def call(*arguments: Any) -> Any:
            on_host = [near(each) for each in arguments]
            result = primitive(*on_host)
            moved = any(one is not other for one, other in zip(on_host, arguments, strict=True))
            return far(result) if moved and name not in NUMBERS else result

        return call


class Uploaded:
    """Updates whose rows lie on the device; its sink and its memory are the host's."""

    def __init__(self, updates: inputs.Updates) -> None:
        self.updates, self.clients, self.d, self.excluded = updates, updates.clients, updates.d, updates.excluded
        self.dtype, self.spans = updates.dtype, updates.spans

    def blocks(self, kept: list[int]) -> Iterator[list[Far]]:
        for rows in self.updates.blocks(kept):
            for start in range(0, rows[0].size, GRAM_TILE):
                yield [Far(row[start : start + GRAM_TILE]) for row in rows]

    def with_references(self, trees: Mapping[str, Any]) -> Uploaded:
        return Uploaded(self.updates.with_references(trees))

    def notes(self) -> list[Any]:
        return self.updates.notes()

    def sink(self, kept: list[int]) -> Any:
        return Downloading(self.updates.sink(kept))

    def memory(self, *arguments: Any) -> Any:
        return Downloading(self.updates.memory(*arguments))


class Downloading:
    def __init__(self, sink: Any) -> None:
        self.sink = sink

    def __getattr__(self, name: str) -> Any:
        return getattr(self.sink, name)

    def add(self, piece: Far) -> None:
        self.sink.add(near(piece))


REMEMBERING = [
    Case("FoolsGold, memory", lambda f: ra.FoolsGold(variant="authors")),
    Case("FoolsGold, features", lambda f: ra.FoolsGold(features=(GRAM_TILE // 2, D - 3))),
    Case("CenteredClipping, twice", lambda f: ra.CenteredClipping(iterations=2)),
    Case("NNM, CenteredClipping", lambda f: ra.Pipeline(ra.NNM(f), ra.CenteredClipping())),
    Case("ARC, Reputation", lambda f: ra.Pipeline(ra.ARC(f), ra.Reputation())),
]


@pytest.fixture
def device(monkeypatch) -> None:
    device = Device(kernels.active())
    monkeypatch.setattr(kernels, "active", lambda: device)


def rounds(dtype: str) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    first, second = (rng.standard_normal((N, D)).astype(dtype) for _ in range(2))
    second[3] *= 1e200 if dtype == "float64" else 1  # beyond what squares hold
    return [first, second]


@pytest.mark.parametrize("dtype", ["float64", "float16"])
@pytest.mark.parametrize("case", [*CASES, *ASKING, *REMEMBERING], ids=str)
def test_rules_leave_rows_to_primitives(case, dtype, monkeypatch):
    counts = {"sample_counts": list(range(1, N + 1))} if case.counts else {}
    rule, twin = case.make(1), case.make(1)
    for x in rounds(dtype):
        expected = rule.aggregate(x, **counts, **case.extras(x))
        with monkeypatch.context() as there:
            device = Device(kernels.active())
            there.setattr(kernels, "active", lambda device=device: device)
            got = engine.run(twin, Uploaded(inputs.gather(x)), counts.get("sample_counts"), extras=case.extras(x))
        assert got.weights.tolist() == expected.weights.tolist()
        assert got.update.tobytes() == expected.update.tobytes()


@pytest.mark.usefixtures("device")
@pytest.mark.parametrize("member", [ra.NNM(1), ra.ARC(1), ra.Bucketing(2), ra.NormClipping(1.0)], ids=str)
def test_pre_aggregations_leave_rows_to_primitives(member):
    rule, source = Mixer(member), Uploaded(inputs.gather(rounds("float32")[0]))
    source.sink = lambda kept: Downloading(Pieces())
    assert len(engine.run(rule, source).update) == (-(-N // 2) if isinstance(member, ra.Bucketing) else N)


class Pieces(list):
    add = list.append

    def result(self) -> np.ndarray:
        return np.concatenate(self, axis=1)

    def publish(self) -> None:
        """There is nobody to see it."""


@pytest.mark.usefixtures("device")
@pytest.mark.parametrize(
    "read",
    [lambda rows: rows[0] * 2, lambda rows: rows[0][:1], lambda rows: np.stack(rows), lambda rows: sum(rows[0])],
    ids=["arithmetic", "slice", "stack", "iteration"],
)
def test_a_rule_that_reads_rows_itself_is_told(read):
    class Reading(ra.Rule):
        unguarded = False

        def combine(self, block, note, verdict):
            return read(block.rows)

    with pytest.raises(TypeError):
        engine.run(Reading(), Uploaded(inputs.gather(np.ones((3, 5)))))
