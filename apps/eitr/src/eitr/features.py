"""Text to features: scikit-learn's TF-IDF over a fixed vocabulary, or hashed words; ``extension/features.js`` is
the same.

Both are equal to the last bit of float32: same words, sums in float64 over ascending columns.
"""

from __future__ import annotations

import re
import unicodedata
import zlib
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer

from eitr.model import Example

WORD = r"\w{2,}"


def normal(text: str) -> str:
    return unicodedata.normalize("NFC", text).lower()


def fit(texts: Sequence[str], classes: Sequence[str], size: int = 1000) -> dict[str, Any]:
    """The vocabulary of the `size` most frequent words of `texts` but English stop words, ready for JSON."""
    vectorizer = TfidfVectorizer(preprocessor=normal, token_pattern=WORD, stop_words="english", max_features=size)
    vectorizer.fit(texts)
    terms = vectorizer.get_feature_names_out().tolist()
    return {"kind": "tfidf", "classes": list(classes), "terms": terms, "idf": vectorizer.idf_.tolist()}


def hashing(classes: Sequence[str], size: int = 4096) -> dict[str, Any]:
    """The vocabulary that knows every word, and mistakes some for others."""
    return {"kind": "hashed", "classes": list(classes), "size": size}


def width(vocabulary: dict[str, Any]) -> int:
    return len(vocabulary["terms"]) if vocabulary["kind"] == "tfidf" else int(vocabulary["size"])


def extract(vocabulary: dict[str, Any], texts: Sequence[str]) -> list[Example]:
    return (_tfidf if vocabulary["kind"] == "tfidf" else _hashed)(vocabulary, texts)


def _tfidf(vocabulary: dict[str, Any], texts: Sequence[str]) -> list[Example]:
    vectorizer = TfidfVectorizer(preprocessor=normal, token_pattern=WORD, vocabulary=vocabulary["terms"])
    vectorizer.idf_ = np.array(vocabulary["idf"])
    matrix = vectorizer.transform(texts)
    matrix.sort_indices()
    ends = zip(matrix.indptr, matrix.indptr[1:], strict=False)
    return [(matrix.indices[a:b].astype(np.int64), matrix.data[a:b].astype(np.float32)) for a, b in ends]


def _hashed(vocabulary: dict[str, Any], texts: Sequence[str]) -> list[Example]:
    return [_hashed_one(vocabulary["size"], text) for text in texts]


def _hashed_one(size: int, text: str) -> Example:
    words = re.findall(WORD, normal(text))
    counts = sorted(Counter(zlib.crc32(word.encode()) % size for word in words).items())
    squares = 0.0
    for _, count in counts:  # in this order, as the browser adds them
        squares += float(count) * count
    values = [count / squares**0.5 for _, count in counts]
    return np.array([column for column, _ in counts], np.int64), np.array(values, np.float32)
