"""The memory of reputations against section B.3 of its definition, taken literally."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robustagg import kernels
from robustagg.errors import InvalidLedger
from robustagg.ledger import Ledger

CLIENTS = [0, 1, "0", "1", "lima", -7, 2**63 - 1]
ROUNDING = 1e-12  # relative; at most some tens of float64 operations on numbers of one sign

numbers = st.floats(0, 1)
observations = st.dictionaries(st.sampled_from(CLIENTS), numbers, min_size=1)
histories = st.lists(st.tuples(st.integers(1, 5), observations), min_size=1, max_size=25)
decays = st.sampled_from([0.0, 0.5, 4.0, 800.0]) | st.floats(0, 5)
windows = st.sampled_from([None, 1, 2, 3, 10])


class Definition:
    """Every observation ever made, and the formula."""

    def __init__(self, decay: float, window: int | None, newcomer: float | None = None) -> None:
        self.decay, self.window, self.newcomer = decay, window, newcomer
        self.past: dict[Any, list[tuple[int, float]]] = {}

    def observe(self, client: Any, observed: float, now: int) -> None:
        self.past.setdefault(client, []).append((now, observed))

    def score(self, client: Any, now: int) -> float | None:
        young = [(t, r) for t, r in self.past[client] if self.window is None or now - t < self.window]
        if not young:
            return None
        latest = young[-1][0]  # in place of `now`: the same factor above and below, but no 0/0
        theta = [math.exp(-self.decay * (latest - t)) for t, _ in young]
        above, below = sum(w * r for w, (_, r) in zip(theta, young, strict=True)), sum(theta)
        return above / below if self.newcomer is None else (above + self.newcomer) / (below + 1)


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two states agree in every bit."""
    return one.keys() == other.keys() and all(
        np.array_equal(a, b) and a.dtype == b.dtype if isinstance(a, np.ndarray) else a == b
        for a, b in zip(one.values(), other.values(), strict=True)
    )


def filled(window: int | None = 3) -> Ledger:
    ledger = Ledger(0.5, window)
    ledger.commit(["ada", 1, "1"], [0.9, 0.5, 0.1], 3)
    ledger.commit(["1", "bob"], [0.2, 0.7], 5)
    return ledger


@settings(deadline=None)
@given(histories, decays, windows, st.sampled_from([None, 0.0, 0.5, 1.0]))
def test_scores_are_those_of_the_definition(
    history: Any, decay: float, window: int | None, newcomer: float | None
) -> None:
    ledger, definition, now = Ledger(decay, window, newcomer), Definition(decay, window, newcomer), 0
    for gap, observed in history:
        now += gap
        clients, values = list(observed), list(observed.values())
        scores = ledger.score(clients, values, now)
        ledger.commit(clients, values, now)
        for client, value in observed.items():
            definition.observe(client, value, now)
        assert scores.dtype == np.float64
        np.testing.assert_allclose(scores, [definition.score(c, now) for c in clients], rtol=ROUNDING)
        assert [ledger.reputation(client) for client in clients] == scores.tolist()
        for client in definition.past:
            for later in (now, now + 1, now + 3, now + 40):
                expected = definition.score(client, later)
                assert ledger.reputation(client, later) == (expected and pytest.approx(expected, rel=ROUNDING))
        assert (len(ledger), ledger.round) == (len(definition.past), now)


@settings(deadline=None)
@given(histories, decays, windows, st.integers(0, 25))
def test_a_saved_state_continues_with_the_same_bits(history: Any, decay: float, window: int | None, stop: int) -> None:
    kept, now = Ledger(decay, window), 0
    for index, (gap, observed) in enumerate(history):
        if index == stop:
            restored = Ledger(decay, window)
            restored.load_state_dict(copy.deepcopy(kept.state_dict()))
            assert same(restored.state_dict(), kept.state_dict())
            kept = restored
        now += gap
        kept.commit(list(observed), list(observed.values()), now)
    never_saved, now = Ledger(decay, window), 0
    for gap, observed in history:
        now += gap
        never_saved.commit(list(observed), list(observed.values()), now)
    assert same(kept.state_dict(), never_saved.state_dict())


@settings(deadline=None)
@given(histories, decays, windows, st.randoms())
def test_the_order_of_clients_does_not_matter(history: Any, decay: float, window: int | None, random: Any) -> None:
    one, other, now = Ledger(decay, window), Ledger(decay, window), 0
    for gap, observed in history:
        now += gap
        shuffled = random.sample(list(observed), len(observed))
        scores = dict(zip(observed, one.score(list(observed), list(observed.values()), now), strict=True))
        permuted = other.score(shuffled, [observed[c] for c in shuffled], now)
        assert dict(zip(shuffled, permuted, strict=True)) == scores
        one.commit(list(observed), list(observed.values()), now)
        other.commit(shuffled, [observed[c] for c in shuffled], now)


