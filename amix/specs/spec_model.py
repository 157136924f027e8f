"""Strict pydantic models for files and plans, whose errors are one readable line."""

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    ValidationError,
    model_validator,
)
from pydantic_core import CoreSchema, ErrorDetails, PydanticCustomError

from amix.specs.data_errors import shown
from amix.specs.suggestions import nearest

T = TypeVar("T")


def as_list(value: Any) -> Any:
    """Turn a single value into a list of one."""
    return list(value) if isinstance(value, list | tuple) else [value]


def refuse_repeated(values: tuple[T, ...]) -> tuple[T, ...]:
    """Return the values.

    Raises:
        ValueError: A value occurs more than once.
    """
    repeated = [shown(value) for place, value in enumerate(values) if value in values[:place]]
    if repeated:
        raise ValueError(f"{', '.join(dict.fromkeys(repeated))} is listed more than once")
    return values


def _as_tuple(value: Any) -> Any:
    """Turn lists, the only sequences in files and JSON, into tuples."""
    return tuple(value) if isinstance(value, list) else value


class _OrOne:
    """Allows a single value in the JSON schema of a list."""

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        several = handler(schema)
        return {"anyOf": [several["items"], several]}


ItemsOf = Annotated[tuple[T, ...], BeforeValidator(_as_tuple)]
"""A list in the file, a tuple here."""
Listed = Annotated[tuple[T, ...], BeforeValidator(_as_tuple), BeforeValidator(as_list), _OrOne()]
"""A list, or a single value."""
OneOrMore = Annotated[
    tuple[T, ...], Field(min_length=1), BeforeValidator(_as_tuple), BeforeValidator(as_list), _OrOne()
]
"""A list that is not empty, or a single value."""
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]


class SpecModel(BaseModel):
    """Base of all descriptions: values are not converted, and unknown fields are refused with the nearest name."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        frozen=True,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
        use_attribute_docstrings=True,
    )

    @model_validator(mode="before")
    @classmethod
    def _known_fields(cls, content: Any) -> Any:
        if isinstance(content, cls):
            return content
        if not isinstance(content, Mapping):
            raise PydanticCustomError(
                "no_mapping", "expected 'name: value' pairs, found {found}", {"found": shown(content)}
            )
        if cls.model_config["extra"] == "allow":
            return content
        known = [field.alias or name for name, field in cls.model_fields.items() if field.exclude is not True]
        accepted = {*known, *cls.model_fields}
        for name in content:
            if name not in accepted:
                raise PydanticCustomError(
                    "unknown_field",
                    "unknown field '{name}'; {nearest}",
                    {"name": str(name), "nearest": nearest(name, sorted(known))},
                )
        return content


def problem(error: ValidationError) -> str:
    """Describe a validation error in one line: the field, its value, and what is possible.

    Only the first problem is described, and an unknown field before a missing one, as both often come from one typo.
    """
    errors = error.errors(include_url=False)
    missing = [details for details in errors if details["type"] == "missing" and isinstance(details["loc"][-1], str)]
    first = next((details for details in errors if details not in missing), None)
    if first is None:
        where = missing[0]["loc"][:-1]
        names = [str(details["loc"][-1]) for details in missing if details["loc"][:-1] == where]
        return _at(where, f"missing {', '.join(sorted(names))}")
    return _at(first["loc"], _description(first))


def _at(location: Iterable[int | str], message: str) -> str:
    """Prefix the message with the names of the fields that lead to its place.

    Indices of a list are left out, as the value is shown; so are the names of alternatives, which are in brackets.
    """
    names = [part for part in location if isinstance(part, str) and not part.startswith("(")]
    return ": ".join([*names, message])


NEEDED = {
    "int_type": "a whole number is needed",
    "int_from_float": "a whole number is needed",
    "float_type": "a number is needed",
    "finite_number": "a finite number is needed",
    "bool_type": "true or false is needed",
    "string_type": "a text is needed (a number, yes or no needs quotes)",
    "tuple_type": "a list is needed",
    "dict_type": "expected 'name: value' pairs",
    "mapping_type": "expected 'name: value' pairs",
    "greater_than": "a number above {gt:g} is needed",
    "greater_than_equal": "at least {ge:g} is needed",
    "less_than": "a number below {lt:g} is needed",
    "less_than_equal": "at most {le:g} is possible",
}
"""What a field requires, by pydantic's type of error."""


def _description(details: ErrorDetails) -> str:
    kind, context, value = details["type"], details.get("ctx", {}), details["input"]
    if kind == "value_error":
        return " ".join(str(context["error"]).split())
    if kind == "literal_error":
        known = filter(None, re.findall(r"'([^']*)'", context["expected"]))  # Do not suggest an empty text.
        return f"unknown {shown(value)}; {nearest(value, known)}"
    if kind == "too_short":
        return (
            "at least one is needed" if context["min_length"] == 1 else f"at least {context['min_length']} are needed"
        )
    if kind in ("too_long", "missing"):  # In a tuple of fixed length; problem() handles missing fields.
        return f"has the wrong number of values: {shown(value)}"
    if kind == "string_too_short":
        return "is empty"
    if kind in NEEDED:
        return f"{NEEDED[kind].format(**context)}, found {shown(value)}"
    return " ".join(details["msg"].split())
