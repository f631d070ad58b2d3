"""The laws that rules obey, for whoever writes one: ``check_rule(MyRule)`` in a test of yours.

A law is a function of :class:`Claims`; it raises an :class:`AssertionError` that says what was tried. Some hold for
every rule, others for those that claim them.
"""

from __future__ import annotations

import copy
import math
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from inspect import isclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray

from robustagg import inputs, kernels
from robustagg.files import aggregate_files
from robustagg.kernels.interface import GRAM_TILE, Rows
from robustagg.protocol import Result
from robustagg.rules.base import Rule
from robustagg.rules.component import Withstanding

__all__ = ["LAWS", "Claims", "Law", "check_rule"]

Matrix: TypeAlias = NDArray[np.float64]

EXACT: dict[str, Any] = {"rtol": 1e-9, "atol": 1e-12}  # float64 in, float64 out, sums in another order
ITERATED: dict[str, Any] = {"rtol": 1e-5, "atol": 1e-5}  # iterations stop at a relative change
HUGE = (1e30, -3.4e38, 3.4e38, 1000.0, -1e6, 1e-7)  # what attackers send; in float64 1.7e308 besides


def _majority(f: int) -> int:
    return 2 * f + 1


@dataclass(frozen=True, kw_only=True)
class Claims:
    """A rule, and what is claimed of it besides what must hold of every rule.

    Attributes
    ----------
    make : callable
        A fresh rule that withstands f clients.
    least : callable
        How many clients it needs to withstand f.
    permutation : bool
        The order of the clients does not matter (but for ties).
    shift : bool
        All updates moved by a vector: the result moves with them.
    scale : bool
        All updates times a positive number: so is the result.
    identical : bool
        Of equal updates the result is that update.
    selects : bool
        The result is one of the updates, bit for bit.
    box : callable, optional
        Each coordinate of the result lies between the least and the greatest honest value, whatever f attackers send,
        or outside by at most box(n, f, how far these two are apart).
    extras : callable
        Further arguments of a round, given its updates.
    """

    make: Callable[[int], Rule[Any]]
    least: Callable[[int], int] = _majority
    permutation: bool = True
    shift: bool = True
    scale: bool = True
    identical: bool = True
    selects: bool = False
    box: Callable[[int, int, Matrix], Matrix | float] | None = None
    extras: Callable[[NDArray[Any]], Mapping[str, Any]] = field(default=lambda x: {})

    def run(self, f: int, x: Any, rule: Rule[Any] | None = None, **arguments: Any) -> Result:
        """A round of updates, of a fresh rule unless one is given."""
        rule = self.make(f) if rule is None else rule
        return rule.aggregate(x, **self.extras(x), **arguments)

    def sizes(self, most: int) -> Iterator[tuple[int, int]]:
        """(n, f) that the rule can do; of two clients each is as good as the other."""
        for f in range(4):
            yield from ((n, f) for n in range(max(self.least(f), 1), most + 1) if n != 2)


Law: TypeAlias = Callable[[Claims], None]


def check_rule(rule: type[Rule[Any]] | Callable[[int], Rule[Any]], **claims: Any) -> None:
    """Hold a rule to the laws.

    Parameters
    ----------
    rule : class or callable
        A class of rules that is made without arguments, or with f where it has one; or a function from f to a rule.
    **claims
        See :class:`Claims`: what holds of the rule beyond every rule's laws, or does not though it does of most.

    Raises
    ------
    AssertionError
        If a law does not hold; the text begins with the law.

    Notes
    -----
    Takes a second or two. Draws are the same at every call.

    Examples
    --------
    >>> import robustagg as ra
    >>> from robustagg.testing import check_rule
    >>> check_rule(ra.Median, box=lambda n, f, apart: 0.0)
    >>> check_rule(ra.Mean, least=lambda f: 1, box=lambda n, f, apart: 0.0)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    AssertionError: Whatever attackers send, the result stays in the honest box: 1 of 5 clients send ...
    """
    if isclass(rule):
        if issubclass(rule, Withstanding):
            a, b = rule.needs or (2, 1)
            claims = {"least": lambda f: a * f + b, **claims}
        claims["make"] = (lambda f: rule(f=f)) if issubclass(rule, Withstanding) else lambda f: rule()
    else:
        claims["make"] = rule
    held = Claims(**claims)
    for law in LAWS:
        try:
            law(held)
        except Exception as broken:
            told = str(broken) if isinstance(broken, AssertionError) else f"{type(broken).__name__}: {broken}"
            raise AssertionError(f"{(law.__doc__ or '').rstrip('.')}: {told}") from broken


