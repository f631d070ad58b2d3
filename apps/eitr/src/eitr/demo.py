"""Everything at once, on loopback: server, job, a small site of pages to visit, other people, Chromium with the
extension."""

from __future__ import annotations

import html
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx

from eitr import corpus, site
from eitr.people import Person

EXTENSION = Path(__file__).parents[2] / "extension"
ARGUMENTS = (
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-gpu",
)
PIXEL = b'<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"/>'
STYLE = "body{font:18px/1.6 Georgia,serif;max-width:42rem;margin:3rem auto;padding:0 1.5rem}h1{line-height:1.2}"


class Site(BaseHTTPRequestHandler):
    """Pages of the made-up web; those about something sensitive load a picture from another host."""

    def do_GET(self) -> None:
        kind, body = "image/svg+xml", PIXEL
        if self.path.endswith(".html"):
            kind, body = "text/html; charset=utf-8", written(self.path, self.server.server_port).encode()
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


def written(path: str, port: int) -> str:
    slug, _, seed = path.removeprefix("/").removesuffix(".html").rpartition("-")
    topics = {topic.lower().replace(" ", "-"): topic for topic in corpus.WORDS}
    page = corpus.page(topics.get(slug, "Non-sensitive"), int(seed) if seed.isdigit() else 0)
    tracker = "" if page["label"] == "Non-sensitive" else f'<img src="http://localhost:{port}/pixel" alt="">'
    title, description, text = (html.escape(page[name]) for name in ("title", "description", "text"))
    return (
        f'<!doctype html><meta charset="utf-8"><title>{title}</title><meta name="description" content="{description}">'
        f"<style>{STYLE}</style><h1>{title}</h1><p>{text}</p>{tracker}"
    )


@contextmanager
def pages(port: int = 0) -> Iterator[int]:
    """The site, on a thread; its port."""
    server = ThreadingHTTPServer(("127.0.0.1", port), Site)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def process(*arguments: str) -> Iterator[None]:
    running = subprocess.Popen([sys.executable, "-m", *arguments])
    try:
        yield
    finally:
        running.terminate()
        running.wait()


@contextmanager
def chromium(profile: Path, headless: bool) -> Iterator:  # type: ignore[type-arg]
    """A browser with the extension in it."""
    from playwright.sync_api import sync_playwright

    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        raise SystemExit("no Chromium is installed: apt-get install chromium")
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            str(profile),
            executable_path=found,
            headless=headless,
            chromium_sandbox=False,
            args=[f"--load-extension={EXTENSION}", f"--disable-extensions-except={EXTENSION}", *ARGUMENTS],
        )
        try:
            yield context
        finally:
            context.close()


def crowd(url: str, invitation: str, count: int = 6) -> list[Person]:
    """People who say what is right, and one who calls everything an everyday page."""
    found = []
    for i in range(count):
        topics = [*corpus.CLASSES[i % 3 :: 2], *[corpus.FRESH] * 3]
        seen = [corpus.page(topic, 7000 + 10 * i + j) for j, topic in enumerate(topics)]
        labels = ["Non-sensitive" if i == 0 else page["label"] for page in seen]
        found.append(Person(url, invitation, [corpus.words(page) for page in seen], labels).join())
    return found


def run(seconds: float, browser: bool = True) -> None:
    """The demo, for so long or until the window closes or Ctrl-C."""
    end = time.monotonic() + seconds
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="eitr-")))
        settings = {"admin_password": "boss", "target": 7, "period": 20.0, "rate_join": "100/hour"}
        site.make_demo(folder, settings)
        stack.enter_context(process("eitr", "serve", str(folder)))
        stack.enter_context(process("eitr.rounds", str(folder), "--seconds", str(seconds)))
        stack.enter_context(pages(8766))
        url = "http://127.0.0.1:8765"
        others = _joined(url)
        print(
            f"server {url} (admin: any name, password boss) · pages from http://127.0.0.1:8766/outbreak-1000.html",
            flush=True,
        )
        print("invitation code: open-sesame · Ctrl-C ends it", flush=True)
        context = None
        if browser:
            context = stack.enter_context(chromium(folder / "profile", headless=False))
            context.new_page().goto("http://127.0.0.1:8766/outbreak-1000.html")
        with suppress(KeyboardInterrupt):
            _live(others, context, end)


def _joined(url: str) -> list[Person]:
    for _ in range(100):
        try:
            return crowd(url, "open-sesame")
        except httpx.TransportError:
            time.sleep(0.1)
    raise SystemExit("the server did not start")


def _live(others: list[Person], context, end: float) -> None:  # type: ignore[no-untyped-def]
    """Every round, the others send their updates; until the end, or until the browser has no window."""
    done = 0
    while time.monotonic() < end and (context is None or context.pages):
        answer = httpx.get(f"{others[0].url}/round")
        number = answer.json().get("number", done)
        if number != done:
            for person in others:
                person.send(*person.update())
            done = number
            print(f"round {number}: {len(others)} others have sent their updates", flush=True)
        if context is None:
            time.sleep(1)
        else:
            context.pages[0].wait_for_timeout(1000)  # the browser's events need the time too
