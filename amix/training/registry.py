"""The registry of methods: registering, finding, and loading them from files outside the project."""

import dataclasses
import hashlib
import importlib
import importlib.util
import inspect
import itertools
import pkgutil
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

from amix.specs.suggestions import alike, nearest
from amix.training.foreign_code import ForeignCodeError, import_file
from amix.training.method import Method, MethodError
from amix.training.method_info import MethodInfo
from amix.training.multi_stage import MultiStageMethod

RegisteredMethod = TypeVar("RegisteredMethod", bound=type[Method])

_METHODS: dict[str, type[Method]] = {}
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_IN_INFO = tuple(field.name for field in dataclasses.fields(MethodInfo))
_OF_STAGES = ("run", "stages", "run_stage")
"""What only a MultiStageMethod may define: the loop would never call it on another method."""
HOOK_LIKE = 0.8
"""Similarity to a hook's name from which a function is taken for a misspelt hook."""


def register(method: RegisteredMethod) -> RegisteredMethod:
    """Register a method under its name for all commands, tables, figures and tests; a class decorator.

    Raises:
        MethodError: The class breaks the contract, or the name is taken.
    """
    problems = list(_contract_problems(method))
    if problems:
        raise MethodError(f"{method.__module__}.{method.__qualname__}: {'; '.join(problems)}")
    taken = _METHODS.get(method.name)
    if taken is not None and (taken.__module__, taken.__qualname__) != (method.__module__, method.__qualname__):
        raise MethodError(f"the name '{method.name}' is taken by {_place(taken)}; choose another one")
    _METHODS[method.name] = method
    return method


def _place(method: type[Method]) -> str:
    """Where a method comes from: its module, or a file of the user's."""
    if source_hash(method):
        return f"{inspect.getfile(method)}:{method.__qualname__}"
    return f"{method.__module__}.{method.__qualname__}"


def _contract_problems(method: type[Method]) -> list[str]:
    problems = [f"has no {name}" for name in ("name", "info") if not hasattr(method, name)]
    if misplaced := [name for name in _IN_INFO if hasattr(method, name)]:
        given = ", ".join(f"{name}=..." for name in misplaced)
        problems.append(f"sets {', '.join(misplaced)} in the class: write info = MethodInfo({given})")
    elif hasattr(method, "info"):
        problems += _info_problems(method)
    overridden = [name for name in _OF_STAGES if hasattr(method, name)]
    if overridden and not issubclass(method, MultiStageMethod):
        problems.append(f"has {', '.join(overridden)}: derive it from amix.training.multi_stage.MultiStageMethod")
    problems += _misspelt(method)
    if hasattr(method, "name") and not (isinstance(method.name, str) and _NAME.fullmatch(method.name)):
        problems.append(f"the name '{method.name}' is not lower_case_with_underscores")
    if not (method.__doc__ or "").strip() or method.__doc__ == Method.__doc__:
        problems.append("has no docstring")
    parameters = getattr(method.Config, "__dataclass_params__", None)
    if parameters is None or not parameters.frozen:
        problems.append("Config is not a frozen dataclass")
    elif without := [one.name for one in dataclasses.fields(method.Config) if not _has_default(one)]:
        problems.append(f"Config: {', '.join(without)} has no default; every setting needs one")
    return problems


def _misspelt(method: type[Method]) -> Iterator[str]:
    """Functions named almost like a hook: the loop would not call them, and the method would train as its base."""
    hooks = [name for name in dir(MultiStageMethod) if not name.startswith("_")]
    inherited = {name for base in method.__mro__[1:] for name in vars(base)}
    for name, value in vars(method).items():
        if name.startswith("_") or not callable(value) or name in inherited.union(hooks):
            continue
        if hook := alike(name, hooks, 1, HOOK_LIKE):
            yield f"defines {name}; did you mean the hook {hook[0]}? (A helper's name may begin with an underscore.)"


def _has_default(field: "dataclasses.Field[object]") -> bool:
    return not (field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING)


