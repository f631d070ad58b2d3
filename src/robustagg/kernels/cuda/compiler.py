"""Texts compiled by NVRTC, kept on disk beside what CuPy keeps.

Not by CuPy's RawModule: it has subnormal numbers flushed to zero, whatever one asks of it.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

from cupy.cuda import nvrtc

OPTIONS = ("--std=c++17", "--fmad=false")  # no contraction: the bits of the same bodies on a processor


def folder() -> Path:
    """Where compiled kernels are kept: CuPy's own."""
    return Path(os.environ.get("CUPY_CACHE_DIR") or Path.home() / ".cupy" / "kernel_cache")


def file_of(text: str, capability: int) -> Path:
    """A text compiled for devices of a compute capability (90 for 9.0), or as it was compiled before."""
    most = max(nvrtc.getSupportedArchs())
    target = f"sm_{capability}" if capability <= most else f"compute_{most}"  # the driver does the rest for newer ones
    told = repr((text, target, OPTIONS, nvrtc.getVersion()))
    path = folder() / f"robustagg-{hashlib.sha256(told.encode()).hexdigest()}"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as made:
            made.write(compiled(text, target))
        Path(made.name).replace(path)
    return path


def compiled(text: str, target: str) -> bytes:
    """Machine code for sm_xx, PTX for compute_xx."""
    program = nvrtc.createProgram(text, "robustagg.cu", (), ())
    try:
        nvrtc.compileProgram(program, (*OPTIONS, f"--gpu-architecture={target}"))
        made: bytes = (nvrtc.getCUBIN if target.startswith("sm_") else nvrtc.getPTX)(program)
    except nvrtc.NVRTCError as cause:
        raise RuntimeError(nvrtc.getProgramLog(program)) from cause
    finally:
        nvrtc.destroyProgram(program)
    return made
