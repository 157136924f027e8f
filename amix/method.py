"""The Method contract and the registry: a method is one class that overrides what differs from plain finetuning.

Order of the hooks in one training step (amix.training.train):
dropout seeded -> loss -> backward -> after_backward -> gradients clipped -> before_step -> step -> after_step.
"""

import dataclasses
import difflib
import hashlib
import importlib
import importlib.util
import inspect
import pkgutil
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import torch
from torch import nn

from amix.data import Batch
from amix.modules import decay_groups
from amix.recipe import Recipe

if TYPE_CHECKING:
    from amix.training import Fit

Groups = list[dict[str, Any]]
Model = nn.Module


class MethodError(ValueError):
    """A method that does not exist, is described wrongly, or cannot do what is asked of it."""


@dataclass(frozen=True)
class NoConfig:
    """The configuration of a method without settings."""


class Method:
    """Plain finetuning; a method overrides the hooks in which it differs.

    name: registry key. paper: citation. kind: family in tables. Config: frozen dataclass whose defaults are the
    paper's values. null: settings at which the method must equal plain finetuning (tested), None where there is none.
    passes: forward+backward passes per update, relative to plain finetuning. regression: whether it is defined there.
    parity: agreement with the official code: `matched: max difference`, `no official code` or `departs: why`.
    plain_checkpoint: whether export gives a plain Hugging Face model; where not, it gives an amix.extended.Extended,
    and what is saved says how to load it. trains_by_steps: whether it makes gradient steps; a closed-form fit overrides
    run instead. splits_batches: whether processes may share a batch, each of them seeing its own examples only; False
    where the examples of a batch meet, or are looked at one by one. grid: values of settings to try in tuning.
    recipe_grid: factors on the suite's recipe to try with them (an absolute learning rate fits one encoder only).
    overhead_limit: the longest time of an update relative to plain finetuning, where it is not 1.2 x passes.
    """

    name: ClassVar[str]
    paper: ClassVar[str]
    year: ClassVar[int]
    kind: ClassVar[str]
    Config: ClassVar[type] = NoConfig
    null: ClassVar[Mapping[str, Any] | None] = None
    passes: ClassVar[float] = 1.0
    regression: ClassVar[bool] = True
    parity: ClassVar[str] = ""
    grid: ClassVar[Mapping[str, tuple[Any, ...]]] = {}
    recipe_grid: ClassVar[Mapping[str, tuple[float, ...]]] = {"lr": (0.5, 1.0, 2.0), "epochs": (1.0, 2.0, 3.0)}
    overhead_limit: ClassVar[float | None] = None
    plain_checkpoint: ClassVar[bool] = True
    trains_by_steps: ClassVar[bool] = True
    splits_batches: ClassVar[bool] = True

    def __init__(self, config: Any = None) -> None:
        self.config = self.Config() if config is None else config

    def prepare(self, model: Model, fit: "Fit") -> Model:
        """Swap or freeze modules before anything trains; the model returned is the one that trains."""
        return model

    def param_groups(self, model: Model, fit: "Fit") -> Groups:
        """What trains, with which weight decay and learning rate."""
        return decay_groups(model, fit.recipe.weight_decay)

    def optimizer(self, groups: Groups, fit: "Fit") -> torch.optim.Optimizer:
        """The optimizer: bias-corrected AdamW, decay before the update (torch's form)."""
        recipe = fit.recipe
        return torch.optim.AdamW(groups, lr=recipe.lr, betas=recipe.betas, eps=recipe.adam_epsilon, fused=True)

    def schedule(self, optimizer: torch.optim.Optimizer, fit: "Fit") -> torch.optim.lr_scheduler.LRScheduler:
        """The learning rate over the steps: linear warm-up (rounded up, as in transformers), linear decay to zero."""
        return linear_schedule(optimizer, warmup_steps(fit.recipe, fit.total_steps), fit.total_steps)

    def on_fit_start(self, model: Model, fit: "Fit") -> None:
        """Once before the first step: Fisher pass, anchors. The random state is kept around it."""

    def loss(self, model: Model, batch: Batch, fit: "Fit") -> torch.Tensor:
        """The loss of one batch, a scalar."""
        return fit.task_loss(fit.logits(model, batch), batch)

    def after_backward(self, model: Model, fit: "Fit") -> None:
        """Gradients before clipping."""

    def before_step(self, model: Model, fit: "Fit") -> None:
        """Gradients after clipping."""

    def after_step(self, model: Model, fit: "Fit") -> None:
        """After the update: projections, averages."""

    def run(self, model: Model, fit: "Fit") -> Model:
        """The whole finetuning; methods of several stages override it."""
        from amix.training import train

        return train(self, model, fit)

    def parts(self) -> int:
        """How many parts of run() need nothing of each other, so that other processes can do them."""
        return 0

    def part(self, model: Model, fit: "Fit", number: int) -> dict[str, torch.Tensor]:
        """One such part, from the prepared model at its start; returns the weights it ends with, by name.

        run() asks for it with fit.part(self, model, number), for the numbers from 0 in turn.
        """
        raise NotImplementedError(f"{type(self).__name__} has no parts")

    def for_evaluation(self, model: Model, fit: "Fit") -> Model:
        """The model whose predictions count now; must leave the training model as it is."""
        return model

    def export(self, model: Model, fit: "Fit") -> Model:
        """A plain Hugging Face model (or, see plain_checkpoint, an Extended) with the logits of for_evaluation."""
        return self.for_evaluation(model, fit)

    def relative_passes(self, n_train: int, recipe: Recipe) -> float:
        """Forward+backward passes of a whole run on n_train examples, relative to plain finetuning's."""
        return self.passes


