"""Frames of mini-cola: one sentence, grammatical or broken in one place.

A frame makes both classes from the same words, so that no single word reveals the class. What reveals it is the word
order, a missing word, a verb's form or arguments, agreement across a distractor, or a reflexive's antecedent.
"""

from collections.abc import Callable
from random import Random

from amix.data.embedded.generator.lexicon import (
    BEINGS,
    INTRANSITIVE,
    OBJECTS,
    PLACES,
    QUALITIES,
    REFLEXIVE,
    TEMPERS,
    TRANSITIVE,
    Split,
    share,
)
from amix.data.embedded.generator.wording import finish

Frame = Callable[[Random, Split, bool], str]
_NEAR = ("near", "behind", "beside", "next to")
_OF_ONE = ("this", "that", "every", "one", "each")
_OF_MANY = ("these", "those", "many", "several", "two")
_WHENEVER = ("today", "again", "this evening")
_WHEN = (*_WHENEVER, "yesterday", "last week", "before lunch")


def copula(rng: Random, split: Split, acceptable: bool) -> str:
    """'The boys near the car are tired': the verb agrees with the head noun, not with the nearer one."""
    being, thing = rng.choice(share(BEINGS, split)), rng.choice(share(OBJECTS, split))
    plural = rng.random() < 0.5
    verb = rng.choice([("is", "are"), ("was", "were")])[plural == acceptable]
    head = being.plural if plural else being.singular
    near = f" {rng.choice(_NEAR)} the {rng.choice([thing.singular, thing.plural])}" if rng.random() < 0.5 else ""
    return finish(f"the {head}{near} {verb} {rng.choice(share(TEMPERS, split))}")


def determiner(rng: Random, split: Split, acceptable: bool) -> str:
    """'These boys slept': the determiner agrees with its noun."""
    being, thing = rng.choice(share(BEINGS, split)), rng.choice(share(OBJECTS, split))
    plural = rng.random() < 0.5
    word = rng.choice(_OF_MANY if plural else _OF_ONE)
    verb = rng.choice(share(TRANSITIVE, split)).past
    if rng.random() < 0.5:
        return finish(f"{word} {being.plural if plural == acceptable else being.singular} {verb} the {thing.singular}")
    return finish(f"the {being.singular} {verb} {word} {thing.plural if plural == acceptable else thing.singular}")


def order(rng: Random, split: Split, acceptable: bool) -> str:
    """'The old king found a broken chair'; in the unacceptable one two pairs of neighbouring words are swapped."""
    being, thing = rng.choice(share(BEINGS, split)).singular, rng.choice(share(OBJECTS, split)).singular
    subject = ["the", rng.choice(share(TEMPERS, split)), being]
    words = [*subject, rng.choice(share(TRANSITIVE, split)).past, "the", rng.choice(share(QUALITIES, split)), thing]
    if not acceptable:
        for first in rng.choice([(0, 4), (1, 4), (1, 5), (0, 5), (2, 4), (0, 3), (1, 3)]):
            words[first], words[first + 1] = words[first + 1], words[first]
    return finish(" ".join([*words, rng.choice(_WHEN)]))


def gap(rng: Random, split: Split, acceptable: bool) -> str:
    """'The king found the chair near the bridge'; the unacceptable one lacks a noun or the verb."""
    being, thing = rng.choice(share(BEINGS, split)).singular, rng.choice(share(OBJECTS, split)).singular
    words = ["the", being, rng.choice(share(TRANSITIVE, split)).past, "the", thing]
    words += [rng.choice(_NEAR), "the", rng.choice(share(PLACES, split))]
    if not acceptable:
        del words[rng.choice([1, 2, 4])]
    return finish(" ".join(words))


def arguments(rng: Random, split: Split, acceptable: bool) -> str:
    """'The king slept' and 'The king found a chair', but neither 'slept a chair' nor 'found' alone."""
    being, thing = rng.choice(share(BEINGS, split)).singular, rng.choice(share(OBJECTS, split)).singular
    with_object = rng.random() < 0.5
    verbs = TRANSITIVE if with_object == acceptable else INTRANSITIVE
    words = f"{rng.choice(['the', 'that'])} {being} {rng.choice(share(verbs, split)).past}"
    return finish(f"{words}{f' the {thing}' if with_object else ''} {rng.choice(_WHEN)}")


def reflexive(rng: Random, split: Split, acceptable: bool) -> str:
    """'The boy behind the girls hurt himself': the pronoun agrees with the subject, not with the nearer noun."""
    being = rng.choice(share(BEINGS, split))
    other = rng.choice([one for one in share(BEINGS, split) if one.reflexive != being.reflexive])
    plural = rng.random() < 0.3
    right = "themselves" if plural else being.reflexive
    wrong = rng.choice([word for word in ("himself", "herself", "themselves") if word != right])
    near = f" {rng.choice(_NEAR)} the {rng.choice([other.singular, other.plural])}" if rng.random() < 0.4 else ""
    verb = rng.choice(share(REFLEXIVE, split)).past
    head = being.plural if plural else being.singular
    return finish(f"the {head}{near} {verb} {right if acceptable else wrong} {rng.choice(_WHEN)}")


def form(rng: Random, split: Split, acceptable: bool) -> str:
    """'The king has taken', 'will take', 'is taking': the auxiliary requires one form of the verb."""
    being, thing = rng.choice(share(BEINGS, split)).singular, rng.choice(share(OBJECTS, split)).singular
    verb = rng.choice(share(TRANSITIVE, split))
    auxiliary, right = rng.choice(
        [("will", verb.base), ("can", verb.base), ("must", verb.base)]
        + [("has", verb.participle), ("had", verb.participle), ("is", verb.gerund), ("was", verb.gerund)]
    )
    wrong = rng.choice([one for one in (verb.base, verb.participle, verb.gerund) if one != right])
    return finish(f"the {being} {auxiliary} {right if acceptable else wrong} the {thing} {rng.choice(_WHENEVER)}")


FRAMES: dict[Frame, int] = {order: 6, gap: 6, form: 4, determiner: 2, copula: 1, arguments: 1, reflexive: 1}
"""Each frame with its weight in the draw."""


def sentences(rng: Random, split: Split, label: int) -> tuple[str]:
    """Draw one sentence of the class (0 unacceptable, 1 acceptable)."""
    frame = rng.choices(list(FRAMES), list(FRAMES.values()))[0]
    return (frame(rng, split, label == 1),)
