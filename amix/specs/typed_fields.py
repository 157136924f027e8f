"""Types and ranges of a dataclass's fields, checked where people give the values."""

import typing
from collections.abc import Mapping
from functools import cache
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError

from amix.specs.spec_model import problem


def check_fields(cls: type, values: Mapping[str, Any]) -> None:
    """Check values against the annotations of a dataclass's fields; nothing is converted.

    Args:
        cls: a dataclass; `Annotated[float, Field(gt=0)]` gives a range with the type.
        values: by field, each of which the class has.

    Raises:
        ValueError: the field, what it needs and what stands there, in one line.
    """
    adapters = _adapters(cls)
    for name, value in values.items():
        if name not in adapters:
            continue
        try:
            adapters[name].validate_python(value)
        except ValidationError as error:
            raise ValueError(f"{name}: {problem(error)}") from error


@cache
def _adapters(cls: type) -> dict[str, TypeAdapter[Any]]:
    """A strict check per field; none for a class whose annotations cannot be looked up."""
    try:
        hints = typing.get_type_hints(cls, include_extras=True)
    except (NameError, AttributeError, TypeError):
        return {}
    return {name: _adapter(hint) for name, hint in hints.items() if typing.get_origin(hint) is not typing.ClassVar}


def _adapter(hint: Any) -> TypeAdapter[Any]:
    return TypeAdapter(hint, config=ConfigDict(strict=True, arbitrary_types_allowed=True))
