"""What a result and the trail tell is what the round was, whenever they are read and whatever became of its parts."""

from __future__ import annotations

import copy
import pickle
from dataclasses import dataclass

import numpy as np
import pytest

import robustagg as ra
from robustagg import ledger
from robustagg.protocol.verdict import Words

CLIENTS = ("ada", "bob", "cem", "dan")
X = np.random.default_rng(0).normal(size=(4, 3))


@dataclass(eq=False)
class Fickle(ra.Rule):
    """Keeps the arrays and the words that it has given away, and goes on writing to them."""

    def __post_init__(self):
        super().__post_init__()
        self.weights, self.words = np.full(4, 0.25), ["first"] * 4

    def decide(self, evidence, round):
        return ra.Verdict(self.weights, self.words)

    def combine(self, block, note, verdict):
        return sum(w * row for w, row in zip(verdict.weights, block.rows, strict=True))

    def commit(self, verdict, round, vectors):
        super().commit(verdict, round, vectors)
        self.weights[:] = [1, 0, 0, 0]
        self.words[:] = ["later"] * 4


def test_what_a_rule_writes_to_afterwards_is_not_told(tmp_path):
    rule = Fickle()
    result = rule.aggregate(X, CLIENTS)
    rule.save(tmp_path / "ledger")
    assert result.weights.tolist() == [0.25] * 4
    assert result.reasons == ("first",) * 4
    assert {line["reason"] for line in ledger.history(tmp_path / "ledger")} == {"first"}


@pytest.mark.parametrize("kind", [ra.Mean, ra.Reputation])
def test_what_a_receiver_writes_to_its_result_is_not_in_the_trail(kind, tmp_path):
    rule = kind()
    results = [rule.aggregate(X + k, CLIENTS) for k in range(3)]
    told = [result.to_dict() for result in copy.deepcopy(results)]
    for result in results:
        for name in ("weights", "admitted", "reputation", "observed", "accepted", "rejected"):
            if getattr(result, name) is not None:
                getattr(result, name)[:] = 0
    rule.save(tmp_path / "ledger")
    lines = ledger.history(tmp_path / "ledger")
    assert [line["weight"] for line in lines] == [weight for one in told for weight in one["weights"]]
    assert [line["reason"] for line in lines] == [reason for one in told for reason in one["reasons"]]
    assert all(line["admitted"] for line in lines)


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda result: pickle.loads(pickle.dumps(result))])
def test_a_result_that_nobody_has_read_goes_anywhere(again):
    result = ra.Reputation().aggregate([*X, np.full(3, np.nan)], [*CLIENTS, "eve"])
    assert str(again(result)) == str(result)
    assert again(result).to_dict() == result.to_dict()
    assert not hasattr(again(result), "weigths")


def test_words_are_written_once_and_when_they_are_read():
    written = []

    def write(*facts):
        written.append(facts)
        return [str(fact) for fact in facts]

    words = Words(write, 1, 2, 3)
    assert written == []
    assert (len(words), words[1], words[1:], list(words)) == (3, "2", ["2", "3"], ["1", "2", "3"])
    assert written == [(1, 2, 3)]
