"""A server's folder: vocabulary, pages, held-out examples, first model; and what is done with them."""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from eitr import corpus, features, model, replay
from eitr.model import Example
from eitr.settings import Settings
from eitr.store import DATABASE, Store

TASK = 20
CONCENTRATION = 1.0  # of the Dirichlet distribution that says which classes a client's task is made of


def made(argument: str) -> Path:
    """A server's folder, from a command line; whatever is none stays as it is."""
    folder = Path(argument)
    if not (folder / DATABASE).exists():
        raise argparse.ArgumentTypeError(f"{folder} is no server's folder; `eitr make {folder}` makes one")
    try:
        Settings.read(folder)
    except ValueError as wrong:
        raise argparse.ArgumentTypeError(str(wrong)) from None
    return folder


def make_demo(folder: Path, settings: dict[str, Any] | None = None, kind: str = "tfidf") -> None:
    """A folder for the made-up web; nothing where there is one already."""
    folder.mkdir(parents=True, exist_ok=True)
    if settings is not None:
        (folder / "settings.json").write_text(json.dumps(settings))
    if not (folder / "vocabulary.json").exists():
        known, vocabulary, _ = _made_up(kind)
        shown = [corpus.page(topic, 1000 + seed) for topic in (*corpus.CLASSES, corpus.FRESH) for seed in range(20)]
        (folder / "pages.json").write_text(json.dumps(shown))
        keep_examples(folder, vocabulary, shown)
        (folder / "replay.json").write_text(json.dumps(replay.stock(*labelled(vocabulary, known))))
        (folder / "vocabulary.json").write_text(json.dumps(vocabulary))
    _, _, trained = _made_up(json.loads((folder / "vocabulary.json").read_text())["kind"])
    Store(folder).begin(save(trained), measured(folder, trained), time.time() + Settings.read(folder).period)


@cache
def _made_up(kind: str) -> tuple[list[dict[str, str]], dict[str, Any], model.Model]:
    """Known pages, vocabulary and first model of the made-up web: the same ones each time."""
    known = [corpus.page(topic, seed) for seed in range(80) for topic in corpus.CLASSES]
    vocabulary = _vocabulary(known, kind)
    return known, vocabulary, first_model(vocabulary, known)


def _vocabulary(known: Sequence[dict[str, str]], kind: str) -> dict[str, Any]:
    if kind == "hashed":
        return features.hashing(corpus.CLASSES)
    fresh = [corpus.page(corpus.FRESH, seed) for seed in range(60)]  # its words are known, what they mean is not
    return features.fit([corpus.words(page) for page in (*known, *fresh)], corpus.CLASSES)


def first_model(vocabulary: dict[str, Any], pages: Sequence[dict[str, str]]) -> model.Model:
    """The centralised classifier that everything starts from."""
    examples, labels = labelled(vocabulary, pages)
    return model.fitted(examples, labels, features.width(vocabulary), len(vocabulary["classes"]))


def labelled(vocabulary: dict[str, Any], pages: Sequence[dict[str, str]]) -> tuple[list[Example], list[int]]:
    """Features and classes of pages."""
    examples = features.extract(vocabulary, [corpus.words(page) for page in pages])
    return examples, [vocabulary["classes"].index(page["label"]) for page in pages]


def keep_examples(folder: Path, vocabulary: dict[str, Any], pages: Sequence[dict[str, str]]) -> None:
    """Features of the pages that every model's accuracy is measured on."""
    examples, labels = labelled(vocabulary, pages)
    columns, values = (np.concatenate(parts) for parts in zip(*examples, strict=True))
    ends = np.cumsum([len(columns) for columns, _ in examples])
    np.savez(folder / "heldout.npz", columns=columns, values=values, ends=ends, labels=labels)


def measured(folder: Path, trained: model.Model) -> float | None:
    """Accuracy on the held-out examples; None where there are none."""
    path = folder / "heldout.npz"
    if not path.exists():
        return None
    with np.load(path) as kept:
        cuts = kept["ends"][:-1]
        examples = list(zip(np.split(kept["columns"], cuts), np.split(kept["values"], cuts), strict=True))
        return model.accuracy(trained, examples, kept["labels"].tolist())


def task(pages: Sequence[dict[str, str]], pseudonym: str) -> list[dict[str, str]]:
    """A client's pages: classes in proportions of its own, Dirichlet-distributed, and pages drawn of each."""
    seed = int.from_bytes(hashlib.sha256(pseudonym.encode()).digest()[:8], "big")
    rng = np.random.default_rng(seed)
    classes = sorted({page["label"] for page in pages})
    shares = rng.dirichlet(np.full(len(classes), CONCENTRATION))
    weights = np.array([shares[classes.index(page["label"])] for page in pages])
    weights = np.maximum(weights, 1e-9)  # so that twenty different pages can be drawn
    chosen = rng.choice(len(pages), size=min(TASK, len(pages)), replace=False, p=weights / weights.sum())
    return [pages[i] for i in chosen]
