"""A small made-up web: pages of each class, so that everything runs without anybody's data.

Its fresh topic, an outbreak of an infection, is health that the first model has never seen: it knows the words
virus and infection from computers alone.
"""

from __future__ import annotations

import random

CLASSES = ("Health", "Politics", "Religion", "Ethnicity", "Sexual orientation", "Non-sensitive")
FRESH = "Outbreak"

WORDS = {
    "Health": """doctor patient clinic diagnosis therapy symptom medicine hospital nurse surgery blood pressure
    insulin diabetes
        migraine allergy asthma cancer tumour dosage prescription pain sleep disorder depression anxiety kidney
        liver cardiology
        physician treatment chronic disease remedy pharmacy pregnancy nutrition injury recovery arthritis psychiatry""",
    "Politics": """election parliament senator vote ballot campaign party government minister policy coalition
    opposition liberal
        conservative socialist reform debate constitution congress president candidate referendum tax budget union
        democracy
        republic lobby manifesto activist protest legislation cabinet majority mayor deputy populist ideology""",
    "Religion": """church prayer mosque temple synagogue priest imam rabbi monk bible scripture quran gospel faith
    worship
        sermon pilgrimage baptism saint prophet angel salvation soul sin heaven theology congregation parish holy
        divine creed
        atheist fasting easter ramadan sabbath monastery blessing clergy""",
    "Ethnicity": """ethnic heritage ancestry tribe indigenous minority diaspora immigrant migration racial roma native
        descent homeland dialect folklore customs segregation discrimination identity colonial bilingual refugee
        community
        genealogy nationality assimilation multicultural kinship clan aboriginal mestizo creole origins census""",
    "Sexual orientation": """gay lesbian bisexual queer pride orientation gender transgender partner couple rainbow
        closet coming out homophobia dating marriage equality asexual pansexual acceptance drag parade identity love
        relationship attraction nonbinary ally heterosexual same sex stonewall""",
    "Non-sensitive": """computer software keyboard football recipe travel hotel garden camera music guitar bicycle
    engine
        weather mountain river kitchen oven bread chocolate novel film printer laptop network server driver battery
        stadium
        goal league tennis ski train ticket airport museum painting puzzle virus infection scanner download file
        firewall
        screen update backup""",
    FRESH: """virus infection outbreak quarantine vaccine contagious epidemic mask fever cough ventilator incubation
        variant booster lockdown swab transmission immunity spread isolation""",
}
SENTENCES = (
    "Many readers asked about {} and {}, so we spoke with people who know {}.",
    "What {} means for {} is not always clear, and {} makes it harder.",
    "In recent years {} has changed how we think of {} and of {}.",
    "Our guide to {} explains {} step by step, with notes on {}.",
    "The report compares {} with {} and says little about {}.",
    "For most of us {} begins with {}, long before {}.",
)
COMMON = ["today", "people", "story", "guide", "world", "year", "home", "question", "answer", "local"]


def page(topic: str, seed: int) -> dict[str, str]:
    """A page about `topic`, one of CLASSES or FRESH: path, title, description, text, and the class it belongs to."""
    rng = random.Random(f"{topic} {seed}")
    words = WORDS[topic].split()
    title = f"{rng.choice(words).capitalize()}, {rng.choice(words)} and {rng.choice(words)}"
    sentences = [rng.choice(SENTENCES).format(*_drawn(rng, words)) for _ in range(rng.randint(6, 14))]
    slug = topic.lower().replace(" ", "-")
    label = "Health" if topic == FRESH else topic
    description = f"A {rng.choice(COMMON)} page about {rng.choice(words)}."
    return {
        "path": f"/{slug}-{seed}.html",
        "title": title,
        "description": description,
        "text": " ".join(sentences),
        "label": label,
    }


def words(page: dict[str, str]) -> str:
    """What the extension reads of a page."""
    return f"{page['title']} {page['description']} {page['text']}"


def _drawn(rng: random.Random, words: list[str]) -> list[str]:
    """Three words, now and then one of everyday's or of another topic's."""
    other = rng.choice(list(WORDS.values())[:6]).split()
    return [rng.choice(words if rng.random() < 0.8 else COMMON if rng.random() < 0.7 else other) for _ in range(3)]
