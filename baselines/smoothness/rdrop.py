"""R-Drop: predictions under two dropout masks must agree."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional
from typing_extensions import override

from amix.data.encoded import Batch
from amix.training.fit import Fit
from amix.training.method import Method, Model
from amix.training.method_info import MethodInfo
from amix.training.registry import register
from baselines.smoothness._divergence import symmetric_divergence


@register
class RDrop(Method):
    """R-Drop: L = CE(p1) + CE(p2) + strength * 1/2 [KL(p1||p2) + KL(p2||p1)], p1 and p2 under two dropout masks.

    Liang et al. (2021), section 2; both passes run as one batch of twice the size. Official code: dropreg/R-Drop,
    modeling_bert.py:1545-1601 (`bert_kl`), which has strength 0.5 and sums the KL over the batch, so that its weight
    grows with the batch size (`summed`); here it is a mean, like the cross-entropy. Its README averages the two
    cross-entropies and adds alpha * (KL + KL) / 2: half of this loss at strength 2 alpha. In regression the penalty is
    strength * MSE(f1, f2), with strength 1 in the official code. Without dropout in the model there is no penalty.
    Official options that change numbers: none; the strength is a constant of that code.
    """

    @dataclass(frozen=True)
    class Config:
        """strength: alpha; the paper searches {0.1, 0.5, 1} on GLUE, the official code has 0.5. summed: see above."""

        strength: float = 0.5
        summed: bool = False

    name = "rdrop"
    info = MethodInfo(
        paper="Liang et al., NeurIPS 2021",
        year=2021,
        kind="smoothness",
        parity="matched: loss and gradients, with summed",
        cases=("rdrop*",),
        passes=2.0,
        micro_batches=True,
        grid={"strength": (0.1, 0.5, 1.0), "summed": (False, True)},
    )

    @override
    def loss(self, model: Model, batch: Batch, fit: Fit) -> Tensor:
        """The task's losses of both passes plus the penalty."""
        twice = {name: torch.cat([tensor, tensor]) for name, tensor in batch.items()}
        fit.cost.count_forward()  # The batch of twice the size is the second pass.
        first, second = fit.logits(model, twice).chunk(2)
        losses = fit.task_loss(first, batch) + fit.task_loss(second, batch)
        if fit.task.regression:
            return losses + self.config.strength * functional.mse_loss(first, second)
        strength = 0.5 * self.config.strength * (fit.examples(batch) if self.config.summed else 1)
        return losses + strength * symmetric_divergence(first, second)