def _info_problems(method: type[Method]) -> Iterator[str]:
    info: object = method.info
    if not isinstance(info, MethodInfo):
        yield f"its info is {info!r}, not a MethodInfo"
    elif dataclasses.is_dataclass(method.Config):
        known = {field.name for field in dataclasses.fields(method.Config)}
        for name, settings in (("null", info.null or {}), ("grid", info.grid), ("toy_settings", info.toy_settings)):
            if unknown := sorted(set(settings) - known):
                yield f"info.{name}: Config has no {', '.join(unknown)}"


HOMES = ("amix.agwm", "baselines")
"""Packages of the project's own methods, by name: their layers are above this one, which must not import them."""


def _modules(home: str) -> list[str]:
    """The modules of a package and of its sub-packages; none if it is not installed, as baselines may be."""
    if importlib.util.find_spec(home) is None:
        return []
    found = pkgutil.walk_packages(importlib.import_module(home).__path__, f"{home}.")
    return [module.name for module in found if not module.ispkg]


def _places(name: str) -> Iterator[list[str]]:
    """Modules that may hold a method, likeliest first.

    First the file of its name; then files named by the beginning of it, as rose for rose_first; then whole packages.
    """
    homes = [_modules(home) for home in HOMES]
    words = name.split("_")
    for count in range(len(words), 0, -1):
        file = "_".join(words[:count])
        yield [module for modules in homes for module in modules if module.rpartition(".")[2] == file]
    yield from homes


def methods() -> dict[str, type[Method]]:
    """Return all registered methods by name: the library's, those in baselines/, and those loaded from outside."""
    for module in itertools.chain.from_iterable(map(_modules, HOMES)):
        importlib.import_module(module)
    return dict(sorted(_METHODS.items()))


def built_in_methods() -> dict[str, type[Method]]:
    """Return the project's own methods by name, sorted by kind, year and name."""
    own = [method for method in methods().values() if method.__module__.split(".")[0] in ("amix", "baselines")]
    return {method.name: method for method in sorted(own, key=lambda m: (m.info.kind, m.info.year, m.name))}


def find_method(name: str) -> type[Method]:
    """Return the method registered under this name.

    It is looked for where its name says that it is, because importing all methods takes seconds in every worker.

    Raises:
        MethodError: The name is unknown; the message suggests the nearest ones.
    """
    places = itertools.chain.from_iterable(_places(name))
    while name not in _METHODS and (module := next(places, None)):
        importlib.import_module(module)
    if name not in _METHODS:
        raise MethodError(f"unknown method '{name}'; {nearest(name, sorted(_METHODS))}")
    return _METHODS[name]


def load_external(reference: str) -> type[Method]:
    """Load and register a method from outside the project.

    Args:
        reference: path/to/file.py:ClassName.

    Raises:
        MethodError: The file or the class does not exist, or the class breaks the contract.
    """
    path_text, _, class_name = reference.rpartition(":")
    path = Path(path_text)
    if not path_text.endswith(".py") or not path.is_file():
        raise MethodError(f"'{reference}': give an existing file and a class as path/to/file.py:ClassName")
    module_name = f"external_{hashlib.sha256(path.read_bytes()).hexdigest()[:16]}"
    try:
        module = sys.modules.get(module_name) or import_file(path, module_name)
    except ForeignCodeError as error:
        reason = str(error)
        if isinstance(error.__cause__, TypeError) and MethodInfo.__name__ in reason:  # A missing or unknown field.
            reason = reason.replace("TypeError: ", "").replace(".__init__()", "")
        raise MethodError(reason) from error
    method = getattr(module, class_name, None)
    if not (inspect.isclass(method) and issubclass(method, Method)):
        raise MethodError(f"{path} has no class {class_name} that derives from amix.training.method.Method")
    methods()  # Registers the project's own methods, so that their names are refused.
    try:
        return register(method)
    except MethodError as error:
        raise MethodError(f"{path}: {str(error).replace(f'{module_name}.', '')}") from error


def source_hash(method: type[Method]) -> str:
    """Return the sha256 of an external method's file, so that an edited one runs again; "" for the project's own."""
    if not method.__module__.startswith("external_"):
        return ""
    return hashlib.sha256(Path(inspect.getfile(method)).read_bytes()).hexdigest()
