"""Random rounds: rules, values, layouts, ids and sample counts that nobody should send."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import zoo
from cases import ASKING, CASES, Case
from numpy.typing import NDArray
from trials import EXPECTED, Broken, law, only

import robustagg as ra
from robustagg import kernels
from robustagg.rules.table import RULES

DTYPES = {name: np.dtype(name) for name in ("float16", "float32", "float64")} | {
    "bfloat16": np.dtype(ml_dtypes.bfloat16)
}
WIDTHS = (0, 1, 2, 7, 63, 64, 65, 300, 1025)
BAD = (np.nan, np.inf, -np.inf, 0.0, -0.0)
PRE = (lambda f: ra.NNM(f), lambda f: ra.NormClipping(1.0), lambda f: ra.ARC(f), lambda f: ra.Bucketing(2))
# the last makes rows that are no client's


@dataclass
class Setting:
    """What one trial sends."""

    case: Case
    f: int
    dtype: np.dtype[Any]
    ordinary: bool
    rounds: list[list[NDArray[Any]]]
    clients: list[int | str]
    counts: list[float] | None

    def make(self) -> ra.Rule[Any]:
        return self.case.make(self.f)

    def play(self, rule: ra.Rule[Any], present: Callable[[list[NDArray[Any]]], Any]) -> list[Any]:
        """What each round ends in: a result, or an error that is allowed."""
        ends = []
        for rows in self.rounds:
            before = rule.state_dict()
            try:
                with only(*EXPECTED, what="a round"):
                    extras = {name: present([row])[0] for name, row in self.case.extras(rows).items()}
                    ends.append(
                        rule.aggregate(present(rows), clients=self.clients, sample_counts=self.counts, **extras)
                    )
            except EXPECTED as error:
                ends.append(error)
                law("a failed round leaves no trace", same(before, rule.state_dict()), repr(error))
        return ends


def trial(seed: int, tally: Counter[str]) -> None:
    rng = np.random.default_rng(seed)
    setting = drawn(rng)
    told = f"{setting.case} f={setting.f} n={len(setting.clients)} d={setting.rounds[0][0].size} {setting.dtype}"
    try:
        _laws(rng, setting, tally)
    except Broken as broken:
        raise Broken(f"{broken.law} [{setting.case}]", f"{told}: {broken.detail}") from broken


def _laws(rng: np.random.Generator, setting: Setting, tally: Counter[str]) -> None:
    kept = [[row.tobytes() for row in rows] for rows in setting.rounds]
    kernels.set_num_threads(1)
    plain = setting.play(setting.make(), list)
    for end in plain:
        tally["rounds refused" if isinstance(end, Exception) else "rounds with a result"] += 1
        if not isinstance(end, Exception):
            check_result(end, setting)
    if "native" in kernels.available():
        with ra.use_backend("native"):
            kernels.active()._native.wake_for(0)  # however small the work
    for threads in (2, 3):
        kernels.set_num_threads(threads)
        agree("any number of threads", plain, setting.play(setting.make(), list))
    kernels.set_num_threads(2)
    layout = str(rng.choice(list(LAYOUTS)))
    agree(f"layout {layout}", plain, setting.play(setting.make(), LAYOUTS[layout]))
    unchanged = kept == [[row.tobytes() for row in rows] for rows in setting.rounds]
    law("updates are left alone", unchanged)
    if setting.dtype.name != "bfloat16" and setting.rounds[0][0].size:
        over_files(setting, plain)
        tally["over files"] += 1
    alike = setting.case.name.startswith("pipeline")  # rows clipped to one length tie, and a rounding decides
    if setting.ordinary and setting.dtype.itemsize > 2 and not alike:
        other = str(rng.choice([name for name in kernels.available() if name != kernels.active_name()]))
        with kernels.use_backend(other):
            near(other, plain, setting.play(setting.make(), list))
        tally[f"with {other}"] += 1
    if setting.case.box is not None and len(setting.clients) >= max(5, setting.case.least(max(setting.f, 1))):
        honest_box(rng, setting)
        tally["honest boxes"] += 1


# --- what is drawn ---


def drawn(rng: np.random.Generator) -> Setting:
    case = any_case(rng)
    f = int(rng.integers(0, 4))
    least = case.least(f)
    n = int(rng.integers(1, 4) if rng.random() < 0.1 else least + rng.integers(0, 12))
    n, d = max(n, 1), int(rng.choice(WIDTHS))
    dtype = str(rng.choice(list(DTYPES)))
    ordinary = rng.random() < 0.3
    rounds = []
    for _ in range(int(rng.integers(1, 4))):
        columns = rng.normal(size=(n, d)) if ordinary else strange(rng, n, d, dtype)
        with np.errstate(all="ignore"):
            matrix = columns.astype(DTYPES[dtype])
        rounds.append(list(matrix))
    counts = rng.choice([0.0, 1.0, 3.0, 1e300, 5e-324], n).tolist() if case.counts and rng.random() < 0.3 else None
    return Setting(case, f, DTYPES[dtype], bool(ordinary), rounds, ids(rng, n), counts)


def any_case(rng: np.random.Generator) -> Case:
    """One of the tests' cases, a rule of the table as the command line makes it, or a pipeline."""
    kind = rng.random()
    if kind < 0.6:
        known = [*CASES, *ASKING]
        return known[rng.integers(len(known))]
    entries = [entry for entry in RULES if not entry.asks]
    entry = entries[rng.integers(len(entries))]
    needs = entry.kind.needs
    a, b = needs or (0, 1)

    def least(f: int) -> int:
        return a * f + b

    def make(f: int) -> Any:
        return entry.kind() if needs is None else entry.kind(f=f)

    if kind < 0.8:
        return Case(entry.name, make, least)
    which = PRE[rng.integers(len(PRE) - make(1).by_client)]
    return Case(f"pipeline of {entry.name}", lambda f: ra.Pipeline(which(f), make(f)), lambda f: 2 * least(f))


