"""Bi-level low-rank methods: one part of an increment learns on 80 % of the subset, another on the held-out 20 %."""

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from typing_extensions import override

from amix.agwm.mixed_training import full_precision_loss
from amix.agwm.splits import SplitConfig, endless_batches, split_fit
from amix.data.encoded import Batch, Encoded
from amix.mixup.bilevel_step import BilevelStep
from amix.mixup.hypergradient import Hypergradient, HypergradientOptions
from amix.mixup.levels import Levels
from amix.models.architecture import backbone, head_names
from amix.random_streams import tensor_generator
from amix.specs.recipe import Recipe
from amix.specs.task import Task
from amix.training.fit import Fit
from amix.training.loop import train
from amix.training.method import Groups, Method, MethodError, Model
from amix.training.multi_stage import MultiStageMethod
from amix.training.schedules import linear_schedule, warmup_steps
from amix.training.weight_averaging import restore
from baselines.parameter_efficient._peft import at_own_lr, attention_targets, check_targets

PASSES = 4.0
"""Forward and backward passes of an iteration: lower step, upper loss, and two for the finite difference."""


@dataclass(frozen=True)
class TwoLevelConfig:
    """Settings of the increment, the search and the retraining.

    targets: last parts of module names; empty for the query and value projections. lr, upper_lr: of the two levels;
    null uses the recipe's. regulariser: weight of the orthogonality penalty. lower_share: of the subset; the rest is
    held out. search_epochs: over the lower level's examples. search_clip_norm: largest gradient norm of the search.
    unroll: lower steps per upper step. retrain: whether the lower level is then trained from its start on the whole
    subset, with the upper level fixed. xi: length of the lower step in the derivative, null for its learning rate.
    masks: see HypergradientOptions.
    """

    rank: int = 4
    lr: float | None = 5e-4
    upper_lr: float | None = 5e-4
    upper_decay: float = 0.0
    regulariser: float = 1e-5
    lower_share: float = 0.8
    search_epochs: int = 3
    search_clip_norm: float = 5.0
    unroll: int = 1
    retrain: bool = True
    xi: float | None = None
    masks: Literal["common", "independent"] = "common"
    targets: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.rank < 1 or self.unroll < 1 or self.regulariser < 0:
            raise MethodError("bi-level methods need rank and unroll of at least 1 and a regulariser of at least 0")
        self.split()

    def split(self) -> SplitConfig:
        """The split of the search."""
        return SplitConfig(1, self.lower_share, self.search_epochs, self.search_clip_norm)

    def options(self) -> HypergradientOptions:
        """Options of the hypergradient."""
        return HypergradientOptions(preconditioner="identity", xi=self.xi, masks=self.masks)


class Increment(nn.Module):
    """Parametrisation that maps a linear layer's pretrained weight [out, in] to the effective one."""

    upper_names: ClassVar[tuple[str, ...]] = ()

    def penalty(self, weight: Tensor) -> Tensor:
        """Orthogonality penalty, a scalar; weight: the pretrained one."""
        raise NotImplementedError

    def settle(self) -> None:
        """Fix the upper level after the search, before the lower level is retrained."""