def drawn(seed: int, n: int, d: int = 5) -> Matrix:
    """Honest updates."""
    return np.random.default_rng([seed, n, d]).normal(size=(n, d))


# --- of every rule --------------------------------------------------------------------------------------------------


def finite_in_finite_out(claims: Claims) -> None:
    """Any finite updates have a finite result, weights that sum to 1, and a reason for every client."""
    for dtype in (np.float32, np.float64):
        largest, tiny = float(np.finfo(dtype).max), float(np.finfo(dtype).smallest_subnormal)
        for f, d in ((0, 0), (1, 0), (0, 1), (1, 3)):
            n = max(claims.least(f), 3)
            for values in ([0.0], [largest], [-largest], [tiny], [largest, -largest, 0.0], [largest, tiny]):
                x = np.tile(np.resize(values, n)[:, None], (1, d)).astype(dtype)
                result = claims.run(f, x)
                assert result.update.dtype == dtype, f"of {dtype} the result is {result.update.dtype}"
                assert np.isfinite(result.update).all(), f"{n} updates of {values} have the result {result.update}"
                total = result.weights.sum()
                assert result.weights.min() >= 0, f"a weight of {result.weights.min():g}"
                assert math.isclose(total, 1) or not result.weights.any(), f"the weights sum to {total:g}"
                assert len(list(filter(None, result.reasons))) == n, f"{n} clients have the reasons {result.reasons}"


def a_nan_excludes_its_sender(claims: Claims) -> None:
    """Who sends a NaN or an infinity takes no part, and the others' result is what it is without them."""
    for bad in (np.nan, np.inf, -np.inf):
        f, n = 2, max(claims.least(2), 5) + 1
        y = drawn(1, n, 30)
        y[-1, 17] = bad
        result, rest = claims.run(f, y), claims.run(f, y[:-1])
        assert_array_equal(result.update, rest.update)
        assert_array_equal(result.weights, [*rest.weights, 0])
        assert result.admitted.tolist() == [True] * (n - 1) + [False]
        raising = claims.make(f)
        raising.nonfinite = "raise"
        told = _error(claims, y, raising)
        assert f"client {n - 1}" in str(told), f"with nonfinite='raise' {bad} ends in {told!r}"


def _error(claims: Claims, x: NDArray[Any], rule: Rule[Any]) -> Exception | None:
    """The error that a round ends in."""
    try:
        claims.run(1, x, rule)
    except (TypeError, ValueError) as error:
        return error
    return None


def whoever_is_left_out_is_one_of_the_f(claims: Claims) -> None:
    """f clients that send garbage do not stop a round that f clients that send anything else do not stop."""
    for f in (1, 2, 3):
        n = max(claims.least(f), f + 1)
        for lost in range(1, f + 1):
            y = np.where(np.arange(n)[:, None] > n - 1 - lost, np.nan, drawn(f, n, 20))
            result = claims.run(f, y)
            assert result.admitted.sum() == n - lost
            assert np.isfinite(result.update).all()
            used = claims.make(f).withstood(n)
            assert used is None or (result.f is not None and used - lost <= result.f <= used)


