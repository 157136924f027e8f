"""Supervised contrastive learning in addition to cross-entropy."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional
from typing_extensions import override

from amix.data.encoded import Batch
from amix.training.fit import Fit
from amix.training.method import Method, MethodError, Model
from amix.training.method_info import MethodInfo
from amix.training.registry import register
from baselines.classical.frozen_logistic import last_linear
from baselines.smoothness._hidden_states import changed_inputs


@register
class SCL(Method):
    """SCL: L = (1 - strength) CE + strength * SCL, which pulls examples of one class together and pushes others apart.

    With f the representation scaled to unit length, i the examples of a batch, and j the others of i's class:

        SCL = mean_i  -1 / (N_yi - 1)  sum_{j != i, yj = yi}  log( exp(fi.fj / tau) / sum_{k != i} exp(fi.fk / tau) )

    Gunel et al. (2021), equations 1 and 3; f is the input of the output layer, dropout included. Their equation 3 sums
    over i while the cross-entropy is a mean, so that the term's weight grows with the batch (`summed`); here it is a
    mean, as in most implementations. An example that is the only one of its class in the batch adds 0. strength 0.9 and
    tau 0.3 are the values that they found best most often, among {0.1 ... 1.0} and {0.1, 0.3, 0.5, 0.7}. Not defined
    for regression.

    No official code was found.
    """

    @dataclass(frozen=True)
    class Config:
        """strength: lambda, in [0, 1]. temperature: tau. summed: sum over the batch, as in equation 3."""

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
        micro_batches=False,
        grid={"strength": (0.1, 0.3, 0.5, 0.7, 0.9), "temperature": (0.1, 0.3, 0.5)},
    )

    @override
    def loss(self, model: Model, batch: Batch, fit: Fit) -> Tensor:
        """The weighted sum of the task's loss and the contrastive loss, from one pass."""
        inputs: list[Tensor] = []

        def record(features: Tensor) -> Tensor:
            inputs.append(features)
            return features

        with changed_inputs([last_linear(model)], record):
            loss = super().loss(model, batch, fit)
        contrast = contrastive_losses(inputs[0], batch["labels"], self.config.temperature)
        contrastive = contrast.sum() if self.config.summed else contrast.mean()
        return (1.0 - self.config.strength) * loss + self.config.strength * contrastive


def contrastive_losses(features: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """Contrastive loss of each example [batch], from features [batch, width], labels [batch]; float32 or better."""
    precise = features.float() if features.dtype in (torch.float16, torch.bfloat16) else features
    directions = functional.normalize(precise, dim=-1)
    itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    similarity = (directions @ directions.T / temperature).masked_fill(itself, -torch.inf)
    log_probabilities = similarity.log_softmax(dim=-1).masked_fill(itself, 0.0)
    same = (labels.unsqueeze(0) == labels.unsqueeze(1)) & ~itself
    return -(log_probabilities * same).sum(dim=-1) / same.sum(dim=-1).clamp_min(1)
