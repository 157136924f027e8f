"""Methods that update a subnetwork at every step and leave the rest of the gradient out."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy
import torch
from torch import Tensor, nn

from amix.method import Method, MethodError, Model, linear_schedule, register
from amix.modules import blocks, set_dropout, trainable
from amix.recipe import Recipe
from amix.seeds import seed_dropout, tensor_generator
from amix.training import Fit


class ChildTuning(Method):
    """What both forms of Child-Tuning share: the kept share p and the schedule."""

    @dataclass(frozen=True)
    class Config:
        """p: share of the gradient's entries that is kept. warmup false: no warm-up, as the official trainers run."""

        p: float = 0.3
        warmup: bool = True

        def __post_init__(self) -> None:
            if not 2**-16 <= self.p <= 1:
                raise MethodError(f"Child-Tuning keeps a share p in (0, 1], not {self.p}")

    paper = "Xu et al., EMNLP 2021"
    year = 2021
    kind = "subnetwork"
    null = {"p": 1.0}

    def schedule(self, optimizer: torch.optim.Optimizer, fit: Fit) -> torch.optim.lr_scheduler.LRScheduler:
        """The recipe's schedule; without warm-up on request."""
        if self.config.warmup:
            return super().schedule(optimizer, fit)
        return linear_schedule(optimizer, 0, fit.total_steps)


@register
class ChildTuningF(ChildTuning):
    """Child-Tuning-F: keep a random share p of the gradient's entries at each step, g <- g o M / p.

    M ~ Bernoulli(p) per entry of every parameter, embeddings and head included, after clipping; weight decay is not
    masked. Xu et al. (2021), section 3.2; official code: AliceMind, ChildTuning/ChildTuningOptimizer.py:60-63. Departs
    from it in the warm-up, which its script asks for and its trainer ignores (ChildTuningF.py:43; `warmup: false`), and
    in AdamW's form (decay before the update, epsilon after the bias correction, as in torch).
    """

    name = "childtuning_f"
    parity = "matched: parameters to 2e-16 with its own optimizer (childtuning_f)"
    grid = {"p": (0.2, 0.3, 0.4)}

    def on_fit_start(self, model: Model, fit: Fit) -> None:
        """Open the stream of masks."""
        self.parameters = trainable(model)
        self.generator = tensor_generator(fit.seed, "method", fit.stage, device=fit.device)

    def draw_mask(self, gradient: Tensor) -> Tensor:
        """M for one gradient: ones with probability p, else zeros."""
        return bernoulli_mask(gradient, self.config.p, self.generator)

    def before_step(self, model: Model, fit: Fit) -> None:
        """Mask and rescale the gradient."""
        for parameter in self.parameters:
            if parameter.grad is not None:
                parameter.grad.mul_(self.draw_mask(parameter.grad).div_(self.config.p))