def same_bits(claims: Claims) -> None:
    """A round has the same bits again, for any number of threads, and over files."""
    f, n = 1, max(claims.least(1), 6)
    x = drawn(3, n, 3 * GRAM_TILE + 5).astype(np.float32)
    once = claims.run(f, x)
    threads = kernels.num_threads()
    try:
        for count in (1, 2, 3):
            kernels.set_num_threads(count)
            _assert_same(claims.run(f, x), once, f"{count} threads")
    finally:
        kernels.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{i}.npy" for i in range(n)]
        for path, row in zip(paths, x, strict=True):
            np.save(path, row)
        out = Path(folder) / "out.npy"
        extras: dict[str, Any] = {name: {"arr_0": tensor} for name, tensor in claims.extras(x).items()}
        found = aggregate_files(claims.make(f), paths, out, ids=range(n), max_memory="24 MiB", **extras)
        assert_array_equal(np.load(out), once.update)
        assert_array_equal(found.weights, once.weights)


class Cut(inputs.Updates):
    """Updates in blocks of one tile, as a source may cut them."""

    def blocks(self, kept: Sequence[int]) -> Iterator[Rows]:
        for rows in super().blocks(kept):
            for start in range(0, rows[0].size, GRAM_TILE):
                yield kernels.active().window(rows, start, start + GRAM_TILE)


def _assert_same(found: Result, expected: Result, what: str) -> None:
    assert_array_equal(found.update, expected.update, what)
    assert_array_equal(found.weights, expected.weights, what)


def the_cut_into_blocks_does_not_matter(claims: Claims) -> None:
    """However a model is cut into blocks, the result is the same but for rounding."""
    x = drawn(3, max(claims.least(1), 6), 3 * GRAM_TILE + 5)
    whole = inputs.gather(list(x))
    cut = Cut(whole.clients, whole.leaves, whole.rebuild)
    found, once = claims.make(1).hold(cut, whole.policy, extras=claims.extras(x)), claims.run(1, x)
    assert_allclose(found.update, once.update, **ITERATED)
    assert_allclose(found.weights, once.weights, **ITERATED)


def updates_are_left_alone(claims: Claims) -> None:
    """A round reads its updates and writes to none, strided ones included; its result has memory of its own."""
    n = max(claims.least(1), 5)
    whole = drawn(0, n, 40)
    before = whole.copy()
    for x in (whole, whole[:, ::-2]):
        found = claims.run(1, x)
        assert_array_equal(whole, before, "written to")
        assert not np.shares_memory(found.update, whole), "the result is the memory of an update"
        _assert_same(found, claims.run(1, x.copy()), "another layout")


def a_failed_round_leaves_no_trace(claims: Claims) -> None:
    """After a round that failed the rule is as it was, and goes on as if there had been none."""
    n = max(claims.least(1), 5)
    rule, other = claims.make(1), claims.make(1)
    for one in (rule, other):
        claims.run(1, drawn(0, n), one)
    for bad in (np.full((n, 5), np.nan), np.full((n, 5), "x"), np.ones((n, 5, 5))):
        assert _error(claims, bad, rule), f"a round of {bad.dtype} of shape {bad.shape} did not fail"
    assert rule.last_round == 1
    _assert_same(claims.run(1, drawn(1, n), rule), claims.run(1, drawn(1, n), other), "the next round")


def saved_and_loaded_it_goes_on(claims: Claims) -> None:
    """A rule that is saved and loaded, or copied, goes on with the same bits, and its parameters make it again."""
    n = max(claims.least(1), 5)
    rule = claims.make(1)
    for number in range(2):
        claims.run(1, drawn(number, n), rule)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "state"
        rule.save(path)
        loaded = type(rule).load(path)
    restored = claims.make(1)
    restored.load_state_dict(rule.state_dict())
    copied = copy.deepcopy(rule)
    expected = claims.run(1, drawn(2, n), rule)
    for what, other in (("loaded", loaded), ("restored", restored), ("copied", copied)):
        assert other.parameters == rule.parameters
        found = claims.run(1, drawn(2, n), other)
        _assert_same(found, expected, what)
        assert found.round == expected.round == 3


