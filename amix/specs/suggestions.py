"""The names that an unknown one was perhaps meant to be, as the end of an error message."""

import difflib
from collections.abc import Iterable


def nearest(name: object, known: Iterable[object]) -> str:
    """The known names that look most like this one, or all of them.

    Args:
        name: what stands there.
        known: what could stand there.

    Returns:
        `did you mean a or b?`, `known: a, b, c` where nothing looks like it, or `there are none`.
    """
    names = [str(one) for one in known]
    if not names:
        return "there are none"
    near = difflib.get_close_matches(str(name), names, n=3, cutoff=0.5)
    return f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(names)}"
