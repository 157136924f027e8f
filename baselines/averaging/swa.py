"""Stochastic weight averaging (Izmailov et al. 2018)."""

import math
from dataclasses import dataclass

import torch
from typing_extensions import override

from amix.specs.spec_model import Count
from amix.training.fit import Fit
from amix.training.method import MethodError, Model
from amix.training.method_info import MethodInfo
from amix.training.registry import register
from amix.training.schedules import warmup_steps
from baselines.averaging._averaging import Averaging


@register
class SWA(Averaging):
    """Stochastic weight averaging: the mean of the late iterates of a run whose learning rate stays high to the end.

    Izmailov et al. (2018), algorithm 1; official code: timgaripov/swa, train.py. As there, the learning rate falls to
    half its peak by 75 % of the run and stays there, and averaging begins at that point. Departs in two ways: the fall
    begins right after the warm-up (train.py waits until halfway), and every iterate enters the mean (`every` counts
    updates), where theirs is one per epoch out of 300: in 3 to 10 epochs that would be the last one or two. They also
    refresh the statistics of batch normalisation, which no encoder here has.

    Official options that change numbers (train.py): swa_start, an epoch, is the share `start`; swa_lr is `lr_share`,
    relative to lr_init; swa_c_epochs, in epochs, is `every`, in updates; lr_init, wd, epochs and batch_size are the
    recipe's; momentum belongs to their SGD.
    """

    @dataclass(frozen=True)
    class Config:
        """start: share of updates before averaging. every: updates per averaged iterate. lr_share: of the peak rate."""

        start: float = 0.75
        every: Count = 1
        lr_share: float = 0.5

    name = "swa"
    info = MethodInfo(
        paper="Izmailov et al., UAI 2018",
        year=2018,
        kind="averaging",
        parity="departs: schedule after the warm-up, an iterate per update; the mean itself is checked against torch's",
        null={"start": 1.0, "lr_share": 0.0},
        grid={"start": (0.5, 0.75), "lr_share": (0.1, 0.25, 0.5)},
    )

    @override
    def schedule(self, optimizer: torch.optim.Optimizer, fit: Fit) -> torch.optim.lr_scheduler.LRScheduler:
        """Linear warm-up, linear decay to lr_share of the peak at the first averaged iterate, constant from there."""
        warmup, first, share = warmup_steps(fit.recipe, fit.total_steps), self.first(fit), self.config.lr_share

        def factor(step: int) -> float:
            if step < warmup:
                return step / max(1, warmup)
            return float(share + (1 - share) * max(0.0, (first - step) / max(1, first - warmup)))

        return torch.optim.lr_scheduler.LambdaLR(optimizer, factor)

    def first(self, fit: Fit) -> int:
        """The update, counted from 1, that gives the first averaged iterate."""
        if not 0 <= self.config.start <= 1 or self.config.every < 1:
            raise MethodError(f"{self.name}: start must lie in [0, 1] and every be 1 or more")
        return max(1, math.ceil(self.config.start * fit.total_steps))

    @override
    def on_fit_start(self, model: Model, fit: Fit) -> None:
        """Start with an empty mean."""
        super().on_fit_start(model, fit)
        self.averaged_count = 0

    @override
    def after_step(self, model: Model, fit: Fit) -> None:
        """Add the iterate to the mean if it is due."""
        since = fit.step + 1 - self.first(fit)
        if since >= 0 and since % self.config.every == 0:
            self.averaged_count += 1
            self.approach(1 / self.averaged_count)

    @override
    def for_evaluation(self, model: Model, fit: Fit) -> Model:
        """The mean, or the model itself as long as the mean is empty."""
        return self.averaged if self.averaged_count else model
