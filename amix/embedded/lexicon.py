"""Word lists of the embedded tasks, written for this project.

Every list is cut in two by `share`: the train files see two thirds of it, the validation files only the rest, so that a
classifier which memorises words cannot answer the validation questions and one that knows their meaning can.
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
    """A noun with both numbers and the reflexive pronoun that its singular takes."""

    singular: str
    plural: str
    reflexive: str


@dataclass(frozen=True)
class Verb:
    """A verb in its base, present third person, past and participle forms."""

    base: str
    present: str
    past: str
    participle: str
    gerund: str


def share(items: Sequence[Item], split: Split) -> list[Item]:
    """Every third item for validation, the others for train."""
    return [item for place, item in enumerate(items) if (place % 3 == 2) == (split == "validation")]


def _concepts(table: dict[str, str]) -> dict[str, list[Concept]]:
    """Read 'word=synonym, word, ...' under each class name."""
    return {
        kind: [Concept(word, synonym, kind) for word, _, synonym in (entry.partition("=") for entry in line.split(", "))]
        for kind, line in table.items()
    }


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
        "teacher": "professor=lecturer, tutor, coach=trainer, headmaster=principal, governess, schoolmaster=schoolteacher",
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

# Past tense; a kind gathers what leaves the world in a similar state.
ACTIONS = _concepts(
    {
        "acquire": "bought=purchased, received=got, found=discovered, borrowed, collected=gathered, chose=selected",
        "release": "sold, lost=misplaced, threw away=discarded, lent=loaned, gave away=donated, returned=gave back",
        "damage": "broke=smashed, scratched, burned=torched, ruined=wrecked, dented, destroyed=demolished",
        "improve": "repaired=fixed, polished=shined, cleaned=washed, painted, improved=enhanced, decorated=adorned",
        "observe": "watched=observed, photographed, examined=inspected, noticed=spotted, admired, drew=sketched",
        "handle": "carried, pushed=shoved, hid=concealed, lifted=raised, moved=shifted, dragged=pulled",
    }
)

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

BEINGS = [
    Noun(singular, plural, f"{pronoun}self")
    for singular, plural, pronoun in (
        entry.split()
        for entry in (
            "boy boys him, girl girls her, uncle uncles him, woman women her, nun nuns her, king kings him, "
            "man men him, queen queens her, father fathers him, aunt aunts her, actress actresses her, monk monks him, "
            "prince princes him, princess princesses her, sister sisters her, waitress waitresses her, "
            "brother brothers him, nephew nephews him, grandmother grandmothers her, grandfather grandfathers him, "
            "mother mothers her, lady ladies her, niece nieces her, gentleman gentlemen him, husband husbands him, "
            "daughter daughters her, son sons him, wife wives her, waiter waiters him, countess countesses her"
        ).split(", ")
    )
]

OBJECTS = [
    Noun(singular, plural, "itself")
    for singular, plural in (
        entry.split()
        for entry in (
            "picture pictures, car cars, box boxes, letter letters, chair chairs, house houses, knife knives, "
            "shelf shelves, lamp lamps, book books, tree trees, bottle bottles, window windows, bridge bridges, "
            "garden gardens, table tables, coat coats, ship ships, plate plates, engine engines, church churches, "
            "ticket tickets, basket baskets, flower flowers, key keys, wall walls, leaf leaves"
        ).split(", ")
    )
]

ADJECTIVES = (
    "old, tall, young, quiet, rich, angry, clever, famous, hungry, lonely, brave, gentle, poor, proud, tired, "
    "happy, strange, nervous, polite, lazy, cheerful, friendly, blind, careless"
).split(", ")

COLOURS = (
    "broken, heavy, expensive, dirty, small, empty, beautiful, cheap, huge, green, narrow, yellow, new, large, ugly"
).split(", ")

INTRANSITIVE = [
    Verb(*entry.split())
    for entry in (
        "sleep sleeps slept slept sleeping, laugh laughs laughed laughed laughing, arrive arrives arrived arrived arriving, "
        "smile smiles smiled smiled smiling, fall falls fell fallen falling, cough coughs coughed coughed coughing, "
        "wait waits waited waited waiting, sneeze sneezes sneezed sneezed sneezing, yawn yawns yawned yawned yawning, "
        "die dies died died dying, rest rests rested rested resting, weep weeps wept wept weeping, "
        "faint faints fainted fainted fainting, vanish vanishes vanished vanished vanishing, "
        "complain complains complained complained complaining, snore snores snored snored snoring, "
        "blush blushes blushed blushed blushing, disappear disappears disappeared disappeared disappearing"
    ).split(", ")
]

TRANSITIVE = [
    Verb(*entry.split())
    for entry in (
        "find finds found found finding, repair repairs repaired repaired repairing, "
        "mention mentions mentioned mentioned mentioning, take takes took taken taking, "
        "describe describes described described describing, steal steals stole stolen stealing, "
        "buy buys bought bought buying, damage damages damaged damaged damaging, choose chooses chose chosen choosing, "
        "carry carries carried carried carrying, want wants wanted wanted wanting, "
        "destroy destroys destroyed destroyed destroying, inspect inspects inspected inspected inspecting, "
        "build builds built built building, admire admires admired admired admiring, "
        "need needs needed needed needing, bring brings brought brought bringing, "
        "protect protects protected protected protecting, use uses used used using, "
        "hide hides hid hidden hiding, borrow borrows borrowed borrowed borrowing"
    ).split(", ")
]

REFLEXIVE = [
    Verb(*entry.split())
    for entry in (
        "hurt hurts hurt hurt hurting, blame blames blamed blamed blaming, praise praises praised praised praising, "
        "admire admires admired admired admiring, wash washes washed washed washing, "
        "hate hates hated hated hating, defend defends defended defended defending, "
        "introduce introduces introduced introduced introducing, see sees saw seen seeing"
    ).split(", ")
]
