"""Rounds: quorum, deadline, failure, and a kill anywhere."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
import time

import httpx
import pytest
from eitr import rounds, site
from eitr.settings import Settings
from eitr.store import Store

from robustagg import ledger
from support import OPEN, noise, people, running, serving


@pytest.fixture
def made(tmp_path):
    """A folder with five updates for round 1, nothing running."""
    site.make_demo(tmp_path, OPEN)
    fill(Store(tmp_path), 1, 5)
    return tmp_path


def fill(store: Store, number: int, count: int) -> None:
    for i in range(count):
        if store.client(b"%d" % i) is None:
            store.add_client(f"client-{i}", b"%d" % i)
        body = noise(1000 * number + i)
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


@pytest.mark.parametrize("where", ["_set_state", "_update_of", "Reputation.save", "_publish"])
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


@pytest.mark.parametrize("kills", [100])
def test_kills_at_random_moments_lose_nothing_and_repeat_nothing(tmp_path, kills):
    """kill -9 of the job until it has died `kills` times; every update that was acknowledged
    before its round closed is in that round, and every round is published once."""
    rng = random.Random(0)
    site.make_demo(tmp_path, OPEN)
    store, settings, died = Store(tmp_path), Settings.read(tmp_path), 0
    end = time.monotonic() + 240
    while died < kills and time.monotonic() < end:
        live = store.live()
        if live is not None and live.state == "open" and store.count_updates(live.number) == 0:
            fill(store, live.number, 5)
        job = subprocess.Popen([sys.executable, "-m", "eitr.rounds", str(tmp_path), "--interval", "0.01"])
        time.sleep(rng.uniform(0.5, 1.3))
        job.kill()
        died += job.wait() == -9
    assert died == kills
    while (live := store.live()) is not None and store.count_updates(live.number):
        rounds.tick(tmp_path, settings)
    published = [line["number"] for line in store.rounds() if line["state"] == "published"]
    assert published == list(range(1, store.latest() + 1))
    assert [line["round"] for line in ledger.rounds(tmp_path / rounds.LEDGER)] == published
    assert all(line["clients"] == 5 for line in ledger.rounds(tmp_path / rounds.LEDGER))
    assert not list(tmp_path.glob("aggregate-*.safetensors"))


def test_fifty_clients_at_once_lose_nothing(tmp_path):
    """Fifty people for some rounds, all at once, the job beside them; bounded in rounds and in time."""
    with serving(tmp_path, target=50) as url:
        store = Store(tmp_path)
        crowd = [person.headers for person in people(url, 50)]
        job = subprocess.Popen(
            [sys.executable, "-m", "eitr.rounds", str(tmp_path), "--seconds", "60", "--interval", "0.05"]
        )
        taken: list[int] = []
        try:
            threads = [
                threading.Thread(target=sender, args=(url, i, headers, taken)) for i, headers in enumerate(crowd)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(90)
        finally:
            job.kill()
            job.wait()
        rounds.tick(tmp_path, Settings.read(tmp_path))  # the job may have died between ledger and model
        sizes = {line["round"]: line["clients"] for line in ledger.rounds(tmp_path / rounds.LEDGER)}
        live = store.live()
        waiting = store.count_updates(live.number) if live else 0
        assert sum(sizes.values()) + waiting == len(taken)
        assert len(taken) >= 50


def sender(url: str, i: int, headers: dict[str, str], taken: list[int], seconds: float = 15.0) -> None:
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
