"""The extension and the server see the same numbers: features to the last bit, training to the last digits of
float32."""

from __future__ import annotations

import base64
import json
import random
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from eitr import corpus, features, model
from safetensors.numpy import load, save

JS = Path(__file__).parent / "js"
pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="Node.js is not installed")

AWKWARD = (
    "",
    "Ärzte über Öl; ärzte U\u0308BER o\u0308l",
    "ΟΔΥΣΣΕΥΣ Σίσυφος ΣΑΣ",
    "İstanbul ISPARTA ıslak",  # noqa: RUF001
    "Straße STRASSE straẞe",
    "Больница и врач, БОЛЬНИЦА",
    "医院 医生 医院 病",
    "अस्पताल चिकित्सक नमस्ते",
    "snake_case __init__ a_b 3.14 1e5 ½ ² Ⅷ x²",
    "don't can\u2019t naïve nai\u0308ve café cafe\u0301",
    "𝒜𝒷 𐐀𐐁 😀😀 family👨‍👩‍👧word \u200bzero\u200cwidth\u00adsoft",  # noqa: RUF001
    "ﬁne ﬂow Ǆungla ǅ \x00nul\x00 tab\tnew\nline\u2028sep",
    "word " * 500 + "other",
)


def node(given: dict) -> dict:
    text = json.dumps(given).encode()
    done = subprocess.run(["node", str(JS / "parity.mjs")], input=text, capture_output=True, check=True, timeout=60)
    return json.loads(done.stdout)


def texts() -> list[str]:
    rng = random.Random(0)
    pages = [corpus.words(corpus.page(topic, seed)) for topic in corpus.CLASSES for seed in range(5)]
    mixed = [" ".join(rng.choices(" ".join((*AWKWARD, *pages)).split(" "), k=200)) for _ in range(40)]
    return [*AWKWARD, *pages, *mixed]


@pytest.mark.parametrize("kind", ["tfidf", "hashed"])
def test_features_are_equal_to_the_last_bit(kind):
    found = texts()
    vocabulary = features.fit(found, corpus.CLASSES) if kind == "tfidf" else features.hashing(corpus.CLASSES)
    answer = node({"vocabulary": vocabulary, "texts": found})["examples"]
    for text, theirs, (columns, values) in zip(found, answer, features.extract(vocabulary, found), strict=True):
        assert theirs["columns"] == columns.tolist(), text
        assert np.array_equal(np.array(theirs["values"], np.float32), values), text


@pytest.mark.parametrize("layers", [model.HEAD, model.WHOLE])
def test_training_is_the_same(layers):
    pages = [corpus.page(topic, seed) for seed in range(4) for topic in corpus.CLASSES][:20]
    found = [corpus.words(page) for page in pages]
    labels = [corpus.CLASSES.index(page["label"]) for page in pages]
    vocabulary = features.fit(found, corpus.CLASSES)
    examples = features.extract(vocabulary, found)
    start = model.fitted(examples * 4, labels * 4, features.width(vocabulary), len(corpus.CLASSES))
    encoded = base64.b64encode(save(start)).decode()
    answer = node({"vocabulary": vocabulary, "texts": found, "model": encoded, "labels": labels, "layers": layers})
    ours, theirs = model.train(start, examples, labels, layers=layers), load(base64.b64decode(answer["update"]))
    assert theirs.keys() == ours.keys()
    for name, array in ours.items():
        # Sums in another order differ by 1e-16 of float64; what is left is the last rounding to float32.
        np.testing.assert_allclose(theirs[name], array, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(answer["probabilities"], model.log_probabilities(start, examples), atol=1e-12)


def test_the_extensions_own_tests_pass():
    done = subprocess.run(["node", "--test", str(JS)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout
