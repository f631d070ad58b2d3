"""Numbers of eight bits, by a table: in memory they are float32, as everywhere here."""

from __future__ import annotations

import numpy as np

from robustagg.kernels.interface import Array

SIGN = 0x80


def _tables() -> dict[str, Array]:
    """(256,) the number of each code, by the dtype's name."""
    codes = np.arange(256, dtype=np.uint8)
    e5m2 = (codes.astype(np.uint16) << 8).view(np.float16).astype(np.float32)  # the upper half of a half
    exponent, mantissa = (codes >> 3 & 15).astype(np.int32), (codes & 7).astype(np.float32)
    e4m3 = np.where(exponent, np.ldexp(1 + mantissa / 8, exponent - 7), np.ldexp(mantissa / 8, -6)).astype(np.float32)
    e4m3[codes & 0x7F == 0x7F] = np.nan
    return {"float8_e4m3fn": np.where(codes & SIGN, -e4m3, e4m3), "float8_e5m2": e5m2}


TABLES = _tables()


def decoded(codes: Array, name: str) -> Array:
    """The numbers of these codes, as float32."""
    return np.asarray(TABLES[name][codes])


def encoded(values: Array, name: str) -> Array:
    """The codes of the nearest numbers, of two the even one; beyond the greatest number that one, where finite."""
    positive = TABLES[name][:SIGN]
    finite = positive[np.isfinite(positive)]
    middles = (finite[:-1] + finite[1:]) / 2
    size = np.abs(values)
    code = np.searchsorted(middles, size).astype(np.uint8)
    ties = (code % 2 == 1) & (size == middles[np.minimum(code, len(middles) - 1)])
    code = np.where(ties, code + 1, code)
    infinite, nan = (len(finite), SIGN - 2) if np.isinf(positive).any() else (SIGN - 1, SIGN - 1)
    code = np.where(np.isinf(values), infinite, np.where(np.isnan(values), nan, code))
    return (code | np.where(np.signbit(values), SIGN, 0)).astype(np.uint8)
