"""Text that comes from files and people, made safe to show: what would steer a terminal is written out instead."""

import re

# The control characters of ASCII and Latin-1 but for tab and line ends, the marks that turn the direction of writing,
# and halves of characters, which no file can hold.
_STEERING = re.compile(
    "[\x00-\x08\x0b-\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def visible(text: str) -> str:
    """The text with every character that a terminal would obey written out, as in \\x1b.

    A file name that is not UTF-8 becomes readable in the same way: Python keeps its bytes as halves of characters.
    """
    return _STEERING.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
