"""Rounds over updates that are known by references alone: the bits of the same round in memory."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from cases import ASKING, CASES
from executors import InTurn, Store, found

import robustagg as ra
from robustagg.inputs import dispersed, elsewhere

TILE = 8192


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Several partitions, of several blocks."""
    monkeypatch.setattr(dispersed, "LEAST", 2 * TILE)
    monkeypatch.setattr(elsewhere, "ROWS", 1)


@pytest.fixture
def store():
    yield Store(1)
    Store.objects.clear()


def told(result):
    return {key: value for key, value in result.to_dict().items() if key != "update"}


def leaves(tree):
    if isinstance(tree, dict):
        return [(key, *leaf) for key, branch in tree.items() for leaf in leaves(branch)]
    if isinstance(tree, (list, tuple)):
        return [(type(tree), *leaf) for branch in tree for leaf in leaves(branch)]
    array = np.asarray(tree)
    return [(type(tree), array.dtype, array.shape, array.flags.f_contiguous, array.tobytes())]


def assert_same(make, updates, store, here=None, **arguments):
    """A round in memory and one over references, two where the first is remembered."""
    one_rule, other_rule = make(), make()
    for _ in range(1 + one_rule.remembers):
        one = one_rule.aggregate(updates, **arguments)
        refs = (
            {c: store.held(u) for c, u in updates.items()}
            if isinstance(updates, dict)
            else list(map(store.held, updates))
        )
        other = other_rule.aggregate(refs, executor=store, **arguments)
        assert told(one) == told(other)
        assert leaves(one.update) == leaves(found(other.update))
    assert one_rule.state_dict().keys() == other_rule.state_dict().keys()
    return other


ROWS = np.random.default_rng(0).normal(size=(7, 6 * TILE + 5)).astype(np.float32)


@pytest.mark.parametrize("case", [*CASES, *ASKING], ids=str)
def test_every_rule(case, store):
    assert_same(lambda: case.make(1), list(ROWS), store, **case.extras(ROWS))


def model(k):
    rng = np.random.default_rng(k)
    return {
        "wide": np.asfortranarray(rng.normal(size=(300, 100)).astype(np.float32)),
        "half": rng.normal(size=3 * TILE).astype(np.float16),
        "blocks": [{"w": rng.normal(size=(4, 3)), "b": rng.normal(size=4)} for _ in range(3)],
        "bn": {"running_mean": rng.normal(size=5).astype(np.float32), "steps": np.int64(k)},
        "codes": np.arange(5000),
        "empty": np.empty((0, 3), np.float32),
        "name": "net",
        "nothing": None,
    }


@pytest.mark.parametrize("policy", [None, ra.Policy(exclude=["wide"])], ids=["all", "some"])
@pytest.mark.parametrize("rule", [ra.Mean, ra.Reputation, lambda: ra.Krum(f=1)], ids=["mean", "reputation", "krum"])
def test_models_with_everything(rule, policy, store):
    sent = {f"site-{k}": model(k) for k in range(6)}
    assert assert_same(rule, sent, store, policy=policy).admitted.all()


def test_differences_from_a_model(store):
    sent = [{"w": row[: 3 * TILE], "b": row[-7:]} for row in ROWS]
    reference = {"w": ROWS[0, : 3 * TILE] + 1, "b": ROWS[1, -7:]}
    assert_same(ra.CenteredClipping, sent, store, reference=reference)
    there = ra.CenteredClipping().aggregate(sent, reference=store.held(reference), executor=store)
    assert leaves(found(there.update)) == leaves(ra.CenteredClipping()(sent, reference=reference))


def test_what_goes_to_workers_has_a_reference_once(store):
    """Not the caller's tree besides its rows."""
    sent = []

    class Counting(Store):
        def each(self, work, common, tasks):
            sent.append(len(pickle.dumps(common)))
            return super().each(work, common, tasks)

    ra.Mean().aggregate(list(ROWS), reference=ROWS[0], executor=Counting(1))
    assert sent[0] < ROWS[0].nbytes + 20_000


@pytest.mark.parametrize("name", ["reference", "server_update"])
def test_an_argument_that_is_gone(name, store):
    gone = store.held(ROWS[0])
    del store.objects[gone]
    rule = ra.FLTrust()
    with pytest.raises(ValueError, match=f"{name} cannot be had: it is gone"):
        rule.aggregate(list(ROWS), executor=store, **{"server_update": ROWS[0], name: gone})
    assert rule.last_round is None


def test_a_certificate(store):
    assert assert_same(ra.Reputation, list(ROWS), store, certify=True).certificate is not None


def test_counts_and_tensors_of_torch(store):
    torch = pytest.importorskip("torch")
    sent = {k: {"w": torch.from_numpy(row.copy()).bfloat16(), "n": torch.tensor(3)} for k, row in enumerate(ROWS)}
    here = ra.Mean().aggregate(sent, sample_counts=range(1, 8))
    there = ra.Mean().aggregate(sent, sample_counts=range(1, 8), executor=store)
    assert torch.equal(here.update["w"], found(there.update)["w"])
    assert found(there.update)["n"].item() == 3


