"""Updates that lie, over a socket: each has its status and no effect."""

from __future__ import annotations

import json
import socket
import struct
import time
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest
from eitr import site, updates
from eitr.store import Refused, Store
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load, save

from support import OPEN, free_port, noise, people, running, serving

LAYOUT = updates.expected(281, 6)


def changed(**tensors) -> bytes:
    return save({**load(noise(1)), **tensors})


def with_header(change) -> bytes:
    good = noise(1)
    length = int.from_bytes(good[:8], "little")
    header = json.loads(good[8 : 8 + length])
    text = change(header)
    text = (text if isinstance(text, str) else json.dumps(header)).encode()
    return struct.pack("<Q", len(text)) + text + good[8 + length :]


def put(header: dict, name: str, **fields):
    header[name].update(fields)


BAD = {
    "empty": b"",
    "garbage": b"\x80\x04cos\nsystem\n(S'true'\ntR." * 50,
    "nan": changed(b2=np.full(32, np.nan, np.float32)),
    "infinity": changed(b2=np.full(32, np.inf, np.float32)),
    "wrong shape": changed(b2=np.zeros(33, np.float32)),
    "wrong dtype": changed(b2=np.zeros(32, np.float64)),
    "half as many bits": changed(w2=np.zeros((256, 32), np.float16)),
    "a name too many": changed(w1=np.zeros((2, 2), np.float32)),
    "a name too few": save({"b2": np.zeros(32, np.float32)}),
    "cut short": noise(1)[:-4],
    "something after it": noise(1) + b"more",
    "header longer than the file": struct.pack("<Q", 2**63) + noise(1)[8:],
    "header that is a list": with_header(lambda header: json.dumps([1, 2])),
    "header nested too deep": with_header(lambda header: "[" * 1900),
    "negative place": with_header(lambda header: put(header, "b2", data_offsets=[-128, 0])),
    "overlapping places": with_header(lambda header: put(header, "b2", data_offsets=header["b3"]["data_offsets"])),
    "booleans for numbers": with_header(lambda header: put(header, "b3", shape=[True])),
    "a name twice": with_header(lambda header: json.dumps(header)[:-1] + ', "b2": ' + json.dumps(header["b2"]) + "}"),
    "metadata": with_header(lambda header: header.update({"__metadata__": {"x": "<script>"}})),
}


@pytest.fixture(scope="module")
def ada(url):
    return people(url, 1)[0]


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_update_is_refused(url, folder, ada, name):
    assert ada.send(1, BAD[name]).status_code == 422
    assert Store(folder).count_updates(1) == 0


def test_another_content_type_is_refused(url, ada):
    assert httpx.put(f"{url}/rounds/1/update", json={}, headers=ada.headers).status_code == 415


def test_a_second_update_a_copy_and_a_replay_are_refused(tmp_path):
    from eitr import rounds
    from eitr.settings import Settings

    with serving(tmp_path) as url:
        crowd = people(url, 5)
        body = noise(1)
        assert crowd[0].send(1, body).status_code == 201
        assert crowd[0].send(1, noise(2)).status_code == 409  # a second one
        assert crowd[1].send(1, body).status_code == 409  # another's
        rewritten = save(dict(reversed(load(body).items())))
        assert crowd[1].send(1, rewritten).status_code == 409  # the same numbers
        for i, person in enumerate(crowd[1:], 2):
            assert person.send(1, noise(i)).status_code == 201
        assert rounds.tick(tmp_path, Settings.read(tmp_path))
        assert crowd[0].send(1, noise(7)).status_code == 409  # too late
        assert crowd[0].send(3, noise(7)).status_code == 409  # too early
        assert crowd[0].send(2, body).status_code == 409  # last round's
        assert Store(tmp_path).count_updates(2) == 0


UNSAYABLE = [
    b'{"consent": NaN, "invitation": "x"}',
    b'{"consent": 1e999, "invitation": "x"}',
    rb'{"consent": true, "invitation": "\ud800"}',
    rb'{"consent": true, "invitation": "x", "\ud800": 1}',
    b'{"consent": tru',
]


