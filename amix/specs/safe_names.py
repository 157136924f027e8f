"""Names that become part of file names: they must be possible on every system and lead nowhere else."""

import re

from amix.specs.data_errors import shown

SAFE_NAME = re.compile(r"[^\W_][\w.+ -]{0,79}")
"""Letters of any script, digits and . _ + - and blanks."""


def is_safe_name(name: str) -> bool:
    """Whether a name can become part of a file's name on every system."""
    return SAFE_NAME.fullmatch(name) is not None and name == name.strip() and ".." not in name and name[-1] != "."


def safe_name(name: str) -> str:
    """The name; ValueError where it cannot become part of a file's."""
    if not is_safe_name(name):
        raise ValueError(
            f"{shown(name)} becomes part of file names: use 1 to 80 letters, digits, blanks and . _ + -, a letter or "
            "digit first"
        )
    return name