# --- who is left out ------------------------------------------------------------------------------------------------


def test_who_sends_something_else(store):
    sent = {f"site-{k}": model(k) for k in range(9)}
    sent["site-1"]["wide"] = sent["site-1"]["wide"][:-1]
    sent["site-2"]["half"][TILE] = np.nan
    sent["site-3"] = "hello"
    sent["site-4"]["codes"] = np.arange(5000)[::-1].copy()
    sent["site-5"]["blocks"][2]["w"][0, 0] = np.inf
    result = assert_same(lambda: ra.Reputation(), sent, store)
    assert result.admitted.tolist() == [k not in (1, 2, 3, 4, 5) for k in range(9)]
    assert "site-1" in result.reasons[1]
    assert "(299, 100)" in result.reasons[1]
    del sent["site-3"]
    with pytest.raises(ValueError, match=r"client 'site-1', at 'wide': .*\(299, 100\)"):
        ra.Mean().aggregate(sent, executor=store, strict=True)


def test_what_all_share_comes_back(store):
    rows = ROWS.copy()
    rows[:, [7, TILE + 1]] = -np.inf
    assert assert_same(ra.Reputation, list(rows), store).admitted.all()


def test_an_update_that_is_gone(store):
    refs = {f"site-{k}": store.held(row) for k, row in enumerate(ROWS)}
    del store.objects[refs["site-2"]]
    result = ra.Krum(f=1).aggregate(refs, executor=store)
    assert result.reasons[2] == "not admitted: client 'site-2': its update cannot be had: it is gone"
    rest = {f"site-{k}": row for k, row in enumerate(ROWS) if k != 2}
    assert leaves(found(result.update)) == leaves(ra.Krum(f=0)(rest))
    with pytest.raises(ValueError, match="client 'site-2': its update cannot be had"):
        ra.Krum(f=1).aggregate(refs, executor=store, strict=True)


class Losing(Store):
    """Loses a client's pieces, or all updates, before a pass of that name."""

    def __init__(self, work, everything=False):
        super().__init__(1)
        self._work, self._everything = work, everything

    def each(self, work, common, tasks):
        if work.__name__ == self._work:
            if self._everything:
                for ref in self.sent:
                    self.objects.pop(ref, None)
            for partition, *_ in tasks if not self._everything else ():
                self.objects.pop(partition.pieces.get(4), None)
        return super().each(work, common, tasks)


@pytest.mark.parametrize("work", ["observe", "combine"])
def test_pieces_that_are_lost_on_the_way(work):
    losing = Losing(work)
    result = ra.Reputation().aggregate(list(ROWS), executor=losing)
    rest = ra.Reputation().aggregate(np.delete(ROWS, 4, 0))
    assert result.admitted.tolist() == [True] * 4 + [False] + [True] * 2
    assert leaves(found(result.update)) == leaves(rest.update)


def test_pieces_that_are_lost_where_nobody_may_be_left_out():
    rule = ra.Reputation()
    with pytest.raises(ValueError, match="client 4: its update cannot be had: it is gone"):
        rule.aggregate(list(ROWS), executor=Losing("combine"), strict=True)
    assert rule.last_round is None


def test_updates_that_are_lost_once_they_are_cut():
    """Nobody knows then what the result is to be like."""
    rule, losing = ra.Reputation(), Losing("combine", everything=True)
    losing.sent = list(map(losing.held, ROWS))
    with pytest.raises(OSError, match="lost pieces of the result"):
        rule.aggregate(losing.sent, executor=losing)
    assert rule.last_round is None


# --- faults ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("executor", "arguments", "text"),
    [
        (InTurn(), {}, "executor must know of updates that its workers hold"),
        (Store, {}, "executor must know of updates that its workers hold"),
        (
            Store(),
            {"policy": ra.Policy(lora="product")},
            "lora='product' is for updates that are here, .* leave out the executor",
        ),
        (Store(), {"clients": ["a"]}, "1 client ids for 7 updates"),
    ],
)
def test_what_cannot_be_had(executor, arguments, text):
    with pytest.raises((TypeError, ValueError), match=text):
        ra.Mean().aggregate(list(ROWS), executor=executor, **arguments)


@pytest.mark.parametrize(
    "updates",
    [
        3,
        "abc",
        [],
        type("Frame", (), {"columns": ("a", "b"), "__iter__": lambda self: iter("ab")})(),
        ROWS[0],
        ROWS[None],
    ],
    ids=["number", "text", "nothing", "frame", "vector", "stack"],
)
def test_what_is_no_list_of_updates(updates):
    """What memory says of it."""
    with pytest.raises((TypeError, ValueError)) as here:
        ra.Mean().aggregate(updates)
    with pytest.raises(here.type) as there:
        ra.Mean().aggregate(updates, executor=Store())
    assert str(here.value) == str(there.value)


def test_clients_that_are_named_twice():
    with pytest.raises(ValueError, match="do not give clients="):
        ra.Mean().aggregate({"a": ROWS[0]}, clients=["a"], executor=Store())
