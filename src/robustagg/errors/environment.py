"""What a machine lacks: backends, packages, a reader's process."""

from __future__ import annotations

from collections.abc import Iterable

from robustagg.errors.kinds import BackendUnavailable


def unknown_backend(name: object, known: Iterable[str]) -> ValueError:
    return ValueError(f"unknown backend {name!r}; choose one of {', '.join(known)}")


def backend_unavailable(name: str, cause: ImportError) -> BackendUnavailable:
    return BackendUnavailable(f"backend {name!r} is not available here: {cause}")


def backend_without(name: str, what: str, those: Iterable[str]) -> BackendUnavailable:
    return BackendUnavailable(f"backend {name!r} has no {what}; these have: {', '.join(those)}")


def bad_thread_count(count: object) -> ValueError:
    return ValueError(f"the number of threads must be an integer of at least 1, got {count!r}")


def converter_needs(suffix: str, package: str, version: str, install: str) -> ImportError:
    return ImportError(f"{suffix} files are read by {package} {version} or later: pip install '{install}'")


def optional_package(package: str, extra: str) -> ImportError:
    return ImportError(f"this needs {package}, which is not installed: pip install 'robustagg[{extra}]'")


def worker_gone(package: str) -> OSError:
    return OSError(f"the process that reads files with {package} has ended: does 'import {package}' work?")
