"""The frame of mini-stsb: two sentences about who did what to which thing, scored by how much meaning they share."""

from random import Random

from amix.data.embedded.generator.lexicon import Split
from amix.data.embedded.generator.wording import PARTS, active, either_word, event, sibling, stranger

_CLOSENESS = (1.0, 0.4, 0.0)
# Close, mixed and distant pairs; with equal weights few scores would be near 0 and 5.
_WEIGHTS = ((8, 1, 1), (1, 1, 1), (1, 1, 8))


def scored_pair(rng: Random, split: Split) -> tuple[tuple[str, str], float]:
    """Draw two sentences and their score, 0 to 5 in steps of 0.1.

    A part counts 1 if both sentences use the same word or near synonyms, 0.4 if they use two concepts of one kind, and
    0 for different kinds; the score is 5/3 of the sum over agent, action and thing.
    """
    drawn = event(rng, split, with_synonyms=True)
    first = {part: either_word(rng, drawn[part]) for part in PARTS}
    second = {}
    weights = rng.choice(_WEIGHTS)
    total = 0.0
    for part in PARTS:
        closeness = rng.choices(_CLOSENESS, weights)[0]
        total += closeness
        if closeness == 1.0:
            second[part] = either_word(rng, drawn[part])
        else:
            second[part] = (sibling if closeness else stranger)(rng, split, part, drawn[part]).word
    setting = drawn["setting"].word if rng.random() < 0.25 else ""
    return (active(first, setting), active(second, setting)), round(total * 5 / 3, 1)
