"""Checking values that people give against the types and ranges of a dataclass's fields."""

import typing
from collections.abc import Mapping
from functools import cache
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError

from amix.specs.spec_model import problem


def check_fields(cls: type, values: Mapping[str, Any]) -> None:
    """Check values against the annotations of a dataclass's fields; values are not converted.

    Args:
        cls: A dataclass; `Annotated[float, Field(gt=0)]` adds a range to the type.
        values: Values by field name.

    Raises:
        ValueError: One line with the field, what it requires and its value.
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
    """Return a strict check per field; none for a class whose annotations cannot be resolved."""
    try:
        hints = typing.get_type_hints(cls, include_extras=True)
    except (NameError, AttributeError, TypeError):
        return {}
    return {name: _adapter(hint) for name, hint in hints.items() if typing.get_origin(hint) is not typing.ClassVar}


def _adapter(hint: Any) -> TypeAdapter[Any]:
    return TypeAdapter(hint, config=ConfigDict(strict=True, arbitrary_types_allowed=True))
