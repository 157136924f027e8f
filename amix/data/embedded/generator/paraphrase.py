"""Frames of mini-mrpc: do two sentences mean the same?"""

from collections.abc import Callable
from random import Random

from amix.data.embedded.generator.lexicon import Split
from amix.data.embedded.generator.wording import (
    PARTS,
    active,
    concepts,
    either_word,
    event,
    finish,
    other_word,
    passive,
    plural,
    stranger,
)

Frame = Callable[[Random, Split, bool], tuple[str, str]]
_TO_PEOPLE = ("praised", "followed", "blamed", "invited", "helped", "attacked", "thanked", "rescued")
_COUNTS = (
    ("two", "a pair of"),
    ("twelve", "a dozen"),
    ("many", "a lot of"),
    ("several", "a number of"),
    ("six", "half a dozen"),
)


def wording(rng: Random, split: Split, equivalent: bool) -> tuple[str, str]:
    """Replace one or two of three parts by near synonyms; in the other class one to three parts mean something else."""
    drawn = event(rng, split, with_synonyms=True)
    first = {part: either_word(rng, drawn[part]) for part in PARTS}
    second = dict(first)
    for part in rng.sample(PARTS, rng.choice([1, 1, 2])):
        second[part] = other_word(drawn[part], first[part])
    for part in () if equivalent else rng.sample(PARTS, rng.choice([1, 2, 3, 3, 3, 3])):
        second[part] = stranger(rng, split, part, drawn[part]).word
    return active(first), active(second)


def roles(rng: Random, split: Split, equivalent: bool) -> tuple[str, str]:
    """'The singer praised the doctor' equals 'The doctor was praised by the singer', but not with exchanged roles."""
    one, two = (person.word for person in rng.sample(concepts("agent", split), 2))
    verb = rng.choice(_TO_PEOPLE)
    patient, agent = (two, one) if equivalent else (one, two)
    return finish(f"the {one} {verb} the {two}"), finish(f"the {patient} was {verb} by the {agent}")


def voice(rng: Random, split: Split, equivalent: bool) -> tuple[str, str]:
    """'The boy broke a toy' equals 'A toy was broken by the lad', not 'A sword was broken by the judge'."""
    drawn = event(rng, split, with_synonyms=True)
    first = {part: drawn[part].word for part in PARTS}
    second = first | {part: drawn[part].synonym for part in rng.sample(PARTS, 1)}
    for part in () if equivalent else rng.sample(PARTS, 2):
        second[part] = stranger(rng, split, part, drawn[part]).word
    return active(first), passive(second)


def number(rng: Random, split: Split, equivalent: bool) -> tuple[str, str]:
    """'Two cars' are 'a pair of cars', not 'a dozen cars'."""
    drawn = event(rng, split, with_synonyms=True)
    count, other = rng.sample(_COUNTS, 2)
    counts = [count[0], (count if equivalent else other)[1]]
    rng.shuffle(counts)
    actions = drawn["action"].word, drawn["action"].synonym
    agent, things = drawn["agent"].word, plural(drawn["thing"].word)
    first, second = (f"the {agent} {action} {few} {things}" for action, few in zip(actions, counts, strict=True))
    return finish(first), finish(second)


FRAMES: dict[Frame, int] = {wording: 14, voice: 1, roles: 1, number: 1}
"""Each frame with its weight in the draw."""


def sentences(rng: Random, split: Split, label: int) -> tuple[str, str]:
    """Draw one pair of the class (0 not_equivalent, 1 equivalent)."""
    frame = rng.choices(list(FRAMES), list(FRAMES.values()))[0]
    return frame(rng, split, label == 1)
