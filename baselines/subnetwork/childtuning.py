"""Child-Tuning: every step updates only a child network, by masking the gradient."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from typing_extensions import override

from amix.data.encoded import Batch
from amix.models.architecture import blocks, trainable
from amix.random_streams import seed_dropout, tensor_generator
from amix.specs.recipe import Recipe
from amix.training.fit import Fit
from amix.training.method import Method, MethodError, Model
from amix.training.method_info import MethodInfo
from amix.training.registry import register
from amix.training.schedules import linear_schedule
from baselines.subnetwork._selection import bernoulli_mask, pooled_quantile


class ChildTuning(Method):
    """Base class of both forms of Child-Tuning: the share p and the schedule."""

    @dataclass(frozen=True)
    class Config:
        """p: share of gradient entries that are kept. warmup: false for none, as in the official trainers."""

        p: float = 0.3
        warmup: bool = True

        def __post_init__(self) -> None:
            if not 2**-16 <= self.p <= 1:  # A mask has 16 random bits for each entry.
                raise MethodError(f"Child-Tuning needs p from 2**-16 to 1, not {self.p}")

    info = MethodInfo(
        paper="Xu et al., EMNLP 2021",
        year=2021,
        kind="subnetwork",
        null={"p": 1.0},
    )

    @override
    def schedule(self, optimizer: torch.optim.Optimizer, fit: Fit) -> torch.optim.lr_scheduler.LRScheduler:
        """The recipe's schedule, with or without warm-up."""
        if self.config.warmup:
            return super().schedule(optimizer, fit)
        return linear_schedule(optimizer, 0, fit.total_steps)


@register
class ChildTuningF(ChildTuning):
    """Child-Tuning-F: keep a random share p of the gradient's entries at each step, g <- g o M / p.

    M ~ Bernoulli(p) per entry of every parameter, embeddings and head included, after clipping; weight decay is not
    masked. Xu et al. (2021), section 3.2; official code: AliceMind, ChildTuning/ChildTuningOptimizer.py:60-63. Departs
    in the warm-up, which its script requests and its trainer ignores (ChildTuningF.py:43; `warmup: false`), and in the
    form of AdamW (decay before the update, epsilon after the bias correction, as in torch). Official options that
    change numbers: reserve_p is `p`; mode selects F or D; the others are the recipe's.
    """

    name = "childtuning_f"
    info = replace(
        ChildTuning.info,
        parity="matched: parameters, with its own optimizer",
        cases=("childtuning_f*",),
        grid={"p": (0.2, 0.3, 0.4)},
    )

    @override
    def on_fit_start(self, model: Model, fit: Fit) -> None:
        """Create the generator of the masks."""
        self.parameters = trainable(model)
        self.generator = tensor_generator(fit.seed, "method", fit.stage, device=fit.device)

    def draw_mask(self, gradient: Tensor) -> Tensor:
        """M for one gradient: 1 with probability p, else 0."""
        return bernoulli_mask(gradient, self.config.p, self.generator)

    @override
    def before_step(self, model: Model, fit: Fit) -> None:
        """Mask and rescale the gradient."""
        for parameter in self.parameters:
            if parameter.grad is not None:
                parameter.grad.mul_(self.draw_mask(parameter.grad).div_(self.config.p))


@register
class ChildTuningD(ChildTuning):
    """Child-Tuning-D: a fixed subnetwork, the share p of the blocks' entries with the largest Fisher information.

    F is the squared gradient of a batch's mean loss, averaged over the batches of one pass over the training set with
    dropout, each tensor's gradient first clipped to the recipe's clip_norm. Entries with F at or above the (1 - p)
    quantile over all Transformer blocks are trained; embeddings, pooler and head are trained in full. g <- g o M after
    clipping, not rescaled; weight decay is not masked. Xu et al. (2021), section 3.3; official code: AliceMind,
    ChildTuning/ChildTuningD.py:50-86. Departs like Child-Tuning-F (warm-up: ChildTuningD.py:139).
    Official options that change numbers: reserve_p is `p`; max_grad_norm is the recipe's clip_norm, which also clips
    the gradients of the Fisher pass; the others are the recipe's.
    """

    name = "childtuning_d"
    info = replace(
        ChildTuning.info,
        parity="matched: masks, Fisher information and, with its own optimizer, parameters",
        cases=("childtuning_d*",),
        grid={"p": (0.1, 0.2, 0.3)},
    )

    @override
    def on_fit_start(self, model: Model, fit: Fit) -> None:
        """Choose the subnetwork."""
        inside = (parameter for block in blocks(model) for parameter in block.parameters())
        self.parameters: list[Tensor] = [parameter for parameter in inside if parameter.requires_grad]
        fisher = self.fisher_information(model, fit)
        self.threshold = pooled_quantile(fisher, 1.0 - self.config.p)
        self.masks = [values >= self.threshold for values in fisher]

    def fisher_information(self, model: Model, fit: Fit) -> list[Tensor]:
        """F of each parameter of the blocks, from one pass over the training set."""
        limit = fit.recipe.clip_norm
        fisher = [torch.zeros_like(parameter) for parameter in self.parameters]
        count = 0
        for batch in fit.batches(0):
            seed_dropout(fit.seeds.dropout, "fisher", count)
            for values, gradient in zip(fisher, self.gradients(model, batch, fit), strict=True):
                clipped = gradient * torch.clamp(limit / (gradient.norm() + 1e-6), max=1.0)
                values.addcmul_(clipped, clipped)
            count += 1
        return [values.div_(count) for values in fisher]

    def gradients(self, model: Model, batch: Batch, fit: Fit) -> Sequence[Tensor]:
        """Gradients of a batch's mean loss."""
        total: Sequence[Tensor] = ()
        for loss in fit.part_losses(lambda part: fit.task_loss(fit.logits(model, part), part), batch):
            gradients = fit.gradients(loss, self.parameters)
            total = torch._foreach_add(list(total), list(gradients)) if total else gradients
        return total

    @override
    def before_step(self, model: Model, fit: Fit) -> None:
        """Mask the gradients outside the subnetwork."""
        for parameter, mask in zip(self.parameters, self.masks, strict=True):
            if parameter.grad is not None:
                parameter.grad.mul_(mask)

    @override
    def relative_passes(self, n_train: int, recipe: Recipe) -> float:
        """Plain finetuning plus one pass over the training set."""
        return 1.0 + math.ceil(n_train / recipe.batch_size) / recipe.total_steps(n_train)
