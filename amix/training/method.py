"""The Method contract: a method is one class that overrides what differs from plain finetuning.

Order of the hooks in one training step (amix.training.loop.loop.train):
dropout seeded -> loss -> backward -> after_backward -> gradients clipped -> before_step -> step -> after_step.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import nn

from amix.data.encoded import Batch
from amix.models.architecture import decay_groups
from amix.specs.recipe import Recipe
from amix.training.schedules import linear_schedule, warmup_steps

if TYPE_CHECKING:
    from amix.training.fit import Fit


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
    parity: agreement with the official code: `matched: what`, `no official code` or `departs: why`. cases: patterns of
    the names of the reference numbers that it is held to; tables say the largest difference
    (results.tabulating.methods). plain_checkpoint: whether export gives a plain Hugging Face model; where not, it gives
    an amix.models.with_addition.Extended, and what is saved says how to load it. trains_by_steps: whether it makes
    gradient steps; a closed-form fit overrides run instead. splits_batches: whether processes may share a batch, each
    of them seeing its own examples only; False where the examples of a batch meet, are looked at one by one, or get
    noise of their own. grid: values of settings to try in tuning. recipe_grid: factors on the suite's recipe to try
    with them (an absolute learning rate fits one encoder only). overhead_limit: the longest time of an update
    relative to plain finetuning, where it is not 1.2 x passes.
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
    cases: ClassVar[tuple[str, ...]] = ()
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
        from amix.training.loop import train

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
