"""DPS: windows that update and score all weights alternate with windows that update the top-scoring ones."""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from typing_extensions import override

from amix.mixup.in_place import exchange
from amix.models.architecture import set_dropout
from amix.random_streams import tensor_generator
from amix.training.fit import Fit
from amix.training.method import Method, MethodError, Model
from amix.training.method_info import MethodInfo
from amix.training.registry import register
from baselines.subnetwork._selection import entry_of_rank


class DPS(Method):
    """Base class of both forms: windows, layers, and the number of entries that a partial window updates."""

    @dataclass(frozen=True)
    class Config:
        """p: share of entries that a partial window excludes. ratio: length of a window as a share of all steps."""

        p: float = 0.3
        ratio: float = 0.05
        no_dropout: bool = False

        def __post_init__(self) -> None:
            if not (0 <= self.p < 1 and 0 < self.ratio <= 1):
                raise MethodError(f"DPS needs p in [0, 1) and ratio in (0, 1], not {self.p} and {self.ratio}")

    info = MethodInfo(
        paper="Zhang et al., NeurIPS 2022",
        year=2022,
        kind="subnetwork",
        grid={"p": (0.1, 0.3, 0.5), "ratio": (0.05, 0.1)},
    )

    @override
    def prepare(self, model: Model, fit: Fit) -> Model:
        """Switch off dropout if asked."""
        if self.config.no_dropout:
            set_dropout(model, 0.0)
        return model

    @override
    def on_fit_start(self, model: Model, fit: Fit) -> None:
        """Collect the weights of all linear layers, the head's included."""
        self.window = max(1, int(self.config.ratio * fit.total_steps))
        linears = [module.weight for module in model.modules() if isinstance(module, nn.Linear)]
        self.weights = [weight for weight in linears if weight.requires_grad]
        self.scores: list[Tensor] = []
        self.masks: list[Tensor] = []

    def smallest_kept(self, score: Tensor) -> float:
        """The score of rank ceil(n (1 - p)) in descending order, counted from 1."""
        return entry_of_rank(score, score.numel() - math.ceil(score.numel() * (1.0 - self.config.p)))


@register
class DPSDense(DPS):
    """DPS-dense: windows of u steps that update everything alternate with windows that update the top-scoring entries.

    u = max(1, int(ratio * T)). In an odd window S_W sums the squared gradient of each linear layer's weight; at the
    first step of the next, even window M_W = [S_W >= its entry of rank ceil(n_W (1 - p))], and throughout that window
    g <- g o M_W before clipping. Biases, LayerNorms and embeddings are always updated. Zhang et al. (2022); official
    code: ZhangHaojie077/DPS, transformers/DPSDense/grads_ops.py. Its `reserve_p` is, despite the name, the share that
    is excluded (grads_ops.py:41-44), and so is p here. Departs: dropout stays as in the recipe, where the official
    trainer sets it to 0 below 2000 steps (run_trainer.py:345-364; `no_dropout`); u is at least 1 and relates to all
    steps of the run, where the low-resource script uses one epoch's (at N = 300 its u is 0, a division by zero); the
    head is initialised as for every method, where DPSDense skips that. Official options that change numbers
    (run_trainer.py): reserve_p is `p`, update_ratio `ratio`, generalization_type selects dense or mix; max_steps,
    low_resource_size and the other arguments are the suite's.
    """

    name = "dps_dense"
    info = replace(
        DPS.info,
        parity="matched: masks, scores and parameters",
        cases=("dps_dense*",),
        null={"p": 0.0},
    )

    @override
    def after_backward(self, model: Model, fit: Fit) -> None:
        """Score the gradients in a full window; mask them in a partial one."""
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


