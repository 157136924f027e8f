"""Events (who did what to which thing), and the grammar shared by the frames for pairs."""

from random import Random

from amix.data.embedded.generator.lexicon import (
    ACTIONS,
    OVERLAPPING_KINDS,
    PARTICIPLES,
    PEOPLE,
    SETTINGS,
    THINGS,
    Concept,
    Split,
    share,
)

Event = dict[str, Concept]
PARTS = ("agent", "action", "thing")
_LEXICON = {"agent": PEOPLE, "action": ACTIONS, "thing": THINGS, "setting": SETTINGS}


def indefinite(noun: str) -> str:
    """Return the noun with 'a' or 'an'."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def plural(noun: str) -> str:
    """Return the plural of a noun from the lexicon."""
    if noun == "child":
        return "children"
    if noun.endswith("man"):
        return f"{noun[:-3]}men"
    if noun.endswith(("s", "x", "ch", "sh")):
        return f"{noun}es"
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return f"{noun[:-1]}ies"
    return f"{noun}s"


def finish(text: str) -> str:
    """Turn a text into a sentence, with a capital letter and a full stop."""
    return f"{text[0].upper()}{text[1:]}."


def concepts(part: str, split: Split) -> list[Concept]:
    """Return all concepts that the split may use for this part of an event."""
    return [concept for members in _LEXICON[part].values() for concept in share(members, split)]


def event(rng: Random, split: Split, with_synonyms: bool = False) -> Event:
    """Draw agent, action, thing and setting; `with_synonyms` draws only concepts that have two words."""
    return {
        part: rng.choice([concept for concept in concepts(part, split) if concept.synonym or not with_synonyms])
        for part in _LEXICON
    }


def sibling(rng: Random, split: Split, part: str, concept: Concept) -> Concept:
    """Draw another concept of the same kind."""
    return rng.choice([other for other in concepts(part, split) if other.kind == concept.kind and other != concept])


def stranger(rng: Random, split: Split, part: str, concept: Concept) -> Concept:
    """Draw a concept of another kind that shares no members with this one's."""
    return rng.choice([other for other in concepts(part, split) if apart(other.kind, concept.kind)])


def apart(kind: str, other: str) -> bool:
    """Whether the kinds differ and share no members."""
    return kind != other and {kind, other} not in OVERLAPPING_KINDS


def either_word(rng: Random, concept: Concept) -> str:
    """Draw the concept's usual word or its synonym."""
    return rng.choice([concept.word, concept.synonym or concept.word])


def other_word(concept: Concept, used: str) -> str:
    """Return the synonym of the used word, or the word itself if it has none."""
    return concept.synonym if used == concept.word and concept.synonym else concept.word


def active(words: dict[str, str], setting: str = "", article: str = "the") -> str:
    """'The boy broke a toy on the hill.'"""
    agent = f"the {words['agent']}" if article == "the" else indefinite(words["agent"])
    return finish(f"{agent} {words['action']} {indefinite(words['thing'])} {setting}".rstrip())


def passive(words: dict[str, str]) -> str:
    """'A toy was broken by the boy.'"""
    participle = PARTICIPLES.get(words["action"], words["action"])
    return finish(f"{indefinite(words['thing'])} was {participle} by the {words['agent']}")
