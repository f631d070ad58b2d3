"""What people look at: what it is, what it sends, how to install it, what there is to do, and the operator's page."""

from __future__ import annotations

import secrets
from collections import defaultdict
from importlib.resources import files
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import HTMLResponse
from fastapi.security import HTTPBasic, HTTPBasicCredentials
from fastapi.templating import Jinja2Templates

from eitr import privacy
from eitr.rounds import LEDGER
from eitr.state import State
from robustagg import ledger

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)
templates = Jinja2Templates(directory=str(files("eitr").joinpath("templates")))  # escapes what it prints
password = HTTPBasic(auto_error=False)

WIDTH, HEIGHT = 320.0, 60.0  # of a reputation's picture


@router.get("/")
def index(request: Request) -> Response:
    state = State.of(request)
    facts = {"clients": state.store.count_clients(), "model": state.store.latest(), "classes": state.classes}
    return templates.TemplateResponse(request, "index.html", facts)


@router.get("/privacy")
def privacy_page(request: Request) -> Response:
    facts = {"measured": privacy.MEASURED, "frequency": privacy.BY_FREQUENCY}
    return templates.TemplateResponse(request, "privacy.html", facts)


@router.get("/install")
def install(request: Request) -> Response:
    return templates.TemplateResponse(request, "install.html", {})


@router.get("/tasks")
def tasks(request: Request) -> Response:
    state = State.of(request)
    return templates.TemplateResponse(request, "tasks.html", {"pages": state.pages, "site": state.settings.site})


@router.get("/admin")
def admin(request: Request, given: Annotated[HTTPBasicCredentials | None, Depends(password)] = None) -> Response:
    state = State.of(request)
    state.rates.hit("60/minute", "admin", state.host(request))
    wanted = state.settings.admin_password
    if not (given and wanted and secrets.compare_digest(given.password.encode(), wanted.encode())):
        return HTMLResponse("a password is needed", 401, {"WWW-Authenticate": 'Basic realm="EITR"'})
    first = state.store.model(0)
    facts = {"rounds": state.store.rounds(), "first": first and first["accuracy"], "clients": reputations(state)}
    return templates.TemplateResponse(request, "admin.html", facts)


def reputations(state: State) -> list[dict[str, Any]]:
    """Every client of the ledger, the least reputable first: its history, a line to draw, and why it weighs what it
    does."""
    path = state.folder / LEDGER
    lines = ledger.history(path) if path.exists() else []
    by_client = defaultdict(list)
    for line in lines:
        by_client[line["client"]].append(line)
    clients = [{"client": client, "last": past[-1], "points": _points(past)} for client, past in by_client.items()]
    return sorted(clients, key=lambda client: client["last"]["reputation"])


def _points(past: list[dict[str, Any]]) -> str:
    """The history as the points of an SVG line."""
    step = WIDTH / max(len(past) - 1, 1)
    return " ".join(f"{i * step:.1f},{HEIGHT * (1 - line['reputation']):.1f}" for i, line in enumerate(past))
