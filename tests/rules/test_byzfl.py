"""The rules beside ByzFL's, where that is installed: the same results, or one line that says why not.

Differences that no `variant` bridges:

- Krum, MultiKrum: of equal scores ours takes the client nearer to all others; with ``variant="byzfl"`` the first.
- GeometricMedian: ByzFL's is three steps from zero with nu = 0.1; ours converges.
- CAF, SMEA: ByzFL estimates eigenvalues by one step of power iteration from a random vector; ours are exact.
- CAF with f = 0: ByzFL returns None; ours is the mean.
- ARC: ByzFL truncates (2f / n)(n - f) in floating point and, rarely, loses one to rounding (n = 242, f = 33).
- Bucketing: ByzFL draws from NumPy's global state; ours from a seed and the number of the round.
- NaN: ByzFL returns NaN, or the client that sent it; ours leaves the client out.
"""

from __future__ import annotations

import importlib.util
import sys
from unittest.mock import MagicMock

import numpy as np
import pytest
from cases import cases
from numpy.testing import assert_allclose

import robustagg as ra

torch = pytest.importorskip("torch")
with pytest.MonkeyPatch.context() as patch:
    for name in ("torchvision", "seaborn"):  # ByzFL imports them for its experiments; its rules do without
        if importlib.util.find_spec(name) is None:
            patch.setitem(sys.modules, name, MagicMock())
    byzfl = pytest.importorskip("byzfl", reason="the comparison with ByzFL runs where byzfl is installed")

X = np.arange(1.0, 10.0).reshape(3, 3)  # the example of ByzFL's documentation

DOCUMENTED = [
    (ra.Mean(), [4, 5, 6]),
    (ra.Median(), [4, 5, 6]),
    (ra.TrimmedMean(f=1), [4, 5, 6]),
    (ra.GeometricMedian(nu=0.1, max_iter=3, tol=0, variant="byzfl"), [3.78788764, 4.78788764, 5.78788764]),
    (ra.Krum(f=1, variant="byzfl"), [1, 2, 3]),
    (ra.MultiKrum(f=1, variant="byzfl"), [2.5, 3.5, 4.5]),
    (ra.CenteredClipping(tau=100.0), [4, 5, 6]),
    (ra.MDA(f=1), [2.5, 3.5, 4.5]),
    (ra.MoNNA(f=1, reference=0), [2.5, 3.5, 4.5]),
    (ra.SMEA(f=1), [2.5, 3.5, 4.5]),
    (ra.CAF(f=1), [4, 5, 6]),
    (ra.NNM(f=1), [[2.5, 3.5, 4.5], [2.5, 3.5, 4.5], [5.5, 6.5, 7.5]]),
    (
        ra.NormClipping(c=2.0),
        [
            [0.53452248, 1.06904497, 1.60356745],
            [0.91168461, 1.13960576, 1.36752692],
            [1.00514142, 1.14873305, 1.29232469],
        ],
    ),
    (ra.ARC(f=1), [[1, 2, 3], [4, 5, 6], [4.41004009, 5.04004582, 5.67005155]]),
]


KINDS_OF_INPUT = {  # the four that its documentation shows
    "array": lambda: X,
    "list of arrays": lambda: list(X),
    "tensor": lambda: torch.from_numpy(X),
    "list of tensors": lambda: list(torch.from_numpy(X)),
}


@pytest.mark.parametrize("kind", KINDS_OF_INPUT)
@pytest.mark.parametrize(("rule", "documented"), DOCUMENTED, ids=lambda value: type(value).__name__)
def test_documented_calls_give_the_documented_results(rule, documented, kind):
    rule = type(rule)(**rule.parameters)
    result = rule(KINDS_OF_INPUT[kind]())
    rows = result if isinstance(result, list) else [result]
    assert all(isinstance(row, torch.Tensor if "tensor" in kind else np.ndarray) for row in rows)
    assert_allclose(np.stack([np.asarray(row) for row in rows]).reshape(np.shape(documented)), documented, rtol=1e-8)


def updates(kind: str, n: int, f: int) -> np.ndarray:
    rng = np.random.default_rng([n, f])
    x = rng.normal(size=(n, 40))
    if kind == "tied":
        return np.repeat(x[: -(-n // 2)], 2, axis=0)[:n]
    if kind == "far":
        x[n - f :] += 1e3
    if kind == "colluding":
        x[n - f :] = x[: n - f].mean(axis=0) - 1.5 * x[: n - f].std(axis=0)
    return x


KINDS = ["random", "tied", "far", "colluding"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", cases(peer=any), ids=str)
def test_aggregators_agree(case, kind):
    for n, f in ((7, 2), (10, 1), (11, 3), (12, 2)):
        x = updates(kind, n, f)
        theirs = eval(f"byzfl.{case.peer}", {"byzfl": byzfl, "f": f})
        ours = case.make(f)
        if kind == "tied" and case.name in ("MultiKrum-byzfl", "MDA", "MoNNA"):
            assert_as_good(case.name, ours(x), theirs(x.copy()), x, f)
        else:
            assert_allclose(ours(x), theirs(x.copy()), rtol=1e-9, atol=1e-9)


def assert_as_good(name, ours, theirs, x, f):
    """Where equal distances leave a choice, the results may differ, but not in what was minimised."""
    if name == "MoNNA":
        return  # the same distances, by argpartition in no order
    assert np.linalg.norm(ours - theirs) <= 2 * np.linalg.norm(x - x.mean(axis=0), axis=1).max()


@pytest.mark.parametrize("kind", KINDS)
def test_preaggregators_agree(kind):
    for n, f in ((7, 2), (10, 1), (11, 3), (12, 2)):
        x = updates(kind, n, f)
        if kind != "tied":
            assert_allclose(ra.NNM(f)(x), byzfl.NNM(f)(x.copy()), rtol=1e-9, atol=1e-9)
        assert_allclose(ra.NormClipping(3.0)(x), byzfl.Clipping(3.0)(x.copy()), rtol=1e-9, atol=1e-9)
        assert_allclose(ra.ARC(f)(x), byzfl.ARC(f)(x.copy()), rtol=1e-9, atol=1e-9)
        np.random.seed(0)  # noqa: NPY002
        order = np.random.permutation(n)  # noqa: NPY002
        np.random.seed(0)  # noqa: NPY002
        theirs = byzfl.Bucketing(2)(x.copy())
        assert_allclose([x[order[i : i + 2]].mean(axis=0) for i in range(0, n, 2)], theirs, rtol=1e-9)


def test_caf_and_smea_do_as_well_by_their_own_measure():
    def top_variance(rows):
        return np.linalg.norm(rows - rows.mean(axis=0), 2)

    for n, f in ((7, 2), (10, 1), (11, 3)):
        x = updates("far", n, f)
        for ours, theirs in ((ra.CAF(f), byzfl.CAF(f)), (ra.SMEA(f), byzfl.SMEA(f))):
            clean = x[: n - f].mean(axis=0)
            assert np.linalg.norm(ours(x) - clean) <= np.linalg.norm(theirs(x.copy()) - clean) + 1e-6
        subset = ra.SMEA(f).aggregate(x).weights > 0
        assert top_variance(x[subset]) <= top_variance(x[: n - f]) * (1 + 1e-9)


def test_byzfl_favours_who_sends_a_nan_and_we_do_not():
    x = updates("random", 9, 2)
    x[8, 3] = np.nan
    assert np.isnan(byzfl.Krum(2)(x.copy())).any()
    assert np.isfinite(ra.Krum(2, variant="byzfl")(x)).all()
