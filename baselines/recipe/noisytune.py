"""NoisyTune: noise on the pretrained weights before finetuning."""

from dataclasses import dataclass

import torch
from torch import Tensor
from typing_extensions import override

from amix.models.architecture import backbone
from amix.random_streams import tensor_generator
from amix.training.fit import Fit
from amix.training.method import Method, Model
from amix.training.method_info import MethodInfo
from amix.training.registry import register


@register
class NoisyTune(Method):
    """NoisyTune: W <- W + strength * std(W) * U(-1/2, 1/2) for every tensor of the body, once, before finetuning.

    Wu et al. (2022), equation 1; LayerNorms and biases are included, and a constant tensor does not change. The authors
    published only a snippet, meant for the pretrained model; HyPe's implementation (Yuanhy1997/HyPe, main.py), which
    runs, also applies it to the new head (`perturb_head`). Official options that change numbers: noise_lambda is
    `strength`.
    """

    @dataclass(frozen=True)
    class Config:
        """strength: the paper's lambda."""

        strength: float = 0.15
        perturb_head: bool = False

    name = "noisytune"
    info = MethodInfo(
        paper="Wu et al., ACL 2022",
        year=2022,
        kind="recipe",
        parity="matched: parameters, with perturb_head",
        cases=("noisytune*",),
        null={"strength": 0.0},
        grid={"strength": (0.1, 0.15, 0.2), "perturb_head": (False, True)},
    )

    @torch.no_grad()
    @override
    def prepare(self, model: Model, fit: Fit) -> Model:
        """Perturb the pretrained weights."""
        parameters = list((model if self.config.perturb_head else backbone(model)).parameters())
        self.generator = tensor_generator(fit.seed, "method", "noise", device=parameters[0].device)
        for parameter in parameters:
            if parameter.numel() > 1:  # A single entry has no standard deviation.
                noise = self.draw_uniform(parameter).sub_(0.5)
                parameter.add_(noise.mul_(self.config.strength * parameter.std()))
        return model

    def draw_uniform(self, like: Tensor) -> Tensor:
        """Uniform noise in [0, 1) of the shape of `like`."""
        return torch.empty_like(like).uniform_(generator=self.generator)
