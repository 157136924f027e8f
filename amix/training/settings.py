"""A method's settings: a suite's values to a Config, and the full settings for the run's key."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from amix.specs.suggestions import nearest
from amix.specs.typed_fields import check_fields
from amix.training.method import Method, MethodError

NOT_FINITE = ("inf", "-inf")
"""JSON has no infinity: run specs hold these strings."""


def make_config(method: type[Method], settings: Mapping[str, Any]) -> Any:
    """Build the method's Config from these settings.

    Raises:
        MethodError: A setting is unknown (the message suggests the nearest ones), or a value has the wrong type.
    """
    known = {field.name: field for field in dataclasses.fields(method.Config)}
    for name in settings:
        if name not in known:
            hint = nearest(name, sorted(known)) if known else "it has none; learning rate, epochs ... are in the recipe"
            raise MethodError(f"{method.name} has no setting '{name}'; {hint}")
    try:
        values = {name: _of_type(known[name].default, value) for name, value in settings.items()}
        for name, value in values.items():
            _refuse_no_quantity(method, known[name], value)
        check_fields(method.Config, values)
        return method.Config(**values)
    except MethodError:
        raise
    except (TypeError, ValueError, OverflowError) as error:
        raise MethodError(f"{method.name}: {error}") from error


def _of_type(default: Any, value: Any) -> Any:
    """Convert a value to the field's type: 1 and 1.0, or a list and a tuple, must give one run the same key."""
    if isinstance(value, list):
        return tuple(value)
    if isinstance(default, tuple) and isinstance(value, str):  # tuple(value) would split the word into letters.
        return (value,)
    if value in NOT_FINITE and isinstance(value, str):
        return float(value)
    whole = isinstance(value, int) and not isinstance(value, bool)
    return float(value) if isinstance(default, float) and whole else value


def _refuse_no_quantity(method: type[Method], field: "dataclasses.Field[Any]", value: Any) -> None:
    """Refuse what no rate, strength, share or count is: not a number, or below zero.

    A field whose type says its range (`Annotated`) is checked by that alone; one whose default is negative may be so.
    """
    numbers = [one for one in (value if isinstance(value, tuple) else (value,)) if isinstance(one, int | float)]
    for number in numbers:
        if math.isnan(number):
            raise MethodError(f"{method.name}: {field.name}: a number is needed, found {number}")
    usual = field.default if isinstance(field.default, int | float) else 0
    if "Annotated" in str(field.type) or isinstance(value, tuple) or usual < 0:
        return
    for number in numbers:
        if number < 0:
            raise MethodError(f"{method.name}: {field.name}: at least 0 is needed, found {number}")


def full_settings(method: type[Method], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return all settings of a method as plain values, including defaults; they are part of the run's key.

    A field whose metadata has `neutral` is omitted if it has that value, so that a setting added later does not change
    the keys of earlier runs, as long as the neutral value gives the earlier behaviour.
    """
    values = dataclasses.asdict(make_config(method, settings))
    neutral = {field.name: field.metadata["neutral"] for field in dataclasses.fields(method.Config) if field.metadata}
    return {name: value for name, value in values.items() if name not in neutral or value != neutral[name]}
