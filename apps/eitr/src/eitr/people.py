"""Made-up users, for the demo and the tests: they join, label pages rightly or not, train and send, as the
extension does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import httpx
import numpy as np
from safetensors.numpy import load, save

from eitr import features, model, replay

OCTETS = {"Content-Type": "application/octet-stream"}


@dataclass
class Person:
    """A user of the server at `url`, with pages of its own and what it says of them."""

    url: str
    invitation: str
    texts: Sequence[str]
    labels: Sequence[str]
    headers: dict[str, str] = field(default_factory=dict)

    def join(self) -> Person:
        answer = httpx.post(f"{self.url}/clients", json={"consent": True, "invitation": self.invitation})
        answer.raise_for_status()
        self.headers = {"Authorization": f"Bearer {answer.json()['token']}"}
        return self

    def update(self) -> tuple[int, bytes]:
        """The number of the live round, and this person's update for it."""
        round = httpx.get(f"{self.url}/round").raise_for_status().json()
        vocabulary = httpx.get(f"{self.url}/vocabulary").json()
        current = load(httpx.get(f"{self.url}/models/{round['model']}").content)
        labels = [vocabulary["classes"].index(label) for label in self.labels]
        old = httpx.get(f"{self.url}/training").json()["examples"]
        rng = np.random.default_rng()
        examples, said = replay.mixed(features.extract(vocabulary, self.texts), labels, old, rng)
        update = model.train(current, examples, said)
        return round["number"], save(update)

    def send(self, number: int, body: bytes) -> httpx.Response:
        return httpx.put(
            f"{self.url}/rounds/{number}/update", content=body, headers={**self.headers, **OCTETS}, timeout=30
        )
