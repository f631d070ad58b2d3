"""What earlier versions have saved is loaded and continued."""

from __future__ import annotations

import shutil
from pathlib import Path

import earlier
import numpy as np
import pytest

from robustagg import Rule, ledger

DATA = Path(__file__).parents[1] / "data" / "0.1"
ROUNDS = 5


def replayed(name: str) -> Rule:
    rule: Rule = earlier.RULES[name][1]()
    for round in range(1, ROUNDS + 1):
        rule.aggregate(earlier.updates(name, round))
    return rule


def same(one: Rule, other: Rule, name: str) -> None:
    """The next rounds of both have the same bits."""
    for round in (ROUNDS + 1, ROUNDS + 4):
        sent = earlier.updates(name, round)
        left, right = (rule.aggregate(sent, round=round) for rule in (one, other))
        assert left.to_dict() == right.to_dict()
        np.testing.assert_array_equal(left.update, right.update, strict=True)


@pytest.mark.parametrize("name", earlier.RULES)
def test_a_file_of_an_earlier_version_goes_on(name: str, tmp_path: Path) -> None:
    suffix, make = earlier.RULES[name]
    path = tmp_path / f"{name}.{suffix}"
    shutil.copy(DATA / path.name, path)
    whole, loaded = replayed(name), type(make()).load(path)
    assert (loaded.parameters, loaded.last_round) == (whole.parameters, ROUNDS)
    same(loaded, whole, name)
    loaded.save(path)  # over the old file
    same_again = type(make()).load(path)
    assert same_again.last_round == loaded.last_round == ROUNDS + 4
    sent = earlier.updates(name, ROUNDS + 5)
    assert same_again.aggregate(sent).to_dict() == whole.aggregate(sent).to_dict()


@pytest.mark.parametrize("name", [name for name, (suffix, _) in earlier.RULES.items() if suffix == "sqlite"])
def test_the_trail_of_an_earlier_version_is_read(name: str) -> None:
    path = DATA / f"{name}.sqlite"
    assert [line["round"] for line in ledger.rounds(path)] == list(range(1, ROUNDS + 1))
    for round in range(1, ROUNDS + 1):
        lines = ledger.history(path, round=round)
        assert {line["client"] for line in lines} == set(earlier.clients(name, round))
        assert sum(line["weight"] for line in lines) == pytest.approx(1)
    for client in earlier.BIG[name.removeprefix("reputation-")]:
        assert [line["round"] for line in ledger.history(path, client)] == [1, 2, 3, 4, 5]