class TwoLevel(MultiStageMethod):
    """Base class: a search on one random split, then the lower level is retrained on the whole subset.

    An iteration of the search takes a step of the lower level (the increment's direction and the head) on a batch of
    the 80 %, and a step of the upper level on a batch of the 20 % with a hypergradient from central differences
    (amix.mixup.bilevel_step). The weights are restored exactly, both perturbed passes have the lower pass's dropout
    masks, and the derivative uses the length of the step that it differentiates.
    """

    Config: ClassVar[type] = TwoLevelConfig

    def increment(self, linear: nn.Linear, generator: torch.Generator) -> Increment:
        """A new increment for one layer."""
        raise NotImplementedError

    @override
    def check_encoder(self, model: Model, task: Task, recipe: Recipe) -> None:
        """Find every layer that is to get an increment."""
        target_names(model, self.config.targets)

    @override
    def prepare(self, model: Model, fit: Fit) -> Model:
        """Freeze the body and add the increments."""
        self.check_encoder(model, fit.task, fit.recipe)
        head = head_names(model)
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(self.trains_all or name in head)
        generator = tensor_generator(fit.seed, "method", "adapters")
        self.names = target_names(model, self.config.targets)
        for name in self.names:
            linear = model.get_submodule(name)
            assert isinstance(linear, nn.Linear)
            increment = self.increment(linear, generator).to(linear.weight)
            parametrize.register_parametrization(linear, "weight", increment)
        return model

    trains_all: ClassVar[bool] = False
    """Whether the pretrained weights are part of the lower level."""

    def increments(self, model: Model) -> list[tuple[Increment, Tensor]]:
        """Every increment with the pretrained weight on which it acts."""
        lists = [model.get_submodule(f"{name}.parametrizations.weight") for name in self.names]
        return [(modules[0], modules.original) for modules in lists]  # type: ignore[index, misc]

    def levels(self, model: Model) -> Levels:
        """The upper level's parameters, and all other trainable ones as the lower level."""
        upper: dict[str, nn.Parameter] = {}
        for name, (increment, _) in zip(self.names, self.increments(model), strict=True):
            upper |= {f"{name}.{key}": increment.get_parameter(key) for key in increment.upper_names}
        return Levels(model, upper)

    @override
    def param_groups(self, model: Model, fit: Fit) -> Groups:
        """The lower level, at its own learning rate."""
        return at_own_lr(super().param_groups(model, fit), self.config.lr)

    def upper_optimizer(self, parameters: Iterable[nn.Parameter], lr: float, fit: Fit) -> torch.optim.Optimizer:
        """The upper level's optimizer."""
        recipe, decay = fit.recipe, self.config.upper_decay
        return torch.optim.AdamW(parameters, lr=lr, betas=recipe.betas, eps=recipe.adam_epsilon, weight_decay=decay)

    @override
    def loss(self, model: Model, batch: Batch, fit: Fit) -> Tensor:
        """The task's loss plus the penalty of the increments."""
        return super().loss(model, batch, fit) + self.penalty(model)

    def perturbed_loss(self, model: Model, batch: Batch, fit: Fit) -> Tensor:
        """The same loss in full precision, because reduced precision does not resolve the perturbation."""
        return full_precision_loss(model, batch, fit) + self.penalty(model)

    def penalty(self, model: Model) -> Tensor:
        """The increments' mean penalty times its weight."""
        terms = [increment.penalty(weight) for increment, weight in self.increments(model)]
        return self.config.regulariser * torch.stack(terms).mean()

    def options(self) -> HypergradientOptions:
        """Options of the hypergradient."""
        options: HypergradientOptions = self.config.options()
        return options

    def after_upper_step(self, step: BilevelStep, hypergradient: Hypergradient) -> None:
        """Hook after every upper step."""

    @override
    def run(self, model: Model, fit: Fit) -> Model:
        """Search, then retrain the lower level."""
        levels = self.levels(model)
        start = {name: parameter.detach().clone() for name, parameter in levels.lower.items()}
        search_fit, held_out = split_fit(self.config.split(), fit, 0)
        train(Search(self, levels, held_out), model, search_fit)
        fit.diagnostics["search/upper"] = [torch.cat([p.detach().flatten() for p in levels.attention]).cpu().numpy()]
        if not self.config.retrain:
            return model
        self.reset_lower(model, levels, start)
        return train(self, model, fit)

    def reset_lower(self, model: Model, levels: Levels, start: Mapping[str, Tensor]) -> None:
        """Reset the lower level to its start and fix the upper one at the result of the search."""
        restore(model, start)
        for increment, _ in self.increments(model):
            increment.settle()
        for parameter in levels.attention:
            parameter.requires_grad_(False)

    @override
    def export(self, model: Model, fit: Fit) -> Model:
        """A plain copy with the effective weights; the training model does not change."""
        plain = copy.deepcopy(model)
        for name in self.names:
            parametrize.remove_parametrizations(plain.get_submodule(name), "weight", leave_parametrized=True)
        return plain

    @override
    def relative_passes(self, n_train: int, recipe: Recipe) -> float:
        """Search and retraining together, relative to plain finetuning with the same recipe."""
        plain, iterations = recipe.total_steps(n_train), self.config.split().iterations(n_train, recipe.batch_size)
        search = iterations + (PASSES - 1) * (iterations // self.config.unroll)
        return (search + plain * self.config.retrain) / plain


class Search(Method):
    """The search: trains the owner's lower level, with an upper step after every `unroll` lower steps."""

    def __init__(self, owner: TwoLevel, levels: Levels, held_out: Encoded) -> None:
        super().__init__(owner.config)
        self.owner, self.levels, self.held_out = owner, levels, held_out

    @override
    def param_groups(self, model: Model, fit: Fit) -> Groups:
        """The owner's groups, without the upper level."""
        upper = {id(parameter) for parameter in self.levels.attention}
        groups = self.owner.param_groups(model, fit)
        lower = [group | {"params": [p for p in group["params"] if id(p) not in upper]} for group in groups]
        return [group for group in lower if group["params"]]

    @override
    def optimizer(self, groups: Groups, fit: Fit) -> torch.optim.Optimizer:
        """The owner's optimizer."""
        return self.owner.optimizer(groups, fit)

    @override
    def on_fit_start(self, model: Model, fit: Fit) -> None:
        """Create the upper level's optimizer, schedule and batches."""
        lr = fit.recipe.lr if self.config.upper_lr is None else self.config.upper_lr
        upper = self.owner.upper_optimizer(self.levels.attention, lr, fit)
        steps = fit.total_steps // self.config.unroll
        self.schedule_upper = linear_schedule(upper, warmup_steps(fit.recipe, steps), steps)
        assert fit.optimizer is not None
        self.step = BilevelStep(self.levels, fit.optimizer, upper, self.owner.options(), gradients=fit.gradients)
        self.upper_batches = endless_batches(fit, self.held_out)

    def upper_step_due(self, fit: Fit) -> bool:
        """Whether an upper step follows this lower step."""
        return (fit.step + 1) % int(self.config.unroll) == 0

    @override
    def loss(self, model: Model, batch: Batch, fit: Fit) -> Tensor:
        """The lower loss, which the perturbed passes will repeat on the whole batch."""
        lower = partial(self.owner.loss, model, batch, fit)
        if fit.part is not None and not fit.part.first:
            return lower()
        perturbed = partial(fit.part_losses, partial(self.owner.perturbed_loss, model, fit=fit), fit.whole(batch))
        return self.step.lower_loss(lower, perturbed)

    @override
    def after_backward(self, model: Model, fit: Fit) -> None:
        """Pass the gradients on to the lower level's parameters."""
        self.step.pull_back()

    @override
    def before_step(self, model: Model, fit: Fit) -> None:
        """Store what the derivative of the lower step needs."""
        self.step.before_lower_step()

    @override
    def after_step(self, model: Model, fit: Fit) -> None:
        """Take an upper step if it is due, on the task's loss without the penalty."""
        if self.upper_step_due(fit):
            upper = partial(fit.part_losses, partial(super().loss, model, fit=fit), next(self.upper_batches))
            hypergradient = self.step.attention_step(upper)
            self.owner.after_upper_step(self.step, hypergradient)
            self.schedule_upper.step()


def target_names(model: nn.Module, targets: tuple[str, ...]) -> list[str]:
    """Names of the linear layers that get an increment.

    Raises:
        MethodError: If one of the targets is the end of no such layer's name.
    """
    check_targets(model, targets)
    endings = targets or tuple(attention_targets(model))
    inside = {id(module) for module in backbone(model).modules()}
    linears = {name for name, module in model.named_modules() if isinstance(module, nn.Linear) and id(module) in inside}
    found = {ending: {name for name in linears if f".{name}".endswith(f".{ending}")} for ending in endings}
    for ending, names in found.items():
        if not names:
            raise MethodError(f"targets: '{ending}' is no linear layer of {type(model).__name__}'s pretrained body")
    chosen = set().union(*found.values())
    return [name for name, _ in model.named_modules() if name in chosen]


def normal(shape: tuple[int, int], deviation: float, generator: torch.Generator) -> nn.Parameter:
    """A factor with entries from N(0, deviation^2), drawn on the CPU."""
    return nn.Parameter(torch.empty(shape).normal_(0.0, deviation, generator=generator))


def from_identity(gram: Tensor) -> Tensor:
    """||gram - I||_F of a square matrix, not squared."""
    return (gram - torch.eye(len(gram), dtype=gram.dtype, device=gram.device)).norm()
