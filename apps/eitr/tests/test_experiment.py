"""The experiments compute what the application computes, and the README prints what they found."""

from __future__ import annotations

import re
from pathlib import Path

import crowd
import numpy as np
import pytest
import weights
from eitr import corpus, features, model, privacy, site

PEOPLE, PAGES = 4, 12
README = (Path(__file__).parents[1] / "README.md").read_text()


@pytest.fixture(scope="module")
def made():
    pages = [corpus.page(topic, seed) for seed in range(60) for topic in corpus.CLASSES]
    vocabulary = features.fit([corpus.words(page) for page in pages], corpus.CLASSES)
    return vocabulary, site.first_model(vocabulary, pages), *site.labelled(vocabulary, pages)


def test_everybody_at_once_learns_what_each_alone_learns(made):
    _, first, examples, labels = made
    rng = np.random.default_rng(0)
    chosen = rng.permutation(len(examples))[: PEOPLE * PAGES].reshape(PEOPLE, PAGES)
    said = rng.permuted(np.array(labels)[chosen], axis=1)  # wrong labels move the model further
    together = crowd.train(first, model.hiddens(first, examples)[chosen], said, rate=0.1, epochs=3)
    for own, labels_of, update in zip(chosen, said, together, strict=True):
        alone = model.train(first, [examples[i] for i in own], labels_of.tolist(), rate=0.1, epochs=3)
        assert update.keys() == alone.keys()
        for name, array in alone.items():
            assert np.abs(array).max() > 1e-3
            # Sums in another order: what is left is the last rounding to float32.
            np.testing.assert_allclose(update[name], array, rtol=1e-6, atol=1e-9)


def test_the_first_layer_at_once_is_the_first_layer_of_each(made):
    _, first, examples, _ = made
    each = [model.hidden(first, example) for example in examples]
    np.testing.assert_allclose(model.hiddens(first, examples), each, rtol=1e-12, atol=1e-15)


def test_one_of_five_honest_people_weighs_less_by_shares_than_by_minmax(made):
    vocabulary, first, _, _ = made
    largest = {name: weights.largest(first, vocabulary, 5, name, seeds=3)[0] for name in ("minmax", "sum")}
    assert largest["sum"] < 0.25 < largest["minmax"]


def test_the_whole_network_gives_away_every_word_and_the_head_does_not(made):
    _, first, examples, labels = made
    found = privacy.Attacker(first, [], trials=1).auc(examples[-2:], labels[-2:], noise=0.0, rounds=1, seed=0)
    assert max(found["head"]) < 0.95
    assert max(found["whole"]) == 1.0


def test_the_readme_prints_the_figures_of_the_privacy_page():
    table = README[README.index("| corrected pages |") :]
    rows = re.findall(r"^\| (\d+) \| (\w+) \| (\d+) \| ([.\d]+) \| ([.\d]+) \| ([.\d]+) \|$", table, re.MULTILINE)
    names = ("pages", "old", "rounds", "noise", "head", "whole")
    printed = [{name: float(cell.replace("none", "0")) for name, cell in zip(names, row, strict=True)} for row in rows]
    assert printed == privacy.MEASURED
    assert f"reaches {privacy.BY_FREQUENCY:.2f}".replace(" 0.", " .") in README
