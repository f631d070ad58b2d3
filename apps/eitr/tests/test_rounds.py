"""Rounds: quorum, deadline, failure, and a kill anywhere."""

from __future__ import annotations

import random
import re
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import httpx
import numpy as np
import pytest
from eitr import auth, rounds, site
from eitr.settings import Settings
from eitr.store import Store
from safetensors.numpy import load, save

from robustagg import ledger
from support import OPEN, free_port, noise, people, running, serving


@pytest.fixture
def made(tmp_path):
    """A folder with five updates for round 1, nothing running."""
    site.make_demo(tmp_path, OPEN)
    fill(Store(tmp_path), 1, 5)
    return tmp_path


def fill(store: Store, number: int, count: int, scale: float = 0.01) -> None:
    for i in range(count):
        if store.client(b"%d" % i) is None:
            store.add_client(f"client-{i}", b"%d" % i)
        body = noise(1000 * number + i, scale)
        store.add_update(number, store.client(b"%d" % i)["id"], body, body[-32:])


def test_a_round_waits_for_its_quorum(tmp_path):
    site.make_demo(tmp_path, {**OPEN, "period": 0.0})
    store = Store(tmp_path)
    fill(store, 1, 4)
    assert not rounds.tick(tmp_path, Settings.read(tmp_path))
    assert store.live().state == "open"


def test_a_deadline_ends_a_round_with_a_quorum(tmp_path):
    site.make_demo(tmp_path, {**OPEN, "period": 0.0, "target": 50})
    fill(Store(tmp_path), 1, 5)
    assert rounds.tick(tmp_path, Settings.read(tmp_path))
    assert Store(tmp_path).latest() == 1


def closed_and_left(folder: Path, who: int) -> Store:
    """Round 1 closes, if it has not, and then `who` of its five people leave."""
    store = Store(folder)
    rounds._set_state(store, 1, "open", "aggregating")
    for i in range(who):
        store.forget(store.client(b"%d" % i)["id"])
    return store


def test_a_closed_round_that_the_quorum_leaves_is_open_again(made):
    store = closed_and_left(made, 1)
    assert not rounds.tick(made, Settings.read(made))
    assert (store.live().state, store.latest(), store.count_updates(1)) == ("open", 0, 4)
    store.add_client("late", b"late")
    store.add_update(1, store.client(b"late")["id"], noise(7), b"late")
    assert rounds.tick(made, Settings.read(made))
    assert {line["client"] for line in ledger.history(made / rounds.LEDGER)} == {
        *map("client-{}".format, range(1, 5)),
        "late",
    }


def test_a_failed_round_that_the_quorum_leaves_is_open_again(made, monkeypatch):
    settings = Settings.read(made)
    with monkeypatch.context() as broken:
        broken.setattr(rounds.robustagg, "aggregate_files", lambda *a, **k: (_ for _ in ()).throw(OSError("broken")))
        rounds.tick(made, settings)
    store = closed_and_left(made, 4)
    assert not rounds.tick(made, settings)
    assert (store.live().state, store.latest()) == ("open", 0)


def test_what_the_quorum_was_aggregated_into_is_published_whoever_leaves(made, monkeypatch):
    """The ledger knows the round: it cannot be aggregated again without those who left."""

    class Killed(BaseException):
        pass

    with monkeypatch.context() as patch:
        patch.setattr(rounds, "_publish", lambda *args: (_ for _ in ()).throw(Killed))
        with pytest.raises(Killed):
            rounds.tick(made, Settings.read(made))
    store = closed_and_left(made, 4)
    assert rounds.tick(made, Settings.read(made))
    assert store.latest() == 1


def test_the_database_allows_one_live_round(made):
    import sqlite3

    with pytest.raises(sqlite3.IntegrityError), Store(made).writing() as db:
        db.execute("INSERT INTO rounds (number, state, base, deadline) VALUES (2, 'open', 0, 0)")


