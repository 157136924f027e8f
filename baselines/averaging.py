"""Methods that finetune as usual and evaluate an average of weights."""

import copy
import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from amix.method import Method, MethodError, Model, register, warmup_steps
from amix.modules import head_names
from amix.training import Fit


class Averaging(Method):
    """What the methods share: a second model that holds the average and is evaluated."""

    def on_fit_start(self, model: Model, fit: Fit) -> None:
        """Make the second model; what does not train needs no average."""
        self.averaged: nn.Module = copy.deepcopy(model).requires_grad_(False)
        pairs = zip(model.parameters(), self.averaged.parameters(), strict=True)
        trained = [(live, mean) for live, mean in pairs if live.requires_grad]
        self.live: list[Tensor] = [live for live, _ in trained]
        self.mean: list[Tensor] = [mean for _, mean in trained]

    @torch.no_grad()
    def approach(self, weight: float) -> None:
        """Move the average by this share towards the weights in training."""
        torch._foreach_lerp_(self.mean, self.live, weight)


@register
class SWA(Averaging):
    """Stochastic weight averaging: the mean of late iterates of a run whose learning rate stays high to the end.

    Izmailov et al. (2018), algorithm 1; official code: timgaripov/swa, train.py. As there, the learning rate falls to
    half its peak by 75 % of the run and stays, and the averaging begins there. Two departures: the fall begins right
    after the warm-up (train.py waits for half of the way), and every iterate enters the mean, where theirs is one per
    epoch of 300 (`every` in updates): in 3 to 10 epochs that would be the last one or two. Batch normalisation, whose
    statistics they refresh, does not occur.
    """

    @dataclass(frozen=True)
    class Config:
        """start: share of all updates before the averaging. every: updates per iterate taken. lr_share: of the peak."""

        start: float = 0.75
        every: int = 1
        lr_share: float = 0.5

    name = "swa"
    paper = "Izmailov et al., UAI 2018"
    year = 2018
    kind = "averaging"
    null = {"start": 1.0, "lr_share": 0.0}
    parity = "departs: schedule after the warm-up, an iterate per update; the mean itself is checked against torch's"
    overhead_limit = 1.10
    grid = {"start": (0.5, 0.75), "lr_share": (0.1, 0.25, 0.5)}

    def schedule(self, optimizer: torch.optim.Optimizer, fit: Fit) -> torch.optim.lr_scheduler.LRScheduler:
        """Linear warm-up, linear fall to the share by the first iterate taken, constant from there."""
        warmup, first, share = warmup_steps(fit.recipe, fit.total_steps), self.first(fit), self.config.lr_share

        def factor(step: int) -> float:
            if step < warmup:
                return step / max(1, warmup)
            return float(share + (1 - share) * max(0.0, (first - step) / max(1, first - warmup)))

        return torch.optim.lr_scheduler.LambdaLR(optimizer, factor)

    def first(self, fit: Fit) -> int:
        """The update, counted from 1, whose result is the first iterate taken."""
        if not 0 <= self.config.start <= 1 or self.config.every < 1:
            raise MethodError(f"{self.name}: start must lie in [0, 1] and every be 1 or more")
        return max(1, math.ceil(self.config.start * fit.total_steps))

    def on_fit_start(self, model: Model, fit: Fit) -> None:
        """Nothing is in the mean yet."""
        super().on_fit_start(model, fit)
        self.taken = 0

    def after_step(self, model: Model, fit: Fit) -> None:
        """Take an iterate into the mean."""
        since = fit.step + 1 - self.first(fit)
        if since >= 0 and since % self.config.every == 0:
            self.taken += 1
            self.approach(1 / self.taken)

    def for_evaluation(self, model: Model, fit: Fit) -> Model:
        """The mean; the model itself before there is one."""
        return self.averaged if self.taken else model


@register
class EMA(Averaging):
    """Exponential moving average of the weights: mean <- d * mean + (1 - d) * w after every update.

    Polyak and Juditsky (1992) average all iterates; the exponential form with d = 0.999 is that of Tarvainen and
    Valpola (2017), section 3. Early on d is (1 + t) / (10 + t) where that is smaller, as in TensorFlow's
    ExponentialMovingAverage, since a window of 1000 updates would still hold the pretrained weights at the end of a
    short run (`warm_up: false` leaves that out).
    """

    @dataclass(frozen=True)
    class Config:
        """decay: d."""

        decay: float = 0.999
        warm_up: bool = True

    name = "ema"
    paper = "Polyak and Juditsky, SICON 1992; Tarvainen and Valpola, NeurIPS 2017"
    year = 1992
    kind = "averaging"
    null = {"decay": 0.0}
    parity = "no official code; the mean is checked against torch's AveragedModel"
    overhead_limit = 1.10
    grid = {"decay": (0.9, 0.99, 0.999), "warm_up": (True, False)}

    def after_step(self, model: Model, fit: Fit) -> None:
        """Move the mean."""
        step = fit.step + 1
        decay = min(self.config.decay, (1 + step) / (10 + step)) if self.config.warm_up else self.config.decay
        self.approach(1 - decay)

    def for_evaluation(self, model: Model, fit: Fit) -> Model:
        """The mean."""
        return self.averaged


@register
class WiseFT(Averaging):
    """WiSE-FT: after finetuning, w = (1 - alpha) * w0 + alpha * w1 between the pretrained and the finetuned weights.

    Wortsman et al. (2022), section 3; official code: mlfoundations/wise-ft, src/wise_ft.py. They recommend alpha 0.5.
    Departs in the head: theirs starts as a zero-shot classifier and is interpolated too, ours starts at random and is
    taken as finetuned (`interpolate_head` does as theirs).
    """

    @dataclass(frozen=True)
    class Config:
        """alpha: 0 for the pretrained body, 1 for the finetuned one."""

        alpha: float = 0.5
        interpolate_head: bool = False

    name = "wise_ft"
    paper = "Wortsman et al., CVPR 2022"
    year = 2022
    kind = "averaging"
    null = {"alpha": 1.0}
    parity = "departs: the head is not interpolated; with interpolate_head the formula of the official code"
    grid = {"alpha": (0.3, 0.5, 0.7, 0.9)}

    def on_fit_start(self, model: Model, fit: Fit) -> None:
        """Keep the pretrained weights."""
        super().on_fit_start(model, fit)
        head = set() if self.config.interpolate_head else head_names(model)
        trained = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
        mean: dict[str, Any] = dict(zip(trained, self.mean, strict=True))
        self.interpolated = [tensor for name, tensor in mean.items() if name not in head]
        self.pretrained = [tensor.clone() for tensor in self.interpolated]

    @torch.no_grad()
    def for_evaluation(self, model: Model, fit: Fit) -> Model:
        """The weights between."""
        self.approach(1.0)
        torch._foreach_lerp_(self.interpolated, self.pretrained, 1 - self.config.alpha)
        return self.averaged