def test_what_no_answer_can_repeat_is_refused_counted_and_not_logged(tmp_path, capfd):
    site.make_demo(tmp_path, OPEN)
    private = free_port()
    with running(tmp_path, "--metrics", str(private)) as (url, _):
        for body in UNSAYABLE:
            answer = httpx.post(f"{url}/clients", content=body, headers={"Content-Type": "application/json"})
            assert (answer.status_code, type(answer.json()["detail"])) == (422, str), body
        counted = httpx.get(f"http://127.0.0.1:{private}/metrics").text
    assert f'eitr_refused_total{{status="422"}} {len(UNSAYABLE)}.0' in counted
    assert capfd.readouterr().err == ""


def test_who_hangs_up_in_the_middle_of_an_update_is_not_logged(tmp_path, capfd):
    site.make_demo(tmp_path, OPEN)
    private = free_port()
    with running(tmp_path, "--metrics", str(private)) as (url, _):
        (ada,) = people(url, 1)
        with beginning(url, ada.headers["Authorization"], "Content-Length: 30000") as peer:
            peer.sendall(b"abc")
        end = time.monotonic() + 20
        while 'status="400"' not in httpx.get(f"http://127.0.0.1:{private}/metrics").text:
            assert time.monotonic() < end, "the server waits for the rest"
            time.sleep(0.05)
        assert ada.send(1, noise(1)).status_code == 201  # and may try again
    assert capfd.readouterr().err == ""


def beginning(url: str, authorization: str, length: str) -> socket.socket:
    """A connection on which an update has been announced."""
    parts = urlsplit(url)
    peer = socket.create_connection((parts.hostname, parts.port), timeout=20)
    head = f"PUT /rounds/1/update HTTP/1.1\r\nHost: {parts.netloc}\r\nAuthorization: {authorization}\r\n"
    peer.sendall(f"{head}Content-Type: application/octet-stream\r\n{length}\r\n\r\n".encode())
    return peer


def memory(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


@pytest.mark.parametrize("declared", [True, False])
def test_a_gigabyte_is_refused_and_memory_stays_flat(tmp_path, declared):
    site.make_demo(tmp_path, OPEN)
    with running(tmp_path) as (url, process):
        (ada,) = people(url, 1)
        before = memory(process.pid)
        status = flood(url, ada.headers["Authorization"], declared)
        assert status in (b"413", b"")  # the connection may be gone before the answer is read
        assert memory(process.pid) - before < 30 * 2**20
        assert Store(tmp_path).count_updates(1) == 0
        assert ada.send(1, noise(1)).status_code == 201  # and the server still works


def flood(url: str, authorization: str, declared: bool) -> bytes:
    """Send up to 1 GB, declared or in chunks; the status that comes back, empty if the connection was cut."""
    length = "Content-Length: 1000000000" if declared else "Transfer-Encoding: chunked"
    with beginning(url, authorization, length) as peer:
        piece = b"\0" * 2**20
        framed = piece if declared else b"100000\r\n" + piece + b"\r\n"
        end = time.monotonic() + 20
        try:
            for _ in range(954):
                peer.sendall(framed)
                assert time.monotonic() < end, "the server read on"
            return peer.recv(100).split()[1]
        except ConnectionError:
            pass
        try:
            return peer.recv(100).split()[1]
        except (ConnectionError, IndexError):
            return b""


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_damaged_update_is_refused_or_is_numbers(data):
    """Whatever bytes change, the answer is Refused or finite tensors of the right shape; nothing else."""
    body = bytearray(noise(1))
    for _ in range(data.draw(st.integers(1, 4))):
        # Nearly all that can go wrong is in the header.
        place = data.draw(st.integers(0, 400) | st.integers(0, len(body) - 1))
        body[place] = data.draw(st.integers(0, 255))
    try:
        update = updates.parse(bytes(body), LAYOUT)
    except Refused:
        pass
    else:
        assert {name: array.shape for name, array in update.items()} == LAYOUT
        assert all(np.isfinite(array).all() for array in update.values())