def test_a_failed_round_is_tried_again_and_then_given_up(made, monkeypatch):
    settings = Settings.read(made)

    def full(*args, **kwargs):
        raise OSError("no space left")

    with monkeypatch.context() as broken:
        broken.setattr(rounds.robustagg, "aggregate_files", full)
        for _ in range(settings.attempts - 1):
            assert not rounds.tick(made, settings)
        assert Store(made).rounds()[0]["reason"] == "no space left"
    assert rounds.tick(made, settings)
    assert [line["state"] for line in Store(made).rounds()] == ["published", "open"]


def test_who_gives_up_opens_the_next_round_on_the_same_model(made, monkeypatch):
    settings = Settings.read(made)
    with monkeypatch.context() as broken:
        broken.setattr(rounds.robustagg, "aggregate_files", lambda *a, **k: (_ for _ in ()).throw(OSError("broken")))
        for _ in range(settings.attempts):
            rounds.tick(made, settings)
    assert not rounds.tick(made, settings)
    live = Store(made).live()
    assert (live.number, live.base, live.state) == (2, 0, "open")
    fill(Store(made), 2, 5)
    assert rounds.tick(made, settings)


def ruin(folder) -> None:
    """Five updates for the live round that leave nothing of what the model knew."""
    store = Store(folder)
    fill(store, store.live().number, 5, scale=3.0)


def test_a_round_that_does_harm_is_not_published_and_teaches_no_reputations(made):
    settings, store = Settings.read(made), Store(made)
    assert rounds.tick(made, settings)
    known = ledger.history(made / rounds.LEDGER)
    ruin(made)
    assert not rounds.tick(made, settings)
    published, failed, now = store.rounds()
    assert (published["state"], failed["state"], now["state"]) == ("published", "failed", "open")
    assert re.fullmatch(
        r"accuracy 0\.\d{3} on the held-out pages, 0\.\d{3} at best so far: a loss of more than 0\.1", failed["reason"]
    )
    assert (store.latest(), store.live().base) == (1, 1)
    assert ledger.history(made / rounds.LEDGER) == known
    assert store.updates(2) == []  # what was sent for it is gone
    fill(store, 3, 5)
    assert rounds.tick(made, settings)
    assert (store.latest(), store.live().base) == (3, 3)


def test_losses_do_not_add_up_round_by_round(made):
    """What counts is the best model so far, not the last one: else patience would ruin the model."""
    store = Store(made)
    with store.writing() as db:
        db.execute("UPDATE models SET accuracy = 1.0")
        db.execute("INSERT INTO models SELECT 9, tensors, etag, 0.5, published FROM models")
    assert not rounds.tick(made, Settings.read(made))
    assert "1.000 at best so far" in store.rounds()[0]["reason"]


def test_without_held_out_pages_only_infinities_are_stopped(made):
    (made / "heldout.npz").unlink()
    settings, store = Settings.read(made), Store(made)
    assert rounds.tick(made, settings)
    ruin(made)
    assert rounds.tick(made, settings)
    assert [line["accuracy"] for line in store.rounds()] == [None, None, None]
    current = store.model(2)["tensors"]
    with store.writing() as db:
        huge = {name: np.full_like(array, 3.4e38) for name, array in load(current).items()}
        db.execute("UPDATE models SET tensors = ? WHERE version = 2", (save(huge),))
    fill(store, 3, 5, scale=3e37)
    assert not rounds.tick(made, settings)
    assert store.rounds()[2]["reason"] == "the model would hold an infinity"


@pytest.mark.parametrize("after", [False, True])
def test_a_death_while_a_round_is_rejected_rejects_it_once(made, monkeypatch, after):
    settings, store = Settings.read(made), Store(made)
    assert rounds.tick(made, settings)
    ruin(made)
    original = rounds._reject

    class Killed(BaseException):
        pass

    def die(*args):
        if after:
            original(*args)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(rounds, "_reject", die)
        with pytest.raises(Killed):
            rounds.tick(made, settings)
    assert not rounds.tick(made, settings)
    assert [line["state"] for line in store.rounds()] == ["published", "failed", "open"]


