"""ROSE: each step updates only the tensors whose update is judged robust."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor
from typing_extensions import override

from amix.data.encoded import Batch
from amix.models.architecture import blocks, parameter_names
from amix.specs.recipe import Recipe
from amix.training.fit import Fit
from amix.training.method import Groups, Method, MethodError, Model
from amix.training.method_info import MethodInfo
from amix.training.optimizers import DecayAfterAdamW
from amix.training.registry import register
from amix.training.schedules import warmup_steps


class SelectiveAdamW(DecayAfterAdamW):
    """AdamW with decay after the update and a weight w per tensor that scales its update.

    g <- w g + (1 - w) m before the moments are updated, and w multiplies the step and the decay.
    """

    def __init__(self, params: Groups, **options: Any) -> None:
        super().__init__(params, **options)
        self.weights: dict[Tensor, Tensor] = {}

    @override
    def _update(self, group: dict[str, Any], step: int, parameters: list[Tensor]) -> None:
        unweighted = [parameter for parameter in parameters if parameter not in self.weights]
        if unweighted:
            super()._update(group, step, unweighted)
        for parameter in parameters:
            if parameter in self.weights:
                self._weighted_update(group, step, parameter, self.weights[parameter])

    def _weighted_update(self, group: dict[str, Any], step: int, parameter: Tensor, weight: Tensor) -> None:
        beta1, beta2 = group["betas"]
        state, gradient = self.state[parameter], parameter.grad
        assert gradient is not None
        first, second = state["exp_avg"], state["exp_avg_sq"]
        filtered = torch.lerp(first, gradient, weight)
        first.lerp_(filtered, 1 - beta1)
        second.mul_(beta2).addcmul_(filtered, filtered, value=1 - beta2)
        size = group["lr"] * (1 - beta2**step) ** 0.5 / (1 - beta1**step)
        parameter.addcdiv_(first * weight, second.sqrt().add_(group["eps"]), value=-size)
        if group["weight_decay"]:
            parameter.mul_(1 - group["lr"] * group["weight_decay"] * weight)


@dataclass(frozen=True)
class Quantiles:
    """lower, upper: tensors with a saliency between these quantiles over all tensors are updated."""

    upper: float = 0.6
    lower: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.lower < self.upper <= 1:
            raise MethodError(f"ROSE needs 0 <= lower < upper <= 1, not {self.lower} and {self.upper}")


class Rose(Method):
    """Base class of the forms of ROSE: tensors, optimizer, and the steps without a mask.

    Once the learning rate's warm-up is over, a mask applies to the weights in the Transformer blocks, those of
    LayerNorms included.
    """

    Config: ClassVar[type] = Quantiles
    info = MethodInfo(
        paper="Jiang et al., EMNLP 2022",
        year=2022,
        kind="subnetwork",
        grid={"upper": (0.3, 0.6, 0.9)},
    )

    @override
    def optimizer(self, groups: Groups, fit: Fit) -> torch.optim.Optimizer:
        """AdamW with a weight for each tensor."""
        recipe = fit.recipe
        return SelectiveAdamW(groups, lr=recipe.lr, betas=recipe.betas, eps=recipe.adam_epsilon)

    @override
    def on_fit_start(self, model: Model, fit: Fit) -> None:
        """Collect the tensors that are masked."""
        inside = parameter_names(model, blocks(model))
        self.tensors = [
            parameter
            for name, parameter in model.named_parameters()
            if name in inside and name.endswith("weight") and parameter.requires_grad
        ]
        self.unmasked_steps = warmup_steps(fit.recipe, fit.total_steps)

    def within_quantiles(self, saliency: Tensor) -> Tensor:
        """1 for each tensor whose saliency is within the quantiles, else 0; [tensors]."""
        levels = saliency.new_tensor([self.config.lower, self.config.upper])
        lower, upper = torch.quantile(saliency, levels)
        return ((saliency >= lower) & (saliency <= upper)).to(saliency.dtype)

    def mask(self, fit: Fit) -> Tensor:
        """Weight of each tensor at this step; [tensors]."""
        raise NotImplementedError

    @override
    def before_step(self, model: Model, fit: Fit) -> None:
        """Pass the tensors' weights to the optimizer."""
        assert isinstance(fit.optimizer, SelectiveAdamW)
        if fit.step >= self.unmasked_steps:
            fit.optimizer.weights = dict(zip(self.tensors, self.mask(fit).unbind(), strict=True))