@register
class DPSMix(DPS):
    """DPS-mix: as DPS-dense, but excluded entries are mixed with earlier weights: W~ = V + (W - V) o M / (1 - p).

    In an odd window M holds one Bernoulli(1 - p) draw per input unit, new at every step, and V = W0; S_W sums (G o
    M)^2, and c counts how often an entry was chosen. At the first step of the even window M selects the share 1 - p of
    W's entries with the largest S_W / max(c, 1), and V = W; both stay for the window. From u = 50 on, the score is also
    multiplied by exp(-max(c, 1) / u), which disfavours entries that were chosen often. The loss is taken at W~, and W's
    gradient is G o M without the factor 1 / (1 - p), in even windows too, where M is not random and E[W~] = W does not
    hold. Zhang et al. (2022); official code: ZhangHaojie077/DPS, transformers/DPSMix/grads_ops.py and moudle.py.
    Departs in u and in the head's initialisation, like DPS-dense; dropout is off, as there. Official options that
    change numbers: as for dps_dense.
    """

    @dataclass(frozen=True)
    class Config(DPS.Config):
        """no_dropout: mixing replaces dropout, as in the official trainer."""

        no_dropout: bool = True

    name = "dps_mix"
    info = replace(
        DPS.info,
        parity="matched: masks, scores, mixed weights and parameters",
        cases=("dps_mix*",),
        null={"p": 0.0, "no_dropout": False},
    )

    @override
    def on_fit_start(self, model: Model, fit: Fit) -> None:
        """Store the pretrained weights and allocate memory for the mixed ones."""
        super().on_fit_start(model, fit)
        self.pretrained = [weight.detach().clone() for weight in self.weights]
        self.anchors = self.pretrained
        self.other = [torch.empty_like(weight) for weight in self.pretrained]
        self.generator = tensor_generator(fit.seed, "method", fit.stage, device=fit.device)

    def draw_masks(self) -> list[Tensor]:
        """M of every layer in an odd window, each of shape [inputs]."""
        keep = 1.0 - self.config.p
        return [weight.new_empty(weight.shape[1]).bernoulli_(keep, generator=self.generator) for weight in self.weights]

    @torch.no_grad()
    def mix(self, fit: Fit) -> None:
        """Put the mixed weights into the model; `other` holds W until the gradient has been computed."""
        window, step = divmod(fit.step, self.window)
        if window % 2 == 0:
            self.anchors, self.masks = self.pretrained, self.draw_masks()
        elif step == 0:
            self.anchors = [weight.detach().clone() for weight in self.weights]
            self.masks = self.best_entries()
        for weight, anchor, mixed, mask in zip(self.weights, self.anchors, self.other, self.masks, strict=True):
            torch.lerp(anchor, weight, mask / (1.0 - self.config.p), out=mixed)
        exchange(self.weights, self.other)

    def best_entries(self) -> list[Tensor]:
        """M of every layer in an even window, of the weight's shape."""
        masks = []
        for score, count in zip(self.scores, self.counts, strict=True):
            times = count.clamp(min=1.0)
            mean = score / times
            if self.window >= 50:
                mean *= torch.exp(-times / self.window)
            masks.append((mean >= self.smallest_kept(mean)).to(mean.dtype))
        return masks

    @override
    def before_loss(self, model: Model, fit: Fit) -> None:
        """Mix the weights."""
        self.mix(fit)

    @override
    def after_backward(self, model: Model, fit: Fit) -> None:
        """Put W back, mask its gradient, and score it in an odd window."""
        exchange(self.weights, self.other)
        window, step = divmod(fit.step, self.window)
        if window % 2 == 0 and step == 0:
            self.scores = [torch.zeros_like(weight) for weight in self.pretrained]
            self.counts = [torch.zeros_like(mask) for mask in self.masks]
        for position, (weight, mask) in enumerate(zip(self.weights, self.masks, strict=True)):
            if weight.grad is None:
                continue
            weight.grad.mul_(mask)
            if window % 2 == 0:
                self.scores[position].addcmul_(weight.grad, weight.grad)
                self.counts[position] += mask