def warmup_steps(recipe: Recipe, total_steps: int) -> int:
    """Steps of warm-up: the share of all steps, rounded up."""
    return -int(-recipe.warmup_ratio * total_steps // 1)


def linear_schedule(optimizer: torch.optim.Optimizer, warmup: int, steps: int) -> torch.optim.lr_scheduler.LRScheduler:
    """The learning rate rises linearly over the warm-up and falls linearly to zero at the last step."""
    from transformers import get_linear_schedule_with_warmup  # Takes seconds to import, which plans need not wait for.

    return get_linear_schedule_with_warmup(optimizer, warmup, steps)


RegisteredMethod = TypeVar("RegisteredMethod", bound=type[Method])

_METHODS: dict[str, type[Method]] = {}
_NAME = re.compile(r"[a-z][a-z0-9_]*")


def register(method: RegisteredMethod) -> RegisteredMethod:
    """Class decorator that makes a method known under its name to every verb, table, figure and test.

    Errors: MethodError when something that the contract asks for is missing or the name is taken.
    """
    problems = list(_contract_problems(method))
    if problems:
        raise MethodError(f"{method.__module__}.{method.__qualname__}: {'; '.join(problems)}")
    taken = _METHODS.get(method.name)
    if taken is not None and (taken.__module__, taken.__qualname__) != (method.__module__, method.__qualname__):
        raise MethodError(f"the name '{method.name}' is taken by {taken.__module__}.{taken.__qualname__}")
    _METHODS[method.name] = method
    return method


def _contract_problems(method: type[Method]) -> list[str]:
    problems = [f"has no {name}" for name in ("name", "paper", "year", "kind") if not hasattr(method, name)]
    if not problems and not _NAME.fullmatch(method.name):
        problems.append(f"the name '{method.name}' is not lower_case_with_underscores")
    if not (method.__doc__ or "").strip() or method.__doc__ == Method.__doc__:
        problems.append("has no docstring")
    parameters = getattr(method.Config, "__dataclass_params__", None)
    if parameters is None or not parameters.frozen:
        problems.append("Config is not a frozen dataclass")
    return problems


def methods() -> dict[str, type[Method]]:
    """All registered methods by name: those of the library, of baselines/ and those loaded from outside."""
    for package_name in ("amix", "baselines"):
        package = importlib.import_module(package_name)
        for module in pkgutil.iter_modules(package.__path__):
            importlib.import_module(f"{package_name}.{module.name}")
    return dict(sorted(_METHODS.items()))


def built_in_methods() -> dict[str, type[Method]]:
    """The project's own registered methods, families together, in the order of their years."""
    own = [method for method in methods().values() if method.__module__.split(".")[0] in ("amix", "baselines")]
    return {method.name: method for method in sorted(own, key=lambda one: (one.kind, one.year, one.name))}


def find_method(name: str) -> type[Method]:
    """The method registered under this name; MethodError with the nearest names when there is none."""
    known = methods()
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
    hint = f"did you mean {', '.join(near)}?" if near else f"known: {', '.join(known)}"
    raise MethodError(f"unknown method '{name}'; {hint}")


def load_external(reference: str) -> type[Method]:
    """A method from outside the project, given as path/to/file.py:ClassName; it is registered under its name.

    Errors: MethodError when the file or the class is not there or does not keep the contract.
    """
    path_text, _, class_name = reference.rpartition(":")
    path = Path(path_text)
    if not path_text.endswith(".py") or not path.is_file():
        raise MethodError(f"'{reference}': give an existing file and a class as path/to/file.py:ClassName")
    module_name = f"external_{hashlib.sha256(path.read_bytes()).hexdigest()[:16]}"
    if module_name not in sys.modules:
        specification = importlib.util.spec_from_file_location(module_name, path)
        assert specification is not None
        assert specification.loader is not None
        module = importlib.util.module_from_spec(specification)
        sys.modules[module_name] = module
        try:
            specification.loader.exec_module(module)
        except BaseException:
            del sys.modules[module_name]
            raise
    method = getattr(sys.modules[module_name], class_name, None)
    if not (inspect.isclass(method) and issubclass(method, Method)):
        raise MethodError(f"{path} has no class {class_name} that derives from amix.method.Method")
    return register(method)


def source_hash(method: type[Method]) -> str:
    """sha256 of the file of a method from outside the project, so that an edited one runs again; "" for our own."""
    if not method.__module__.startswith("external_"):
        return ""
    return hashlib.sha256(Path(inspect.getfile(method)).read_bytes()).hexdigest()


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
