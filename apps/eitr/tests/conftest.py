from __future__ import annotations

import pytest

from support import serving


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("server")


@pytest.fixture(scope="module")
def url(folder):
    with serving(folder) as address:
        yield address
