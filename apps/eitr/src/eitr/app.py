"""The server put together: routes, and what holds for every request."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.staticfiles import StaticFiles
from starlette.datastructures import MutableHeaders
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from eitr import api, pages, updates
from eitr.state import State
from eitr.store import Refused

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def create(folder: Path) -> FastAPI:
    state = State(folder)
    app = FastAPI(title="EITR", docs_url=None, redoc_url=None)
    app.state.eitr = state
    app.include_router(api.router)
    app.include_router(pages.router)
    app.mount("/static", StaticFiles(directory=str(files("eitr").joinpath("static"))))
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_middleware(Guard)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(state.settings.hosts))
    app.add_middleware(RequestBodyLimitMiddleware, max_body_size=updates.largest(state.layout))
    return app


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    State.of(request).refused.labels(error.status).inc()
    headers = {401: {"WWW-Authenticate": "Bearer"}, 429: {"Retry-After": "60"}}.get(error.status)
    return JSONResponse({"detail": error.reason}, error.status, headers)


def _invalid(request: Request, error: Exception) -> Response:
    """What is wrong, and nothing of what was sent: it may be what JSON or UTF-8 cannot say."""
    assert isinstance(error, RequestValidationError)
    reasons = dict.fromkeys(fault["msg"] for fault in error.errors())
    return _refused(request, Refused(422, "; ".join(reasons)))


class Guard:
    """Foreign origins and whoever asks too often get no further; every answer carries the headers of a careful site."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)

        async def careful(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        request = Request(scope)
        try:
            _check(request)
        except Refused as refused:
            return await _refused(request, refused)(scope, receive, careful)
        return await self.app(scope, receive, careful)


def _check(request: Request) -> None:
    state = State.of(request)
    own = f"{request.url.scheme}://{request.headers.get('host', '')}"
    origin = request.headers.get("origin")
    if origin is not None and origin not in (own, *state.settings.origins):
        raise Refused(403, "requests from other sites are not answered")
    state.rates.hit(state.settings.rate_host, "host", state.host(request))
