"""Which types the fields of a record may have; a record with others is left out.

A missing field is not an error, since records of all versions are read; whoever needs a field checks that it is there.
"""

from typing import Annotated, Any

from pydantic import Field, Strict, TypeAdapter, ValidationError
from typing_extensions import TypedDict

LARGEST = 1e100
"""Above this a number in a record must be damaged, and its square would overflow."""

_Text = Annotated[str, Strict()]
_Flag = Annotated[bool, Strict()]
_Number = Annotated[float, Strict(), Field(ge=-LARGEST, le=LARGEST, allow_inf_nan=False)]
_Count = Annotated[int, Strict(), Field(ge=0, le=int(LARGEST))]


class _OtherSet(TypedDict, total=False):
    n: _Count


class _Data(TypedDict, total=False):
    ids_sha256: _Text
    n_train: _Count | None
    n_dev: _Count | None
    n_test: _Count | None
    n_pool: _Count | None
    label_counts: dict[str, _Count]
    label_names: list[_Text] | None
    source: _Text
    out_of_domain: dict[str, _OtherSet]


class _Environment(TypedDict, total=False):
    git_commit: _Text | None
    git_dirty: _Flag | None
    python: _Text | None
    device: _Text | None
    precision: _Text | None
    padding: _Text
    command: _Text | None
    time: _Text | None
    threads: _Count | None
    packages: dict[str, _Text | None]
    libraries: dict[str, _Text | None]
    variables: dict[str, _Text | None]


class _Error(TypedDict, total=False):
    type: _Text | None
    message: _Text | None
    traceback: _Text | None


class _Point(TypedDict, total=False):
    stage: _Text
    step: _Count
    epoch: _Count
    train_loss: _Number | None
    dev: dict[str, _Number | None] | None


class _Record(TypedDict, total=False):
    label: _Text
    taken_from: _Text
    corrections: list[_Text]
    scores: dict[str, Any] | None
    data: _Data | None
    cost: dict[str, Any] | None
    environment: _Environment | None
    error: _Error | None
    curve: list[_Point] | None


_RECORD: TypeAdapter[Any] = TypeAdapter(_Record)
_BLOCKS = ("scores", "data", "cost", "environment", "error")


def is_number(value: Any) -> bool:
    """Whether this is a finite number that one can compute with; a bool is not."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= LARGEST


def shape_rejection(record: dict[str, Any]) -> str | None:
    """Which field of a record has a type that no run writes; None if all are valid."""
    try:
        _RECORD.validate_python(record)
    except ValidationError as error:
        return _worded(record, error.errors(include_url=False, include_context=False)[0]["loc"])
    return None


def _worded(record: dict[str, Any], place: tuple[int | str, ...]) -> str:
    """The reason for a rejection of the field at this place, with its value."""
    field, *inside = place
    content = record[str(field)]
    if field == "curve":
        if len(inside) < 2:
            return "its curve is not a list of JSON objects"
        content, inside = content[inside[0]], inside[1:]
    if field in _BLOCKS and not inside:
        return f"its {field} block is not a JSON object"
    if field in _BLOCKS or field == "curve":
        return f"its {inside[0]} in {field} is {_shown(content[inside[0]])}"
    return f"its {field} is {_shown(content)}"


def scores_rejection(scores: Any) -> str | None:
    """Which of a record's scores is not a score; None if all are valid."""
    for rule, splits in scores.items():
        if not isinstance(splits, dict):
            return f"its {rule} scores are not a JSON object"
        for split in ("dev", "test"):
            if not _are_scores(splits.get(split)):
                return f"its {rule} {split} scores are {_shown(splits[split])}, not numbers by metric"
        epoch = splits.get("epoch")
        if epoch is not None and not is_number(epoch):
            return f"its {rule} epoch is {_shown(epoch)}"
    return None


def _are_scores(value: Any) -> bool:
    return value is None or (
        isinstance(value, dict) and all(score is None or is_number(score) for score in value.values())
    )


def _shown(value: Any) -> str:
    """A value as a message shows it, short however large or deep it is."""
    if isinstance(value, dict | list):
        return f"an unexpected {'list' if isinstance(value, list) else 'JSON object'}"
    if isinstance(value, int) and abs(value) > LARGEST:
        return "a number of hundreds of digits"
    return f"{str(value)[:40]!r}"
