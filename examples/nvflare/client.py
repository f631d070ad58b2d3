"""Softmax regression on points of its own; the first few attack, then some send garbage, some NaN, and some fail."""

import sys

import numpy as np
import nvflare.client as flare

CLASSES, FEATURES = 10, 20
CENTRES = np.random.default_rng(0).normal(size=(CLASSES, FEATURES))


def points(seed, n=200):
    """n points of a client's own, and their classes."""
    drawn = np.random.default_rng(seed)
    classes = drawn.integers(CLASSES, size=n)
    return (CENTRES[classes] + drawn.normal(0, 0.7, (n, FEATURES))).astype(np.float32), classes


def train(model, seed, steps=20, rate=0.5):
    """The model after some steps of gradient descent."""
    x, classes = points(seed)
    weight, bias = model["weight"].copy(), model["bias"].copy()
    for _ in range(steps):
        logits = x @ weight + bias
        chances = np.exp(logits - logits.max(axis=1, keepdims=True))
        chances /= chances.sum(axis=1, keepdims=True)
        chances[np.arange(len(x)), classes] -= 1
        weight -= rate * x.T @ chances / len(x)
        bias -= rate * chances.mean(axis=0)
    return {"weight": weight, "bias": bias}


def accuracy(model, seed=10**6):
    x, classes = points(seed, 2000)
    return float(((x @ model["weight"] + model["bias"]).argmax(axis=1) == classes).mean())


def misbehaving(site, model, trained, attackers, garbage, nan, failing):
    """What a client sends, and how many steps it claims."""
    if site <= attackers:  # the honest step backwards, five times as far, and a lie about the steps
        return {name: model[name] - 5 * (trained[name] - model[name]) for name in trained}, 10**6
    if site <= attackers + garbage:
        return {"weight": np.zeros(3)}, 20
    if site <= attackers + garbage + nan:
        return {name: np.full_like(array, np.nan) for name, array in trained.items()}, 20
    if site <= attackers + garbage + nan + failing:
        raise RuntimeError("out of memory")
    return trained, 20


def main():
    flare.init()
    site = int(flare.get_site_name().removeprefix("site-"))
    while flare.is_running():
        received = flare.receive()
        if received is None:
            break
        model = received.params
        sent, steps = misbehaving(site, model, train(model, seed=site), *map(int, sys.argv[1:]))
        metrics = {"accuracy": accuracy(model, seed=site)}
        meta = {"NUM_STEPS_CURRENT_ROUND": steps}
        flare.send(flare.FLModel(params_type="FULL", params=sent, metrics=metrics, meta=meta))


if __name__ == "__main__":
    main()
