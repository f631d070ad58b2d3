"""The CUDA backend where there is no device: its texts, what is told to kernels, and its answers as plain C++.

The whole kernel suite runs on the bodies as plain C++ with ROBUSTAGG_CUDA_HOST=1: ``nox -s cuda``.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import cuda_host
import numpy as np
import pytest
import zoo
from cuda_host import There
from kernel_cases import DEFAULTS, RESCALES, THRESHOLD, check_detection, menagerie
from numpy.testing import assert_array_equal

import robustagg as ra
from robustagg import errors, kernels
from robustagg.kernels import numpy as specification
from robustagg.kernels import truth
from robustagg.kernels.cuda import sources
from robustagg.kernels.cuda.blocks import Block, parts
from robustagg.kernels.cuda.trial import answers
from robustagg.kernels.interface import GRAM_TILE

BODIES = sorted(path.stem for path in sources.folder().glob("*.cu"))
needs_compiler = pytest.mark.skipif(cuda_host.COMPILER is None, reason="needs a C++ compiler")


@pytest.mark.parametrize("body", BODIES)
def test_a_text_is_whole_and_says_for_whom_it_is(body):
    few, many = (sources.text(body, np.dtype(np.float32), n) for n in (10, 300))
    assert "#include" not in few
    assert f"{body}(RA_ROWS" in few
    if body in sources.ANY_NUMBER:
        assert few == many
    else:
        assert "#define RA_FEW 10\n" in few
        assert "#define RA_MANY 512\n" in many
        assert many == sources.text(body, np.dtype(np.float32), 257)


def test_ranges_of_columns_are_whole_tiles_and_leave_none_out():
    found = list(parts(10, 5 * GRAM_TILE + 3, 4, 2 * 10 * 4 * GRAM_TILE))
    assert [part.start for part in found] == [0, 2 * GRAM_TILE, 4 * GRAM_TILE]
    assert [part.stop for part in found] == [2 * GRAM_TILE, 4 * GRAM_TILE, 5 * GRAM_TILE + 3]
    assert list(parts(10**6, 7, 8, 1)) == [slice(0, 7)]
    assert list(parts(3, 0, 4, 100)) == [slice(0, 0)]


class Recorder(cuda_host.Host):
    """Keeps what it is asked to launch."""

    def launch(self, *launched):
        self.launched = launched


def test_arguments_have_the_types_that_kernels_take_and_the_grid_covers_the_columns():
    machine = Recorder(resident=False)
    rows, values = list(map(machine.bring, zoo.rows_of(3, 1000))), machine.bring(np.ones(2))
    block = Block(machine, rows, slice(0, 1000), 5)
    block.columns("median", 5, 0.5, np.int64(7), np.arange(3, dtype=np.uint8), values, np.array([0.25, 0.75]))
    _, kernel, blocks, threads, (addresses, n, d, odd, *given) = machine.launched
    assert (kernel, blocks, threads) == ("median", 8, 128)
    assert [type(value) for value in (n, d, *given)] == [
        np.int32, np.int64, np.int32, np.float64, np.int64, np.uint64, There, np.uint64,
    ]  # fmt: skip
    assert (ctypes.c_uint64 * 3).from_address(int(addresses))[:] == [row.data.ptr for row in rows]
    assert (ctypes.c_uint8 * 3).from_address(int(given[3]))[:] == [0, 1, 2]
    assert (ctypes.c_double * 2).from_address(int(given[5]))[:] == [0.25, 0.75]
    assert len({int(place) - int(addresses) for place in (addresses, given[3], given[5])} - {0, 24, 32}) == 0
    assert int(block.counts) == odd.data.ptr + 8


def test_what_kernels_have_found_is_read_when_all_are_launched():
    machine = Recorder(resident=False)
    rows = list(map(machine.bring, zoo.rows_of(3, 1000)))
    for odd in (0, 1):
        block = Block(machine, rows, slice(0, 1000), 2)
        block.columns("median")
        block.columns("median")
        *_, (_, _, _, told) = machine.launched
        told[:] = odd, 3, 4
        if odd:
            with pytest.raises(errors.NonFinite):
                block.made(lambda block: None)
        else:
            assert block.made(lambda block: block.found.tolist()) == [3, 4]
    del machine.launched
    nothing = Block(machine, rows, slice(0, 0), 2)
    nothing.columns("median")
    assert nothing.found.tolist() == [0, 0]
    assert not hasattr(machine, "launched")


@needs_compiler
@pytest.mark.parametrize("n", [9, 130])
def test_as_plain_cpp_it_is_the_specification(n):
    backend = cuda_host.primitives()
    rows, kinds = menagerie(n, "float32", 2)
    assert_array_equal(backend.median(rows), specification.median(rows))
    check_detection(backend, rows, kinds, RESCALES[1], "separate")


def slopes_of(rows, monkeypatch, **ways):
    """Of repeated medians of the bodies as plain C++, with median slopes found in another way."""
    for name, value in ways.items():
        monkeypatch.setattr(sources, name, value)
    sources._text.cache_clear()
    found = [cuda_host.primitives().repeated_median(rows, intercept) for intercept in ("separate", "median_point")]
    monkeypatch.undo()
    sources._text.cache_clear()
    return np.array(found)


def columns_of(n, dtype):
    """Of all kinds, with ties, zeros, straight lines, subnormal and huge numbers among them."""
    generator = np.random.default_rng(n)
    normal, d = generator.standard_normal((n, 96)), np.arange(96) % 8
    kinds = [
        normal,
        normal * (generator.random(normal.shape) < 0.4),
        np.round(4 * normal) / 4,
        np.sign(normal),
        np.arange(n)[:, None] + 1e-3 * normal,
        normal * 2.0 ** generator.integers(-60, 60, normal.shape),
        normal * np.where(generator.random(normal.shape) < 0.1, 1e37, 1e-37),
        np.zeros_like(normal) + 5e-39,
    ]
    return list(np.choose(d, kinds).astype(dtype))


@needs_compiler
@pytest.mark.parametrize(
    ("n", "dtype"), [(12, "float64"), (16, "float32"), (33, "float32"), (100, "float32"), (101, "float64")]
)
def test_median_slopes_have_the_same_bits_however_they_are_found(n, dtype, monkeypatch):
    rows = columns_of(n, dtype)
    by_networks = slopes_of(rows, monkeypatch, FEWEST=0, SEARCHED=10**6)
    assert_array_equal(slopes_of(rows, monkeypatch), by_networks)
    assert_array_equal(slopes_of(rows, monkeypatch, SEARCHED=2), by_networks)
    assert_array_equal(slopes_of(rows, monkeypatch, FEW=dict.fromkeys(sources.FEW, 0)), by_networks)
    included, told = sources._included, "most_guesses = 8"
    assert told in included("slopes.cuh", set())
    halving = slopes_of(
        rows, monkeypatch, SEARCHED=2, _included=lambda *of: included(*of).replace(told, told[:-1] + "1")
    )
    assert_array_equal(halving, by_networks)


@needs_compiler
@pytest.mark.parametrize("n", [12, 112, 225])
@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_told_and_nobody_looks_for_ever(n, odd):
    backend, rows = cuda_host.primitives(), list(map(np.copy, zoo.rows_of(n, 40)))
    for client in (0, n // 2):
        rows[client][::3] = odd
    for call in (lambda: backend.detect(rows, DEFAULTS, THRESHOLD), lambda: backend.repeated_median(rows, "separate")):
        with pytest.raises(errors.NonFinite):
            call()


@needs_compiler
def test_blocks_give_what_the_whole_gives():
    rows = zoo.rows_of(9, 2 * GRAM_TILE + 77)
    whole, cut = cuda_host.primitives(), cuda_host.primitives(block_bytes=1)
    for found, expected in zip(*(each.detect(rows, DEFAULTS, THRESHOLD) for each in (cut, whole)), strict=True):
        assert_array_equal(found, expected)
    for name in ("median", "gram", "sign_counts", "finite"):
        assert_array_equal(getattr(cut, name)(rows), getattr(whole, name)(rows))


@needs_compiler
@pytest.mark.parametrize("value_range", [None, 2.0])
def test_a_certificate_of_rows_on_a_device_is_that_of_the_hosts(value_range, monkeypatch):
    huge = np.linspace(1e200, 5e200, 5)[:, None] * np.ones(GRAM_TILE + 9)  # a tile is computed again
    for rows in (zoo.rows_of(5, GRAM_TILE + 500), huge):
        expected = ra.Reputation(value_range=value_range).aggregate(rows, certify=True).certificate
        with monkeypatch.context() as patch:
            patch.setattr(kernels, "_load", lambda name: cuda_host.primitives(resident=name == "cuda"))
            with kernels.use_backend("cuda"):
                found = ra.Reputation(value_range=value_range).aggregate(rows, certify=True).certificate
        np.testing.assert_allclose(found.distances, expected.distances, rtol=1e-6)
        np.testing.assert_allclose(found.extremes, expected.extremes, rtol=1e-6)


@needs_compiler
def test_a_device_that_fails_or_flushes_subnormal_numbers_is_no_backend(monkeypatch):
    backend = cuda_host.primitives()
    answers(backend)

    def failing(*_):
        raise RuntimeError("no kernel image is available")

    for launch, told in ((failing, "no kernel image"), (lambda *_: None, "the median of 3e-45 and 6e-45 to be")):
        monkeypatch.setattr(backend.machine, "launch", launch)
        monkeypatch.setattr(backend.machine, "arrays", Zeroed)
        with pytest.raises(ImportError, match=told):
            answers(backend)


class Zeroed:
    """NumPy, whose empty arrays are zero."""

    empty = zeros = staticmethod(np.zeros)


def test_what_is_compiled_keeps_subnormal_numbers_and_is_kept(tmp_path, monkeypatch):
    pytest.importorskip("cupy", reason="needs CuPy, of which a part works without a device")
    from robustagg.kernels.cuda import compiler

    monkeypatch.setenv("CUPY_CACHE_DIR", str(tmp_path / "kept"))
    text = sources.text("median", np.dtype(np.float32), 10)
    made = compiler.file_of(text, 90)
    assert made.read_bytes().startswith(b"\x7fELF")
    monkeypatch.setattr(compiler, "compiled", lambda *_: pytest.fail("compiled twice"))
    assert compiler.file_of(text, 90) == made
    monkeypatch.undo()
    newer = compiler.compiled(text, "compute_90").decode()
    assert "min.f32" in newer
    assert ".ftz" not in newer
    with pytest.raises(RuntimeError, match="identifier"):
        compiler.compiled("unheard of", "sm_90")


def nvrtc():
    """NVIDIA's compiler library where its package is installed; it needs no device."""
    spec = importlib.util.find_spec("nvidia")
    folders = [] if spec is None else list(spec.submodule_search_locations or [])
    found = [path for folder in folders for path in Path(folder).glob("cuda_nvrtc/lib/libnvrtc.so.*")]
    return ctypes.CDLL(str(found[0])) if found else None