def test_the_papers_drop_after_ten_honest_rounds() -> None:
    ledger = Ledger(decay=0.5, window=10)
    for now in range(1, 11):
        ledger.commit(["mallory"], [0.875], now)
    (attacked,) = ledger.score(["mallory"], [0.0625], 11)
    assert ledger.reputation("mallory") == pytest.approx(0.875)
    assert 1 - attacked / 0.875 >= 0.2511
    for now in range(11, 21):
        ledger.commit(["mallory"], [0.0625], now)
    assert ledger.reputation("mallory") < 0.5


@pytest.mark.parametrize("absent", [1, 2, 9, 10, 11, 500])
def test_absence_decays_by_true_age_and_ends_with_the_window(absent: int) -> None:
    ledger = Ledger(decay=0.1, window=10)
    ledger.commit(["lima"], [1.0], 1)
    theta = math.exp(-0.1 * absent) if absent < 10 else 0.0
    assert ledger.score(["lima"], [0.25], 1 + absent) == pytest.approx((theta * 1.0 + 0.25) / (theta + 1.0))
    assert ledger.reputation("lima", 1 + absent) == (1.0 if absent < 10 else None)


def test_int_and_str_ids_are_different_clients() -> None:
    ledger = Ledger(decay=0.0, window=None)
    ledger.commit([1, "1"], [0.25, 0.75], 1)
    assert (len(ledger), ledger.reputation(1), ledger.reputation("1")) == (2, 0.25, 0.75)


def test_every_backend_gives_the_same_scores() -> None:
    scores = []
    for backend in kernels.available():
        with kernels.use_backend(backend):
            scores.append(filled().score(["ada", "1", 1, "new"], [0.3, 0.4, 0.5, 0.6], 6))
    for other in scores[1:]:
        np.testing.assert_allclose(other, scores[0], rtol=ROUNDING)


@pytest.mark.parametrize("window", [10, None])
def test_a_million_clients(window: int | None) -> None:
    ledger, n = Ledger(0.5, window), 1_000_000
    observed = np.random.default_rng(1).random((2, n))
    ledger.commit(range(n), observed[0], 1)
    ledger.commit(range(n - 1, -1, -1), observed[1, ::-1], 2)
    some = [0, 1, 500_000, n - 1]
    theta = math.exp(-0.5)
    expected = (theta * observed[0, some] + observed[1, some]) / (theta + 1)
    np.testing.assert_allclose([ledger.reputation(i) for i in some], expected, rtol=ROUNDING)
    assert len(ledger) == n


@pytest.mark.parametrize("window", [3, None])
def test_scoring_changes_nothing(window: int | None) -> None:
    ledger = filled(window)
    before, clients, observed = ledger.state_dict(), ["ada", "new", "1"], np.array([0.1, 0.2, 0.3])
    once = ledger.score(clients, observed, 7)
    assert same(ledger.state_dict(), before)
    assert ledger.score(clients, observed, 7).tolist() == once.tolist()
    assert observed.tolist() == [0.1, 0.2, 0.3]


@pytest.mark.parametrize("window", [3, None])
@pytest.mark.parametrize("verb", ["score", "commit"])
@pytest.mark.parametrize(
    ("round", "error", "told"),
    [
        (5, ValueError, "round 5 is not later than the last completed round, 5"),
        (0, ValueError, "round 0 .* round, 5"),
        (-1, TypeError, "-1"),
        (2**62, ValueError, str(2**62)),
        (6.0, TypeError, "6.0"),
        (True, TypeError, "True"),
        (None, TypeError, "None"),
    ],
)
def test_a_refused_round_changes_nothing(
    window: int | None, verb: str, round: Any, error: type[Exception], told: str
) -> None:
    ledger = filled(window)
    before = ledger.state_dict()
    with pytest.raises(error, match=told):
        getattr(ledger, verb)(["ada", "new"], [0.5, 0.5], round)
    assert same(ledger.state_dict(), before)


@pytest.mark.parametrize("window", [3, None])
def test_a_round_that_fails_half_way_changes_nothing(window: int | None) -> None:
    ledger = filled(window)
    before = ledger.state_dict()
    with pytest.raises(ValueError, match=r"shape|broadcast"):
        ledger.commit(["ada", "new", "newer"], [0.5, 0.5], 6)
    assert same(ledger.state_dict(), before)


