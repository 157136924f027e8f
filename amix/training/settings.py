"""A method's settings: its Config from what a suite gives, and in full for the run's key."""

import dataclasses
import difflib
from collections.abc import Mapping
from typing import Any

from amix.training.method import Method, MethodError


def make_config(method: type[Method], settings: Mapping[str, Any]) -> Any:
    """The method's Config with these settings; MethodError with the nearest names for an unknown one."""
    known = {field.name for field in dataclasses.fields(method.Config)}
    for name in settings:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=3, cutoff=0.4) or sorted(known)
            hint = f"nearest: {', '.join(near)}" if near else "it has none; learning rate, epochs ... are the recipe's"
            raise MethodError(f"{method.name} has no setting '{name}'; {hint}")
    defaults = {field.name: field.default for field in dataclasses.fields(method.Config)}
    return method.Config(**{name: _of_type(defaults[name], value) for name, value in settings.items()})


def _of_type(default: Any, value: Any) -> Any:
    """A setting as the field holds it: 1 and 1.0, or a list and a tuple, must not make two keys of one run."""
    if isinstance(value, list):
        return tuple(value)
    if isinstance(default, tuple) and isinstance(value, str):  # One word alone; a tuple of it would be its letters.
        return (value,)
    return float(value) if isinstance(default, float) and isinstance(value, int | str) else value


def full_settings(method: type[Method], settings: Mapping[str, Any]) -> dict[str, Any]:
    """All settings of a method as plain values, the defaults filled in: what a run's key is made of.

    A field whose metadata holds `neutral` is left out at that value: so a setting that a method gains later does not
    change the keys of the runs made before, as long as the neutral value does what they did.
    """
    values = dataclasses.asdict(make_config(method, settings))
    neutral = {field.name: field.metadata["neutral"] for field in dataclasses.fields(method.Config) if field.metadata}
    return {name: value for name, value in values.items() if name not in neutral or value != neutral[name]}
