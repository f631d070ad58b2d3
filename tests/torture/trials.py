"""What a trial is, and the loop over trials."""

from __future__ import annotations

import importlib
import json
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

EXPECTED = (TypeError, ValueError)
REPORTED = 0.5  # seconds between reports


class Broken(Exception):
    """A law does not hold."""

    def __init__(self, law: str, detail: object = "") -> None:
        super().__init__(law, detail)
        self.law, self.detail = law, str(detail)


def law(name: str, holds: object, detail: object = "") -> None:
    if not holds:
        raise Broken(name, detail)


@contextmanager
def only(*expected: type[Exception], what: str) -> Iterator[None]:
    """Of exceptions, only these; a warning is one too."""
    try:
        yield
    except (Broken, *expected):
        raise
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(place.filename).name}:{place.lineno}"
        raise Broken(
            f"{what}: only {', '.join(kind.__name__ for kind in expected)}", f"{error!r:.150} at {where}"
        ) from error


def work(name: str, seed: int, trials: int, seconds: float, path: Path) -> None:
    """Trials until their number or the time is reached; `path` always says how far it came."""
    trial = importlib.import_module(f"harness_{name}").trial
    warnings.simplefilter("error")
    counts: Counter[str] = Counter()
    laws: dict[str, list[tuple[int, str]]] = {}
    began, reported = time.monotonic(), 0.0

    def report(at: int) -> None:
        draft = path.with_suffix(".draft")
        draft.write_text(json.dumps({"counts": counts, "laws": laws, "seed": at}))
        draft.replace(path)

    for at in range(seed, seed + trials):
        if time.monotonic() - began > seconds:
            break
        if time.monotonic() - reported > REPORTED:
            report(at)
            reported = time.monotonic()
        try:
            trial(at, counts)
        except Broken as broken:
            laws.setdefault(broken.law, []).append((at, broken.detail))
        except Exception as error:  # the harness's own fault, or one that it did not foresee: told, not hidden
            laws.setdefault(f"unforeseen {type(error).__name__}", []).append((at, traceback.format_exc(limit=-2)))
        counts["trials"] += 1
    report(at)
