"""Frames of mini-rte: does the first sentence make the second one true?"""

from collections.abc import Callable
from random import Random

from amix.data.embedded.generator.lexicon import KIND_NAMES, THINGS, Split
from amix.data.embedded.generator.wording import (
    PARTS,
    active,
    apart,
    concepts,
    either_word,
    event,
    finish,
    indefinite,
    plural,
    stranger,
)

Frame = Callable[[Random, Split, bool], tuple[str, str]]
_CHANGES = (("agent", "thing"), ("action", "thing"), ("agent", "action"), *[PARTS] * 6)
_VERBS = (("bought", "buy"), ("saw", "see"), ("had", "have"), ("stole", "steal"))
_PREDICATES = ("left early", "were late", "liked the plan", "came home", "sang a song", "stayed in the room")


def _name(kind: str) -> str:
    return KIND_NAMES.get(kind, kind)


def hypernym(rng: Random, split: Split, entailed: bool) -> tuple[str, str]:
    """'The girl bought a violin' makes 'A child purchased a violin' true, not 'A child purchased a hammer'.

    Both classes replace the agent or the thing by its kind, and reword the rest equally often; in the other class two
    or all three parts are about something else.
    """
    first = event(rng, split)
    second = dict(first)
    for part in () if entailed else rng.choice(_CHANGES):
        second[part] = stranger(rng, split, part, first[part])
    setting = first["setting"].word if rng.random() < 0.2 else ""
    words = {part: either_word(rng, concept) for part, concept in second.items()}
    general = rng.choice(["agent", "thing"])
    words[general] = _name(second[general].kind)
    return active({part: concept.word for part, concept in first.items()}, setting), active(words, article="a")


def negation(rng: Random, split: Split, entailed: bool) -> tuple[str, str]:
    """'The boy bought no instrument' makes 'The boy did not buy a violin' true, not 'The boy did not buy a hammer'."""
    agent, thing = rng.choice(concepts("agent", split)).word, rng.choice(concepts("thing", split))
    kind = thing.kind if entailed else rng.choice([kind for kind in THINGS if apart(kind, thing.kind)])
    past, base = rng.choice(_VERBS)
    premise = f"the {agent} {past} no {_name(kind)}"
    return finish(premise), finish(f"the {agent} did not {base} {indefinite(thing.word)}")


def quantifier(rng: Random, split: Split, entailed: bool) -> tuple[str, str]:
    """'Some old pianists' makes 'some old musicians' true; with 'all' it is the reverse."""
    person = rng.choice(concepts("agent", split))
    # A word between quantifier and noun keeps the answer out of any 2-gram.
    word, adjective = rng.choice(["some", "all"]), rng.choice(["young", "local", "foreign", "famous", "old"])
    names = plural(person.word), plural(_name(person.kind))
    first, second = names if (word == "some") == entailed else names[::-1]
    predicate = rng.choice(_PREDICATES)
    return finish(f"{word} {adjective} {first} {predicate}"), finish(f"{word} {adjective} {second} {predicate}")


FRAMES: dict[Frame, int] = {hypernym: 12, negation: 1, quantifier: 1}
"""Each frame with its weight in the draw."""


def sentences(rng: Random, split: Split, label: int) -> tuple[str, str]:
    """Draw one pair of the class (0 entailment, 1 not_entailment)."""
    frame = rng.choices(list(FRAMES), list(FRAMES.values()))[0]
    return frame(rng, split, label == 0)