def bernoulli_mask(like: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Ones with probability share, to within 2**-16, else zeros; of the shape and dtype of `like`.

    From 16 random bits an entry, because Tensor.bernoulli_ takes a fifth of a training step on a CPU.
    """
    words = torch.empty(-(-like.numel() // 4), dtype=torch.int64, device=like.device)
    words.random_(-(2**63), None, generator=generator)
    entries = words.view(torch.int16)[: like.numel()].view(like.shape)
    return torch.le(entries, round(share * 2**16) - 2**15 - 1, out=torch.empty_like(like))


@register
class ChildTuningD(ChildTuning):
    """Child-Tuning-D: a fixed subnetwork, the share p of the encoder's entries with the largest Fisher information.

    F is the mean over the batches of one pass over the training set, dropout on, of the squared gradient of the batch's
    mean loss, each tensor's gradient first clipped to norm 1. Entries with F at or above the (1 - p) quantile over
    all Transformer blocks are trained; embeddings, pooler and head are trained in full. g <- g o M after clipping, not
    rescaled; weight decay is not masked. Xu et al. (2021), section 3.3; official code: AliceMind,
    ChildTuning/ChildTuningD.py:50-86. Departs from it as Child-Tuning-F does (ChildTuningD.py:139 for the warm-up).
    """

    name = "childtuning_d"
    parity = "matched: masks equal, Fisher information to 3e-15, parameters to 4e-16 (childtuning_d)"
    grid = {"p": (0.1, 0.2, 0.3)}

    def on_fit_start(self, model: Model, fit: Fit) -> None:
        """Choose the subnetwork before the first step."""
        inside = (parameter for block in blocks(model) for parameter in block.parameters())
        self.parameters: list[Tensor] = [parameter for parameter in inside if parameter.requires_grad]
        fisher = self.fisher_information(model, fit)
        self.threshold = pooled_quantile(fisher, 1.0 - self.config.p)
        self.masks = [values >= self.threshold for values in fisher]

    def fisher_information(self, model: Model, fit: Fit) -> list[Tensor]:
        """F of each parameter of the blocks, over one pass."""
        fisher = [torch.zeros_like(parameter) for parameter in self.parameters]
        count = 0
        for batch in fit.batches(0):
            seed_dropout(fit.seed, "fisher", count)
            loss = fit.task_loss(fit.logits(model, batch), batch)
            for values, gradient in zip(fisher, fit.gradients(loss, self.parameters), strict=True):
                clipped = gradient * torch.clamp(1.0 / (gradient.norm() + 1e-6), max=1.0)
                values.addcmul_(clipped, clipped)
            count += 1
        return [values.div_(count) for values in fisher]

    def before_step(self, model: Model, fit: Fit) -> None:
        """Leave out what does not belong to the subnetwork."""
        for parameter, mask in zip(self.parameters, self.masks, strict=True):
            if parameter.grad is not None:
                parameter.grad.mul_(mask)

    def relative_passes(self, n_train: int, recipe: Recipe) -> float:
        """One pass over the training set comes first."""
        return 1.0 + math.ceil(n_train / recipe.batch_size) / recipe.total_steps(n_train)


def pooled_quantile(tensors: Sequence[Tensor], share: float) -> float:
    """The share-quantile of all entries together, linear between neighbours as in numpy.percentile."""
    pooled = torch.cat([tensor.flatten() for tensor in tensors])
    position = (len(pooled) - 1) * share
    lower = math.floor(position)
    low, high = entry_of_rank(pooled, lower), entry_of_rank(pooled, math.ceil(position))
    return low + (high - low) * (position - lower)


def entry_of_rank(values: Tensor, rank: int) -> float:
    """The entry with exactly `rank` others before it in ascending order."""
    flat = values.flatten()
    if flat.is_cuda:
        return float(flat.kthvalue(rank + 1).values)
    return float(numpy.partition(flat.numpy(), rank)[rank])  # Twenty times as fast there as kthvalue.


@register
class DPSDense(Method):
    """DPS-dense: windows of u steps that update everything alternate with windows that update the top-scoring entries.

    u = max(1, int(ratio * T)). In an odd window S_W sums the squared gradient of each linear layer's weight; at the
    first step of the even one M_W = [S_W >= its entry of rank ceil(n_W (1 - p))], and g <- g o M_W through the window,
    before clipping. Biases, LayerNorms and embeddings are always updated. Zhang et al. (2022); official code:
    ZhangHaojie077/DPS, transformers/DPSDense/grads_ops.py. Its `reserve_p` is, despite the name, the share left out
    (grads_ops.py:41-44), and so is p here. Departs from it: dropout stays at the recipe's value, where the official
    trainer sets it to 0 below 2000 steps (run_trainer.py:345-364; `no_dropout`); u is at least 1 and counts the steps
    that are run, where the low-resource script counts one epoch's (at N = 300 its u is 0, a division by zero); the head
    is drawn as for every method, where DPSDense escapes the initialisation.
    """

    @dataclass(frozen=True)
    class Config:
        """p: share left out. ratio: length of a window as a share of all steps."""

        p: float = 0.3
        ratio: float = 0.05
        no_dropout: bool = False

        def __post_init__(self) -> None:
            if not (0 <= self.p < 1 and 0 < self.ratio <= 1):
                raise MethodError(f"DPS needs p in [0, 1) and ratio in (0, 1], not {self.p} and {self.ratio}")

    name = "dps_dense"
    paper = "Zhang et al., NeurIPS 2022"
    year = 2022
    kind = "subnetwork"
    null = {"p": 0.0}
    parity = "matched: masks equal, scores and parameters to 4e-16 (dps_dense, dps_dense_u1)"
    grid = {"p": (0.1, 0.3, 0.5), "ratio": (0.05, 0.1)}

    def prepare(self, model: Model, fit: Fit) -> Model:
        """Dropout off, on request."""
        if self.config.no_dropout:
            set_dropout(model, 0.0)
        return model

    def on_fit_start(self, model: Model, fit: Fit) -> None:
        """Collect the weights of all linear layers, the head's included."""
        self.window = max(1, int(self.config.ratio * fit.total_steps))
        linears = [module.weight for module in model.modules() if isinstance(module, nn.Linear)]
        self.weights = [weight for weight in linears if weight.requires_grad]
        self.scores: list[Tensor] = []
        self.masks: list[Tensor] = []

    def after_backward(self, model: Model, fit: Fit) -> None:
        """Score the gradients in a full window, mask them in a partial one."""
        window, step = divmod(fit.step, self.window)
        gradients = [weight.grad for weight in self.weights if weight.grad is not None]
        if window % 2 == 0:
            if step == 0:
                self.scores = [torch.zeros_like(gradient) for gradient in gradients]
            for score, gradient in zip(self.scores, gradients, strict=True):
                score.addcmul_(gradient, gradient)
            return
        if step == 0:
            self.masks = [score >= self.smallest_kept(score) for score in self.scores]
        for gradient, mask in zip(gradients, self.masks, strict=True):
            gradient.mul_(mask)

    def smallest_kept(self, score: Tensor) -> float:
        """The score of rank ceil(n (1 - p)) in descending order."""
        return entry_of_rank(score, score.numel() - math.ceil(score.numel() * (1.0 - self.config.p)))