def test_the_last_possible_round() -> None:
    for window in (3, None):
        ledger = filled(window)
        ledger.commit(["ada"], [0.5], 2**62 - 1)
        assert ledger.reputation("ada") == 0.5


def test_looking_at_one_client() -> None:
    ledger = filled(window=3)
    assert ledger.reputation("ada") == 0.9
    assert ledger.reputation("ada", 6) is None
    with pytest.raises(LookupError, match="'eve' has never"):
        ledger.reputation("eve")
    with pytest.raises(LookupError, match="'ada' has never"):
        Ledger(0.5, 3).reputation("ada")
    with pytest.raises(ValueError, match=r"round 4 .* 5"):
        ledger.reputation("ada", 4)


@pytest.mark.parametrize("window", [0, -1])
def test_a_window_holds_at_least_one_round(window: int) -> None:
    with pytest.raises(ValueError, match=f"window must be .* got {window}"):
        Ledger(0.5, window)


def test_an_empty_ledger() -> None:
    ledger = Ledger(0.5, None)
    assert (len(ledger), ledger.round) == (0, None)
    restored = Ledger(0.5, None)
    restored.load_state_dict(ledger.state_dict())
    assert same(restored.state_dict(), ledger.state_dict())


def test_a_state_is_a_copy() -> None:
    ledger = filled()
    state = ledger.state_dict()
    restored = Ledger(0.5, 3)
    restored.load_state_dict(state)
    state["observed"][:] = 0.0
    state["clients"].clear()
    assert same(ledger.state_dict(), filled().state_dict())
    assert same(restored.state_dict(), filled().state_dict())


def changed(name: str, index: Any, value: Any) -> Any:
    def change(state: dict[str, Any]) -> None:
        state[name][index] = value

    return change


BAD_STATES = {
    "a name is missing": (3, lambda state: state.pop("round"), "round"),
    "a name too many": (3, lambda state: state.update(extra=1), "extra"),
    "another decay": (3, lambda state: state.update(decay=0.25), r"decay = 0.25 \(here 0.5\)"),
    "another window": (3, lambda state: state.update(window=4), r"window = 4 \(here 3\)"),
    "no window": (3, lambda state: state.update(window=None), r"window = None \(here 3\)"),
    "an id twice": (3, lambda state: state["clients"].__setitem__(1, "ada"), "twice"),
    "an id of a wrong type": (3, lambda state: state["clients"].__setitem__(1, 1.5), "1.5"),
    "an id that is a bool": (3, lambda state: state["clients"].__setitem__(1, True), "True"),
    "a client too few": (3, lambda state: state["clients"].pop(), "rounds must be int64"),
    "an array of another dtype": (3, lambda state: state.update(rounds=state["rounds"] * 1.0), "int64"),
    "an array of another shape": (3, lambda state: state.update(observed=state["observed"].T), "float64"),
    "a round that is not a number": (3, lambda state: state.update(round="5"), "'5'"),
    "no round": (3, lambda state: state.update(round=None), "between 0 and -1"),
    "a last round without clients": (3, lambda state: state.update(round=6), "round 6"),
    "a round of the future": (3, changed("rounds", (0, 0), 6), "between 0 and 5"),
    "a round in a wrong slot": (3, changed("rounds", (0, 0), 4), "slot"),
    "a negative round": (3, changed("rounds", (0, 0), -3), "between 0 and 5"),
    "a client without observations": (3, changed("rounds", 0, -1), "without any observation"),
    "NaN observed": (3, changed("observed", (0, 0), np.nan), "between 0 and 1"),
    "too much observed": (3, changed("observed", (0, 0), 1.5), "between 0 and 1"),
    "a last round of the future": (None, changed("last", 0, 6), "between 0 and 5"),
    "a last round before the first": (None, changed("last", 0, -1), "between 0 and 5"),
    "NaN in the sums": (None, changed("numerator", 0, np.nan), "sums"),
    "sums of nothing": (None, changed("denominator", 0, 0.0), "sums"),
    "infinite sums": (None, changed("denominator", 0, np.inf), "sums"),
    "a mean above 1": (None, changed("numerator", 0, 1.5), "sums"),
}


@pytest.mark.parametrize("case", BAD_STATES)
def test_a_bad_state_is_refused_and_changes_nothing(case: str) -> None:
    window, change, told = BAD_STATES[case]
    state = filled(window).state_dict()
    change(state)
    ledger = Ledger(0.5, window)
    ledger.commit(["kept"], [0.5], 1)
    ledger.stamps = {"of a file"}
    before = ledger.state_dict()
    with pytest.raises(InvalidLedger, match=told):
        ledger.load_state_dict(state)
    assert same(ledger.state_dict(), before)
    assert ledger.stamps == {"of a file"}
