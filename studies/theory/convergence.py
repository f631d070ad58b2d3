"""Measured error beside the proven bound: gradient descent along Reputation's result while f of n clients attack.

Draws problems (strongly convex quadratics, logistic regression), attackers and sizes at random, and prints in how many
the bounds of docs/guarantees.md are finite and hold, and how loose they are. 1,200 trials take 90 seconds of one core:
``OPENBLAS_NUM_THREADS=1 python studies/theory/convergence.py --trials 1200``.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Callable
from dataclasses import dataclass
from inspect import signature
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import robustagg as ra
from robustagg import attacks, theory

Floats = NDArray[np.float64]
Attack = Callable[..., Floats]

FAILURE = 0.05  # of each half of a bound, in all rounds of a trial together
KINDS = ("quadratic", "logistic")


class Noise(NamedTuple):
    """Of a single sample's gradient at a model, per coordinate."""

    sigma: Floats
    skewness: Floats
    proxy: Floats


@dataclass
class Quadratic:
    """Half of (w - w*)' H (w - w*), of which samples give the gradient with Gaussian noise."""

    curvature: Floats
    minimum: Floats
    sigma: Floats

    @classmethod
    def draw(cls, rng: np.random.Generator, d: int) -> Quadratic:
        turn = np.linalg.qr(rng.normal(size=(d, d)))[0]
        spectrum = np.exp(rng.uniform(0, np.log(10), d))
        return cls(turn * spectrum @ turn.T, rng.normal(size=d), rng.uniform(0.1, 2, d))

    def bounds(self) -> tuple[float, float]:
        values = np.linalg.eigvalsh(self.curvature)
        return float(values[0]), float(values[-1])

    def gradients(self, w: Floats, clients: int, m: int, rng: np.random.Generator) -> Floats:
        return self.gradient(w) + rng.normal(size=(clients, w.size)) * self.sigma / np.sqrt(m)

    def gradient(self, w: Floats) -> Floats:
        return self.curvature @ (w - self.minimum)

    def noise(self, w: Floats) -> Noise:
        return Noise(self.sigma, np.zeros_like(self.sigma), self.sigma)


@dataclass
class Logistic:
    """Ridge logistic regression on a population of which every client draws anew, with replacement, in every round."""

    x: Floats
    y: Floats
    ridge: float
    minimum: Floats

    @classmethod
    def draw(cls, rng: np.random.Generator, d: int) -> Logistic:
        x = rng.normal(size=(200, d)).clip(-3, 3)
        y = (rng.random(200) < 1 / (1 + np.exp(-x @ rng.normal(size=d)))).astype(float)
        problem = cls(x, y, float(rng.uniform(0.1, 1)), np.zeros(d))
        for _ in range(50):  # Newton's method
            p = problem.chance(problem.minimum)
            hessian = (x.T * (p * (1 - p))) @ x / len(x) + problem.ridge * np.eye(d)
            problem.minimum = problem.minimum - np.linalg.solve(hessian, problem.gradient(problem.minimum))
        return problem

    def chance(self, w: Floats) -> Floats:
        return np.asarray(1 / (1 + np.exp(-self.x @ w)))

    def each(self, w: Floats) -> Floats:
        return np.asarray((self.chance(w) - self.y)[:, None] * self.x + self.ridge * w)

    def bounds(self) -> tuple[float, float]:
        return self.ridge, self.ridge + float(np.linalg.eigvalsh(self.x.T @ self.x / len(self.x))[-1]) / 4

    def gradients(self, w: Floats, clients: int, m: int, rng: np.random.Generator) -> Floats:
        each = self.each(w)
        drawn = rng.multinomial(m, np.full(len(each), 1 / len(each)), size=clients)
        return np.asarray(drawn @ each / m)

    def gradient(self, w: Floats) -> Floats:
        return np.asarray(self.each(w).mean(axis=0))

    def noise(self, w: Floats) -> Noise:
        each = self.each(w)
        sigma = each.std(axis=0)
        third = (np.abs(each - each.mean(axis=0)) ** 3).mean(axis=0)
        return Noise(sigma, third / sigma**3, np.ptp(each, axis=0) / 2)


def strongest(honest: Floats, f: int, rule: ra.Reputation, true: Floats, rng: np.random.Generator) -> Floats:
    """Knows the rule and its memory: of several rows the one that carries this round's result furthest off."""
    mean, spread = honest.mean(axis=0), honest.max(axis=0) - honest.min(axis=0)
    toward = -np.sign(true)
    candidates = [mean + scale * spread * toward for scale in (0.5, 1, 3, 10, 30)]
    candidates += [attacks.alie(honest, f)[0], attacks.fang_median(honest, f)[0]]

    def off(row: Floats) -> float:
        tried = copy.deepcopy(rule)
        return float(np.linalg.norm(tried([*honest, *np.tile(row, (f, 1))]) - true))

    return np.tile(max(candidates, key=off), (f, 1))