@pytest.mark.skipif(nvrtc() is None, reason="needs NVRTC: pip install nvidia-cuda-nvrtc-cu12")
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "uint16"])
@pytest.mark.parametrize("body", BODIES)
def test_nvrtc_accepts_it_and_warns_of_nothing(body, dtype):
    """Where an architecture is a real one, sm_90, its assembler does so as well."""
    library = nvrtc()
    for n, architecture in ((1, "compute_80"), (10, "sm_90"), (50, "compute_90"), (200, "compute_90"), (300, "sm_90")):
        program, size = ctypes.c_void_p(), ctypes.c_size_t()
        text = sources.text(body, np.dtype(dtype), n).encode()
        assert not library.nvrtcCreateProgram(ctypes.byref(program), text, None, 0, None, None)
        options = [b"--std=c++17", b"--fmad=false", f"--gpu-architecture={architecture}".encode()]
        failed = library.nvrtcCompileProgram(program, len(options), (ctypes.c_char_p * len(options))(*options))
        library.nvrtcGetProgramLogSize(program, ctypes.byref(size))
        log = ctypes.create_string_buffer(size.value)
        library.nvrtcGetProgramLog(program, log)
        library.nvrtcDestroyProgram(ctypes.byref(program))
        assert not failed, log.value.decode()
        assert not re.search(r"warning|error", log.value.decode()), log.value.decode()


@pytest.mark.skipif("cuda" in kernels.available(), reason="there is a device here")
def test_without_a_device_asking_for_it_is_an_error():
    with pytest.raises(errors.BackendUnavailable, match="'cuda' is not available here: "):
        kernels.use_backend("cuda")
    code = "import robustagg as ra; ra.Median()([[1.0], [2.0]])"
    environment = {**os.environ, "ROBUSTAGG_BACKEND": "cuda"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "BackendUnavailable: backend 'cuda' is not available here: " in done.stderr


def test_what_it_has_not_is_refused_by_name(monkeypatch):
    monkeypatch.setattr(truth, "active_name", lambda: "cuda")
    with pytest.raises(errors.BackendUnavailable, match="'cuda' has no truth discovery; these have: native"):
        truth.active()