def strange(rng: np.random.Generator, n: int, d: int, dtype: str) -> NDArray[np.float64]:
    kinds = zoo.column_kinds(dtype)
    with np.errstate(all="ignore"):
        x = np.array([kinds[k](rng, n) for k in rng.integers(0, len(kinds), d)]).reshape(d, n).T
    if rng.random() < 0.5:
        x[rng.integers(n)] = rng.choice([*BAD, zoo.LARGEST[dtype], -zoo.LARGEST[dtype], zoo.SUBNORMAL[dtype]])
    if d and rng.random() < 0.3:
        x[rng.integers(n), rng.integers(d)] = rng.choice(BAD)
    if rng.random() < 0.2:
        x[:] = x[rng.integers(n)]
    return x


def ids(rng: np.random.Generator, n: int) -> list[int | str]:
    words = ("", "a", "~", "\n", "\x1b[2J", "東", "\udcff", "1", "../x", "x" * 300)
    kinds: list[Callable[[int], int | str]] = [
        lambda i: i,
        lambda i: -i,
        lambda i: 2**63 - 1 - i,
        lambda i: f"{words[rng.integers(len(words))]}{i}",
        lambda i: np.int64(i).item(),
    ]
    kind = kinds[rng.integers(len(kinds))]
    return [kind(i) for i in range(n)]


# --- layouts: the same values, lying elsewhere ---


def _strided(rows: list[NDArray[Any]]) -> list[NDArray[Any]]:
    return [np.repeat(row, 3)[1::3] for row in rows]


def _tree(rows: list[NDArray[Any]]) -> list[Any]:
    """The leaves in the order of their names, which is that of the coordinates: another order adds up otherwise."""
    cut = rows[0].size // 3
    return [{"b": (row[cut:],), "a": [row[:cut].reshape(1, -1)]} for row in rows]


def _read_only(rows: list[NDArray[Any]]) -> list[NDArray[Any]]:
    copies = [row.copy() for row in rows]
    for row in copies:
        row.flags.writeable = False
    return copies


LAYOUTS: dict[str, Callable[[list[NDArray[Any]]], Any]] = {
    "C": lambda rows: np.stack(rows),
    "Fortran": lambda rows: np.asfortranarray(np.stack(rows)),
    "strided": lambda rows: _strided(rows),
    "reversed": lambda rows: [row[::-1].copy()[::-1] for row in rows],
    "byte-swapped": lambda rows: [
        row.astype(row.dtype.newbyteorder()) if row.dtype.kind == "f" else row for row in rows
    ],
    "read-only": lambda rows: _read_only(rows),
    "tree": lambda rows: _tree(rows),
}


def flat(update: Any) -> NDArray[Any]:
    """The values of a tree as `_tree` makes it."""
    if isinstance(update, dict):
        return np.concatenate([np.ravel(update["a"][0]), np.ravel(update["b"][0])])
    return np.asarray(update)


# --- laws ---


def _shared(rows: list[NDArray[Any]], places: NDArray[np.bool_]) -> bool:
    """Whether more than half of the rows hold NaN or an infinity at each of the places: such a mask passes through."""
    held = [~np.isfinite(np.asarray(row).astype(np.float64)[places]) for row in rows]
    return bool((2 * np.sum(held, axis=0) > len(rows)).all())


def check_result(result: Any, setting: Setting) -> None:
    update = np.asarray(result.update).astype(np.float64)
    bad = ~np.isfinite(update)
    law("a finite result where the clients share no infinity", any(_shared(rows, bad) for rows in setting.rounds))
    weights = result.weights
    law("weights are finite and not negative", np.isfinite(weights).all() and (weights >= 0).all(), weights)
    law("weights sum to 1, or are all zero", abs(weights.sum() - 1) < 1e-9 or not weights.any(), weights.sum())
    law("a reason for each client", len(result.reasons) == len(setting.clients) and all(result.reasons))
    str(result)


