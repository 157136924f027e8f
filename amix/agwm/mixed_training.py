"""Training a mixup's task weights in the training loop, with the attention fixed."""

from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from amix.data.encoded import Batch
from amix.mixup.weight_mixup import WeightMixup
from amix.training.fit import Fit
from amix.training.method import Groups, Method, Model


class Mixed(Method):
    """Finetuning of a mixup's task weights with the attention fixed."""

    def __init__(self, config: Any, mixup: WeightMixup) -> None:
        super().__init__(config)
        self.mixup = mixup

    @override
    def param_groups(self, model: Model, fit: Fit) -> Groups:
        """Return task weights and ordinary parameters, with the weight decay of their names in the model."""
        return mixup_groups(super().param_groups(model, fit), self.mixup)

    @override
    def after_backward(self, model: Model, fit: Fit) -> None:
        """Turn the model's gradients into those of the task weights."""
        self.mixup.pull_back()

    @override
    def after_step(self, model: Model, fit: Fit) -> None:
        """Write the stepped task weights into the model."""
        self.mixup.write()


def mixup_groups(groups: Groups, mixup: WeightMixup) -> Groups:
    """Replace the effective weights in a model's parameter groups by the task weights."""
    return [group | {"params": [mixup.latent(parameter) for parameter in group["params"]]} for group in groups]


def full_precision_loss(model: Model, batch: Batch, fit: Fit) -> Tensor:
    """Compute the task's loss without autocast: bfloat16 does not resolve a displacement of norm 0.01."""
    inputs = {name: tensor for name, tensor in batch.items() if name != "labels"}
    with torch.autocast(fit.device.type, enabled=False):
        return fit.task_loss(model(**inputs).logits, batch)
