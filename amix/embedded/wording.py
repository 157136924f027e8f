"""Small pieces of English grammar that the frames share."""

from random import Random

from amix.embedded.lexicon import ACTIONS, PEOPLE, SETTINGS, THINGS, Concept, Split, share

Event = dict[str, Concept]
SLOTS = ("agent", "action", "thing", "setting")
_LEXICON = dict(zip(SLOTS, (PEOPLE, ACTIONS, THINGS, SETTINGS), strict=True))


def indefinite(noun: str) -> str:
    """The noun with 'a' or 'an'."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def plural(noun: str) -> str:
    """The regular plural of a noun."""
    if noun.endswith(("s", "x", "ch", "sh")):
        return f"{noun}es"
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return f"{noun[:-1]}ies"
    return f"{noun}s"


def finish(text: str) -> str:
    """The text as a sentence: capital letter and full stop."""
    return f"{text[0].upper()}{text[1:]}."


def concepts(slot: str, split: Split) -> list[Concept]:
    """All concepts of one slot that the split may use."""
    return [concept for members in _LEXICON[slot].values() for concept in share(members, split)]


def event(rng: Random, split: Split, with_synonym: bool = False) -> Event:
    """Draw who did what to which thing and where or when; `with_synonym` keeps to concepts that have two words."""
    return {
        slot: rng.choice([concept for concept in concepts(slot, split) if concept.synonym or not with_synonym])
        for slot in SLOTS
    }


def sibling(rng: Random, split: Split, slot: str, concept: Concept) -> Concept:
    """Another concept of the same kind."""
    return rng.choice([other for other in concepts(slot, split) if other.kind == concept.kind and other != concept])


def stranger(rng: Random, split: Split, slot: str, concept: Concept) -> Concept:
    """A concept of another kind."""
    return rng.choice([other for other in concepts(slot, split) if other.kind != concept.kind])


def other_word(concept: Concept, used: str) -> str:
    """The concept's second word, or its only one."""
    return concept.word if used != concept.word or not concept.synonym else concept.synonym


def past_clause(agent: str, action: str, thing: str, setting: str, setting_first: bool) -> str:
    """A sentence in the past tense with its setting at either end."""
    clause = f"the {agent} {action} {indefinite(thing)}"
    return finish(f"{setting}, {clause}" if setting_first else f"{clause} {setting}")
