"""The frame of mini-stsb: two sentences of four parts each, scored by how much meaning they share.

One part is the same word in every pair. Each of the other three is a near synonym (1 point), another concept of the same
kind (0.4) or of another kind (0), and the score is 5/3 of the sum: words in common say nothing of it.
"""

from random import Random

from amix.embedded.lexicon import Split
from amix.embedded.wording import SLOTS, event, other_word, past_clause, sibling, stranger

_CLOSENESS = (1.0, 0.4, 0.0)


def row(rng: Random, split: Split) -> tuple[tuple[str, str], float]:
    """Draw one pair and its score, 0 to 5 in steps of 0.1."""
    drawn = event(rng, split, with_synonym=True)
    first = {slot: rng.choice([concept.word, concept.synonym]) for slot, concept in drawn.items()}
    second = dict(first)
    total = 0.0
    weights = rng.choice([(8, 1, 1), (1, 1, 1), (1, 1, 8)])
    for slot in SLOTS:
        closeness = rng.choices(_CLOSENESS, weights)[0]
        total += closeness
        if closeness == 1.0:
            second[slot] = rng.choice([first[slot], other_word(drawn[slot], first[slot])])
        else:
            second[slot] = (sibling if closeness else stranger)(rng, split, slot, drawn[slot]).word
    sentences = [past_clause(**words, setting_first=rng.random() < 0.3) for words in (first, second)]
    return (sentences[0], sentences[1]), round(total * 5 / 4, 1)
