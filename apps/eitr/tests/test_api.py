"""The interface as an honest client sees it, and its limits."""

from __future__ import annotations

import re
import shutil

import httpx
import pytest
from eitr import auth, rounds, site
from eitr.settings import Settings
from eitr.store import Store
from safetensors.numpy import load

from support import OPEN, noise, people, running, serving


def test_nobody_takes_part_without_consent_or_invitation(url, folder):
    before = Store(folder).count_clients()
    for joining in ({"consent": False, "invitation": "come-in"}, {"consent": True, "invitation": "guess"}):
        assert httpx.post(f"{url}/clients", json=joining).status_code == 403
    assert httpx.post(f"{url}/clients", json={"consent": "yes", "invitation": "come-in"}).status_code == 422
    assert Store(folder).count_clients() == before


def test_a_model_never_changes_and_has_a_tag(url):
    first = httpx.get(f"{url}/models/0")
    assert "immutable" in first.headers["cache-control"]
    again = httpx.get(f"{url}/models/0", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert load(first.content)["w2"].shape == (256, 32)
    assert httpx.get(f"{url}/models/99").status_code == 404


def test_a_task_is_twenty_pages_and_stays_the_same(url):
    ada, bob = people(url, 2)
    tasks = [httpx.get(f"{url}/task", headers=who.headers).json() for who in (ada, ada, bob)]
    assert len({page["address"] for page in tasks[0]}) == 20
    assert tasks[0] == tasks[1] != tasks[2]
    assert httpx.get(f"{url}/task").status_code == 401


def test_who_leaves_is_forgotten(url, folder):
    (ada,) = people(url, 1)
    number, body = ada.update()
    assert ada.send(number, body).status_code == 201
    assert httpx.delete(f"{url}/clients/me", headers=ada.headers).status_code == 204
    assert Store(folder).updates(number) == []
    remains = b"".join(path.read_bytes() for path in folder.glob("server.sqlite*"))
    token = ada.headers["Authorization"].split()[1]
    assert body[-400:] not in remains
    assert auth.hashed(token) not in remains
    assert httpx.get(f"{url}/task", headers=ada.headers).status_code == 401
    assert httpx.delete(f"{url}/clients/me", headers=ada.headers).status_code == 401


def test_tokens_are_kept_as_hashes(url, folder):
    (ada,) = people(url, 1)
    token = ada.headers["Authorization"].split()[1].encode()
    assert not any(token in path.read_bytes() for path in folder.glob("server.sqlite*"))


def test_a_round_learns_the_fresh_topic_and_keeps_reputations(tmp_path):
    with serving(tmp_path) as url:
        for round in range(1, 4):
            for person in people(url, 5):
                assert person.send(*person.update()).status_code == 201, round
            assert rounds.tick(tmp_path, Settings.read(tmp_path))
        published = Store(tmp_path).rounds()
        assert [line["state"] for line in published] == ["published"] * 3 + ["open"]
        first = Store(tmp_path).model(0)["accuracy"]
        assert published[2]["accuracy"] > first
        page = httpx.get(f"{url}/admin", auth=("", "boss")).text
        assert page.count("<polyline") == 15


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "chrome-extension://" + "a" * 32])
def test_foreign_origins_are_refused(url, origin):
    assert httpx.get(f"{url}/round", headers={"Origin": origin}).status_code == 403


def test_a_foreign_host_name_is_refused(url):
    assert httpx.get(f"{url}/round", headers={"Host": "evil.example"}).status_code == 400


def test_too_often_is_refused_and_another_is_not(tmp_path):
    with serving(tmp_path, rate_client="3/minute") as url:
        ada, bob = people(url, 2)
        assert [ada.send(9, noise(0)).status_code for _ in range(4)] == [409, 409, 409, 429]
        assert bob.send(9, noise(0)).status_code == 409


def test_hosts_have_a_rate_of_their_own(tmp_path):
    with serving(tmp_path, rate_host="20/minute") as url:
        codes = [httpx.get(f"{url}/round").status_code for _ in range(25)]
        assert codes[-1] == 429
        assert codes.count(200) <= 20


def codes_of(url, forwarded):
    """Statuses of five requests for each of these headers in turn."""
    return [
        {httpx.get(f"{url}/round", headers={"X-Forwarded-For": address}).status_code for _ in range(5)}
        for address in forwarded
    ]


def test_who_is_asking_is_not_what_a_header_says(tmp_path):
    site.make_demo(tmp_path, {**OPEN, "rate_host": "6/minute"})
    with running(tmp_path) as (url, _):
        assert codes_of(url, ["192.0.2.1", "192.0.2.2"])[-1] == {429}


def test_behind_a_proxy_hosts_have_rates_of_their_own_and_cannot_lie(tmp_path):
    site.make_demo(tmp_path, {**OPEN, "rate_host": "6/minute"})
    with running(tmp_path, "--behind", "127.0.0.1") as (url, _):
        first, other, liar = codes_of(url, ["192.0.2.1", "192.0.2.2", "192.0.2.9, 192.0.2.1"])
    assert first == other == {200}
    assert 429 in liar  # the proxy adds the last address; what stands before it came from the client


def test_admin_needs_its_password(url):
    assert httpx.get(f"{url}/admin").status_code == 401
    assert httpx.get(f"{url}/admin", auth=("", "wrong")).status_code == 401
    assert httpx.get(f"{url}/admin", auth=("", "boss")).status_code == 200


def test_pages_run_no_script_and_escape_what_they_print(tmp_path):
    with serving(tmp_path) as _:
        pass
    pages = tmp_path / "pages.json"
    pages.write_text(pages.read_text().replace('"title": "', '"title": "<script>alert(1)</script>', 1))
    with running(tmp_path) as (url, _):
        answer = httpx.get(f"{url}/tasks")
    assert "<script" not in answer.text
    assert "&lt;script&gt;" in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_sql_in_token_and_path_is_only_text(url, folder):
    before = Store(folder).count_clients()
    evil = "x' OR 1=1; DROP TABLE clients; --"
    assert httpx.get(f"{url}/task", headers={"Authorization": f"Bearer {evil}"}).status_code == 401
    assert httpx.get(f"{url}/models/{evil}").status_code == 422
    assert Store(folder).count_clients() == before


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"quorom": 3}', "quorom: Unexpected"),
        ('{"quorum": 0}', "quorum: Input should be greater"),
        ('{"period": "soon"}', "period: Input should be a valid number"),
        ('{"rate_client": "often"}', "rate_client: .*often"),
        ('{"normalize": "max"}', "normalize: .*must be one of"),
        ('{"hosts": "here"}', "hosts: "),
        ('{"quorum": 3', "Invalid JSON"),
        ("[]", "Input should be an object"),
    ],
)
def test_settings_that_are_none_are_named_before_anything_starts(text, told, folder, tmp_path, capsys):
    shutil.copytree(folder, tmp_path / "made")
    (tmp_path / "made" / "settings.json").write_text(text)
    with pytest.raises(SystemExit):
        rounds.main([str(tmp_path / "made"), "--once"])
    assert re.search(rf"settings\.json: {told}", capsys.readouterr().err.replace("\n", " "))
