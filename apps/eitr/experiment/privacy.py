"""What an update gives away: prints what `eitr.privacy.MEASURED` holds.

python experiment/privacy.py
"""

from __future__ import annotations

import numpy as np
from eitr import corpus, features, privacy, site

NOISES = (0.0, 0.001, 0.01)
USERS = 20


def main() -> None:
    pages = [corpus.page(topic, seed) for topic in corpus.CLASSES for seed in range(80)]
    fresh = [corpus.page(corpus.FRESH, seed) for seed in range(60)]
    vocabulary = features.fit([corpus.words(page) for page in (*pages, *fresh)], corpus.CLASSES)
    first = site.first_model(vocabulary, [corpus.words(p) for p in pages[::2]], [p["label"] for p in pages[::2]])
    for count in (1, 5, 20):
        for noise in NOISES:
            found = []
            for user in range(USERS):
                rng = np.random.default_rng(user)
                seen = [corpus.page(corpus.CLASSES[rng.integers(6)], 9000 + 50 * user + i) for i in range(count)]
                examples = features.extract(vocabulary, [corpus.words(page) for page in seen])
                labels = [corpus.CLASSES.index(page["label"]) for page in seen]
                found.append(privacy.attacked(first, examples, labels, noise, user))
            whole, head = np.mean(found, axis=0)
            print(dict(pages=count, noise=noise, head=round(head, 2), whole=round(whole, 2)), flush=True)


if __name__ == "__main__":
    main()
