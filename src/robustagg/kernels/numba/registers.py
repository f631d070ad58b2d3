"""Networks of few values as machine code: a column's values stay in registers from the first comparator to the last.

The kernels are compiled once, for every n, and read a network from an array: each of its comparators loads and stores
the values of all lanes. For as many values as there are registers the network itself is compiled, in 20 to 60 ms, and
not kept on disk.
"""

# mypy: disable-error-code="no-untyped-call"
from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import cpu_target

from robustagg.kernels.networks import Network, middle, sorting
from robustagg.kernels.numba.lanes import LANES

REGISTERS = 32  # those of AVX-512; code for more values is slow to compile, and stores them in between after all
VECTOR = 64 if "+avx512f" in cpu_target.target_context.codegen().magic_tuple()[2] else 32  # bytes
WORD = ir.IntType(64)

Code = tuple[Network, int]  # a network, and the address of its machine code, 0 if there is none
Row = Callable[[Any], Any]  # a row's number to a pointer to the lanes of it that are at work


def sorter(n: int, low: int, high: int, dtype: np.dtype[Any]) -> Code:
    """What puts the values of ranks low to high - 1 of n in their places."""
    return sorting(n, low, high), address(place, dtype, n, low, high) if n <= REGISTERS else 0


def selector(n: int, dtype: np.dtype[Any]) -> Code:
    """What puts the two middle values (one, if n is odd) in their places."""
    return sorter(n, (n - 1) // 2, n // 2 + 1, dtype)


def slopes(n: int, dtype: np.dtype[Any]) -> Code:
    """What takes the medians of the slopes from each of n values to the others; the network is that of one median."""
    return middle(n - 1), address(medians_of_slopes, dtype, n) if 2 <= n <= REGISTERS else 0


@cache  # found again without the lock
def address(body: Callable[..., None], dtype: np.dtype[Any], *sizes: int) -> int:
    """Where the code is that takes the addresses of (n, LANES) values and of its results."""
    with global_compiler_lock:
        library, name = compiled(body, dtype, *sizes)
    return int(library.get_pointer_to_function(name))


@cache  # for good: code lives as long as its library
def compiled(body: Callable[..., None], dtype: np.dtype[Any], *sizes: int) -> tuple[Any, str]:
    name = "_".join(map(str, (body.__name__, dtype, *sizes)))
    library = cpu_target.target_context.codegen().create_library(name)
    module = library.create_ir_module(name)
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [WORD, WORD]), name)
    builder = ir.IRBuilder(function.append_basic_block())
    vector = ir.VectorType(ir.FloatType() if dtype.itemsize == 4 else ir.DoubleType(), VECTOR // dtype.itemsize)
    stride = WORD(LANES * dtype.itemsize)
    with cgutils.for_range_slice(builder, WORD(0), stride, WORD(VECTOR), WORD) as (offset, _):

        def rows(matrix: Any) -> Row:
            start = builder.add(matrix, offset)
            return lambda i: builder.inttoptr(builder.add(start, builder.mul(stride, i)), vector.as_pointer())

        body(builder, vector, *map(rows, function.args), *sizes)
    builder.ret_void()
    library.add_ir_module(module)
    library.finalize()
    return library, name


def exchange(builder: Any, values: list[Any], low: int, high: int) -> None:
    """Put the ranks low to high - 1 in their places; LLVM leaves out what none of them depends on."""
    for first, second, _ in sorting(len(values), low, high).tolist():
        a, b = values[first], values[second]
        less = builder.fcmp_ordered("<", a, b)
        values[first], values[second] = builder.select(less, a, b), builder.select(less, b, a)


def place(builder: Any, vector: Any, source: Row, target: Row, n: int, low: int, high: int) -> None:
    values = [builder.load(source(WORD(i)), align=4) for i in range(n)]
    exchange(builder, values, low, high)
    for i in range(low, high):
        builder.store(values[i], target(WORD(i)), align=4)


def medians_of_slopes(builder: Any, vector: Any, source: Row, target: Row, n: int) -> None:
    reciprocals = [ir.Constant(vector, [1 / step] * vector.count) for step in range(1 - n, n) if step]
    constant = ir.Constant(ir.ArrayType(vector, len(reciprocals)), reciprocals)
    table = cgutils.global_constant(builder, "reciprocals", constant)
    half = ir.Constant(vector, [0.5] * vector.count)
    low, high = (n - 2) // 2, (n - 1) // 2
    with cgutils.for_range(builder, WORD(n), intp=WORD) as loop:
        i = loop.index
        own = builder.load(source(i), align=4)
        values = []
        for j in range(n - 1):
            passed = builder.zext(builder.icmp_unsigned("<=", i, WORD(j)), WORD)  # the value itself is left out
            rise = builder.fsub(builder.load(source(builder.add(WORD(j), passed)), align=4), own)
            reciprocal = builder.load(builder.gep(table, [WORD(0), builder.sub(WORD(n - 1 + j), i)]))
            values.append(builder.fmul(rise, reciprocal))
        exchange(builder, values, low, high + 1)
        median = builder.fadd(builder.fmul(values[low], half), builder.fmul(values[high], half))  # cannot overflow
        builder.store(median, target(i), align=4)
