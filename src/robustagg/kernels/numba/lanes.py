"""What the compiled kernels are made of: rows staged as groups of columns, and comparator networks run over them.

Lanes are coordinates: 64 columns lie side by side in a (n, 64) group, and every operation on the n values of a column
is an inner loop over the 64 that LLVM turns into vector instructions. A column's result depends on the column alone.

Numba's cache notices changes in the file of the cached function only: after an edit here, touch the importing files.
"""

# mypy: disable-error-code="attr-defined, call-arg, no-untyped-call, no-untyped-def"
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import carray, njit, types
from numba.extending import intrinsic

from robustagg.kernels.networks import BOTH, SMALLER

LANES = 64
TILE = 2**17  # values of a tile of groups, staged together so that each row is read in long runs

FLOAT32, FLOAT64, FLOAT16, BFLOAT16 = range(4)  # kinds of rows

# Index 0 is for float64, 1 for float32.
HUGE = 2.0**500, 2.0**100  # columns beyond it are computed on after scaling by SHRINK, an exact power of two,
SHRINK = 2.0**-600, 2.0**-64  # lest squares and differences overflow
TINY = 2.0**-1022, 2.0**-126  # below it lie the subnormal numbers, which are slow

HALF = np.float32(0.5)  # makes no double of a float

HALF_UNIT = np.float32(2.0**112)  # float16 bits in a float32's place are too small by this factor
HALF_NORMAL = np.float32(2.0**-14)  # from here on float16 is not subnormal
HALF_SUBNORMALS = np.float32(2.0**24)  # units of subnormal float16 in 1


def jit(function: Callable[..., Any]) -> Any:
    """Compile at the first call, and keep the code on disk where there is a place for it that can be written."""
    try:
        return njit(nogil=True, cache=True, error_model="numpy")(function)
    except RuntimeError:  # Numba's: no locator available
        return njit(nogil=True, error_model="numpy")(function)


# --- rows to groups of columns --------------------------------------------------------------------------------------


@intrinsic
def pointer(context, address, dtype):
    """The address, an integer, as a pointer to values of the dtype."""
    result = types.CPointer(dtype.dtype)

    def generate(context, builder, signature, arguments) -> Any:
        return builder.inttoptr(arguments[0], context.get_value_type(result))

    return result(address, dtype), generate


@jit
def load(address, kind, start, stop, out):
    """Widen the values start to stop of a row into out and pad with zeros; return whether all of them are finite."""
    width = stop - start
    out[width:] = 0
    if kind == FLOAT32:
        singles = carray(pointer(address + 4 * start, np.float32), width)
        for k in range(width):
            out[k] = singles[k]
    elif kind == FLOAT64:
        doubles = carray(pointer(address + 8 * start, np.float64), width)
        for k in range(width):
            out[k] = doubles[k]
    else:
        halves = carray(pointer(address + 2 * start, np.uint16), width)
        bits = out.view(np.uint32)
        if kind == BFLOAT16:
            for k in range(width):
                bits[k] = np.uint32(halves[k]) << np.uint32(16)
        else:
            for k in range(width):
                half = np.uint32(halves[k])
                bits[k] = (half & np.uint32(0x8000)) << np.uint32(16) | (half & np.uint32(0x7FFF)) << np.uint32(13)
            for k in range(width):
                value = out[k] * HALF_UNIT
                out[k] = value if abs(value) < 65536 else np.inf
    bad = False
    for k in range(len(out)):
        bad |= out[k] - out[k] != 0
    return not bad


