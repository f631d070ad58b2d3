"""What a fresh id buys a quiet attacker, and what a newcomer waits for: the tables of docs/identity.md.

Ten clients, 3,000 coordinates; honest updates are Gaussian, of lengths that vary by a fifth; the attacker sends their
mean and a step of half of a standard deviation in each coordinate. ``python studies/identity.py``: half a minute.
"""

from __future__ import annotations

import numpy as np

import robustagg as ra

N, D, ROUNDS, JOINS = 10, 3000, 24, 12
NEWCOMERS = (None, 0.8, 0.5, 0.0)


def honest(rng: np.random.Generator, n: int) -> np.ndarray:
    return rng.uniform(0.8, 1.2, (n, 1)) * rng.normal(size=(n, D))


def attackers_share(newcomer: float | None, every: int | None, seed: int) -> np.ndarray:
    """The weight of an attacker that takes a fresh id every so many rounds, in rounds 2 to 24."""
    rng, rule = np.random.default_rng(seed), ra.Reputation(newcomer=newcomer)
    step, shares = 0.5 * rng.choice([-1, 1], D), []
    for number in range(ROUNDS):
        rows = honest(rng, N - 1)
        name = f"eve{0 if every is None else number // every}"
        result = rule.aggregate([*rows, rows.mean(axis=0) + step], clients=[*map(str, range(N - 1)), name])
        shares.append(result.weights[-1])
    return np.array(shares[1:])


def newcomers_share(newcomer: float | None, seed: int) -> np.ndarray:
    """The weight of an honest client from the round on in which it joins the nine others."""
    rng, rule = np.random.default_rng(seed), ra.Reputation(newcomer=newcomer)
    shares = []
    for number in range(1, JOINS + 7):
        n = N - (number < JOINS)
        shares.append(rule.aggregate(honest(rng, n), clients=range(n)).weights[-1])
    return np.array(shares[JOINS - 1 :])


def main() -> None:
    print("| the attacker's id | " + " | ".join(map(str, NEWCOMERS)) + " |")
    for every in (None, 5, 2, 1):
        found = [np.concatenate([attackers_share(p, every, seed) for seed in range(8)]) for p in NEWCOMERS]
        name = "kept" if every is None else f"fresh every {every} rounds"
        print(f"| {name} | " + " | ".join(f"{w.mean():.3f} ({w.max():.2f})" for w in found) + " |")
    print("| newcomer | 1st | 2nd | 3rd | 4th | 5th | 6th | 7th |")
    for p in NEWCOMERS:
        mean = np.mean([newcomers_share(p, seed) for seed in range(24)], axis=0)
        print(f"| {p} | " + " | ".join(f"{w:.3f}" for w in mean) + " |")


if __name__ == "__main__":
    main()
