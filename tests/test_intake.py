"""A round as a server lives it: whatever one client sends costs nobody else anything, and leaves a reason."""

from __future__ import annotations

import itertools
import math
import os
import signal
import sqlite3
import threading
from collections.abc import Mapping
from contextlib import suppress
from enum import Enum
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import robustagg as ra

LIKE = {"w": np.zeros((2, 2), np.float32), "b": np.zeros(3, np.float32), "steps": np.array(0)}
HONEST = ("berlin", "lima", "osaka", "quito", "tunis")


def update(seed: int) -> dict[str, np.ndarray]:
    drawn = np.random.default_rng(seed)
    floats = {"w": drawn.normal(size=(2, 2)).astype(np.float32), "b": drawn.normal(size=3).astype(np.float32)}
    return {**floats, "steps": np.array(seed)}


UPDATES = {client: update(i) for i, client in enumerate(HONEST)}


def raises(fault: BaseException):
    def read():
        raise fault

    return read


BAD = {
    "another shape": ({**update(9), "b": np.zeros(4, np.float32)}, "shape (4,)"),
    "another dtype": ({**update(9), "b": np.zeros(3)}, "float64"),
    "a tensor less": ({"w": np.zeros((2, 2), np.float32), "steps": np.array(0)}, "lacks 'b'"),
    "a tensor more": ({**update(9), "c": np.zeros(1)}, "adds 'c'"),
    "objects": ({**update(9), "b": np.array([None] * 3)}, "object"),
    "text": ("here is my model", "not"),
    "nothing": (None, "not"),
    "unreadable": (raises(EOFError("3 bytes are missing")), "3 bytes are missing"),
    "too large": (raises(MemoryError()), "MemoryError"),
    "NaN": ({**update(9), "b": np.array([0, np.nan, 0], np.float32)}, "NaN or infinite"),
}


def honest(intake: ra.Intake) -> None:
    for client, tree in UPDATES.items():
        assert intake.add(client, tree) is None


def assert_same(one: ra.Result, other: ra.Result) -> None:
    assert one.to_dict() == other.to_dict()
    for name in LIKE:
        np.testing.assert_array_equal(one.update[name], other.update[name])


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("rule", [ra.Median(), ra.Krum(f=1), ra.Reputation()], ids=lambda rule: type(rule).__name__)
def test_a_bad_reply_costs_its_sender_alone(rule, bad):
    tree, reason = BAD[bad]
    intake = ra.Intake(rule, LIKE)
    refused = intake.add("eve", tree)
    assert (refused is None) == (bad == "NaN")
    honest(intake)
    result = intake.close()
    assert result.clients == ("berlin", "eve", "lima", "osaka", "quito", "tunis")
    assert reason in result.reasons[1]
    assert result.weights[1] == 0
    assert list(result.admitted) == [True, False, True, True, True, True]
    expected = type(rule)(**rule.parameters).aggregate(UPDATES)
    for name in LIKE:
        np.testing.assert_array_equal(result.update[name], expected.update[name])
        assert result.update[name].dtype == LIKE[name].dtype


@given(st.permutations([*HONEST, 3, "3", 10]))
def test_the_order_of_arrival_changes_nothing(order):
    first, second = ra.Intake("mean", LIKE), ra.Intake("mean", LIKE)
    for i, client in enumerate(sorted(order, key=str)):
        first.add(client, update(i), 10 + i)
    for client in order:
        i = sorted(order, key=str).index(client)
        second.add(client, update(i), 10 + i)
    one, other = first.close(), second.close()
    assert one.clients[:3] == (3, 10, "3")
    assert set(one.clients) == set(other.clients)
    assert_same(one, other)


def test_who_replies_twice_is_left_out_whatever_comes_first():
    for replies in itertools.permutations([update(1), update(2)]):
        intake = ra.Intake("median", LIKE)
        honest(intake)
        intake.add("eve", replies[0])
        assert "more than one" in intake.add("eve", replies[1])
        assert "more than one" in intake.close().reasons[1]


