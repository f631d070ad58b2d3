"""FedLab's synchronous handler, as its standalone pipeline drives it."""

from __future__ import annotations

import pytest
import stubs  # noqa: F401
from hosts import changed, module

from robustagg import ledger

pytest.importorskip("fedlab", reason="FedLab is not installed; nox -s 'hosts(fedlab)' has an environment of its own")

import torch
from torch_hosts import Model

from robustagg.integrations.fedlab import RobustHandler


def handler(rule, **intake):
    made = RobustHandler(rule, Model(), 10, 1.0, intake=intake)
    made.num_clients = 6
    return made


def sent(seed: int, count=10):
    parameters = handler("mean").model_parameters
    return [parameters + 0.1 * torch.randn(parameters.shape, generator=torch.Generator().manual_seed(seed)), count]


def a_round(how, eve):
    how.sample_clients()
    before = how.model_parameters.clone()
    done = [how.load(payload) for payload in [*(sent(i) for i in range(5)), eve]]
    assert done == [False] * 5 + [True]
    return before


BAD = {
    "empty": [],
    "no tensor": ["none of your business"],
    "another length": [torch.zeros(3), torch.tensor(10)],
    "NaN": [torch.full((15,), torch.nan)],
    "a count that is none": [sent(5)[0], torch.tensor(-3)],
    "a count of five numbers": [sent(5)[0], torch.zeros(5)],
    "a count of no number": [sent(5)[0], torch.zeros(0)],
    "no list": sent(5)[0],
    "a number": 5,
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_a_bad_payload_ends_nothing_and_costs_nobody_else(bad, caplog):
    how = handler("mean")
    with caplog.at_level("WARNING"):
        a_round(how, bad)
    expected = torch.stack([sent(i)[0] for i in range(5)]).double().mean(dim=0).float()
    torch.testing.assert_close(how.model_parameters, expected)
    assert "client 5: not admitted: " in caplog.text


def test_counts_are_claims():
    how = handler("mean")
    how.sample_clients()
    for i, form in enumerate([torch.tensor, float, torch.tensor, lambda count: torch.tensor([count]), int, int]):
        how.load([sent(i)[0], form(10**6 if i == 5 else 10)])
    assert how._rounds.result.weights[5] == pytest.approx(4 / 9)


def test_nobody_usable_and_a_restart(tmp_path):
    for round in (1, 2):
        how = handler("reputation", ledger=tmp_path / "ledger.sqlite")
        how.sample_clients()
        before = how.model_parameters.clone()
        for _ in range(6):
            how.load([])
        torch.testing.assert_close(how.model_parameters, before)
        a_round(how, sent(5))
        assert how._rounds.result.round == round


def test_the_examples_server(tmp_path, monkeypatch):
    app = changed("fedlab", tmp_path)
    monkeypatch.chdir(app)
    how = module(app / "server.py").handler(Model(), 10)
    how.num_clients = 6
    a_round(how, BAD["NaN"])
    assert "NaN" in ledger.history(app / "ledger.sqlite", 5)[0]["reason"]
