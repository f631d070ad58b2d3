"""Texts as TF-IDF values: the topics of 20 Newsgroups, and tables of anybody's."""

from __future__ import annotations

import csv
import io
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from robustagg import errors
from robustagg.simulation.tasks.base import TESTED, Recipe, Samples, Task, arrays, words
from robustagg.simulation.tasks.trees import walk

WORDS = 1000  # most frequent ones, the columns of a text
LABELS = ("label", "category", "class", "topic", "target")  # what a column of labels is called
TOPICS = ("Health", "Non-sensitive", "Politics", "Religion")
GROUPS = {
    "sci.med": "Health",
    "talk.politics.guns": "Politics",
    "talk.politics.mideast": "Politics",
    "talk.politics.misc": "Politics",
    "alt.atheism": "Religion",
    "soc.religion.christian": "Religion",
    "talk.religion.misc": "Religion",
}
"""The topic of a newsgroup; that of all others is not sensitive."""


def topics(path: Path) -> Task:
    """20 Newsgroups, "bydate", as four topics of which three are sensitive.

    Health, politics, religion, and as many messages of other groups as these have together. The headers, which name
    group and sender, are stripped. (Lang, 1995.)
    """
    messages: dict[bool, dict[str, list[str]]] = {False: {}, True: {}}
    for names, content in walk(path):
        if len(names) > 2 and names[-3].endswith(("bydate-train", "bydate-test")):
            of_set = messages[names[-3].endswith("test")]
            of_set.setdefault(names[-2], []).append(content.decode("latin-1").partition("\n\n")[2])
    if not all(GROUPS.keys() <= found.keys() for found in messages.values()):
        raise errors.not_newsgroups(path, sorted(GROUPS.keys() - messages[False].keys()))
    (texts, labels), (tested, expected) = (_balanced(messages[test]) for test in (False, True))
    return texts_task("20 Newsgroups, four topics", texts, labels, tested, expected, "Health", "Non-sensitive")


def _balanced(groups: dict[str, list[str]]) -> tuple[list[str], list[str]]:
    """Texts and topics, those that are not sensitive drawn to be as many as the others."""
    sensitive = [(text, topic) for group, topic in GROUPS.items() for text in groups[group]]
    others = [text for group in sorted(groups.keys() - GROUPS.keys()) for text in groups[group]]
    drawn = np.random.default_rng(0).permutation(len(others))[: len(sensitive)]
    both = sensitive + [(others[k], "Non-sensitive") for k in sorted(drawn)]
    return [text for text, _ in both], [topic for _, topic in both]


def texts_task(
    title: str,
    texts: Sequence[str],
    labels: Sequence[str],
    tested: Sequence[str],
    expected: Sequence[str],
    source: str | None = None,
    target: str | None = None,
) -> Task:
    """Texts as the TF-IDF values of the words most frequent in the training texts.

    Labels are flipped from `source`, the rarest where not given, to `target`, the most frequent; so is the backdoor.
    """
    try:
        from sklearn.feature_extraction.text import TfidfVectorizer
    except ImportError as cause:
        raise errors.optional_package("scikit-learn", "sim") from cause
    values = TfidfVectorizer(max_features=WORDS, stop_words="english", dtype=np.float32)
    try:
        x = values.fit_transform(texts).toarray()
    except ValueError:  # of an empty vocabulary
        raise errors.no_words(title) from None
    x_test = values.transform(tested).toarray()
    known, counts = np.unique(labels, return_counts=True)
    source = source or str(known[counts.argmin()])
    target = target or str(known[counts.argmax()])
    usual = arrays(x, labels, test=(x_test, expected), title=title, recipe=Recipe("paper", 0.2, 64))
    label, aim = usual.class_of(source), usual.class_of(target)
    parts: dict[str, Any] = {"source": label, "target": aim, "marked_as": aim, "trigger": words(usual.train, label)}
    return arrays(x, labels, test=(x_test, expected), title=title, recipe=usual.recipe, **parts)


def table(path: Path, seed: int, label: str | None = None) -> Task:
    """A CSV file with a header and a sample a row: a column of labels, the others all numbers, or texts to be joined.

    The labels stand in the column `label`; where it is not given, in the one called label, category, class, topic or
    target, else in the last one. A quarter of the rows is for the test. Where no column holds more texts than numbers,
    all must be numbers.
    """
    header, rows = _read(path)
    column = header.index(label) if label in header else _label_column(header)
    labels = [row[column] for row in rows]
    others = [[cell for k, cell in enumerate(row) if k != column] for row in rows]
    numbers = _numbers(others)
    if numbers is not None and not np.isfinite(numbers).all():
        row, k = np.argwhere(~np.isfinite(numbers))[0].tolist()
        names = header[:column] + header[column + 1 :]
        raise errors.gap_in_numbers(path, row + 2, names[k], others[row][k])
    held, trained = np.split(np.random.default_rng(seed).permutation(len(rows)), [round(TESTED * len(rows))])
    if numbers is not None:
        return _numeric(path.stem, numbers, np.array(labels), trained, held)
    texts = [" ".join(row) for row in others]
    (seen, known), (tested, expected) = (
        ([texts[k] for k in part], [labels[k] for k in part]) for part in (trained, held)
    )
    return texts_task(path.stem, seen, known, tested, expected)


def _numeric(title: str, x: Any, y: Any, trained: Any, held: Any) -> Task:
    mean, spread = x[trained].mean(axis=0), x[trained].std(axis=0)
    scaled = (x - mean) / np.where(spread > 0, spread, 1)
    test: Samples = (scaled[held], y[held])
    return arrays(scaled[trained], y[trained], test=test, title=title, recipe=Recipe(learning_rate=0.1))


def _read(path: Path) -> tuple[list[str], list[list[str]]]:
    if not path.exists():
        raise errors.no_data(path)
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        raise errors.not_utf8(path, content.count(b"\n", 0, fault.start) + 1) from None
    header, *rows = [row for row in csv.reader(io.StringIO(text, newline="")) if row] or [[]]
    for number, row in enumerate(rows, 2):
        if len(row) != len(header):
            raise errors.ragged_table(path, number, len(row), len(header))
    if len(header) < 2 or len(rows) < 8:
        raise errors.small_table(path, len(rows), len(header))
    return header, rows


def _label_column(header: Sequence[str]) -> int:
    lower = [name.strip().lower() for name in header]
    return next((lower.index(name) for name in LABELS if name in lower), len(header) - 1)


def _numbers(rows: list[list[str]]) -> Any:
    """The cells as numbers, NaN where one is none; None where a column holds more texts than numbers."""
    numbers = np.array([list(map(_number, row)) for row in rows])
    texts = np.array([[bool(cell.strip()) for cell in row] for row in rows]) & ~np.isfinite(numbers)
    return None if (texts.sum(axis=0) > len(rows) / 2).any() else numbers


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return math.nan
