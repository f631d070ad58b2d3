"""Cells of ByzFL's heat maps on MNIST: its own training with its rule, with ours in its place, and with Flower's rules.

``python studies/yardsticks/byzfl_grid.py MNIST.npz [--cells 0:1,0:3,0.33:1,0.33:3] [--model fc_mnist|cnn_mnist]
[--steps 800] [--sides ByzFL,ours] [--out FILE.json]`` in an environment with byzfl 0.0.11 (``--no-deps``), torch 2.13.0
and flwr 1.42.0.

A cell is SIMILARITY:f: 10 honest clients, f attackers, distributed SGD with ByzFL's own clients, data distribution and
server (rate .1, momentum .9, weight decay .0001, batches of 25, seed 0); its number is the accuracy under the worst of
sign flip, optimal IPM and optimal ALIE. The last two search, 20 times a step as in ByzFL, the strength that moves the
rule's result farthest. Where a rule sees distances only, the search goes on in the span of the vectors, in which the
distances are the same; for a rule by coordinates it looks at one coordinate in 16. Every 50 steps our rule gets what
the peer's got; the farthest it was from the peer's, relative to the length of the peer's, is printed.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import logging
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

import robustagg as ra
from robustagg.attacks import sign_flip


def library() -> Any:
    """ByzFL; what it imports for its downloads and pictures alone may be missing."""
    for name in ("torchvision", "seaborn"):
        if importlib.util.find_spec(name) is None:
            sys.modules[name] = MagicMock(name=name)
    return importlib.import_module("byzfl")


byzfl = library()

Floats = NDArray[np.float32]
Rule = Callable[[Floats], Floats]

HONEST, EVALUATIONS, CHECKED = 10, 20, 50


@dataclass(frozen=True)
class Side:
    """A rule as one library has it, and ours where it is not ours; whether it sees distances only."""

    call: Rule
    twin: Rule | None = None
    distances: bool = True


SIDES = ("ByzFL", "ours", "FedMedian", "FedTrimmedAvg", "MultiKrum")


def sides(f: int, chosen: list[str]) -> dict[str, Side]:
    """Clipping, NNM and the geometric median as ByzFL and we have it, and what Flower has."""
    median = ra.GeometricMedian(nu=0.1, max_iter=3, tol=0, variant="byzfl")
    ours = ra.Pipeline(ra.NormClipping(2.0), ra.NNM(f=f), median)
    found = {"ByzFL": Side(peer(f), ours), "ours": Side(ours)}
    if set(chosen) - set(found):
        from flwr.serverapp import strategy

        logging.getLogger("flwr").setLevel(logging.WARNING)
        n = HONEST + f
        trimmed, krum = {"beta": (f + 0.5) / n}, {"num_malicious_nodes": f, "num_nodes_to_select": n - f - 2}
        found |= {
            "FedMedian": Side(flower(strategy.FedMedian()), ra.Median(), distances=False),
            "FedTrimmedAvg": Side(flower(strategy.FedTrimmedAvg(**trimmed)), ra.TrimmedMean(f=f), distances=False),
            "MultiKrum": Side(flower(strategy.MultiKrum(**krum)), ra.MultiKrum(f=f)),
        }
    return {name: found[name] for name in chosen}


def peer(f: int) -> Rule:
    """ByzFL's clipping, NNM and geometric median."""
    members = (byzfl.Clipping(c=2.0), byzfl.NNM(f=f), byzfl.GeometricMedian(nu=0.1, T=3))

    def call(rows: Floats) -> Floats:
        vectors = torch.from_numpy(rows.copy())
        for member in members:
            vectors = member(vectors)
        return np.asarray(vectors.numpy())

    return call


def flower(strategy: Any) -> Rule:
    """What a strategy of Flower makes of replies that bring these rows."""
    from flwr.app import Array, ArrayRecord, Message, MetricRecord, RecordDict
    from flwr.supercore.task_identity import TaskIdentity

    TaskIdentity.run_id = TaskIdentity.node_id = TaskIdentity.task_id = 1  # as its engine sets them

    def reply(node: int, row: Floats) -> Message:
        asked = Message(RecordDict(), dst_node_id=node, message_type="train")
        metrics = MetricRecord({"num-examples": 1})
        return Message(RecordDict({"arrays": ArrayRecord({"w": Array(row)}), "metrics": metrics}), reply_to=asked)

    def call(rows: Floats) -> Floats:
        arrays, _ = strategy.aggregate_train(1, [reply(node + 1, row) for node, row in enumerate(rows)])
        return np.asarray(arrays["w"].numpy(), np.float32)

    return call


# --- attackers --------------------------------------------------------------------------------------------------------


def searched(side: Side, honest: Floats, start: float, towards: Floats, f: int) -> Floats:
    """`start` times the honest mean plus so many times `towards` that the rule's result is farthest from the mean."""
    looked = np.vstack([honest, towards])
    if side.distances:
        looked = np.linalg.qr(looked.T.astype(np.float64), mode="r").T.astype(np.float32)
    else:
        looked = np.ascontiguousarray(looked[:, ::16])
    crowd, step = looked[:-1], looked[-1]
    mean = crowd.mean(axis=0)

    def moved(strength: float) -> float:
        sent = np.tile(np.float32(start) * mean + np.float32(strength) * step, (f, 1))
        return float(np.linalg.norm(side.call(np.vstack([crowd, sent])) - mean))

    strength = np.float32(strongest(moved))
    return np.tile(np.float32(start) * honest.mean(axis=0) + strength * towards, (f, 1))