def agree(what: str, ends: list[Any], others: list[Any], errors_too: bool = True) -> None:
    """The same bits, and the same errors."""
    for one, other in zip(ends, others, strict=True):
        if isinstance(one, Exception) or isinstance(other, Exception):
            law(f"same error: {what}", type(one) is type(other), f"{one!r:.150} / {other!r:.150}")
            continue
        mine, theirs = flat(one.update), flat(other.update)
        native = theirs.astype(mine.dtype)
        law(f"same bits: {what}", mine.tobytes() == native.tobytes(), differing(mine, native))
        law(f"same weights: {what}", same(one.weights, other.weights), (one.weights, other.weights))
        law(f"same reasons: {what}", one.reasons == other.reasons, (one.reasons, other.reasons))


def near(what: str, ends: list[Any], others: list[Any]) -> None:
    """Backends on ordinary values, where no decision hangs on a rounding."""
    for one, other in zip(ends, others, strict=True):
        if isinstance(one, Exception) or isinstance(other, Exception):
            law(f"same error: {what}", type(one) is type(other), f"{one!r:.150} / {other!r:.150}")
            continue
        law(f"near: {what}", np.allclose(one.update, other.update, rtol=1e-4, atol=1e-4), one.update - other.update)
        law(f"near weights: {what}", np.allclose(one.weights, other.weights, atol=1e-4))


def over_files(setting: Setting, plain: list[Any]) -> None:
    """The same rounds over .npy files."""
    rule, ends = setting.make(), []
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{i}.npy" for i in range(len(setting.clients))]
        for rows in setting.rounds:
            for path, row in zip(paths, rows, strict=True):
                np.save(path, row)
            extras = {name: {"arr_0": tensor} for name, tensor in setting.case.extras(rows).items()}
            out = Path(folder) / "out.npy"
            try:
                with only(*EXPECTED, what="a round over files"):
                    result = ra.aggregate_files(
                        rule,
                        paths,
                        out,
                        ids=setting.clients,
                        sample_counts=setting.counts,
                        max_memory="24 MiB",
                        **extras,
                    )
                ends.append(Written(np.load(out), result.weights, result.reasons))
            except EXPECTED as error:
                ends.append(error)
            law("no draft is left", {p.name for p in Path(folder).iterdir()} <= {"out.npy", *(p.name for p in paths)})
    agree("over files", plain, ends)


@dataclass
class Written:
    update: NDArray[Any]
    weights: NDArray[Any]
    reasons: tuple[str, ...]


def honest_box(rng: np.random.Generator, setting: Setting) -> None:
    """f of n clients send anything finite; the others are honest."""
    case, n = setting.case, len(setting.clients)
    most = max((f for f in range(1, (n - 1) // 2 + 1) if n >= case.least(f)), default=0)
    if not most:
        return
    f, d = int(rng.integers(1, most + 1)), 40
    honest_kinds = (zoo.gaussian, zoo.narrow, zoo.grid, zoo.sparse, zoo.constant, zoo.offset)
    dtype = np.dtype(str(rng.choice(["float32", "float64"])))
    honest = np.array([honest_kinds[k](rng, n - f) for k in rng.integers(0, len(honest_kinds), d)]).T.astype(dtype)
    top = float(np.finfo(dtype).max)
    low, high = honest.min(axis=0).astype(np.float64), honest.max(axis=0).astype(np.float64)
    assert case.box is not None
    allowed = np.asarray(case.box(n, f, high - low))
    sent = rng.choice([top, -top, 1e30, 1e6, 30.0, -1.0, 1e-7, 0.0], (f, d)) * rng.choice([1.0, 0.5], (f, 1))
    if rng.random() < 0.5:
        sent = np.tile(high + allowed * rng.uniform(0.5, 1.5, d), (f, 1))
    x = np.concatenate([honest, sent.astype(dtype)])
    result = case.make(f).aggregate(x[rng.permutation(n)] if case.permutation else x)
    update = np.asarray(result.update, np.float64)
    outside = np.maximum(low - update, update - high) - allowed
    rounding = 8 * float(np.finfo(dtype).eps) * np.maximum(abs(low), abs(high)) + 1e-15
    worst = int(np.argmax(outside - rounding))
    law("the honest box", (outside <= rounding).all(), f"{f} of {n} attack, {dtype}: {outside[worst]:g} outside")


def same(one: Any, other: Any) -> bool:
    try:
        np.testing.assert_equal(one, other)
    except AssertionError:
        return False
    return True


def differing(one: NDArray[Any], other: NDArray[Any]) -> str:
    if one.shape != other.shape:
        return f"{one.shape} / {other.shape}"
    places = [i for i in range(one.size) if one[i].tobytes() != other[i].tobytes()]
    return f"{len(places)} of {one.size} differ: {[(float(one[i]), float(other[i])) for i in places[:2]]}"
