"""Weight decay towards the pretrained weights."""

from dataclasses import dataclass

import torch
from torch import Tensor
from typing_extensions import override

from amix.models.architecture import head_names, undecayed_names
from amix.training.fit import Fit
from amix.training.method import Groups, Method, Model
from amix.training.method_info import MethodInfo
from amix.training.registry import register


@register
class PretrainedDecay(Method):
    """Decoupled weight decay towards the pretrained weights: w <- w - lr * decay * (w - w0), then the Adam step.

    It replaces the ordinary decay in the body, except for biases and LayerNorms. Zhang et al. (2021), section 7;
    official code: asappresearch/revisit-bert-finetuning, prior_wd_optim.py. Departs in the head: there the test that
    should exclude it (line 29) is never true, so that the head is pulled to its initial weights (`pull_head`); here it
    decays to zero as in plain finetuning. The total pull of a run is about decay * lr * steps / 2, so that in a few
    hundred steps even the paper's largest decay has little effect. Official options that change numbers (options.py):
    prior_weight_decay switches it on, and weight_decay is then `decay`.
    """

    @dataclass(frozen=True)
    class Config:
        """decay: the paper searches {0.001, 0.01, 0.1, 1}. keep_weight_decay: ordinary decay as well."""

        decay: float = 1.0
        pull_head: bool = False
        keep_weight_decay: bool = False

    name = "pretrained_decay"
    info = MethodInfo(
        paper="Zhang et al., ICLR 2021 (as baseline); Chelba and Acero, CSL 2006",
        year=2006,
        kind="towards pretrained",
        parity="matched: parameters, with pull_head",
        cases=("prior_wd*",),
        null={"decay": 0.0, "keep_weight_decay": True},
        grid={"decay": (0.001, 0.01, 0.1, 1.0)},
    )

    @override
    def param_groups(self, model: Model, fit: Fit) -> Groups:
        """Plain finetuning's groups; pulled parameters are in a separate group without ordinary decay."""
        pulled_names = self.pulled_names(model)
        pulled = [parameter for name, parameter in model.named_parameters() if name in pulled_names]
        inside = {id(parameter) for parameter in pulled}
        groups = super().param_groups(model, fit)
        if self.config.keep_weight_decay:
            return groups
        rest = [group | {"params": [p for p in group["params"] if id(p) not in inside]} for group in groups]
        return [{"params": pulled, "weight_decay": 0.0}, *(group for group in rest if group["params"])]

    def pulled_names(self, model: Model) -> set[str]:
        """Names of the parameters that are pulled."""
        names = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
        return names - undecayed_names(model) - (set() if self.config.pull_head else head_names(model))

    @override
    def on_fit_start(self, model: Model, fit: Fit) -> None:
        """Store the pretrained weights."""
        names = self.pulled_names(model)
        self.pulled: list[Tensor] = [parameter for name, parameter in model.named_parameters() if name in names]
        self.pretrained = [parameter.detach().clone() for parameter in self.pulled]

    @torch.no_grad()
    @override
    def before_step(self, model: Model, fit: Fit) -> None:
        """Pull the weights, with this step's learning rate."""
        assert fit.optimizer is not None
        lr = fit.optimizer.param_groups[0]["lr"]
        torch._foreach_lerp_(self.pulled, self.pretrained, lr * self.config.decay)
