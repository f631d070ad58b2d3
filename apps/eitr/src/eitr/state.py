"""What every request of one server shares."""

from __future__ import annotations

import json
from pathlib import Path

from fastapi import Request
from prometheus_client import CollectorRegistry, Counter, Gauge

from eitr import features, updates
from eitr.limits import Rates
from eitr.settings import Settings
from eitr.store import Store


class State:
    """One folder's server."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self.settings = Settings.read(self.folder)
        self.store = Store(self.folder)
        self.rates = Rates()
        self.vocabulary = json.loads((self.folder / "vocabulary.json").read_text())
        self.pages = json.loads((self.folder / "pages.json").read_text())
        self.replay = json.loads((self.folder / "replay.json").read_text())
        self.classes: list[str] = self.vocabulary["classes"]
        self.layout = updates.expected(features.width(self.vocabulary), len(self.classes))
        self.registry = CollectorRegistry()
        self.received = Counter("eitr_updates", "Updates taken.", registry=self.registry)
        self.refused = Counter("eitr_refused", "Requests refused.", ["status"], registry=self.registry)
        clients = Gauge("eitr_clients", "Clients who take part.", registry=self.registry)
        clients.set_function(self.store.count_clients)
        published = Gauge("eitr_model", "Version of the newest model.", registry=self.registry)
        published.set_function(self.store.latest)

    @classmethod
    def of(cls, request: Request) -> State:
        state = request.app.state.eitr
        assert isinstance(state, cls)
        return state

    @staticmethod
    def host(request: Request) -> str:
        return request.client.host if request.client else "unknown"
