"""End to end, in a real browser: consent, pages, a correction, training, a round, the new model, a killed worker;
and what left the browser meanwhile."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from eitr import corpus, demo, rounds
from eitr.settings import EXTENSION, Settings
from eitr.store import Store
from safetensors.numpy import load

from support import people, serving

pytest.importorskip("playwright", reason="Playwright is not installed")
pytestmark = [
    pytest.mark.skipif(shutil.which("chromium") is None, reason="Chromium is not installed"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

PICTURES = os.environ.get("EITR_PICTURES")
HOME = f"chrome-extension://{EXTENSION}"
TIMEOUT = 15_000


class Browser:
    """A person at a browser."""

    def __init__(self, context, site: str) -> None:
        self.context, self.site = context, site
        context.set_default_timeout(TIMEOUT)
        self.sent: list = []
        context.on("request", lambda one: self.sent.append(one))  # Playwright marks handlers; a list's method cannot be

    def worker(self):
        workers = self.context.service_workers
        return workers[-1] if workers else self.context.wait_for_event("serviceworker", timeout=TIMEOUT)

    def join(self, server: str) -> None:
        page = self.context.new_page()
        page.goto(f"{HOME}/welcome.html")
        page.fill("#server", server)
        page.fill("#invitation", "come-in")
        page.check("#consent")
        photograph(page, "welcome")
        page.click("button:has-text('Take part')")
        page.wait_for_selector("#task li")
        assert page.locator("#task li").count() == 20
        page.close()

    def visit(self, path: str):
        """A page, and the popup beside it, once the page has been looked at."""
        page = self.context.new_page()
        page.goto(self.site + path)
        popup = self.context.new_page()
        tab = None
        for _ in range(50):
            page.wait_for_timeout(100)
            tab = self.worker().evaluate(
                """async (url) => {
                    const [tab] = await chrome.tabs.query({ url });
                    const key = `page:${tab?.id}`;
                    return (await chrome.storage.session.get(key))[key] ? tab.id : null;
                }""",
                self.site + path,
            )
            if tab:
                break
        popup.goto(f"{HOME}/popup.html?tab={tab}")
        popup.wait_for_selector("#joined:not([hidden])")
        return page, popup


def photograph(what, name: str, **options) -> None:
    if PICTURES:
        what.screenshot(path=str(Path(PICTURES) / f"{name}.png"), **options)


def kill_worker(browser: Browser, page) -> None:
    """Stop the service worker, as Chromium does with idle ones, and see that what it remembered is gone."""
    browser.worker().evaluate("self.alive = true")
    session = browser.context.new_cdp_session(page)
    session.send("ServiceWorker.enable")
    session.send("ServiceWorker.stopAllWorkers")
    session.detach()
    page.reload()  # the popup asks, and a new worker answers
    page.wait_for_selector("#facts:has-text('Model 3')")
    assert browser.context.service_workers[-1].evaluate("self.alive") is None


def test_a_person_teaches_everybody(tmp_path):
    with (
        demo.pages() as port,
        serving(tmp_path / "server", site=f"http://127.0.0.1:{port}", target=6) as server,
        demo.chromium(tmp_path / "profile", headless=True) as context,
    ):
        folder = tmp_path / "server"
        browser = Browser(context, f"http://127.0.0.1:{port}")
        browser.worker()
        browser.join(server)

        for topic in ("Health", "Religion", "Politics", "Non-sensitive"):
            page, popup = browser.visit(f"/{topic.lower()}-1001.html")
            assert popup.text_content("#name") == topic
            assert popup.is_visible("#warning") == (topic != "Non-sensitive")
            if topic == "Health":
                photograph(page, "page")
                photograph(popup.locator("body"), "popup-health")
            page.close()
            popup.close()

        page, popup = browser.visit("/outbreak-1000.html")
        assert popup.text_content("#name") != "Health"
        popup.select_option("#label", label="Health")
        popup.wait_for_selector("#corrected:has-text('Thank you')")
        popup.click("#learn")
        popup.wait_for_selector("#sent li")
        photograph(popup.locator("body"), "popup-correction")

        store = Store(folder)
        [(_, update)] = store.updates(1)
        assert sorted(load(update)) == ["b2", "b3", "w2", "w3"]
        crowd = people(server, 5)
        for number in (1, 2, 3):
            for person in crowd:
                person.send(*person.update())
            if number > 1:
                popup.click("#learn")
                popup.wait_for_selector(f"#sent li:nth-child({number})")
            assert rounds.tick(folder, Settings.read(folder))
        popup.click("#learn")
        popup.wait_for_selector("#facts:has-text('Model 3')")
        kill_worker(browser, popup)
        page.close()
        popup.close()

        page, popup = browser.visit("/outbreak-1003.html")  # another page of the fresh topic, with the new model
        assert popup.text_content("#name") == "Health"
        photograph(popup.locator("body"), "popup-learnt")
        photograph(page, "page-learnt")

        check_what_left(browser.sent, server, f"http://127.0.0.1:{port}")

        popup.click("#forget")
        popup.wait_for_selector("#absent:not([hidden])")
        assert Store(folder).count_clients() == 5
        assert browser.worker().evaluate("chrome.storage.local.get()") == {}
        if PICTURES:
            pages = context.new_page()
            pages.set_extra_http_headers({"Authorization": "Basic OmJvc3M="})
            for path in ("", "privacy", "install", "tasks", "admin"):
                pages.goto(f"{server}/{path}")
                photograph(pages, path or "index", full_page=path != "tasks")


def check_what_left(requests, server: str, site: str) -> None:
    """No text, title or address of a page is in anything that the browser sent to the server."""
    to_server = [request for request in requests if request.url.startswith(server)]
    assert {request.url.removeprefix(server) for request in to_server if request.method == "PUT"} == {
        f"/rounds/{number}/update" for number in (1, 2, 3, 4)
    }
    # The everyday ones are left out: the protocol itself has the word update.
    sensitive = [words for topic, words in corpus.WORDS.items() if topic != "Non-sensitive"]
    words = {word for topic in sensitive for word in topic.split() if len(word) > 5}
    for request in to_server:
        sent = (request.url + str(request.headers)).encode() + (request.post_data_buffer or b"")
        assert site.encode() not in sent
        assert not [word for word in words if word.encode() in sent.lower()], request.url
    others = [r for r in requests if not r.url.startswith((server, site, "chrome", "http://localhost", "data:"))]
    assert not others, [request.url for request in others]