def two_passes(model: Model, batch: Batch, fit: Fit) -> tuple[Tensor, Tensor]:
    """Mean task loss of two passes with their own dropout masks, and the disagreement of their outputs.

    The disagreement is [KL(p1||p2) + KL(p2||p1)] / 4, summed over the batch, or in regression the mean squared
    difference.
    """
    return averaged_losses(fit.logits(model, batch), fit.logits(model, batch), batch, fit)


def averaged_losses(first: Tensor, second: Tensor, batch: Batch, fit: Fit) -> tuple[Tensor, Tensor]:
    """Loss and disagreement as in two_passes, from the outputs [batch, outputs] of the passes.

    The disagreement of a part of a batch is what the part adds to the whole batch's.
    """
    loss = (fit.task_loss(first, batch) + fit.task_loss(second, batch)) / 2
    if fit.task.regression:
        return loss, fit.share_of_batch * torch.nn.functional.mse_loss(first, second)
    log_p, log_q = first.log_softmax(dim=-1), second.log_softmax(dim=-1)
    return loss, ((log_p.exp() - log_q.exp()) * (log_p - log_q)).sum() / 4


def norms(tensors: Sequence[Tensor]) -> Tensor:
    """Euclidean norm of each tensor; [tensors]."""
    return torch.stack(torch._foreach_norm(list(tensors)))


@register
class RoseFirst(Rose):
    """ROSE-First: update the tensors on which the disagreement of two dropout masks depends least.

    Saliency of a tensor: norm of the gradient of KL(p1||p2) + KL(p2||p1) between two passes; tensors between the
    quantiles `lower` and `upper` are updated. The others keep their values, and their moments see m in place of g.
    Jiang et al. (2022); official code: jiangllan/ROSE, robustSSANs/utils/optimization.py and mytrainer.py, with its
    AdamW (decay after the update), its quantiles for QNLI, and its two passes, whose task losses are averaged. Norms
    are not relative to a tensor's size, so that large matrices are excluded first. Tensors outside the blocks are
    always updated, identified there by name, here by position. In regression the disagreement is the mean squared
    difference. Designed for attacked test sets and run for 10 epochs; in 3 epochs the excluded tensors learn little.
    Official options that change numbers (training_args.py): upper and lower, in per cent, are `upper` and `lower`;
    gamma is that of ROSE-Ensemble; sparse_first and sparse_second select the form. kl_dropout, a dropout rate for the
    passes of the disagreement, is not here: they have the model's own rate, like its default of 0.1 for RoBERTa.
    """

    name = "rose_first"
    info = replace(
        Rose.info,
        parity="matched: masks, losses and parameters",
        cases=("rose_first*", "rose_losses*"),
        passes=10 / 3,
        micro_batches=True,
    )

    @override
    def loss(self, model: Model, batch: Batch, fit: Fit) -> Tensor:
        """The task's loss of both passes; sets the mask by a backward pass of the disagreement."""
        loss, disagreement = two_passes(model, batch, fit)
        if fit.step >= self.unmasked_steps:
            self.note(fit.gradients(disagreement, list(self.tensors), retain_graph=True), fit)
        return loss

    def note(self, gradients: Sequence[Tensor], fit: Fit) -> None:
        """Set the mask of this step once the gradients of all parts of the batch are added up."""
        if fit.part is not None and not fit.part.first:
            gradients = torch._foreach_add(list(self.gradients), list(gradients))
        self.gradients: Sequence[Tensor] = gradients
        if fit.part is None or fit.part.last:
            self.set_mask(gradients)
            self.gradients = ()

    def set_mask(self, gradients: Sequence[Tensor]) -> None:
        """Set the mask of this step from the gradients of the disagreement."""
        self.first = self.within_quantiles(norms(gradients))

    @override
    def mask(self, fit: Fit) -> Tensor:
        """The mask from the disagreement."""
        return self.first

    @override
    def relative_passes(self, n_train: int, recipe: Recipe) -> float:
        """Two forward passes, with two backward passes through both, or one during the warm-up."""
        total = recipe.total_steps(n_train)
        unmasked = warmup_steps(recipe, total)
        return (2.0 * unmasked + self.info.passes * (total - unmasked)) / total


