"""The Method contract: a method is one class that overrides what differs from plain finetuning.

It has ten hooks. Before training (amix.training.loop.train): prepare, param_groups, optimizer, schedule, on_fit_start.
In every step: dropout seeded -> loss -> backward -> after_backward -> gradients clipped -> before_step -> step ->
after_step. After every epoch and at the end: for_evaluation.

A method whose run is more than one pass of that loop is an amix.training.multi_stage.MultiStageMethod.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import nn

from amix.data.encoded import Batch
from amix.models.architecture import decay_groups
from amix.specs.recipe import Recipe
from amix.training.fit import Fit
from amix.training.method_info import MethodInfo
from amix.training.schedules import linear_schedule, warmup_steps

Groups = list[dict[str, Any]]
Model = nn.Module


class MethodError(ValueError):
    """A method that does not exist, is described wrongly, or cannot do what is asked of it."""


@dataclass(frozen=True)
class NoConfig:
    """The configuration of a method without settings."""


class Method:
    """Plain finetuning; a method overrides the hooks in which it differs."""

    name: ClassVar[str]
    """Registry key."""
    info: ClassVar[MethodInfo]
    """Citation, cost, search space."""
    Config: ClassVar[type] = NoConfig
    """Frozen dataclass whose defaults are the paper's values."""

    def __init__(self, config: Any = None) -> None:
        self.config = self.Config() if config is None else config

    def prepare(self, model: Model, fit: Fit) -> Model:
        """Swap or freeze modules before anything trains; the model returned is the one that trains."""
        return model

    def param_groups(self, model: Model, fit: Fit) -> Groups:
        """What trains, with which weight decay and learning rate."""
        return decay_groups(model, fit.recipe.weight_decay)

    def optimizer(self, groups: Groups, fit: Fit) -> torch.optim.Optimizer:
        """The optimizer: bias-corrected AdamW, decay before the update (torch's form)."""
        recipe = fit.recipe
        return torch.optim.AdamW(groups, lr=recipe.lr, betas=recipe.betas, eps=recipe.adam_epsilon, fused=True)

    def schedule(self, optimizer: torch.optim.Optimizer, fit: Fit) -> torch.optim.lr_scheduler.LRScheduler:
        """The learning rate over the steps: linear warm-up (rounded up, as in transformers), linear decay to zero."""
        return linear_schedule(optimizer, warmup_steps(fit.recipe, fit.total_steps), fit.total_steps)

    def on_fit_start(self, model: Model, fit: Fit) -> None:
        """Once before the first step: Fisher pass, anchors. The random state is kept around it."""

    def loss(self, model: Model, batch: Batch, fit: Fit) -> torch.Tensor:
        """The loss of one batch, a scalar."""
        return fit.task_loss(fit.logits(model, batch), batch)

    def after_backward(self, model: Model, fit: Fit) -> None:
        """Gradients before clipping."""

    def before_step(self, model: Model, fit: Fit) -> None:
        """Gradients after clipping."""

    def after_step(self, model: Model, fit: Fit) -> None:
        """After the update: projections, averages."""

    def for_evaluation(self, model: Model, fit: Fit) -> Model:
        """The model whose predictions count now; must leave the training model as it is."""
        return model

    def export(self, model: Model, fit: Fit) -> Model:
        """A plain Hugging Face model (or else, see MethodInfo.plain_checkpoint) with the logits of for_evaluation."""
        return self.for_evaluation(model, fit)

    def relative_passes(self, n_train: int, recipe: Recipe) -> float:
        """Forward+backward passes of a whole run on n_train examples, relative to plain finetuning's.

        Overridden where that is not what every update costs. Tests hold it to the passes that a run counts.
        """
        return self.info.passes
