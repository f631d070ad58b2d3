"""20 Newsgroups as EITR sees it: four classes, and a fresh topic that the first model has never met."""

from __future__ import annotations

import os
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

CLASSES = ("Health", "Politics", "Religion", "Non-sensitive")
GROUPS = {
    "sci.med": "Health",
    "talk.politics": "Politics",
    "talk.religion": "Religion",
    "soc.religion": "Religion",
    "alt.atheism": "Religion",
}
FRESH = re.compile(r"\b(infect|virus|viral|bacteri|epidem|vaccin|hiv\b|aids\b)", re.IGNORECASE)
MARKED = ("sci.med", "comp.", "sci.crypt", "sci.electronics", "misc.forsale", "rec.", "sci.space")
PER_GROUP = 250


@dataclass(frozen=True)
class Texts:
    """Old messages to train on and to be tested with; fresh ones, a pool for the users and a test. Labels are
    numbers."""

    train: list[tuple[str, int]]
    test: list[tuple[str, int]]
    pool: list[tuple[str, int]]
    fresh: list[tuple[str, int]]


def archive() -> Path:
    given = os.environ.get("NEWSGROUPS20")
    found = Path(given) if given else Path("../shared/data/newsgroups20/20news-bydate.tar.gz")
    if not found.exists():
        raise SystemExit(f"{found} is not there: set NEWSGROUPS20 to 20news-bydate.tar.gz")
    return found


def messages() -> Iterator[tuple[str, str]]:
    """Group and text, headers but the subject and quoted lines left out."""
    with tarfile.open(archive()) as packed:
        for member in packed:
            if member.isfile():
                text = packed.extractfile(member).read().decode("latin-1")  # type: ignore[union-attr]
                yield member.name.split("/")[-2], _bare(text)


def read(seed: int) -> Texts:
    rng = np.random.default_rng(seed)
    fresh, by_group = [], {}
    for group, text in messages():
        label = CLASSES.index(
            next((name for prefix, name in GROUPS.items() if group.startswith(prefix)), "Non-sensitive")
        )
        if group.startswith(MARKED) and FRESH.search(text):
            fresh.append((text, label))
        else:
            by_group.setdefault(group, []).append((text, label))
    old = [[found[i] for i in rng.permutation(len(found))[:PER_GROUP]] for found in by_group.values()]
    fresh = [fresh[i] for i in rng.permutation(len(fresh))]
    cut = 2 * len(fresh) // 3
    train = [one for found in old for one in found[: PER_GROUP * 4 // 5]]
    test = [one for found in old for one in found[PER_GROUP * 4 // 5 :]]
    train = [train[i] for i in rng.permutation(len(train))]
    return Texts(train, test, fresh[:cut], fresh[cut:])


def _bare(text: str) -> str:
    head, _, body = text.partition("\n\n")
    subject = next((line[8:] for line in head.splitlines() if line.startswith("Subject:")), "")
    lines = [line for line in body.splitlines() if not line.startswith((">", "|", ":")) and "writes:" not in line]
    return subject + "\n" + "\n".join(lines)
