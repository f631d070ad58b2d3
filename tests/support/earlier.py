"""The rules whose states the files in tests/data hold, and the rounds that they had seen. See tests/data/README.md."""

from __future__ import annotations

from typing import Any

import numpy as np

import robustagg as ra

BIG = {"window": (2**63 - 1, "2", 2, "osaka ☃"), "sums": (-(2**63), "-1", -1, "lima")}
CLIENTS = ("ada", "bob", "cem", "dan", "eve")

RULES: dict[str, tuple[str, Any]] = {
    "reputation-window": ("sqlite", lambda: ra.Reputation(window=3, rescale="paper", decay=0.25, normalize="minmax")),
    "reputation-sums": (
        "sqlite",
        lambda: ra.Reputation(window=None, rescale="clip", value_range=None, normalize="minmax"),
    ),
    "foolsgold": ("npz", lambda: ra.FoolsGold(kappa=1.5)),
    "foolsgold-files": ("npz", lambda: ra.FoolsGold(features=(3, 30))),
    "clipping": ("npz", lambda: ra.CenteredClipping(tau=2.0)),
    "clipping-files": ("npz", lambda: ra.CenteredClipping(tau=2.0, iterations=2)),
    "krum": ("npz", lambda: ra.Krum(f=1)),
    "pipeline": ("npz", lambda: ra.Pipeline(ra.NNM(f=1), ra.CenteredClipping(tau=3.0))),
    "pipeline-foolsgold": ("npz", lambda: ra.Pipeline(ra.ARC(f=1), ra.FoolsGold(), nonfinite="raise")),
}


def clients(name: str, round: int) -> tuple[Any, ...]:
    """Who takes part: ids of both kinds where there is a ledger; somebody is missing in every second round."""
    kind = BIG.get(name.removeprefix("reputation-"), ())
    everyone = (*CLIENTS, *kind) if kind else (*CLIENTS, 7, "7")
    everyone = tuple(c for c in everyone if isinstance(c, str)) if name.endswith("-files") else everyone
    return everyone[1:] if round % 2 == 0 else everyone


def updates(name: str, round: int) -> dict[Any, Any]:
    """What they send: 40 float32, by whole-number arithmetic, the same everywhere."""
    sent = {}
    for k, client in enumerate(clients(name, round)):
        whole = (np.arange(40, dtype=np.int64) * 7919 + 104_729 * k * (k + 1) + 1301 * round) % 1009
        sent[client] = ((whole - 504) / (700 if k else 7)).astype(np.float32)
    return sent