@register
class RoseSecond(Rose):
    """ROSE-Second: update the tensors whose gradient is in line with its own history.

    Saliency of a tensor: | 0.1 ||g|| / ||m|| - 1 |, with the clipped gradient and Adam's first moment before this step;
    the rest is as in ROSE-First, with the same paper and official code. At the first step, without a history, all
    tensors are updated. Departs from the code, which also runs two passes and averages their losses (`two_passes`),
    although the method does not need the second one. Official options that change numbers: as for rose_first.
    """

    @dataclass(frozen=True)
    class Config(Quantiles):
        """two_passes: average the loss over two dropout masks, at twice the cost."""

        two_passes: bool = False

    name = "rose_second"
    info = replace(
        Rose.info,
        parity="matched: masks and parameters",
        cases=("rose_second*",),
        micro_batches=True,
    )

    @override
    def loss(self, model: Model, batch: Batch, fit: Fit) -> Tensor:
        """The task's loss, of one or two passes."""
        return two_passes(model, batch, fit)[0] if self.config.two_passes else super().loss(model, batch, fit)

    @override
    def mask(self, fit: Fit) -> Tensor:
        """The mask from the history."""
        return in_line_with_history(self, fit)

    @override
    def relative_passes(self, n_train: int, recipe: Recipe) -> float:
        """Twice as many with two_passes."""
        return 2.0 if self.config.two_passes else 1.0


def in_line_with_history(method: Rose, fit: Fit) -> Tensor:
    """1 for each of the method's tensors whose gradient is in line with its first moment, else 0; [tensors]."""
    assert fit.optimizer is not None
    gradients = norms([tensor.grad for tensor in method.tensors if tensor.grad is not None])
    moments = [fit.optimizer.state[tensor].get("exp_avg") for tensor in method.tensors]
    if any(moment is None for moment in moments):
        return torch.ones_like(gradients)
    return method.within_quantiles((0.1 * gradients / norms(moments) - 1).abs())


@register
class RoseEnsemble(RoseFirst):
    """ROSE-Ensemble: a tensor's weight is (1 - gamma) M2 + gamma M1, from the masks of ROSE-Second and ROSE-First.

    A tensor that only one of them selects is updated in part. Jiang et al. (2022), and the code named there. Official
    options that change numbers: gamma is `gamma`; for the others see rose_first.
    """

    @dataclass(frozen=True)
    class Config(Quantiles):
        """gamma: weight of ROSE-First's mask."""

        gamma: float = 0.5

        @override
        def __post_init__(self) -> None:
            super().__post_init__()
            if not 0 <= self.gamma <= 1:
                raise MethodError(f"ROSE needs gamma in [0, 1], not {self.gamma}")

    name = "rose_ensemble"
    info = replace(
        RoseFirst.info,
        parity="matched: weights of the masks, and parameters",
        cases=("rose_ensemble*",),
        grid={"upper": (0.3, 0.6, 0.9), "gamma": (0.3, 0.5, 0.7)},
    )

    @override
    def mask(self, fit: Fit) -> Tensor:
        """The weighted mean of both masks."""
        return torch.lerp(in_line_with_history(self, fit), self.first, self.config.gamma)
