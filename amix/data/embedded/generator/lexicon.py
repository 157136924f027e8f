"""Word lists of the embedded tasks, written for this project.

`share` divides every list: train files use two thirds of it, validation files only the rest, so that a classifier that
memorises words cannot answer the validation questions, while one that knows their meaning can.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

Split = Literal["train", "validation"]
Item = TypeVar("Item")


@dataclass(frozen=True)
class Concept:
    """A meaning: its usual word, a near synonym ("" where English has none) and the class it belongs to."""

    word: str
    synonym: str
    kind: str


@dataclass(frozen=True)
class Noun:
    """A noun in both numbers, and for people the reflexive pronoun that the singular takes."""

    singular: str
    plural: str
    reflexive: str = ""


@dataclass(frozen=True)
class Verb:
    """A verb in its base form, past tense, past participle and gerund."""

    base: str
    past: str
    participle: str
    gerund: str


def share(items: Sequence[Item], split: Split) -> list[Item]:
    """Return every third item for validation, the others for train."""
    return [item for place, item in enumerate(items) if (place % 3 == 2) == (split == "validation")]


def _listed(text: str) -> list[str]:
    return text.split(", ")


def _concepts(table: dict[str, str]) -> dict[str, list[Concept]]:
    """Read 'word=synonym, word, ...' under each kind."""
    return {kind: [_concept(entry, kind) for entry in _listed(line)] for kind, line in table.items()}


def _concept(entry: str, kind: str) -> Concept:
    word, _, synonym = entry.partition("=")
    return Concept(word, synonym, kind)


def _nouns(text: str) -> list[Noun]:
    return [Noun(*entry.split()) for entry in _listed(text)]


def _verbs(text: str) -> list[Verb]:
    return [Verb(*entry.split()) for entry in _listed(text)]


PEOPLE = _concepts(
    {
        "child": "boy=lad, girl=lass, baby=infant, pupil=schoolboy, toddler, teenager=adolescent",
        "relative": "mother=mom, father=dad, grandmother=grandma, aunt=auntie, cousin, grandfather=grandpa",
        "scientist": "chemist, researcher, physicist, biologist, geologist, astronomer",
        "musician": "singer=vocalist, pianist, violinist=fiddler, guitarist, trumpeter, drummer=percussionist",
        "criminal": "thief=robber, burglar=intruder, murderer=killer, pirate=buccaneer, smuggler, kidnapper=abductor",
        "craftsman": "carpenter=woodworker, potter, tailor=dressmaker, plumber, blacksmith=smith, mason=bricklayer",
        "writer": "poet, novelist=author, journalist=reporter, columnist, biographer, playwright=dramatist",
        "athlete": "runner=sprinter, swimmer, boxer=fighter, gymnast=acrobat, skier, cyclist=biker",
        "official": "mayor, senator, judge=magistrate, governor, ambassador=envoy, minister",
        "medic": "doctor=physician, nurse, surgeon, dentist, pharmacist, paramedic",
        "teacher": "professor=lecturer, tutor, coach=trainer, headmaster=principal, governess, "
        "schoolmaster=schoolteacher",
        "soldier": "guard=sentry, sergeant, general=commander, captain, rifleman, officer=lieutenant",
    }
)

THINGS = _concepts(
    {
        "vehicle": "car=automobile, bus=coach, truck=lorry, motorcycle=motorbike, tractor, bicycle=bike",
        "instrument": "piano, guitar, violin=fiddle, trumpet, cello, flute",
        "tool": "hammer=mallet, saw, shovel=spade, drill, axe=hatchet, wrench=spanner",
        "garment": "coat=overcoat, shirt, sweater=pullover, skirt, dress=gown, jacket=blazer",
        "container": "box=crate, bottle=flask, bucket=pail, barrel, jar=pot, bag=sack",
        "weapon": "rifle=gun, sword=saber, pistol=handgun, spear=lance, bomb, dagger=knife",
        "jewel": "ring, necklace=pendant, diamond=gem, bracelet=bangle, emerald, brooch",
        "device": "phone=telephone, computer=laptop, television=telly, camera, printer, radio",
        "fruit": "apple, pear, peach, melon, banana, mango",
        "vessel": "boat=dinghy, canoe=kayak, ship=steamer, ferry, raft, yacht=sailboat",
        "publication": "novel=book, newspaper, magazine=journal, dictionary, atlas, booklet=pamphlet",
        "toy": "doll=puppet, kite, teddy bear=plush bear, rattle, balloon, marble",
    }
)

# Past tense; actions of one kind have a similar effect.
ACTIONS = _concepts(
    {
        "acquire": "bought=purchased, received=got, stole=swiped, borrowed, collected=gathered, chose=selected",
        "release": "sold, lost=misplaced, threw away=discarded, lent=loaned, gave away=donated, returned=gave back",
        "damage": "broke=smashed, scratched, burned=torched, ruined=wrecked, dented, destroyed=demolished",
        "improve": "repaired=fixed, polished=shined, cleaned=washed, painted, improved=enhanced, decorated=adorned",
        "observe": "watched=observed, photographed, examined=inspected, noticed=spotted, admired, drew=sketched",
        "handle": "carried, pushed=shoved, hid=concealed, lifted=raised, moved=shifted, dragged=pulled",
    }
)

PARTICIPLES = {
    "broke": "broken",
    "chose": "chosen",
    "drew": "drawn",
    "gave away": "given away",
    "gave back": "given back",
    "hid": "hidden",
    "stole": "stolen",
    "threw away": "thrown away",
}
"""Past participles of ACTIONS that differ from the past tense."""

# Names of classes in sentences, if they differ from those in the tables above.
KIND_NAMES = {
    "device": "electronic device",
    "instrument": "musical instrument",
    "jewel": "piece of jewelry",
    "medic": "health worker",
    "vessel": "watercraft",
}

# Classes that share members: neither counts as 'something else' than the other.
OVERLAPPING_KINDS = ({"vehicle", "vessel"}, {"weapon", "tool"}, {"acquire", "observe"}, {"release", "handle"})

SETTINGS = _concepts(
    {
        "outdoors": "in the forest=in the woods, by the sea=by the ocean, on the street=on the road, "
        "in the desert, beside the stream=beside the brook, on the hill",
        "indoors": "in the cellar=in the basement, in the kitchen, in the shop=in the store, in the library, "
        "in the cabin=in the cottage, in the hotel=in the inn",
        "moment": "at dawn=at sunrise, at noon=at midday, in the fall=in autumn, last night=yesterday evening, "
        "at dusk=at sunset, on Monday",
    }
)

BEINGS = _nouns(
    "boy boys himself, girl girls herself, uncle uncles himself, woman women herself, nun nuns herself, "
    "king kings himself, man men himself, queen queens herself, father fathers himself, aunt aunts herself, "
    "actress actresses herself, monk monks himself, prince princes himself, princess princesses herself, "
    "sister sisters herself, waitress waitresses herself, brother brothers himself, nephew nephews himself, "
    "grandmother grandmothers herself, grandfather grandfathers himself, mother mothers herself, lady ladies herself, "
    "niece nieces herself, gentleman gentlemen himself, husband husbands himself, daughter daughters herself, "
    "son sons himself, wife wives herself, waiter waiters himself, countess countesses herself"
)

OBJECTS = _nouns(
    "picture pictures, lamp lamps, box boxes, letter letters, chair chairs, clock clocks, knife knives, "
    "basket baskets, mirror mirrors, book books, blanket blankets, bottle bottles, cup cups, candle candles, "
    "piano pianos, hat hats, table tables, coat coats, spoon spoons, plate plates, engine engines, key keys, "
    "ticket tickets, pencil pencils, shelf shelves, brush brushes, ladder ladders"
)

PLACES = _listed("bridge, church, gate, river, garden, station, fountain, market, school, tower, fence, harbor")

# Adjectives for people and for objects.
TEMPERS = _listed(
    "old, tall, young, quiet, rich, angry, clever, famous, hungry, lonely, brave, gentle, poor, proud, tired, "
    "happy, strange, nervous, polite, lazy, cheerful, friendly, blind, careless"
)
QUALITIES = _listed(
    "broken, heavy, expensive, dirty, small, shiny, beautiful, cheap, huge, green, ugly, yellow, new, large, plain"
)

# Verbs that never take an object.
INTRANSITIVE = _verbs(
    "sleep slept slept sleeping, laugh laughed laughed laughing, arrive arrived arrived arriving, "
    "smile smiled smiled smiling, kneel knelt knelt kneeling, cough coughed coughed coughing, "
    "wait waited waited waiting, sneeze sneezed sneezed sneezing, yawn yawned yawned yawning, "
    "die died died dying, stumble stumbled stumbled stumbling, weep wept wept weeping, "
    "faint fainted fainted fainting, vanish vanished vanished vanishing, "
    "complain complained complained complaining, snore snored snored snoring, "
    "blush blushed blushed blushing, disappear disappeared disappeared disappearing"
)

# Verbs that always take an object.
TRANSITIVE = _verbs(
    "find found found finding, repair repaired repaired repairing, mention mentioned mentioned mentioning, "
    "take took taken taking, describe described described describing, damage damaged damaged damaging, "
    "carry carried carried carrying, destroy destroyed destroyed destroying, bring brought brought bringing, "
    "inspect inspected inspected inspecting, admire admired admired admiring, hold held held holding, "
    "protect protected protected protecting, use used used using, lift lifted lifted lifting, "
    "examine examined examined examining, remove removed removed removing, discover discovered discovered discovering, "
    "fix fixed fixed fixing, receive received received receiving, touch touched touched touching"
)

# Verbs whose object can be the subject itself.
REFLEXIVE = _verbs(
    "hurt hurt hurt hurting, blame blamed blamed blaming, praise praised praised praising, "
    "admire admired admired admiring, wash washed washed washing, hate hated hated hating, "
    "defend defended defended defending, introduce introduced introduced introducing, see saw seen seeing"
)
