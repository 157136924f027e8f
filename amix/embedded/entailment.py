"""Frames of mini-rte: does the first sentence make the second one true?

Each frame makes both classes with the same words in the second sentence and the same number of words in common.
"""

from collections.abc import Callable
from random import Random

from amix.embedded.lexicon import PEOPLE, THINGS, Split
from amix.embedded.wording import concepts, event, finish, indefinite, other_word, past_clause, plural

Frame = Callable[[Random, Split, bool], tuple[str, str]]
_NAMES = {"instrument": "musical instrument", "jewel": "piece of jewelry", "device": "machine", "medic": "health worker"}
_KINDS = {"agent": list(PEOPLE), "thing": list(THINGS)}


def _name(kind: str) -> str:
    return _NAMES.get(kind, kind)


def hypernym(rng: Random, split: Split, entailed: bool) -> tuple[str, str]:
    """'The boy bought a violin' makes 'The boy bought an instrument' true, not 'The boy bought a tool'."""
    drawn = event(rng, split)
    words = {slot: concept.word for slot, concept in drawn.items()}
    premise = past_clause(**words, setting_first=rng.random() < 0.3)
    slot = rng.choice(["agent", "thing"])
    right = drawn[slot].kind
    words[slot] = _name(right if entailed else rng.choice([kind for kind in _KINDS[slot] if kind != right]))
    words["action"] = other_word(drawn["action"], words["action"])
    return premise, finish(f"the {words['agent']} {words['action']} {indefinite(words['thing'])}")


def negation(rng: Random, split: Split, entailed: bool) -> tuple[str, str]:
    """'The boy bought no instrument' makes 'The boy did not have a violin' true, not 'did not have a hammer'."""
    agent, thing = rng.choice(concepts("agent", split)).word, rng.choice(concepts("thing", split))
    kind = thing.kind if entailed else rng.choice([kind for kind in THINGS if kind != thing.kind])
    verb = rng.choice([("bought", "buy"), ("saw", "see"), ("had", "have"), ("stole", "steal")])
    return (
        finish(f"the {agent} {verb[0]} no {_name(kind)}"),
        finish(f"the {agent} did not {verb[1]} {indefinite(thing.word)}"),
    )


def quantifier(rng: Random, split: Split, entailed: bool) -> tuple[str, str]:
    """'Some pianists' makes 'some musicians' true and 'all musicians' makes 'all pianists' true, not the reverse."""
    person = rng.choice(concepts("agent", split))
    word = rng.choice(["some", "all the"])
    names = plural(person.word), plural(_name(person.kind))
    first, second = names if (word == "some") == entailed else names[::-1]
    verb = rng.choice(["left early", "were late", "liked the plan", "came home", "sang a song", "stayed in the room"])
    return finish(f"{word} {first} {verb}"), finish(f"{word} {second} {verb}")


FRAMES: dict[Frame, int] = {hypernym: 5, negation: 2, quantifier: 1}


def row(rng: Random, split: Split, label: float) -> tuple[str, tuple[str, ...]]:
    """Draw one example of the class: its frame's name and its two sentences."""
    frame = rng.choices(list(FRAMES), list(FRAMES.values()))[0]
    return frame.__name__, frame(rng, split, label == 0)
