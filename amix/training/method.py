"""The Method contract: a method is one class that overrides what differs from plain finetuning.

There are eleven hooks. Before training (amix.training.loop.train): prepare, param_groups, optimizer, schedule,
on_fit_start. In every step: seed dropout -> before_loss -> loss -> backward -> after_backward -> clip gradients ->
before_step -> update -> after_step; if batches are split (Recipe.micro_batch), loss and backward are called for each
part. After every epoch and at the end: for_evaluation.

A method that is more than one pass of that loop derives from amix.training.multi_stage.MultiStageMethod.

Besides the hooks: check_encoder before a sweep, export at its end, relative_passes when it is planned.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import nn

from amix.data.encoded import Batch
from amix.models.architecture import decay_groups
from amix.specs.recipe import Recipe
from amix.specs.task import Task
from amix.training.fit import Fit
from amix.training.method_info import MethodInfo
from amix.training.schedules import linear_schedule, warmup_steps

Groups = list[dict[str, Any]]
Model = nn.Module


class MethodError(ValueError):
    """A method does not exist, breaks the contract, or cannot do what is asked of it."""


@dataclass(frozen=True)
class NoConfig:
    """The configuration of a method without settings."""


class Method:
    """Plain finetuning; a method overrides the hooks that it changes."""

    name: ClassVar[str]
    """Registry key."""
    info: ClassVar[MethodInfo]
    """Citation, cost, search space."""
    Config: ClassVar[type] = NoConfig
    """Frozen dataclass whose defaults are the paper's values."""

    def __init__(self, config: Any = None) -> None:
        self.config = self.Config() if config is None else config

    def check_encoder(self, model: Model, task: Task, recipe: Recipe) -> None:
        """Refuse settings that do not suit an encoder, such as a layer that it does not have; called before any run.

        Args:
            model: A copy of the classifier without its weights, which are on torch's meta device.
            task: The task that it classifies.
            recipe: The row's.

        Raises:
            MethodError: What does not suit it, and what would.
        """

    def prepare(self, model: Model, fit: Fit) -> Model:
        """Swap or freeze modules before training; returns the model to train."""
        return model

    def param_groups(self, model: Model, fit: Fit) -> Groups:
        """Return the trainable parameters, in groups with their weight decay and learning rate."""
        return decay_groups(model, fit.recipe.weight_decay)

    def optimizer(self, groups: Groups, fit: Fit) -> torch.optim.Optimizer:
        """Return the optimizer: bias-corrected AdamW, with weight decay before the update, as in torch."""
        recipe = fit.recipe
        return torch.optim.AdamW(groups, lr=recipe.lr, betas=recipe.betas, eps=recipe.adam_epsilon, fused=True)

    def schedule(self, optimizer: torch.optim.Optimizer, fit: Fit) -> torch.optim.lr_scheduler.LRScheduler:
        """Return the learning-rate schedule: linear warm-up (rounded up, as in transformers), linear decay to zero."""
        return linear_schedule(optimizer, warmup_steps(fit.recipe, fit.total_steps), fit.total_steps)

    def on_fit_start(self, model: Model, fit: Fit) -> None:
        """Run once before the first step, e.g. a Fisher pass or anchors; the random state is restored afterwards."""

    def before_loss(self, model: Model, fit: Fit) -> None:
        """Change the model before the passes of an update, e.g. draw a mask that all examples share."""

    def loss(self, model: Model, batch: Batch, fit: Fit) -> torch.Tensor:
        """Return the mean loss of one batch, or of one part of a batch that is split; a scalar."""
        return fit.task_loss(fit.logits(model, batch), batch)

    def after_backward(self, model: Model, fit: Fit) -> None:
        """Change the gradients before clipping."""

    def before_step(self, model: Model, fit: Fit) -> None:
        """Change the gradients after clipping."""

    def after_step(self, model: Model, fit: Fit) -> None:
        """Change the weights after the update, e.g. by projection or averaging."""

    def for_evaluation(self, model: Model, fit: Fit) -> Model:
        """Return the model to evaluate; must not change the model that trains."""
        return model

    def export(self, model: Model, fit: Fit) -> Model:
        """Return a model with the logits of for_evaluation: a plain Hugging Face one, unless info says otherwise.

        See MethodInfo.plain_checkpoint.
        """
        return self.for_evaluation(model, fit)

    def relative_passes(self, n_train: int, recipe: Recipe) -> float:
        """Return the forward and backward passes of a run on n_train examples, relative to plain finetuning's.

        Override it if a run costs more than its updates. Tests compare it with the passes that runs count.
        """
        return self.info.passes


def whole_batches(method: type[Method], processes: int = 1) -> str:
    """Return why an update of this method needs its whole batch at once; "" if micro-batches may be used."""
    plain = method.loss is Method.loss and not hasattr(method, "run")
    if not (plain if method.info.micro_batches is None else method.info.micro_batches):
        return f"{method.name} needs whole batches" if method.info.trains_by_steps else ""
    return "processes that share a batch need their whole shares" if processes > 1 else ""
