"""What the extension asks for."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import ClientDisconnect

from eitr import auth, model, replay, site, updates
from eitr.state import State
from eitr.store import Refused, check_open

OCTETS = "application/octet-stream"
REFUSALS: dict[int | str, dict[str, Any]] = {
    code: {"description": text, "content": {"application/json": {"schema": {"type": "object"}}}}
    for code, text in {
        400: "not understood",
        401: "no valid token",
        403: "no consent, invitation or known origin",
        404: "nothing there",
        409: "not now, or not again",
        413: "too large",
        415: "another content type is needed",
        422: "not what it must be",
        429: "too often",
    }.items()
}
Number = Annotated[int, Path(ge=0, le=2**53)]
Authorization = Annotated[str | None, Header()]

router = APIRouter(responses=REFUSALS)


class Joining(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    consent: bool
    invitation: str = Field(max_length=200)


class Joined(BaseModel):
    client: str
    token: str


class RoundNow(BaseModel):
    number: int
    state: str
    model: int
    deadline: float


class Page(BaseModel):
    title: str
    address: str


@router.post("/clients", status_code=201)
def join(request: Request, joining: Joining) -> Joined:
    """Take part: says who agreed has a token, once."""
    state = State.of(request)
    state.rates.hit(state.settings.rate_join, "join", state.host(request))
    client, token = auth.join(state.store, joining.consent, joining.invitation, state.settings.invitation)
    return Joined(client=client, token=token)


@router.delete("/clients/me", status_code=204)
def leave(request: Request, authorization: Authorization = None) -> None:
    """Forget this client: its token, its pseudonym and every update that is kept."""
    state = State.of(request)
    state.store.forget(auth.client(state.store, authorization)["id"])


@router.get("/round")
def current(request: Request) -> RoundNow:
    state = State.of(request)
    live = state.store.live()
    if live is None:
        raise Refused(409, "no round is live; one will be soon")
    return RoundNow(number=live.number, state=live.state, model=live.base, deadline=live.deadline)


@router.get("/models/{version}", response_class=Response, responses={200: {"content": {OCTETS: {}}}, 304: {}})
def version(request: Request, version: Number, if_none_match: Annotated[str | None, Header()] = None) -> Response:
    """A model, a safetensors file; a version never changes."""
    row = State.of(request).store.model(version)
    if row is None:
        raise Refused(404, f"there is no model {version}")
    headers = {"ETag": f'"{row["etag"]}"', "Cache-Control": "public, max-age=31536000, immutable"}
    if if_none_match == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    return Response(row["tensors"], media_type=OCTETS, headers=headers)


@router.get("/vocabulary")
def vocabulary(request: Request) -> dict[str, Any]:
    """How text becomes features, and the classes' names."""
    return State.of(request).vocabulary


@router.get("/training")
def training(request: Request) -> dict[str, Any]:
    """How to train: rate, epochs, and old examples of which `replay` are drawn for a round."""
    examples = State.of(request).replay
    return {"rate": model.RATE, "epochs": model.EPOCHS, "replay": replay.COUNT, "examples": examples}


@router.get("/task")
def task(request: Request, authorization: Authorization = None) -> list[Page]:
    """Twenty pages to visit, the same each time for the same client."""
    state = State.of(request)
    client = auth.client(state.store, authorization)
    return [
        Page(title=page["title"], address=state.settings.site + page["path"])
        for page in site.task(state.pages, client["pseudonym"])
    ]


@router.put(
    "/rounds/{number}/update",
    status_code=201,
    openapi_extra={
        "requestBody": {"required": True, "content": {OCTETS: {"schema": {"type": "string", "format": "binary"}}}}
    },
)
async def update(request: Request, number: Number, authorization: Authorization = None) -> dict[str, int]:
    """A client's update for the live round: the head's tensors, trained minus model. Nothing is read before it may
    be."""
    state = State.of(request)
    client = await run_in_threadpool(_admitted, state, request, number, authorization)
    try:
        body = await request.body()
    except ClientDisconnect:
        raise Refused(400, "the update was broken off") from None
    kept, digest = await run_in_threadpool(lambda: updates.canonical(updates.parse(body, state.layout)))
    await run_in_threadpool(state.store.add_update, number, client["id"], kept, digest)
    state.received.inc()
    return {"round": number}


def _admitted(state: State, request: Request, number: int, authorization: str | None) -> Any:
    client = auth.client(state.store, authorization)
    state.rates.hit(state.settings.rate_client, "client", client["pseudonym"])
    if request.headers.get("content-type") != OCTETS:
        raise Refused(415, f"an update is {OCTETS}")
    check_open(state.store.live(), number)
    return client
