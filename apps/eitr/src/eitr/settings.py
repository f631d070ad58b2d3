"""What an operator chooses; one JSON file in the server's folder, everything optional."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path

EXTENSION = "ipjpbgpigagnbgcppfnhcjghjpihocha"  # fixed by the "key" in the extension's manifest


@dataclass(frozen=True)
class Settings:
    """Times in seconds; rates as the `limits` package spells them."""

    invitation: str = "open-sesame"
    admin_password: str = ""
    """Empty: nobody sees /admin."""
    quorum: int = 5
    """Fewest updates a round is aggregated with; below five the rule promises nothing about a single client."""
    target: int = 50
    """Updates at which a round does not wait for its deadline."""
    period: float = 3600.0
    attempts: int = 3
    tolerated_loss: float = 0.1
    """How much accuracy on the held-out pages a round may lose, against the best model so far, and be published."""
    normalize: str = "sum"
    """How reputations become weights; the README has the measurement behind this choice."""
    rate_client: str = "60/minute"
    rate_host: str = "600/minute"
    rate_join: str = "20/hour"
    site: str = "http://127.0.0.1:8766"
    """Where the pages of the tasks are."""
    hosts: tuple[str, ...] = ("127.0.0.1", "localhost")
    origins: tuple[str, ...] = (f"chrome-extension://{EXTENSION}",)

    @classmethod
    def read(cls, folder: Path) -> Settings:
        path = folder / "settings.json"
        given = json.loads(path.read_text()) if path.exists() else {}
        unknown = given.keys() - {field.name for field in fields(cls)}
        if unknown:
            raise ValueError(f"{path}: unknown settings {sorted(unknown)}")
        return cls(**{name: tuple(value) if isinstance(value, list) else value for name, value in given.items()})