@jit
def narrow(addresses, kind, lo, hi, to, out):
    """The one row, float32, as float16 or bfloat16; out holds the bits."""
    first, d = addresses[0] + 4 * lo, hi - lo
    singles, patterns, halves = carray(pointer(first, np.float32), d), carray(pointer(first, np.int32), d), out[lo:hi]
    for k in range(d):
        bits = patterns[k] & 0x7FFFFFFF
        if to == BFLOAT16:
            half = min((bits + 0x7FFF + (bits >> 16 & 1)) >> 16, 0x7F7F)
        else:
            normal = min((bits - (112 << 23) + 0xFFF + (bits >> 13 & 1)) >> 13, 0x7BFF)
            subnormal = np.int32(np.rint(min(abs(singles[k]), HALF_NORMAL) * HALF_SUBNORMALS))
            half = normal if bits >= 113 << 23 else subnormal
        halves[k] = half | patterns[k] >> 16 & 0x8000
    return True


@jit
def load_tile(addresses, kind, start, stop, tile):
    """Widen the columns start to stop of all rows into tile (groups, n, LANES); return whether all are finite."""
    groups = (stop - start + LANES - 1) // LANES
    run = np.empty(groups * LANES, tile.dtype)  # long loops widen faster than many short ones
    good = True
    for i in range(len(addresses)):
        good &= load(addresses[i], kind, start, stop, run)
        for group in range(groups):
            for k in range(LANES):
                tile[group, i, k] = run[group * LANES + k]
    return good


@jit
def new_groups(count, n, like):
    """Empty groups (count, n, LANES) at a multiple of 64 bytes, lest every vector lie in two lines of the cache."""
    line = 64 // like.itemsize
    memory = np.empty(count * n * LANES + line, like.dtype)
    first = (64 - memory.ctypes.data % 64) // like.itemsize % line
    return memory[first : first + count * n * LANES].reshape((count, n, LANES))


@jit
def new_tile(n, width, like):
    """An empty tile for up to `width` columns of n values."""
    return new_groups(max(1, min(6, TILE // (n * LANES), (width + LANES - 1) // LANES)), n, like)


# --- order ----------------------------------------------------------------------------------------------------------


@intrinsic
def call(context, code, source, target):
    """Call machine code of :mod:`robustagg.kernels.numba.registers`."""

    def generate(context, builder, signature, arguments) -> Any:
        function = ir.FunctionType(ir.VoidType(), [word.type for word in arguments[1:]]).as_pointer()
        builder.call(builder.inttoptr(arguments[0], function), arguments[1:])
        return context.get_dummy_value()

    return types.void(code, source, target), generate


@jit
def exchange(network, values, w):
    """Put the rows of values (n, LANES) in the places that a network gives them, in w; values may be w itself."""
    comparators, code = network
    source, target = values.ctypes.data, w.ctypes.data
    if code:
        call(code, source, target)
    else:
        if source != target:
            w[:] = values
        run(comparators, w)


@jit
def run(comparators, w):
    """What machine code does, in memory; a function of its own, or LLVM would make slower code of it."""
    for c in range(len(comparators)):
        low, high, wanted = comparators[c, 0], comparators[c, 1], comparators[c, 2]
        if wanted == BOTH:
            for k in range(LANES):
                a, b = w[low, k], w[high, k]
                less = a < b
                w[low, k] = a if less else b
                w[high, k] = b if less else a
        elif wanted == SMALLER:
            for k in range(LANES):
                w[low, k] = w[low, k] if w[low, k] < w[high, k] else w[high, k]
        else:
            for k in range(LANES):
                w[high, k] = w[high, k] if w[low, k] < w[high, k] else w[low, k]


@jit
def halfway(a, b):
    """(a + b) / 2 without overflow."""
    a, b = np.float64(a), np.float64(b)
    return a + (b - a) * 0.5 if (a < 0) == (b < 0) else (a + b) * 0.5


@jit
def median_of(network, values, n, w, out):
    """Medians of the first n rows of values, which may be w, into out (LANES,)."""
    exchange(network, values, w)
    if n % 2 == 1:
        out[:] = w[n // 2]
        return
    for k in range(LANES):
        out[k] = halfway(w[n // 2 - 1, k], w[n // 2, k])
