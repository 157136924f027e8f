"""Supervised contrastive learning beside the cross-entropy."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from amix.data.encoded import Batch
from amix.training.fit import Fit
from amix.training.method import Method, MethodError, Model
from amix.training.method_info import MethodInfo
from amix.training.registry import register
from baselines.classical.frozen_logistic import last_linear
from baselines.smoothness._hidden_states import changed_inputs


@register
class SCL(Method):
    """SCL: L = (1 - strength) CE + strength * SCL, which draws examples of one class together and the others apart.

    With f the representation scaled to length 1, over the examples i of a batch and the others of i's class:

        SCL = mean_i  -1 / (N_yi - 1)  sum_{j != i, yj = yi}  log( exp(fi.fj / tau) / sum_{k != i} exp(fi.fk / tau) )

    Gunel et al. (2021), equations 1 and 3; f is what the output layer reads, dropout included. Their equation 3 sums
    over i where the cross-entropy is a mean, so that the weight would grow with the batch (`summed`); here it is a
    mean, as most implementations have it. An example alone of its class in the batch adds 0. strength 0.9 and tau 0.3
    are what they found best most often, among {0.1 ... 1.0} and {0.1, 0.3, 0.5, 0.7}. Not defined for numbers.
    """

    @dataclass(frozen=True)
    class Config:
        """strength: lambda, 0 to 1. temperature: tau."""

        strength: float = 0.9
        temperature: float = 0.3
        summed: bool = False

        def __post_init__(self) -> None:
            if not 0 <= self.strength <= 1 or self.temperature <= 0:
                raise MethodError("SCL needs a strength in [0, 1] and a temperature above 0")

    name = "scl"
    info = MethodInfo(
        paper="Gunel et al., ICLR 2021",
        year=2021,
        kind="smoothness",
        parity="no official code",
        null={"strength": 0.0},
        regression=False,
        splits_batches=False,
        grid={"strength": (0.1, 0.3, 0.5, 0.7, 0.9), "temperature": (0.1, 0.3, 0.5)},
    )

    def loss(self, model: Model, batch: Batch, fit: Fit) -> Tensor:
        """The task's loss and the contrastive one, of one pass."""
        read: list[Tensor] = []

        def keep(features: Tensor) -> Tensor:
            read.append(features)
            return features

        with changed_inputs([last_linear(model)], keep):
            loss = super().loss(model, batch, fit)
        contrast = contrastive_losses(read[0], batch["labels"], self.config.temperature)
        size = contrast.sum() if self.config.summed else contrast.mean()
        return (1.0 - self.config.strength) * loss + self.config.strength * size


def contrastive_losses(features: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """The term of every example, [batch], from features [batch, width] and class ids [batch]; in float32 at least."""
    precise = features.float() if features.dtype in (torch.float16, torch.bfloat16) else features
    directions = functional.normalize(precise, dim=-1)
    itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    similarity = (directions @ directions.T / temperature).masked_fill(itself, -torch.inf)
    chances = similarity.log_softmax(dim=-1).masked_fill(itself, 0.0)
    same = (labels.unsqueeze(0) == labels.unsqueeze(1)) & ~itself
    return -(chances * same).sum(dim=-1) / same.sum(dim=-1).clamp_min(1)
