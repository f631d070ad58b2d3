"""The MNIST table of velocity-fl (out/attack_arena, commit c478cbe) with the rules and attacks of this library.

``python studies/yardsticks/velocity.py MNIST.npz [--seeds 5] [--out FILE.json]``: 11 clients of whom the first 2
attack, classes dealt out by Dirichlet(1), at least 50 samples each, 784-128-64-10 with torch's usual first weights, one
epoch of SGD a round (rate .01, momentum .9, batches of 64), 16 rounds, accuracy after the last. As there, attackers
work on whole models and not on what has changed: sign-flip sends minus the trained model, IPM minus the honest mean,
Gaussian noise of deviation 100 in place of a model, ALIE the mean *plus* .14 deviations, and their Fang, whose search
finds no room among two attackers, the model minus the signs of the attackers' mean. The last column is Fang's attack as
published.

All attacks on a rule go on side by side, and where two have led to the same model its clients are trained once.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

import robustagg as ra
from robustagg import attacks
from robustagg.simulation import arrays
from robustagg.simulation.models import Training, model, one_blas_thread
from robustagg.simulation.tasks import Samples, split

Floats = NDArray[np.float32]

N, F, ROUNDS, SIZES = 11, 2, 16, (784, 128, 64, 10)
RULES: dict[str, Callable[[], ra.Rule]] = {
    "FedAvg": ra.Mean,
    "Krum": lambda: ra.Krum(f=F),
    "Multi-Krum": lambda: ra.MultiKrum(f=F, m=3),
    "Bulyan": lambda: ra.Bulyan(f=F),
}
THEIRS = {  # mean and standard deviation over five seeds, as printed there
    "FedAvg": "0.098±0.00 0.893±0.01 0.933±0.01 0.862±0.04 0.965±0.00 0.134±0.03",
    "Krum": "0.909±0.03 0.909±0.03 0.909±0.03 0.909±0.03 0.963±0.00 0.909±0.03",
    "Multi-Krum": "0.938±0.01 0.938±0.01 0.938±0.01 0.938±0.01 0.957±0.00 0.938±0.01",
    "Bulyan": "0.957±0.00 0.957±0.00 0.957±0.00 0.957±0.00 0.960±0.00 0.957±0.00",
}


class Sent(NamedTuple):
    """A round, as the attackers see it: the model, what all have trained it to, and how many samples they have."""

    model: Floats
    trained: Floats
    counts: NDArray[np.float64]
    seed: list[int]


def _ipm(sent: Sent) -> Floats:
    mean = np.average(sent.trained[F:], axis=0, weights=sent.counts[F:])
    return attacks.ipm(mean[None], F, epsilon=1.0)


def _fang(sent: Sent) -> Floats:
    return sent.model + attacks.fang_krum(sent.trained[F:] - sent.model, F)


ATTACKS: dict[str, Callable[[Sent], Floats]] = {
    "gaussian": lambda sent: attacks.gaussian(sent.trained[F:], F, std=100.0, seed=sent.seed),
    "ipm": _ipm,
    "label-flip": lambda sent: sent.trained[:F],
    "sign-flip": lambda sent: attacks.sign_flip(sent.trained[:F], F),
    "alie": lambda sent: attacks.alie(sent.trained[F:], F, z=-attacks.alie_z(N, F)),
    "their fang": lambda sent: np.tile(sent.model - np.sign(sent.trained[:F].mean(axis=0)), (F, 1)),
    "fang": _fang,
}
OWN_COUNT = ("gaussian", "label-flip", "sign-flip")  # the others claim the mean number of samples


class Federation:
    """MNIST in the hands of 11 clients, and the same with the labels of the first two permuted."""

    def __init__(self, path: Path, seed: int) -> None:
        stored = np.load(path)
        x, x_test = (
            (stored[name].reshape(-1, 784).astype(np.float32) / 255 - 0.1307) / 0.3081 for name in ("x_train", "x_test")
        )
        self.test: Samples = (x_test, stored["y_test"].astype(np.intp))
        y = stored["y_train"].astype(np.intp)
        task = arrays(x, y, test=self.test)
        self.model = model("mlp:128-64", task, Training(learning_rate=0.01, batch=64, momentum=0.9))
        self.seed, rng = seed, np.random.default_rng(seed)
        parts = split(y, N, 1.0, rng, "unbalanced")
        while min(map(len, parts)) < 50:
            parts = split(y, N, 1.0, rng, "unbalanced")
        self.clients: list[Samples] = [(x[part], y[part]) for part in parts]
        permuted = rng.permutation(10)
        while (permuted == np.arange(10)).any():
            permuted = rng.permutation(10)
        self.poisoned: list[Samples] = [(x, permuted[y]) for x, y in self.clients[:F]]
        self.counts = np.array([len(y) for _, y in self.clients], float)

    def initial(self) -> Floats:
        """Uniform within one over the root of the inputs, bias too."""
        rng = np.random.default_rng([self.seed, 1])
        layers = pairwise(SIZES)
        drawn = [rng.uniform(-1, 1, (n_in + 1) * n_out) / np.sqrt(n_in) for n_in, n_out in layers]
        return np.concatenate(drawn).astype(np.float32)

    def train(self, model: Floats, clients: list[Samples], round: int) -> Floats:
        """(clients, d) the models they come to."""
        seeds = [[self.seed, round, client] for client in range(len(clients))]
        return self.model.updates(model, clients, [1] * len(clients), seeds) + model

    def accuracy(self, model: Floats) -> float:
        x, y = self.test
        return float((self.model.scores(model, x).argmax(axis=1) == y).mean())

    def results(self, rule: str) -> dict[str, float]:
        """Accuracy after the last round under each attack."""
        rules, models = {name: RULES[rule]() for name in ATTACKS}, dict.fromkeys(ATTACKS, self.initial())
        for round in range(ROUNDS):
            trained: dict[bytes, Floats] = {}
            for name, now in models.items():
                if not np.isfinite(now).all():
                    continue
                if now.tobytes() not in trained:
                    trained[now.tobytes()] = self.train(now, self.clients, round)
                rows = trained[now.tobytes()].copy()
                if name == "label-flip":
                    rows[:F] = self.train(now, self.poisoned, round)
                models[name] = self.aggregated(rules[name], name, Sent(now, rows, self.counts, [self.seed, round]))
        return {name: self.accuracy(found) for name, found in models.items()}

    def aggregated(self, rule: ra.Rule, attack: str, sent: Sent) -> Floats:
        rows, counts = sent.trained.copy(), sent.counts.copy()
        finite = np.isfinite(rows).all(axis=1)
        if not finite[F:].any():  # training has diverged: nothing is left to poison
            return sent.model
        rows[:F] = ATTACKS[attack](sent)
        if attack not in OWN_COUNT:
            counts[:F] = counts.mean()
        weighed = {"sample_counts": counts} if isinstance(rule, ra.Mean) else {}
        return np.asarray(rule.aggregate(rows - sent.model, **weighed).update, np.float32) + sent.model


def table(found: dict[str, dict[str, list[float]]]) -> None:
    """Ours, and theirs below."""
    print("| | " + " | ".join(ATTACKS) + " |\n| --- |" + " ---: |" * len(ATTACKS))
    for rule, by_attack in found.items():
        ours = [f"{np.mean(values):.3f} ± {np.std(values, ddof=1):.3f}" for values in by_attack.values()]
        print(f"| {rule} | {' | '.join(ours)} |")
        print(f"| *theirs* | {' | '.join(THEIRS[rule].split())} | |".replace("±", " ± "))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("mnist", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    start = time.perf_counter()
    found: dict[str, dict[str, list[float]]] = {rule: {name: [] for name in ATTACKS} for rule in RULES}
    with one_blas_thread():
        for seed in range(chosen.seeds):
            federation = Federation(chosen.mnist, seed)
            for rule in RULES:
                results = federation.results(rule)
                for name, accuracy in results.items():
                    found[rule][name].append(accuracy)
                print(f"{time.perf_counter() - start:5.0f} s  seed {seed}  {rule}  {results}", flush=True)
                if chosen.out:
                    chosen.out.write_text(json.dumps(found))
    table(found)


if __name__ == "__main__":
    main()
