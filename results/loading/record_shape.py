"""Which types the fields of a record may have; a record with others is left out.

A missing field is not an error, since records of all versions are read; whoever needs a field checks that it is there.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

from amix.specs.run_spec import OUT_OF_DOMAIN

LARGEST = 1e100
"""Above this a number in a record must be damaged, and its square would overflow."""
Check = Callable[[Any], bool]


def is_number(value: Any) -> bool:
    """Whether this is a finite number that one can compute with; a bool is not."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return math.isfinite(value) if isinstance(value, float) else abs(value) <= LARGEST


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and is_number(value) and value >= 0


def _or_none(check: Check) -> Check:
    return lambda value: value is None or check(value)


def _of(check: Check) -> Check:
    return lambda value: isinstance(value, dict) and all(map(check, value.values()))


def _listed(check: Check) -> Check:
    return lambda value: isinstance(value, list) and all(map(check, value))


_SCORES = _or_none(_of(_or_none(is_number)))
TOP: Mapping[str, Check] = {"label": _is_text, "taken_from": _is_text, "corrections": _listed(_is_text)}
BLOCKS: Mapping[str, Mapping[str, Check]] = {
    "error": dict.fromkeys(("type", "message", "traceback"), _or_none(_is_text)),
    "data": {
        "ids_sha256": _is_text,
        **dict.fromkeys(("n_train", "n_dev", "n_test", "n_pool"), _or_none(_is_count)),
        "label_counts": _of(_is_count),
        "label_names": _or_none(_listed(_is_text)),
        "source": _is_text,
        OUT_OF_DOMAIN: _of(lambda one: isinstance(one, dict) and _is_count(one.get("n", 0))),
    },
    "environment": {
        **dict.fromkeys(("git_commit", "python", "device", "precision", "command", "time"), _or_none(_is_text)),
        "git_dirty": _or_none(lambda value: isinstance(value, bool)),
        "threads": _or_none(_is_count),
        **dict.fromkeys(("packages", "libraries", "variables"), _of(_or_none(_is_text))),
    },
}
POINT: Mapping[str, Check] = {
    "stage": _is_text,
    **dict.fromkeys(("step", "epoch"), _is_count),
    "train_loss": _or_none(is_number),
    "dev": _SCORES,
}


def shape_rejection(record: dict[str, Any]) -> str | None:
    """Which field of a record has a type that no run writes; None if all are valid."""
    if wrong := _wrong(record, TOP):
        return f"its {wrong} is {_shown(record[wrong])}"
    for block in ("scores", "data", "cost", "environment", "error"):
        content = record.get(block) or {}
        if not isinstance(content, dict):
            return f"its {block} block is not a JSON object"
        if wrong := _wrong(content, BLOCKS.get(block, {})):
            return f"its {wrong} in {block} is {_shown(content[wrong])}"
    curve = record.get("curve") or []
    if not isinstance(curve, list) or not all(isinstance(point, dict) for point in curve):
        return "its curve is not a list of JSON objects"
    for point in curve:
        if wrong := _wrong(point, POINT):
            return f"its {wrong} in curve is {_shown(point[wrong])}"
    return None


def scores_rejection(scores: Any) -> str | None:
    """Which of a record's scores is not a score; None if all are valid."""
    for rule, splits in scores.items():
        if not isinstance(splits, dict):
            return f"its {rule} scores are not a JSON object"
        for split in ("dev", "test"):
            if not _SCORES(splits.get(split)):
                return f"its {rule} {split} scores are {_shown(splits[split])}, not numbers by metric"
        if not _or_none(is_number)(splits.get("epoch")):
            return f"its {rule} epoch is {_shown(splits['epoch'])}"
    return None


def _wrong(content: dict[str, Any], checks: Mapping[str, Check]) -> str | None:
    return next((name for name, check in checks.items() if name in content and not check(content[name])), None)


def _shown(value: Any) -> str:
    """A value as a message shows it, short however large or deep it is."""
    if isinstance(value, dict | list):
        return f"an unexpected {'list' if isinstance(value, list) else 'JSON object'}"
    if isinstance(value, int) and abs(value) > LARGEST:
        return "a number of hundreds of digits"
    return f"{str(value)[:40]!r}"
