"""Training of a mixup's task weights in the project's loop, the attention at rest."""

from typing import Any

import torch
from torch import Tensor

from amix.data.encoded import Batch
from amix.mixup.weight_mixup import WeightMixup
from amix.training.fit import Fit
from amix.training.method import Groups, Method, Model


class Mixed(Method):
    """Finetuning of the task weights of a mixup whose attention does not move."""

    def __init__(self, config: Any, mixup: WeightMixup) -> None:
        super().__init__(config)
        self.mixup = mixup

    def param_groups(self, model: Model, fit: Fit) -> Groups:
        """Task weights and ordinary parameters, weight decay by the name in the model."""
        return mixup_groups(super().param_groups(model, fit), self.mixup)

    def after_backward(self, model: Model, fit: Fit) -> None:
        """From the model's gradients to those of the task weights."""
        self.mixup.pull_back()

    def after_step(self, model: Model, fit: Fit) -> None:
        """The stepped task weights into the model."""
        self.mixup.write()


def mixup_groups(groups: Groups, mixup: WeightMixup) -> Groups:
    """Parameter groups of a model with the task weights in place of the effective weights."""
    return [group | {"params": [mixup.latent(parameter) for parameter in group["params"]]} for group in groups]


def full_precision_loss(model: Model, batch: Batch, fit: Fit) -> Tensor:
    """The task's loss without autocast: a displacement of norm 0.01 moves a weight by less than bfloat16 resolves."""
    inputs = {name: tensor for name, tensor in batch.items() if name != "labels"}
    with torch.autocast(fit.device.type, enabled=False):
        return fit.task_loss(model(**inputs).logits, batch)
