"""A rule's state: through JSON, torch and files, copied, and put back in any order."""

from __future__ import annotations

import copy
import io
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import robustagg as ra
from robustagg import ledger

RULES = {
    "reputation": lambda: ra.Reputation(window=3),
    "reputation-sums": lambda: ra.Reputation(window=None),
    "foolsgold": ra.FoolsGold,
    "clipping": lambda: ra.CenteredClipping(tau=1.0),
    "suspicion": lambda: ra.Suspicion(retention=0.5),
    "krum": lambda: ra.Krum(f=1),
    "mixed-clipping": lambda: ra.Pipeline(ra.NNM(f=1), ra.CenteredClipping(tau=1.0)),
    "mixed-reputation": lambda: ra.Pipeline(ra.NormClipping(9.0), ra.Reputation(window=2)),
}
IDS = st.integers() | st.integers(2**63 - 2, 2**64) | st.text(max_size=3) | st.sampled_from(["\ud800", "1", 1, -1])
each_rule = pytest.mark.parametrize("make", RULES.values(), ids=RULES)


def sent(clients: Any, round: int, dtype: str = "float32") -> dict[Any, Any]:
    rng = np.random.default_rng(round)
    return {client: rng.normal(0, 0.1, 6).astype(dtype) for client in clients}


def by_json(state: Any) -> Any:
    return json.loads(json.dumps(state, allow_nan=False))


def by_torch(state: Any) -> Any:
    torch = pytest.importorskip("torch", reason="torch's own loader of checkpoints")
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


@pytest.mark.parametrize("way", [by_json, by_torch, copy.deepcopy])
@each_rule
@settings(deadline=None, max_examples=10)
@given(
    clients=st.lists(IDS, min_size=5, max_size=7, unique_by=lambda c: (type(c), c)),
    dtype=st.sampled_from(["float16", "float32", "float64"]),
)
def test_a_state_goes_anywhere(make: Any, way: Any, clients: Any, dtype: str) -> None:
    rule, other = make(), make()
    other.load_state_dict(way(rule.state_dict()))
    for round in (1, 2, 3):
        rule.aggregate(sent(clients, round, dtype))
    state = rule.state_dict()
    other.load_state_dict(way(state))
    assert other.state_dict() == state
    one, two = (r.aggregate(sent(clients, 7, dtype)) for r in (rule, other))
    assert one.to_dict() == two.to_dict()
    np.testing.assert_array_equal(one.update, two.update, strict=True)


@each_rule
@settings(deadline=None, max_examples=10)
@given(
    clients=st.lists(IDS, min_size=5, max_size=7, unique_by=lambda c: (type(c), c)),
    dtype=st.sampled_from(["float16", "float32", "float64"]),
)
def test_any_rule_is_saved_with_its_trail(tmp_path_factory: Any, make: Any, clients: Any, dtype: str) -> None:
    rule, path = make(), tmp_path_factory.mktemp("any") / "state.of any suffix"
    results = {}
    for round in (1, 2, 5):
        results[round] = rule.aggregate(sent(clients, round, dtype), round=round)
        if round != 1:
            rule.save(path)
    loaded = ra.load(path)
    assert type(loaded) is type(rule)
    assert loaded.state_dict() == rule.state_dict()
    for round, result in results.items():
        lines = {(type(line["client"]), line["client"]): line for line in ledger.history(path, round=round)}
        for k, client in enumerate(result.clients):
            line = lines[type(client), client]
            assert (line["weight"], line["reason"]) == (result.weights[k], result.reasons[k])
            for name in ("accepted", "rejected", "observed", "reputation"):
                column = getattr(result, name)
                assert line.get(name) == (None if column is None else column[k])
            assert [line["round"] for line in ledger.history(path, client)] == [1, 2, 5]
    summary = ledger.summary(path)
    assert (summary["rule"], summary["round"], summary["clients"]) == (rule.label(), 5, len(clients))


@each_rule
def test_states_and_files_in_any_order(make: Any, tmp_path: Path) -> None:
    """What was rolled back is not told as if it had happened."""
    rule, path = make(), tmp_path / "ledger"
    rule.aggregate(sent("abcdef", 1))
    state = rule.state_dict()
    rule.aggregate(sent("abcdef", 2))
    rule.load_state_dict(state)
    rule.save(path)
    assert (ra.load(path).last_round, [line["round"] for line in ledger.rounds(path)]) == (1, [])
    rule.aggregate(sent("abcdef", 3))
    rule.save(path)
    assert (ra.load(path).last_round, [line["round"] for line in ledger.rounds(path)]) == (2, [2])
    rule.load_state_dict(state)
    with pytest.raises(ra.InvalidLedger, match="written by someone else since"):
        rule.save(path)


