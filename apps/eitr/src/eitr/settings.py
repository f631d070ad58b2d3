"""What an operator chooses; one JSON file in the server's folder, everything optional."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import limits
from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

import robustagg

EXTENSION = "ipjpbgpigagnbgcppfnhcjghjpihocha"  # fixed by the "key" in the extension's manifest


def _weights(normalize: str) -> str:
    return robustagg.Reputation(normalize=normalize).normalize


def _rate(text: str) -> str:
    limits.parse(text)
    return text


Rate = Annotated[str, AfterValidator(_rate)]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Settings:
    """Times in seconds; rates as the `limits` package spells them."""

    invitation: str = "open-sesame"
    admin_password: str = ""
    """Empty: nobody sees /admin."""
    quorum: Count = 5
    """Fewest updates a round is aggregated with; below five the rule promises nothing about a single client."""
    target: Count = 50
    """Updates at which a round does not wait for its deadline."""
    period: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 3600.0
    attempts: Count = 3
    tolerated_loss: Share = 0.1
    """How much accuracy on the held-out pages a round may lose, against the best model so far, and be published."""
    normalize: Annotated[str, AfterValidator(_weights)] = "sum"
    """How reputations become weights; the README has the measurement behind this choice."""
    rate_client: Rate = "60/minute"
    rate_host: Rate = "600/minute"
    rate_join: Rate = "20/hour"
    site: str = "http://127.0.0.1:8766"
    """Where the pages of the tasks are."""
    hosts: tuple[str, ...] = ("127.0.0.1", "localhost")
    origins: tuple[str, ...] = (f"chrome-extension://{EXTENSION}",)

    @classmethod
    def read(cls, folder: Path) -> Settings:
        path = folder / "settings.json"
        if not path.exists():
            return cls()
        try:
            return TypeAdapter(cls).validate_json(path.read_bytes())
        except ValidationError as wrong:
            faults = [": ".join([*map(str, fault["loc"]), fault["msg"]]) for fault in wrong.errors()]
            raise ValueError(f"{path}: {'; '.join(faults)}") from None