ATTACKS: list[str] = [
    name for name, attack in attacks.ATTACKS.items() if attack.kind == "update" and name not in ("nan", "infinity")
]


class Trial(NamedTuple):
    """What was measured, and what was promised."""

    kind: str
    attack: str
    n: int
    f: int
    measured: float
    certified: float
    """The bound made of the rounds' certificates."""
    foreseen: float
    """The bound that is known before the first round."""
    median: float
    """Largest share of the median's rate that a round has used."""
    deviation: float
    """Largest share of the certificate that a round has used."""


def trial(seed: int, rounds: int = 30) -> Trial:
    """One run of gradient descent."""
    rng = np.random.default_rng([2023, seed])
    kind = KINDS[seed % 2]
    attack = [*ATTACKS, "strongest"][seed // 2 % (len(ATTACKS) + 1)]
    d, m = int(rng.integers(2, 9)), int(rng.integers(1000, 20000))
    n = int(rng.integers(6, 101))
    f = int(rng.integers(1, n // 2))
    problem = (Quadratic if kind == "quadratic" else Logistic).draw(rng, d)
    curvature = dict(zip(("strong_convexity", "smoothness"), problem.bounds(), strict=True))
    curvature["learning_rate"] = float(rng.uniform(0.3, 1)) * 2 / sum(curvature.values())
    rule = ra.Reputation(positive_weight=float(rng.uniform(0.1, 0.5)))
    size = {"n": n, "f": f, "m": m, "rounds": rounds, "failure": FAILURE}
    w = problem.minimum + rng.normal(size=d)
    start = float(np.linalg.norm(w - problem.minimum))
    errors = []
    for _ in range(rounds):
        honest = problem.gradients(w, n - f, m, rng)
        sent = malicious(attack, honest, f, rule, problem.gradient(w), rng)
        result = rule.aggregate(np.concatenate([honest, sent]), certify=True)
        errors.append(told(problem, w, np.median([*honest, *sent], axis=0), result, size))
        w = w - curvature["learning_rate"] * result.update
    measured = float(np.linalg.norm(w - problem.minimum))
    certified, foreseen, median, deviation = zip(*errors, strict=True)
    bounds = (theory.distance(start, error, **curvature) for error in (certified, foreseen))
    return Trial(kind, attack, n, f, measured, *bounds, max(median), max(deviation))


def told(
    problem: Quadratic | Logistic, w: Floats, middle: Floats, result: ra.Result, size: dict[str, Any]
) -> tuple[float, float, float, float]:
    """Of a round: both bounds of its error, and the shares of the median's rate and of the certificate that it used."""
    noise = problem.noise(w)
    rate = theory.median_rate(sigma=noise.sigma, skewness=noise.skewness, **size)
    median = float(np.linalg.norm(middle - problem.gradient(w))) / rate
    deviation = float(np.linalg.norm(result.update - middle)) / result.certificate.l2
    ahead = theory.deviation(proxy=noise.proxy, **size)
    return rate + result.certificate.l2, rate + ahead, median, deviation


def malicious(name: str, honest: Floats, f: int, rule: ra.Reputation, true: Floats, rng: np.random.Generator) -> Floats:
    """(f, d) rows of an attack."""
    if name == "strongest":
        return strongest(honest, f, rule, true, rng)
    attack: Attack = attacks.ATTACKS[name].function
    seeded = {"seed": int(rng.integers(2**31))} if "seed" in signature(attack).parameters else {}
    return attack(honest, f, **seeded)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=1200)
    ra.set_num_threads(1)  # rounds are small
    trials = [trial(seed) for seed in range(parser.parse_args().trials)]
    print(f"{'':12}{'trials':>8}{'finite':>8}{'held':>8}   bound / measured: least, median")
    for kind in KINDS:
        of = [t for t in trials if t.kind == kind]
        for name in ("certified", "foreseen"):
            bound, measured = (np.array([getattr(t, key) for t in of]) for key in (name, "measured"))
            finite = np.isfinite(bound)
            loose = bound[finite] / measured[finite]
            held = int((loose >= 1).sum())
            print(
                f"{kind:12}{len(of):8}{int(finite.sum()):8}{held:8}   {name}: {loose.min():.1f}, {np.median(loose):.1f}"
            )
    most = {name: max(getattr(t, name) for t in trials) for name in ("median", "deviation")}
    print(f"of the median's rate up to {most['median']:.2f} is used, of the certificate up to {most['deviation']:.2f}")
    worst = max(trials, key=lambda t: t.measured / t.certified)
    print(f"nearest to its bound: {worst}")


if __name__ == "__main__":
    main()
