"""Frames of mini-mrpc: do two sentences say the same?

In both classes the same number of words differs; in paraphrases each is replaced by a near synonym.
"""

from collections.abc import Callable
from random import Random

from amix.embedded.lexicon import Split
from amix.embedded.wording import (
    SLOTS,
    concepts,
    event,
    finish,
    indefinite,
    other_word,
    past_clause,
    plural,
    sibling,
    stranger,
)

Frame = Callable[[Random, Split, bool], tuple[str, str]]
_COUNTS = [("two", "a pair of"), ("twelve", "a dozen"), ("many", "a lot of"), ("several", "a number of"), ("six", "half a dozen")]


def wording(rng: Random, split: Split, equivalent: bool) -> tuple[str, str]:
    """Two or three of the four parts are reworded; in the other class at least one of them changes its meaning."""
    drawn = event(rng, split, with_synonym=True)
    first = {slot: rng.choice([concept.word, concept.synonym]) for slot, concept in drawn.items()}
    reworded = rng.sample(SLOTS, rng.choice([2, 3]))
    changed = [] if equivalent else reworded[: rng.choice([1, 2])]
    second = dict(first)
    for slot in reworded:
        second[slot] = other_word(drawn[slot], first[slot])
    for slot in changed:
        second[slot] = rng.choice([sibling, stranger, stranger])(rng, split, slot, drawn[slot]).word
    return tuple(past_clause(**words, setting_first=rng.random() < 0.3) for words in (first, second))  # type: ignore[return-value]


def voice(rng: Random, split: Split, equivalent: bool) -> tuple[str, str]:
    """'The singer praised the doctor' is 'The doctor was praised by the singer', not the passive with roles exchanged."""
    one, two = rng.sample(concepts("agent", split), 2)
    verb = rng.choice(["praised", "followed", "blamed", "invited", "helped", "attacked", "thanked", "rescued"])
    patient, agent = (two, one) if equivalent else (one, two)
    return finish(f"the {one.word} {verb} the {two.word}"), finish(f"the {patient.word} was {verb} by the {agent.word}")


def number(rng: Random, split: Split, equivalent: bool) -> tuple[str, str]:
    """'Two cars' are 'a pair of cars', not 'a dozen cars'."""
    drawn = event(rng, split, with_synonym=True)
    count, other = rng.sample(_COUNTS, 2)
    things = plural(drawn["thing"].word)
    words = count[0], (count if equivalent else other)[1]
    first, second = words if rng.random() < 0.5 else words[::-1]
    action = drawn["action"]
    return (
        finish(f"the {drawn['agent'].word} {action.word} {first} {things}"),
        finish(f"the {drawn['agent'].word} {action.synonym} {second} {things}"),
    )


FRAMES: dict[Frame, int] = {wording: 7, voice: 1, number: 2}


def row(rng: Random, split: Split, label: float) -> tuple[str, tuple[str, ...]]:
    """Draw one example of the class: its frame's name and its two sentences."""
    frame = rng.choices(list(FRAMES), list(FRAMES.values()))[0]
    return frame.__name__, frame(rng, split, label == 1)