def strongest(moved: Callable[[float], float]) -> float:
    """ByzFL's line search: strides from 0 that double while it gets better, then shrink by a fifth each time."""
    best, stride, growing = 0.0, 10.0, True
    value = moved(best)
    for _ in range(EVALUATIONS - 1):
        if (tried := moved(best + stride)) > value:
            best, value = best + stride, tried
            stride *= 2 if growing else 0.8
        else:
            stride, growing = stride * 0.8, False
    return best


ATTACKS: dict[str, Callable[[Side, Floats, int], Floats]] = {
    "sign flip": lambda side, honest, f: np.tile(sign_flip(honest.mean(axis=0)[None], 1), (f, 1)),
    "optimal IPM": lambda side, honest, f: searched(side, honest, 0, -honest.mean(axis=0), f),
    "optimal ALIE": lambda side, honest, f: searched(side, honest, 1, honest.std(axis=0), f),
}


# --- training ---------------------------------------------------------------------------------------------------------


class Images(Dataset):  # type: ignore[type-arg]
    """MNIST as ByzFL expects it: pairs, and ``targets``."""

    def __init__(self, x: NDArray[np.uint8], y: NDArray[np.uint8]) -> None:
        self.x = ((torch.from_numpy(x).float() / 255 - 0.1307) / 0.3081)[:, None]
        self.targets = torch.from_numpy(y.astype(np.int64))

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        return self.x[index], self.targets[index]


def training(path: Path, similarity: float, model: str) -> tuple[list[Any], Any]:
    """ByzFL's clients, each with its share of the training set, and its server, seeded alike for every side."""
    byzfl.utils.misc.set_random_seed(0)
    stored = np.load(path)
    data = DataLoader(Images(stored["x_train"], stored["y_train"]))
    test = DataLoader(Images(stored["x_test"], stored["y_test"]), batch_size=1000)
    distributed = {"data_distribution_name": "gamma_similarity_niid", "distribution_parameter": similarity}
    loaders = byzfl.DataDistributor(
        distributed | {"nb_honest": HONEST, "data_loader": data, "batch_size": 25}
    ).split_data()
    common = {"model_name": model, "device": "cpu", "optimizer_name": "SGD", "learning_rate": 0.1}
    common |= {"weight_decay": 0.0001, "milestones": [], "learning_rate_decay": 1.0}
    client = {"loss_name": "NLLLoss", "LabelFlipping": False, "momentum": 0.9, "nb_labels": 10}
    client |= {"store_per_client_metrics": False}
    clients = [byzfl.Client(common | client | {"training_dataloader": loader}) for loader in loaders]
    average = {"name": "Average", "parameters": {}}  # is not used: the rule is given from outside
    server = byzfl.Server(common | {"test_loader": test, "aggregator_info": average, "pre_agg_list": []})
    byzfl.utils.misc.set_random_seed(0)
    return clients, server


def run(side: Side, attack: str, f: int, steps: int, clients: list[Any], server: Any) -> tuple[float, float]:
    """Accuracy after the last step, and how far our rule ever was from the peer's."""
    apart = 0.0
    for step in range(steps):
        state = server.get_dict_parameters()
        for client in clients:
            client.set_model_state(state)
            client.compute_gradients()
        honest = np.stack([client.get_flat_gradients_with_momentum().numpy() for client in clients])
        rows = np.vstack([honest, ATTACKS[attack](side, honest, f)])
        result = side.call(rows)
        if side.twin is not None and step % CHECKED == 0:
            far = np.linalg.norm(result - np.asarray(side.twin(rows))) / np.linalg.norm(result)
            apart = max(apart, float(far))
        server.set_gradients(torch.from_numpy(np.array(result)))
        server._step()
    return float(server.compute_test_accuracy()), apart


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("mnist", type=Path)
    parser.add_argument("--cells", default="0:1,0:3,0.33:1,0.33:3")
    parser.add_argument("--model", default="cnn_mnist", choices=("cnn_mnist", "fc_mnist"))
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--sides", default=",".join(SIDES))
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    found: list[dict[str, Any]] = []
    for cell in chosen.cells.split(","):
        similarity, f = float(cell.split(":")[0]), int(cell.split(":")[1])
        for name, side in sides(f, chosen.sides.split(",")).items():
            for attack in ATTACKS:
                start = time.perf_counter()
                accuracy, apart = run(side, attack, f, chosen.steps, *training(chosen.mnist, similarity, chosen.model))
                found.append({"similarity": similarity, "f": f, "side": name, "attack": attack, "accuracy": accuracy,
                              "apart": apart, "seconds": time.perf_counter() - start})  # fmt: skip
                print(json.dumps(found[-1]), flush=True)
                if chosen.out:
                    chosen.out.write_text(json.dumps(found))
    table(found)


def table(found: list[dict[str, Any]]) -> None:
    """The worst accuracy of each cell and side."""
    cells = list(dict.fromkeys((row["similarity"], row["f"]) for row in found))
    print("| | " + " | ".join(f"similarity {s:g}, f = {f}" for s, f in cells) + " | apart |")
    print("| --- |" + " ---: |" * (len(cells) + 1))
    for side in dict.fromkeys(row["side"] for row in found):
        worst, apart = [], 0.0
        for cell in cells:
            rows = [r for r in found if r["side"] == side and (r["similarity"], r["f"]) == cell]
            apart = max([apart, *(r["apart"] for r in rows)])
            low = min(rows, key=lambda r: r["accuracy"])
            worst.append(f"{low['accuracy']:.3f} ({low['attack']})")
        print(f"| {side} | {' | '.join(worst)} | {apart:.0e} |")


if __name__ == "__main__":
    main()
