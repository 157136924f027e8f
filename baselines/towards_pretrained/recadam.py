"""RecAdam: recall the pretrained weights first, then learn the task."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from typing_extensions import override

from amix.models.architecture import head_names
from amix.training.fit import Fit
from amix.training.method import Groups, Method, MethodError, Model
from amix.training.method_info import MethodInfo
from amix.training.registry import register


@register
class RecAdam(Method):
    """RecAdam: Adam's step fades in while a quadratic pull to the pretrained weights fades out, decoupled from Adam.

    With share = 1 / (1 + exp(-k (t - t0))), or min(1, t / t0) if linear, and t counted from 1:
    w <- w - share * lr * Adam(g);   w <- w - (1 - share) * lr * gamma * (w - w0).
    The body is pulled, LayerNorms and biases included; the head takes plain steps. Chen et al. (2020), section 3;
    official code: Sanyuan-Chen/RecAdam, RecAdam.py. Departs in three ways. t0 and k are meant for a run of `run_length`
    steps and are rescaled to the length of this run (`run_length: null` does not rescale, as published): the values
    here are those of the official example, CoLA, whose pull ends after a fifth of the run, while a run of 57 steps
    would end before anything was learnt. AdamW has torch's form (`official_form` decays after the pull, and adds Adam's
    epsilon before the bias correction). The pull never overshoots w0, as the official one does if lr * gamma > 1. Since
    the share slows down the first steps, the control is a longer warm-up.

    Official options that change numbers (run_glue_with_RecAdam.py): recadam_anneal_fun, _anneal_k, _anneal_t0 and
    _pretrain_cof are `anneal`, `k`, `t0` and `gamma`. Not here: recadam_anneal_w, the largest share, which is 1 in
    every published run; start_from_pretrain, without which the weights start at random; albert_dropout.
    """

    @dataclass(frozen=True)
    class Config:
        """gamma: coefficient of the pull, 5000 throughout the paper. anneal: sigmoid, linear, or constant (Adam)."""

        gamma: float = 5000.0
        anneal: str = "sigmoid"
        k: float = 0.2
        t0: float = 1000.0
        run_length: int | None = 5336
        official_form: bool = False

        def __post_init__(self) -> None:
            if self.anneal not in ("sigmoid", "linear", "constant"):
                raise MethodError(f"RecAdam's anneal is 'sigmoid', 'linear' or 'constant', not '{self.anneal}'")

    name = "recadam"
    info = MethodInfo(
        paper="Chen et al., EMNLP 2020",
        year=2020,
        kind="towards pretrained",
        parity="matched: annealed share and parameters, with official_form",
        cases=("recadam_*",),
        null={"anneal": "constant"},
        grid={"k": (0.05, 0.2, 1.0), "t0": (250.0, 500.0, 1000.0)},
    )

    def share(self, step: int, total_steps: int) -> float:
        """The share of Adam's step in an update, counted from 1."""
        if self.config.anneal == "constant":
            return 1.0
        length = self.config.run_length
        time = step if length is None else step * length / total_steps
        if self.config.anneal == "linear":
            return 1.0 if time >= self.config.t0 else time / self.config.t0
        # The smallest share is 1e-12, because the weight decay is divided by it.
        return 1.0 / (1.0 + math.exp(min(self.config.k * (self.config.t0 - time), 27.6)))

    @override
    def param_groups(self, model: Model, fit: Fit) -> Groups:
        """Plain finetuning's groups, each split into body and head, with the weight decay repeated as `decay`."""
        names = head_names(model)
        head = {id(parameter) for name, parameter in model.named_parameters() if name in names}
        groups: Groups = []
        for group in super().param_groups(model, fit):
            for pulled in (True, False):
                members = [parameter for parameter in group["params"] if (id(parameter) not in head) == pulled]
                if members:
                    groups.append(group | {"params": members, "pulled": pulled, "decay": group["weight_decay"]})
        return groups

    @override
    def on_fit_start(self, model: Model, fit: Fit) -> None:
        """Store the pretrained weights."""
        assert fit.optimizer is not None
        groups = [group["params"] for group in fit.optimizer.param_groups if group["pulled"]]
        self.pulled: list[Tensor] = [parameter for members in groups for parameter in members]
        self.pretrained = [parameter.detach().clone() for parameter in self.pulled]

    @override
    def before_step(self, model: Model, fit: Fit) -> None:
        """Shorten the body's step but not its weight decay; the schedule restores the learning rate afterwards."""
        assert fit.optimizer is not None
        share = self.share(fit.step + 1, fit.total_steps)
        self.lr = fit.optimizer.param_groups[0]["lr"]
        self.pull = min(1.0, (1.0 - share) * self.lr * self.config.gamma)
        for group in fit.optimizer.param_groups:
            if group["pulled"]:
                group["lr"] = share * self.lr
                group["weight_decay"] = group["decay"] / share
            if self.config.official_form:
                group["weight_decay"] = 0.0
                group["eps"] = fit.recipe.adam_epsilon / math.sqrt(1.0 - fit.recipe.betas[1] ** (fit.step + 1))

    @torch.no_grad()
    @override
    def after_step(self, model: Model, fit: Fit) -> None:
        """Pull the weights after Adam's step."""
        assert fit.optimizer is not None
        if self.pull > 0.0:
            torch._foreach_lerp_(self.pulled, self.pretrained, self.pull)
        if self.config.official_form:
            for group in fit.optimizer.param_groups:
                torch._foreach_mul_(group["params"], 1.0 - self.lr * group["decay"])
