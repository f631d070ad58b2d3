from __future__ import annotations

import pytest

from support import serving


def pytest_addoption(parser):
    parser.addoption("--kills", type=int, default=10, help="how often server and job are killed; 100 is minutes")
    parser.addoption("--crowd", type=float, default=10.0, help="for how many seconds fifty clients send at once")


@pytest.fixture
def kills(pytestconfig):
    return pytestconfig.getoption("--kills")


@pytest.fixture
def crowd_seconds(pytestconfig):
    return pytestconfig.getoption("--crowd")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("server")


@pytest.fixture(scope="module")
def url(folder):
    with serving(folder) as address:
        yield address