@pytest.mark.parametrize("way", [copy.copy, copy.deepcopy, lambda rule: pickle.loads(pickle.dumps(rule))])
@each_rule
def test_a_copy_shares_nothing(make: Any, way: Any, tmp_path: Path) -> None:
    rule = make()
    rule.aggregate(sent("abcdef", 1))
    rule.save(tmp_path / "ledger")
    other, before = way(rule), rule.state_dict()
    other.aggregate(sent("abcdef", 2))
    assert rule.state_dict() == before
    assert other.last_round == 2
    other.save(tmp_path / "ledger")
    rule.aggregate(sent("abcdef", 3))
    with pytest.raises(ra.InvalidLedger, match="written by someone else since"):
        rule.save(tmp_path / "ledger")
    assert ra.load(tmp_path / "ledger").state_dict() == other.state_dict()


@each_rule
@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_a_damaged_state_is_told_and_changes_nothing(make: Any, data: Any) -> None:
    rule = make()
    rule.aggregate(sent("abcdef", 1))
    before = rule.state_dict()
    state = copy.deepcopy(before)
    place: Any = state
    while True:
        inner = place if isinstance(place, (dict, list)) else ()
        key = data.draw(st.sampled_from(sorted(inner) if isinstance(inner, dict) else range(len(inner))))
        if not isinstance(place[key], (dict, list)) or not place[key] or data.draw(st.booleans()):
            break
        place = place[key]
    place[key] = data.draw(st.sampled_from([None, -1, 2**70, 0.5, float("nan"), "", "x" * 9, [], {}, [[]], True]))
    try:
        rule.load_state_dict(state)
    except ra.InvalidLedger:
        assert rule.state_dict() == before


def test_a_rule_of_ones_own_in_a_pipeline(tmp_path: Path) -> None:
    class Middle(ra.Rule):  # type: ignore[type-arg]
        def combine(self, block: Any, note: Any, verdict: Any) -> Any:
            return np.median(np.stack(block.rows), axis=0)

    rule = ra.Pipeline(ra.NNM(f=1), Middle())
    rule.aggregate(sent("abcdef", 1))
    rule.save(tmp_path / "own")
    assert type(ra.load(tmp_path / "own").last) is Middle  # type: ignore[attr-defined]
    content = (tmp_path / "own").read_bytes()
    (tmp_path / "own").write_bytes(content.replace(b"Middle", b"Muddle"))
    with pytest.raises(ra.InvalidLedger, match=r"Muddle' is known here; import the module"):
        ra.load(tmp_path / "own")


def test_a_save_around_the_naming_of_the_update(tmp_path: Path) -> None:
    for name in ("krum", "reputation"):
        rule, path = RULES[name](), tmp_path / name
        for round in (1, 2):
            before = path.read_bytes() if path.exists() else None
            rule.aggregate(sent("abcdef", round))
            with pytest.raises(ZeroDivisionError), rule.saving(path):
                raise ZeroDivisionError
            assert (path.read_bytes() if path.exists() else None) == before
            rule.save(path)
        assert [line["round"] for line in ledger.rounds(path)] == [1, 2]
        assert sorted(tmp_path.glob(f"*{name}*")) == [path]


@pytest.mark.parametrize("window", [10_001, 10**9])
def test_a_window_that_memory_would_not_hold(window: int) -> None:
    with pytest.raises(ValueError, match=f"at most 10000.* got {window}"):
        ra.Reputation(window=window)


def test_the_trail_in_memory_is_bounded() -> None:
    rule = ra.Mean()
    for _ in range(1005):
        rule(np.zeros((2, 1)))
    assert [len(rule._past.records), rule._past.records[0].round] == [1000, 6]
    past = ledger.Past()
    for round in range(5):
        n = 50_000
        past.add(ledger.RoundRecord(round, "Mean", range(n), np.ones(n, bool), np.ones(n), [""] * n))
    assert [record.round for record in past.records] == [3, 4]
