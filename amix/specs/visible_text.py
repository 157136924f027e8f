"""Making text from files and people safe to print: characters that control a terminal are escaped."""

import re

# Control characters of ASCII and Latin-1 except tab and line ends, marks that change the direction of writing, and
# lone surrogates, which no file can contain.
_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def visible(text: str) -> str:
    """Escape every character that controls a terminal, e.g. as \\x1b.

    This also makes file names readable that are not UTF-8: Python represents their bytes as lone surrogates.
    """
    return _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode(), text)