def test_who_is_refused_stays_refused():
    intake = ra.Intake("median", LIKE)
    honest(intake)
    intake.refuse("lima", "its certificate has expired")
    assert intake.add("lima", update(1)) == "its certificate has expired"
    assert "expired" in intake.close().reasons[1]
    assert intake.refused == {}


def test_an_id_is_a_str_or_an_int(tmp_path):
    intake = ra.Intake("median", LIKE, ledger=tmp_path / "ledger")
    for client in (1.5, None, True, b"lima"):
        with pytest.raises(TypeError, match="client id"):
            intake.add(client, update(1))
    assert intake.add(np.uint64(2**64 - 1), update(1)) is None
    assert intake.close().clients == (2**64 - 1,)


# --- rounds that cannot be held -------------------------------------------------------------------------------------


def test_nobody_usable_is_no_round_and_changes_nothing():
    intake = ra.Intake("reputation", LIKE)
    assert intake.close() is None
    assert "at least one client" in intake.why
    intake.add("eve", "rubbish")
    intake.add("mallory", {**update(1), "b": np.full(3, np.inf, np.float32)})
    assert intake.close() is None
    assert "eve" in intake.why
    assert "NaN" in intake.why
    assert intake.rule.last_round is None
    honest(intake)
    assert intake.close().round == 1
    assert intake.why is None


def test_too_few_for_the_rule_is_no_round():
    intake = ra.Intake(ra.Krum(f=2), LIKE)
    honest(intake)
    assert intake.close() is None
    assert "Krum needs at least 2f + 3 = 7" in intake.why


def test_a_mistake_of_the_server_is_an_error_and_the_round_is_still_there():
    intake = ra.Intake(ra.FLTrust(), LIKE, reference=False)
    honest(intake)
    with pytest.raises(TypeError, match="server_update"):
        intake.close()
    assert intake.close(server_update=update(7)).round == 1


@pytest.mark.parametrize("like", ["a model", {"steps": np.array(0)}, {"w": np.array([None])}])
def test_a_model_that_is_none_is_told_at_once(like):
    with pytest.raises((TypeError, ValueError)):
        ra.Intake("median", like)


# --- sample counts --------------------------------------------------------------------------------------------------


def test_a_lie_about_sample_counts_is_capped_and_told():
    intake = ra.Intake("mean", LIKE)
    for client, tree in UPDATES.items():
        intake.add(client, tree, 100)
    intake.add("eve", update(9), 10**6)
    result = intake.close()
    assert result.weights[1] == pytest.approx(4 / 9)
    assert "says 1e+06 samples, counts for 400" in result.reasons[1]
    assert "says" not in "".join(result.reasons[:1] + result.reasons[2:])


def test_the_cap_can_be_another_or_none():
    for cap, weight in ((1.0, 1 / 6), (None, 10**6 / (10**6 + 500))):
        intake = ra.Intake("mean", LIKE, count_cap=cap)
        for client, tree in UPDATES.items():
            intake.add(client, tree, 100)
        intake.add("eve", update(9), 10**6)
        assert intake.close().weights[1] == pytest.approx(weight)
    with pytest.raises(ValueError, match="count_cap"):
        ra.Intake("mean", LIKE, count_cap=0)


@pytest.mark.parametrize("count", [np.nan, np.inf, -1, "many", True, [3], 10**400])
def test_a_count_that_is_none_is_its_senders_fault(count):
    intake = ra.Intake("mean", LIKE)
    for client, tree in UPDATES.items():
        intake.add(client, tree, 100)
    assert intake.add("eve", update(9), count)
    assert intake.close().weights[1] == 0


def test_who_says_no_count_counts_like_the_median():
    intake = ra.Intake("mean", LIKE)
    for i, (client, tree) in enumerate(UPDATES.items()):
        intake.add(client, tree, 10 * (i + 1))
    intake.add("zoe", update(9))
    np.testing.assert_allclose(intake.close().weights, np.array([10, 20, 30, 40, 50, 30]) / 180)


