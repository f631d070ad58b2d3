"""What a machine lacks: backends, packages, a reader's process."""

from __future__ import annotations

from collections.abc import Iterable

from robustagg.errors.kinds import BackendUnavailable, OtherVersion, Unreadable
from robustagg.errors.words import shown


def unknown_backend(name: object, known: Iterable[str]) -> ValueError:
    return ValueError(f"unknown backend {name!r}; choose one of {', '.join(known)}")


def backend_unavailable(name: str, cause: ImportError) -> BackendUnavailable:
    return BackendUnavailable(f"backend {name!r} is not available here: {cause}")


def backend_without(name: str, what: str, those: Iterable[str]) -> BackendUnavailable:
    return BackendUnavailable(f"backend {name!r} has no {what}; these have: {', '.join(those)}")


def no_device(name: str) -> BackendUnavailable:
    return BackendUnavailable(f"torch finds no device {name!r} here; 'auto' takes the processor then")


def bad_thread_count(count: object) -> ValueError:
    return ValueError(f"the number of threads must be an integer of at least 1, got {count!r}")


def converter_needs(suffix: str, package: str, version: str, install: str) -> ImportError:
    return ImportError(f"{suffix} files are read by {package} {version} or later: pip install '{install}'")


def optional_package(package: str, extra: str) -> ImportError:
    return ImportError(f"this needs {package}, which is not installed: pip install 'robustagg[{extra}]'")


def worker_without() -> OtherVersion:
    return OtherVersion("a worker has no robustagg: install the same version everywhere")


def other_version(driver: str, worker: str) -> OtherVersion:
    return OtherVersion(f"a worker has robustagg {worker}, whoever sent the work {driver}: install the same everywhere")


def too_small_nodes(nbytes: int, most: float) -> ValueError:
    return ValueError(f"max_memory is {nbytes} bytes for each task, no node of the cluster has more than {most:.0f}")


def no_cluster(address: str | None, fault: Exception) -> OSError:
    where = "" if address is None else f" at {shown(address)}"
    return OSError(f"there is no Ray cluster{where}: {type(fault).__name__}: {fault}")


def cluster_lost(fault: Exception) -> OSError:
    return OSError(f"the cluster has lost work that it cannot do again: {_first(fault)}")


def reference_lost(fault: BaseException) -> Unreadable:
    return Unreadable(_first(fault))


def _first(fault: BaseException) -> str:
    """Its first sentence: advice and tracebacks follow."""
    first = next(iter(str(fault).splitlines()), "").partition(". ")[0]
    return f"{type(fault).__name__}: {first[:160]}" if first else type(fault).__name__


def result_lost(fault: Exception) -> OSError:
    return OSError(f"the cluster has lost pieces of the result that it cannot make again: {fault}")


def no_executor(executor: object) -> TypeError:
    return TypeError(f"executor must be one, such as robustagg.engine.ray.Ray(address), got {shown(executor)}")


def holds_nothing(executor: object) -> TypeError:
    return TypeError(
        f"executor must know of updates that its workers hold, as robustagg.engine.ray.Ray does; got {shown(executor)}"
    )


def worker_gone(package: str) -> OSError:
    return OSError(f"the process that reads files with {package} has ended: does 'import {package}' work?")
