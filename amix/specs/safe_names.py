"""Names that become part of file names: they must be valid on every system and not lead to other folders."""

import re

from amix.specs.data_errors import shown

SAFE_NAME = re.compile(r"[^\W_][\w.+ -]{0,79}")
"""Letters of any script, digits and . _ + - and blanks."""


def is_safe_name(name: str) -> bool:
    """Whether a name can be part of a file name on every system."""
    return SAFE_NAME.fullmatch(name) is not None and name == name.strip() and ".." not in name and name[-1] != "."


def safe_name(name: str) -> str:
    """Return the name.

    Raises:
        ValueError: It cannot be part of a file name.
    """
    if not is_safe_name(name):
        raise ValueError(
            f"{shown(name)} becomes part of file names: use 1 to 80 letters, digits, blanks and . _ + -, a letter or "
            "digit first"
        )
    return name