def test_rules_that_take_no_counts_never_hear_of_them():
    for intake in (ra.Intake("repeated-median", LIKE), ra.Intake("mean", LIKE, weigh=False)):
        for i, (client, tree) in enumerate(UPDATES.items()):
            intake.add(client, tree, 10**i)
        np.testing.assert_allclose(intake.close().weights, 1 / 5)


COUNTS = st.lists(st.floats(1e-100, 1e300) | st.sampled_from([0.0, 1.0, 3.0]), min_size=1, max_size=12)


@given(COUNTS, st.integers(0, 12) | st.none())
def test_no_f_liars_outweigh_the_others(claims, f):
    counts = sorted(ra.capped_counts(dict(enumerate(claims)), f=f).values(), reverse=True)
    positive = sum(count > 0 for count in counts)
    liars = (positive - 1) // 2 if f is None else min(f, (positive - 1) // 2)
    if positive:
        share = (liars / positive + 1 / 2) / 2
        assert sum(counts[:liars]) / max(counts) <= share * sum(counts) / max(counts) * (1 + 1e-9)
        assert share < 1 / 2
        assert positive == sum(claim > 0 for claim in claims)


@given(COUNTS, st.integers(0, 5))
def test_the_cap_is_the_greatest_that_does(claims, f):
    counts = ra.capped_counts(dict(enumerate(claims)), f=f)
    positives = sorted(claim for claim in claims if claim > 0)
    if not positives or max(counts.values()) == max(claims):
        return
    most = max(counts.values())
    if most < 4 * positives[(len(positives) - 1) // 2] * (1 - 1e-9):
        greater = sorted((min(claim, most * 1.001) for claim in positives), reverse=True)
        liars = min(f, (len(positives) - 1) // 2)
        share = (liars / len(positives) + 1 / 2) / 2
        assert sum(greater[:liars]) > share * sum(greater) * (1 - 1e-9)


@pytest.mark.parametrize("rule", ["geometric-median", {"rule": "mda", "f": 3}], ids=str)
def test_three_liars_of_eight_do_not_outweigh_five_honest(rule):
    """With a cap of 4 times the median alone they do: 12 against 5."""
    intake = ra.Intake(rule, np.zeros(3))
    for i in range(8):
        intake.add(i, np.full(3, 100.0 if i < 3 else 0.01 * i), 10**6 if i < 3 else 100)
    assert abs(intake.close().update).max() < 1


@given(st.dictionaries(st.integers(), st.none() | st.floats(0, 1e300), min_size=1), st.floats(1, 100))
def test_capped_counts(claims, cap):
    counts = ra.capped_counts(claims, cap)
    positive = [count for count in counts.values() if count > 0]
    assert counts.keys() == claims.keys()
    assert all(counts[c] <= claim for c, claim in claims.items() if claim is not None)
    assert not positive or max(positive) <= cap * np.median(positive) * (1 + 1e-12) or len(positive) < 3


@pytest.mark.parametrize("claim", [math.inf, math.nan, -5, 10**400, [1]])
def test_a_claim_that_is_no_count_is_refused(claim):
    with pytest.raises((TypeError, ValueError), match="client 'eve'"):
        ra.capped_counts({"eve": claim, "lima": 1})
    with pytest.raises(ValueError, match="cap must be positive"):
        ra.capped_counts({"lima": 1}, 0)


def test_why_no_round_is_held_names_each_client_once():
    intake = ra.Intake("median", LIKE, reference=False)
    intake.add("eve", {"other": np.ones(2)})
    assert intake.close() is None
    assert intake.why.count("client 'eve'") == 1


# --- the ledger -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", ["reputation", "median", "foolsgold"])
def test_rounds_continue_the_ledgers_count(tmp_path, rule):
    path = tmp_path / "ledger"
    unbroken = ra.Intake(rule, LIKE, reference=False)
    for number in (1, 2, 3):
        intake = ra.Intake(rule, LIKE, ledger=path, reference=False)  # a new server each time
        for one in (intake, unbroken):
            honest(one)
            one.add("eve", "rubbish")
        result = intake.close()
        assert result.round == number
        assert_same(result, unbroken.close())


def test_a_ledger_of_other_parameters_is_not_continued(tmp_path):
    intake = ra.Intake(ra.Reputation(), LIKE, ledger=tmp_path / "ledger")
    honest(intake)
    intake.close()
    with pytest.raises(ra.InvalidLedger, match="decay"):
        ra.Intake(ra.Reputation(decay=0.9), LIKE, ledger=tmp_path / "ledger")


def test_a_rule_that_remembers_something_else_does_not_forget_it_for_a_ledger(tmp_path):
    rule, other = ra.Reputation(), ra.Reputation()
    intake = ra.Intake(rule, LIKE, ledger=tmp_path / "ledger")
    honest(intake)
    intake.close()
    ra.Intake(rule, LIKE, ledger=tmp_path / "ledger")
    for _ in range(3):
        other.aggregate(np.eye(3))
    with pytest.raises(ra.InvalidLedger, match="ends with round 1, and the rule remembers round 3"):
        ra.Intake(other, LIKE, ledger=tmp_path / "ledger")


def test_refused_clients_and_remarks_are_in_the_trail(tmp_path):
    from robustagg import ledger

    intake = ra.Intake("reputation", LIKE, ledger=tmp_path / "ledger")
    for client, tree in UPDATES.items():
        intake.add(client, tree, 100)
    intake.add("liar", update(8), 10**6)
    intake.add("eve", "rubbish", 100)
    intake.close()
    told = {line["client"]: line["reason"] for line in ledger.history(tmp_path / "ledger")}
    assert told["eve"].startswith("not admitted: ")
    assert "says 1e+06 samples, counts for 185.714" in told["liar"]


@pytest.mark.parametrize("ledger", [True, False])
def test_what_fails_while_closing_undoes_the_round(tmp_path, ledger):
    path = tmp_path / "ledger" if ledger else None
    intake, unbroken = (ra.Intake("reputation", LIKE, ledger=p) for p in (path, None))
    for number in (1, 2):
        for one in (intake, unbroken):
            honest(one)
        with pytest.raises(OSError, match="no space"), intake.closing():
            raise OSError("no space")
        assert intake.rule.last_round == (number - 1 or None)
        assert not ledger or number == 2 or not path.exists()
        with intake.closing() as result:
            assert not ledger or number == 1 or ra.load(path).last_round == 1
        assert_same(result, unbroken.close())
    assert not ledger or ra.load(path).last_round == 2


@pytest.mark.parametrize("begun", [True, False])
def test_ctrl_c_while_the_ledger_is_written_leaves_it_the_rule_and_the_replies_at_one_round(
    tmp_path, monkeypatch, begun
):
    left, connect, synchronise = [-1], sqlite3.connect, os.fsync

    def one_more():
        left[0] -= 1
        if left[0] == 0:
            signal.raise_signal(signal.SIGINT)

    class Interrupted(sqlite3.Connection):
        def execute(self, *statement):
            done = super().execute(*statement)
            one_more()
            return done

    monkeypatch.setattr(os, "fsync", lambda file: (synchronise(file), one_more()))
    monkeypatch.setattr(sqlite3, "connect", partial(connect, factory=Interrupted))
    done = set()
    for moment in itertools.count(1):
        path = tmp_path / str(moment)
        intake = ra.Intake("reputation", LIKE, ledger=path, reference=True)
        if begun:
            honest(intake)
            intake.close()
        honest(intake)
        left[0] = moment
        with suppress(KeyboardInterrupt):
            intake.close()
            break
        told = intake.rule.last_round or 0, len(intake._taken)
        assert told in ((begun, 5), (begun + 1, 0))
        assert (ra.load(path).last_round if path.exists() else 0) == told[0]
        done.add(told)
        if told[1] == 0:
            honest(intake)
        assert intake.close().round == told[0] + 1 == ra.load(path).last_round
    assert len(done) == 2
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_who_first_replies_while_the_round_is_closed_is_of_the_next():
    intake = ra.Intake("mean", LIKE)
    honest(intake)
    intake.refuse("eve", "a liar")
    with intake.closing() as result:
        assert intake.add("late", update(7)) is None
        assert intake.add("lima", update(7)) == "more than one reply in this round"
    assert set(result.clients) == {*HONEST, "eve"}
    assert intake.close().clients == ("late",)
    assert intake.close() is None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_forked_while_the_round_is_closed_can_add_replies():
    intake, inside, go_on = ra.Intake("mean", LIKE), threading.Event(), threading.Event()
    honest(intake)

    def close():
        with intake.closing():
            inside.set()
            go_on.wait(30)

    closer = threading.Thread(target=close)
    closer.start()
    inside.wait(30)
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        os._exit(0 if intake.add("late", update(7)) is None else 1)
    go_on.set()
    closer.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_ledger_that_cannot_be_saved_leaves_the_round_to_be_closed_again(tmp_path):
    intake = ra.Intake("median", LIKE, ledger=tmp_path / "gone" / "ledger")
    honest(intake)
    with pytest.raises(OSError, match="gone"):
        intake.close()
    assert intake.rule.last_round is None
    (tmp_path / "gone").mkdir()
    assert intake.close().round == 1


def test_replies_from_several_threads():
    intake, together = ra.Intake("mean", LIKE), threading.Barrier(8)

    def reply(thread):
        together.wait()
        for client in range(40):
            intake.add(client if client % 2 else f"{thread}-{client}", partial(update, client), 10)

    threads = [threading.Thread(target=reply, args=(k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    result = intake.close()
    assert result.admitted.sum() == 8 * 20
    assert len(result.clients) == 8 * 20 + 20
    assert all("more than one" in r for r, a in zip(result.reasons, result.admitted, strict=True) if not a)


# --- whole parameters -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", ["centered-clipping", "foolsgold", ["nnm", "cge"]], ids=str)
def test_whole_parameters_are_compared_with_the_last_update(rule):
    spec = rule if isinstance(rule, str) else [{"rule": name, "f": 1} for name in rule]
    model = {**update(99), "steps": np.array(0)}
    hand, intake = ra.rule(spec), ra.Intake(spec, {**model}, reference=True)
    for _ in range(3):
        whole = {c: {k: model[k] + v if k != "steps" else v for k, v in tree.items()} for c, tree in UPDATES.items()}
        moved = {c: {k: v - model[k] if k != "steps" else v for k, v in tree.items()} for c, tree in whole.items()}
        for client, tree in whole.items():
            assert intake.add(client, tree) is None
        expected, got = hand.aggregate(moved, buffers={}), intake.close()
        np.testing.assert_array_equal(got.weights, expected.weights)
        model = {k: model[k] + v if k != "steps" else v for k, v in expected.update.items()}
        for name, values in model.items():
            np.testing.assert_array_equal(got.update[name], values)
        got.update["w"][:] = np.nan  # the caller's, not the intake's


def test_a_server_may_say_what_its_model_has_become():
    intake = ra.Intake(ra.CenteredClipping(tau=1e9), np.zeros(2), reference=np.ones(2))
    assert intake.reference.tolist() == [1, 1]
    for reference in ([3.0, 3.0], [5.0, 5.0]):
        intake.reference = np.array(reference)
        intake.add("lima", np.array([7.0, 7.0]))
        assert intake.close().update.tolist() == [7, 7]
    with pytest.raises(TypeError, match="reference"):
        intake.reference = "a model"


def test_rules_that_take_differences_ask_what_replies_are():
    for rule in ("foolsgold", [{"rule": "arc", "f": 1}, "median"]):
        with pytest.warns(UserWarning, match="takes differences from the global model"):
            ra.Intake(rule, LIKE)


# --- rules from names, and what a dashboard draws -------------------------------------------------------------------


def test_a_rule_from_a_name_or_json():
    assert repr(ra.rule("krum", f=2)) == repr(ra.rule({"rule": "krum", "f": 2})) == repr(ra.Krum(f=2))
    pipeline = ra.rule([{"rule": "nnm", "f": 1}, {"rule": "trimmed-mean", "f": 1}])
    assert pipeline.parameters == ra.Pipeline(ra.NNM(f=1), ra.TrimmedMean(f=1)).parameters
    assert ra.Intake({"rule": "krum", "f": 2}, LIKE).rule.f == 2


@pytest.mark.parametrize(
    ("spec", "text"),
    [("crumb", "one of"), ({}, "one of"), ("krum", "needs its parameter f"), ({"rule": "krum", "g": 1}, "'g'")],
)
def test_a_rule_that_there_is_not(spec, text):
    with pytest.raises(ValueError, match=text):
        ra.rule(spec)


def test_a_preaggregation_alone_is_no_rule():
    with pytest.raises(ValueError, match=r"no rule but a pre-aggregation, .* 'nnm \+ RULE'"):
        ra.rule("nnm", f=1)
    with pytest.raises(TypeError, match="last member"):
        ra.rule(["median", {"rule": "nnm", "f": 1}])


def test_metrics_are_flat_numbers():
    intake = ra.Intake("reputation", LIKE)
    honest(intake)
    intake.add("eve", "rubbish")
    result = intake.close()
    told = result.metrics()
    assert all(type(value) in (int, float) for value in told.values())
    assert (told["round"], told["admitted"], told["refused"]) == (1, 5, 1)
    assert told["largest_weight"] == result.weights.max()
    assert 1 <= told["effective_clients"] <= 5
    everyone = result.metrics(per_client=True)
    assert everyone["weight/lima"] == result.weights[2]
    assert everyone["reputation/eve"] == result.reputation[1]


def test_tensors_that_the_model_alone_shares_are_not_tied():
    zeros = np.zeros(3)
    like = {"a": zeros, "b": zeros, "on": np.True_, "frozen": np.True_}
    sent = {"a": np.ones(3), "b": np.full(3, 5.0), "on": np.False_, "frozen": np.True_}
    intake = ra.Intake("mean", like)
    for client in HONEST:
        assert intake.add(client, sent) is None
    update = intake.close().update
    assert {name: np.asarray(value).tolist() for name, value in update.items()} == {
        name: np.asarray(value).tolist() for name, value in sent.items()
    }


def test_a_minority_cannot_untie_what_the_model_shares():
    shared = np.zeros(3)
    intake = ra.Intake("median", {"a": shared, "b": shared})
    for i, client in enumerate(HONEST):
        intake.add(client, {"a": np.full(3, float(i)), "b": np.full(3, 9.0 if i < 2 else float(i))})
    update = intake.close().update
    assert update["b"] is update["a"]
    assert update["a"].tolist() == [2, 2, 2]


class OneShot(Mapping):
    """Gives each of its values once."""

    def __init__(self, values):
        self.values_left = dict(values)

    def __getitem__(self, name):
        return self.values_left.pop(name)

    def __iter__(self):
        return iter(list(self.values_left))

    def __len__(self):
        return len(self.values_left)


def test_a_reply_is_read_once(tmp_path):
    intake, expected = ra.Intake("mean", LIKE), ra.Intake("mean", LIKE)
    for client, tree in UPDATES.items():
        np.savez(tmp_path / client, **tree)
        expected.add(client, tree)
        with np.load(tmp_path / f"{client}.npz") as sent:
            assert intake.add(client, sent if client < "lima" else OneShot(tree)) is None
    assert_same(intake.close(), expected.close())


def test_the_model_is_read_once(tmp_path):
    np.savez(tmp_path / "model", **LIKE)
    with np.load(tmp_path / "model.npz") as model:
        intake = ra.Intake("mean", model)
    honest(intake)
    assert intake.close().update.keys() == LIKE.keys()


def test_what_a_clients_tree_becomes_after_it_is_added_does_not_matter():
    intake, expected = ra.Intake("mean", LIKE), ra.Intake("mean", LIKE)
    trees = {client: dict(tree) for client, tree in UPDATES.items()}
    for client, tree in trees.items():
        intake.add(client, tree)
        expected.add(client, UPDATES[client])
        tree["b"] = np.ones(4, np.float32)
        tree["more"] = np.ones(1)
    assert_same(intake.close(), expected.close())


@pytest.mark.parametrize("count", [1, 5])
def test_lists_that_most_have_lengthened_leave_the_model_as_it_is(count):
    intake, sent = ra.Intake("mean", {"w": [0.0, 0.0]}), [[1.0, float(i)] for i in range(5)]
    for client, values in zip(HONEST, sent, strict=True):
        intake.add(client, {"w": values})
    for values in sent[:count]:
        values.append(9.0)
    result = intake.close()
    if count == 5:
        assert result is None
        assert "no client's update can be used" in intake.why
        honest_again = [intake.add(client, {"w": [1.0, 2.0]}) for client in HONEST]
        assert honest_again == [None] * 5
        result = intake.close()
    assert len(result.update["w"]) == 2


def test_whole_numbers_are_floats_where_the_model_has_floats():
    intake = ra.Intake("mean", {"w": [0.5, 0.5], "scale": 0.5, "index": [0, 1]})
    assert intake.add("python", {"w": [1.0, 2.5], "scale": 2.5, "index": [0, 1]}) is None
    assert intake.add("javascript", {"w": [0, 0], "scale": 0, "index": [0, 1]}) is None
    assert intake.add("eve", {"w": [0, 0], "scale": 0, "index": [0.0, 1.0]}) is not None
    result = intake.close()
    assert result.update == {"w": [0.5, 1.25], "scale": 1.25, "index": [0, 1]}


def test_replies_that_agree_on_nothing_are_no_round():
    intake = ra.Intake("mean", {"w": np.zeros(2), "kind": "a"})
    for kind in ("a", "b"):
        assert intake.add(kind, {"w": np.ones(2), "kind": kind}) is None
    assert intake.close() is None
    assert "do not agree" in intake.why


def test_huge_counts_are_scaled_together():
    claims = {"a": 1e269, "b": 1e270}
    intake = ra.Intake("mean", np.zeros(1), count_cap=None)
    for client, count in claims.items():
        intake.add(client, np.ones(1), count)
    np.testing.assert_allclose(intake.close().weights, [1 / 11, 10 / 11])
    intake = ra.Intake("mean", np.zeros(1))
    for client, count in {**claims, "eve": 1e308}.items():
        intake.add(client, np.ones(1), count)
    assert "says 1e+308 samples" in intake.close().reasons[2]


def test_an_empty_file_becomes_a_ledger(tmp_path):
    path = tmp_path / "ledger"
    path.touch()
    for number in (1, 2):
        intake = ra.Intake("reputation", LIKE, ledger=path)
        honest(intake)
        assert intake.close().round == number


class Site(str, Enum):
    LIMA, OSLO, ROME = "lima", "oslo", "rome"


def test_ids_of_an_enum_are_their_values_also_after_a_restart(tmp_path):
    for number in (1, 2):
        intake = ra.Intake("reputation", {"w": np.zeros(2)}, ledger=tmp_path / "ledger")
        for site in Site:
            intake.add(site, {"w": np.ones(2)})
        result = intake.close()
        assert result.round == number
        assert [type(client) for client in result.clients] == [str] * 3
        assert result.clients == ("lima", "oslo", "rome")
    assert len(ra.load(tmp_path / "ledger")._ledger._rows) == 3
    assert len(list(ra.ledger.history(tmp_path / "ledger", client=Site.LIMA))) == 2


@pytest.mark.parametrize("client", ["x" * 1025, 16**1024, -(16**1024)], ids=["text", "number", "negative"])
def test_an_id_that_no_ledger_could_hold_is_none(client):
    intake = ra.Intake("mean", LIKE)
    with pytest.raises(ValueError, match="at most 1024 characters"):
        intake.add(client, update(0))
    assert intake.add("x" * 1024, update(0)) is None
    assert intake.add(16**1023, update(0)) is None
