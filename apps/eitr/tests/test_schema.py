"""The API keeps to its own description, whatever is asked of it."""

from __future__ import annotations

import pytest
import schemathesis
from eitr import app, site
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import CHECKS, load_all_checks

from support import OPEN

load_all_checks()
# What is right by the description may still lack a token, an invitation or a live round.
BEYOND = [CHECKS.get_one("positive_data_acceptance")]
OPERATIONS = {
    "/clients": "post",
    "/clients/me": "delete",
    "/round": "get",
    "/models/{version}": "get",
    "/vocabulary": "get",
    "/training": "get",
    "/task": "get",
    "/rounds/{number}/update": "put",
}
pytestmark = pytest.mark.filterwarnings("ignore")  # schemathesis's own


@pytest.fixture(scope="module")
def description(tmp_path_factory):
    folder = tmp_path_factory.mktemp("schema")
    site.make_demo(folder, {**OPEN, "hosts": ["*"], "rate_client": "100000/minute", "rate_join": "100000/minute"})
    return schemathesis.openapi.from_asgi("/openapi.json", app.create(folder))


def test_every_operation_is_tested(description):
    found = {operation.ok().path: operation.ok().method.lower() for operation in description.get_all_operations()}
    assert found == OPERATIONS


@pytest.mark.parametrize("path", OPERATIONS)
def test_the_api_keeps_to_its_description(description, path):
    @settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(case=description[path][OPERATIONS[path]].as_strategy())
    def holds(case):
        case.call_and_validate(excluded_checks=BEYOND)

    holds()