# --- of those that claim them ---------------------------------------------------------------------------------------


def the_order_of_clients_does_not_matter(claims: Claims) -> None:
    """The order of the clients does not matter."""
    if not claims.permutation:
        return
    for n, f in claims.sizes(9):
        x, order = drawn(n, n), np.random.default_rng(n).permutation(n)
        one, other = claims.run(f, x), claims.run(f, x[order])
        assert_allclose(other.update, one.update, **EXACT)
        assert_allclose(other.weights, one.weights[order], **EXACT)


def moved_updates_move_the_result(claims: Claims) -> None:
    """All updates moved by a vector move the result by it."""
    if claims.shift:
        for n, f in claims.sizes(9):
            x, by = drawn(n, n), 100 * drawn(n, 1)
            assert_allclose(claims.run(f, x + by).update, claims.run(f, x).update + by[0], rtol=0, atol=1e-3)


def scaled_updates_scale_the_result(claims: Claims) -> None:
    """All updates times a positive number scale the result by it."""
    if claims.scale:
        for n, f in claims.sizes(9):
            x, by = drawn(n, n), 2.0 ** (n - 4)
            assert_allclose(claims.run(f, x * by).update / by, claims.run(f, x).update, **ITERATED)


def equal_updates_are_the_result(claims: Claims) -> None:
    """Of equal updates the result is that update."""
    if claims.identical:
        for n, f in claims.sizes(9):
            row = drawn(n, 1)[0]
            assert_allclose(claims.run(f, np.tile(row, (n, 1))).update, row, **EXACT)


def the_result_is_one_of_the_updates(claims: Claims) -> None:
    """The result is one of the updates, bit for bit."""
    if claims.selects:
        for dtype in (np.float16, np.float32, np.float64):
            x = drawn(3, max(claims.least(2), 9), 50).astype(dtype)
            result = claims.run(2, x)
            assert_array_equal(result.update, x[result.weights.argmax()])


def the_result_stays_in_the_honest_box(claims: Claims) -> None:
    """Whatever attackers send, the result stays in the honest box."""
    if claims.box is None:
        return
    for kind in ("dense", "sparse", "equal"):
        for n in (5, 6, 9, 14):
            most = max((f for f in range(1, (n - 1) // 2 + 1) if n >= claims.least(f)), default=0)
            for f in sorted({1, most} - {0}):
                _attacked(claims, kind, n, f)


def _attacked(claims: Claims, kind: str, n: int, f: int) -> None:
    rng = np.random.default_rng(n)
    x = 0.01 * drawn(n, n - f, 8)
    x = {"dense": x, "sparse": x * (rng.random(x.shape) < 0.1), "equal": np.tile(x[0], (n - f, 1))}[kind]
    low, high = x.min(axis=0), x.max(axis=0)
    assert claims.box is not None
    near = high + claims.box(n, f, high - low) * np.linspace(0.5, 1.5, 8)  # at the edge of what is believed
    for sent in (*HUGE, 1.7e308, near):
        update = claims.run(f, np.concatenate([x, np.tile(sent, (f, 8))[:, :8]])).update
        outside = np.maximum(low - update, update - high)
        assert (outside <= claims.box(n, f, high - low) + 1e-15).all(), (
            f"{f} of {n} clients send {sent} among {kind} updates: {outside.max():g} outside"
        )


LAWS: tuple[Law, ...] = (
    finite_in_finite_out,
    a_nan_excludes_its_sender,
    whoever_is_left_out_is_one_of_the_f,
    same_bits,
    the_cut_into_blocks_does_not_matter,
    updates_are_left_alone,
    a_failed_round_leaves_no_trace,
    saved_and_loaded_it_goes_on,
    the_order_of_clients_does_not_matter,
    moved_updates_move_the_result,
    scaled_updates_scale_the_result,
    equal_updates_are_the_result,
    the_result_is_one_of_the_updates,
    the_result_stays_in_the_honest_box,
)
