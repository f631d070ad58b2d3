"""The native backend under every instruction set that this processor runs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from robustagg import kernels


@pytest.fixture(scope="session")
def native():
    if "native" not in kernels.available():
        pytest.skip("the native core is missing")
    from robustagg.kernels import native

    return native


def usable() -> list[str]:
    return kernels._load("native")._native.usable_isas() if "native" in kernels.available() else ["none"]


@pytest.fixture(params=usable())
def isa(native, request: pytest.FixtureRequest) -> Iterator[str]:
    before = native._native.isa()
    native._native.set_isa(request.param)
    yield request.param
    native._native.set_isa(before)