@pytest.mark.parametrize("module", ["eitr.rounds", "eitr serve"])
def test_a_folder_that_nobody_has_made_is_named_and_left_alone(tmp_path, module):
    command = [sys.executable, "-m", *module.split(), str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2
    assert f"{tmp_path} is no server's folder; `eitr make {tmp_path}` makes one" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert list(tmp_path.iterdir()) == []


def test_what_the_operator_keeps_in_the_folder_stays(made):
    own = [made / name for name in ("round-notes.txt", "round-1", "aggregate-1.safetensors")]
    for path in own:
        path.mkdir() if path == own[1] else path.write_text("mine")
    assert rounds.tick(made, Settings.read(made))
    assert all(path.exists() for path in own)
    assert own[2].read_text() == "mine"


def test_people_s_updates_that_a_kill_has_left_are_removed(made):
    left = made / ".scratch-left"
    left.mkdir()
    (left / "client-1.safetensors").write_bytes(noise(1))
    rounds.tick(made, Settings.read(made))
    assert not left.exists()


@pytest.mark.parametrize("where", ["_set_state", "_join", "Reputation.save", "_publish"])
def test_a_death_at_each_step_ends_in_the_round_published_once(made, monkeypatch, where):
    settings = Settings.read(made)

    class Killed(BaseException):
        pass

    owner, name = (rounds.robustagg.Reputation, "save") if "." in where else (rounds, where)
    original = getattr(owner, name)
    for after in (False, True):

        def die(*args, after=after, **kwargs):
            if after:
                original(*args, **kwargs)
            raise Killed

        with monkeypatch.context() as patch:
            patch.setattr(owner, name, die)
            with pytest.raises(Killed):
                rounds.tick(made, settings)
        if Store(made).latest() == 1:
            break  # the death came after the last step
    if Store(made).latest() == 0:
        assert rounds.tick(made, settings)
    assert [line["state"] for line in Store(made).rounds()] == ["published", "open"]
    assert [line["round"] for line in ledger.rounds(made / rounds.LEDGER)] == [1]


def test_kills_at_random_moments_lose_nothing_and_repeat_nothing(tmp_path, kills):
    """kill -9 of server and job, whichever the dice say, while five people send: every update that was acknowledged is
    in its round, and every round is published once. ``--kills 100`` for more of them."""
    rng = random.Random(0)
    site.make_demo(tmp_path, OPEN)
    store, port = Store(tmp_path), free_port()
    commands = (
        ["-m", "eitr", "serve", str(tmp_path), "--port", str(port)],
        ["-m", "eitr.rounds", str(tmp_path), "--interval", "0.01"],
    )
    running = [subprocess.Popen([sys.executable, *command]) for command in commands]
    crowd = Crowd(f"http://127.0.0.1:{port}", tmp_path)
    thread = threading.Thread(target=crowd.send)
    thread.start()
    try:
        for _ in range(kills):
            if rng.random() < 0.7:  # else while the last one killed is still starting
                published_after(store, store.latest())
            time.sleep(rng.uniform(0.0, 1.0))
            which = rng.randrange(2)
            running[which].kill()
            assert running[which].wait() == -9
            running[which] = subprocess.Popen([sys.executable, *commands[which]])
        published_after(store, store.latest())
    finally:
        crowd.done.set()
        thread.join()
        for process in running:
            process.kill()
            process.wait()
    while rounds.tick(tmp_path, Settings.read(tmp_path)):
        pass
    published = [line["number"] for line in store.rounds() if line["state"] == "published"]
    assert published == list(range(1, store.latest() + 1))
    history = ledger.history(tmp_path / rounds.LEDGER)
    assert [line["round"] for line in ledger.rounds(tmp_path / rounds.LEDGER)] == published
    assert len(history) == len({(line["round"], line["client"]) for line in history}) == 5 * len(published)
    live = store.live().number
    waiting = {(live, client) for client, _ in store.updates(live)}
    assert crowd.taken <= waiting | {(line["round"], line["client"]) for line in history}
    assert not [*tmp_path.glob("*aggregate-*"), *tmp_path.glob(".scratch-*")]
    print(f"{kills} kills, {len(published)} rounds, {len(crowd.taken)} updates acknowledged, none lost, none double")


def published_after(store: Store, version: int) -> None:
    end = time.monotonic() + 60
    while store.latest() == version:
        assert time.monotonic() < end, "no round was published in a minute"
        time.sleep(0.02)


class Crowd:
    """Five people who send to every round, and what the server has said that it took."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url, self.done = url, threading.Event()
        self.taken: set[tuple[int, str]] = set()
        self.tokens = dict(auth.join(Store(folder), True, "", "") for _ in range(5))

    def send(self) -> None:
        while not self.done.wait(0.02):
            with suppress(httpx.TransportError):
                number = httpx.get(f"{self.url}/round").json().get("number")
                for i, (client, token) in enumerate(self.tokens.items()):
                    if number and (number, client) not in self.taken:
                        self._put(number, i, client, token)

    def _put(self, number: int, i: int, client: str, token: str) -> None:
        octets = {"Authorization": f"Bearer {token}", "Content-Type": "application/octet-stream"}
        answer = httpx.put(f"{self.url}/rounds/{number}/update", content=noise(1000 * number + i), headers=octets)
        assert answer.status_code in (201, 409), answer.text
        if answer.status_code == 201 or "already" in answer.text:
            self.taken.add((number, client))


def test_fifty_clients_at_once_lose_nothing(tmp_path, crowd_seconds):
    """Fifty people for some rounds, all at once, the job beside them; ``--crowd 60`` for a minute of it."""
    with serving(tmp_path, target=50) as url:
        store = Store(tmp_path)
        crowd = [person.headers for person in people(url, 50)]
        job = subprocess.Popen([sys.executable, "-m", "eitr.rounds", str(tmp_path), "--interval", "0.05"])
        taken: list[int] = []
        try:
            threads = [
                threading.Thread(target=sender, args=(url, i, headers, taken, crowd_seconds))
                for i, headers in enumerate(crowd)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(crowd_seconds + 60)
            assert not any(thread.is_alive() for thread in threads)
        finally:
            job.kill()
            job.wait()
        rounds.tick(tmp_path, Settings.read(tmp_path))  # the job may have died between ledger and model
        sizes = {line["round"]: line["clients"] for line in ledger.rounds(tmp_path / rounds.LEDGER)}
        live = store.live()
        waiting = store.count_updates(live.number) if live else 0
        assert sum(sizes.values()) + waiting == len(taken)
        assert len(taken) >= 50
        print(f"50 clients for {crowd_seconds:g} s: {len(taken)} updates in {len(sizes)} rounds, none lost")


def sender(url: str, i: int, headers: dict[str, str], taken: list[int], seconds: float) -> None:
    octets = {**headers, "Content-Type": "application/octet-stream"}
    end = time.monotonic() + seconds
    sent = 0
    with httpx.Client(timeout=30) as client:
        while time.monotonic() < end:
            live = client.get(f"{url}/round")
            number = live.json().get("number")
            if number is None or number == sent:
                time.sleep(0.2)
                continue
            answer = client.put(f"{url}/rounds/{number}/update", content=noise(1000 * number + i), headers=octets)
            assert answer.status_code in (201, 409), answer.text
            if answer.status_code == 201:
                taken.append(number)
            sent = number


def test_an_acknowledged_update_survives_the_server(tmp_path):
    site.make_demo(tmp_path, OPEN)
    for i in range(5):
        with running(tmp_path) as (url, process):
            (ada,) = people(url, 1)
            assert ada.send(1, noise(i)).status_code == 201
            process.kill()
    assert Store(tmp_path).count_updates(1) == 5
