"""One round of a rule at a time, and its last step in one go: threads, forks, Ctrl-C, a result that gets no name."""

from __future__ import annotations

import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import robustagg as ra
from robustagg import engine, inputs

X = np.random.default_rng(0).normal(size=(6, 50))


@pytest.mark.parametrize("make", [ra.Reputation, ra.Median, ra.FoolsGold, lambda: ra.CenteredClipping(tau=1.0)])
def test_threads_that_share_a_rule_take_turns(make):
    rule, alone = make(), make()
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda k: rule.aggregate(X), range(40)))
    assert sorted(result.round for result in results) == list(range(1, 41))
    for _ in range(40):
        last = alone.aggregate(X)
    assert rule.last_round == 40
    found = next(result for result in results if result.round == 40)
    np.testing.assert_array_equal(found.update, last.update)
    np.testing.assert_array_equal(rule(X), alone(X))


def test_states_read_meanwhile_are_whole_rounds():
    rule, stop = ra.FoolsGold(), threading.Event()
    expected = {0: []}
    other = ra.FoolsGold()
    for number in range(1, 31):
        other(X)
        expected[number] = [vector.tobytes() for vector in other.vectors.values()]
    seen = []

    def watch():
        while not stop.is_set():
            state = rule.state_dict()
            restored = ra.FoolsGold()
            restored.load_state_dict(state)
            seen.append((restored.last_round or 0, [vector.tobytes() for vector in restored.vectors.values()]))

    watcher = threading.Thread(target=watch)
    watcher.start()
    for _ in range(30):
        rule(X)
    stop.set()
    watcher.join()
    assert seen
    assert all(expected[number] == vectors for number, vectors in seen)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_forked_in_the_middle_of_a_round_can_use_the_rule():
    rule, inside, go_on = ra.Median(), threading.Event(), threading.Event()

    def hold():
        with engine.turn(rule):
            inside.set()
            go_on.wait(30)

    holder = threading.Thread(target=hold)
    holder.start()
    inside.wait(30)
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        os._exit(0 if rule(X).shape == (50,) else 1)
    go_on.set()
    holder.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


class Source(inputs.Updates):
    """Updates whose result is published by `publish`."""

    def sink(self, kept):
        sink = super().sink(kept)
        sink.publish = self.publish
        return sink


def source(publish):
    made = inputs.gather(list(X))
    found = Source(made.clients, made.leaves, made.rebuild)
    object.__setattr__(found, "publish", publish)
    return found


def test_ctrl_c_while_the_result_gets_its_name_waits_for_the_memory():
    rule, published = ra.Reputation(), []

    def publish():
        os.kill(os.getpid(), signal.SIGINT)
        published.append(True)

    with pytest.raises(KeyboardInterrupt):
        engine.run(rule, source(publish))
    assert published
    assert rule.last_round == 1
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ctrl_c_that_has_waited_leaves_the_round_its_policy():
    rule = ra.Reputation()
    with pytest.raises(KeyboardInterrupt):
        rule.hold(source(lambda: os.kill(os.getpid(), signal.SIGINT)), ra.Policy())
    assert rule.state_dict()["policy"] == ra.Policy().told()


def signalled(numbers, came):
    for number in numbers:
        signal.raise_signal(number)
    assert not came


def test_of_two_signals_that_have_waited_neither_is_lost():
    came = []

    def told(number, frame):
        came.append(number)
        raise InterruptedError

    before = {number: signal.signal(number, told) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with pytest.raises(InterruptedError), engine.uninterrupted():
            signalled(before, came)
        assert came == list(before)
        assert all(signal.getsignal(number) is told for number in before)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_a_result_that_gets_no_name_is_no_round():
    rule = ra.Reputation()

    def publish():
        raise OSError("sticky folder")

    with pytest.raises(OSError, match="sticky"):
        engine.run(rule, source(publish))
    assert rule.last_round is None
    assert rule.aggregate(X).round == 1


def test_what_numpy_is_told_to_do_about_overflow_does_not_reach_into_a_round():
    huge = np.array([[1e300, -1e300], [1e300, 1.0], [-1e300, 5e-324], [0.0, 1.7e308], [1.0, 1.0]])
    with np.errstate(all="raise"):
        for rule in (ra.Reputation(), ra.Krum(1), ra.GeometricMedian(), ra.FoolsGold(), ra.MeaMed(1), ra.CAF(1)):
            assert np.isfinite(rule(huge)).all()
