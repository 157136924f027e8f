"""Mixout: dropout on the difference to the pretrained weights."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from typing_extensions import override

from amix.mixup.in_place import exchange
from amix.models.architecture import backbone, set_dropout
from amix.random_streams import tensor_generator
from amix.training.fit import Fit
from amix.training.method import Method, MethodError, Model
from amix.training.method_info import MethodInfo
from amix.training.registry import register


@register
class Mixout(Method):
    """Mixout: dropout on the difference to the pretrained weights, W~ = W0 + (W - W0) o M / (1 - p).

    M holds one Bernoulli(1 - p) draw per input unit of a linear layer, shared by all its rows and the whole batch (Lee
    et al. 2020, equation 3, written so that E[W~] = W). Dropout is off where weights are mixed, and evaluation uses W.
    The gradient is exact, G o M / (1 - p). The official code (bloodwass/mixout, mixout/mixout.py:75-79) returns G o M,
    which changes the effect of clipping and of Adam's epsilon (`unscaled_gradient`); its example also converts the
    head, mixing it with its initial weights (`mix_head`), where the paper keeps dropout and plain decay. Official
    options that change numbers (the layer's): p is `p`; target is W0, and no target (plain dropout of weights) is not
    here.
    """

    @dataclass(frozen=True)
    class Config:
        """p: probability of the pretrained weight; the paper reports 0.7, 0.8 and 0.9."""

        p: float = 0.7
        mix_head: bool = False
        unscaled_gradient: bool = False
        keep_dropout: bool = False

        def __post_init__(self) -> None:
            if not 0 <= self.p < 1:
                raise MethodError(f"Mixout needs p in [0, 1), not {self.p}")

    name = "mixout"
    info = MethodInfo(
        paper="Lee et al., ICLR 2020",
        year=2020,
        kind="towards pretrained",
        parity="matched: outputs and gradients",
        cases=("mixout_*",),
        null={"p": 0.0, "keep_dropout": True},
        grid={"p": (0.1, 0.3, 0.5, 0.7, 0.9)},
    )

    @override
    def prepare(self, model: Model, fit: Fit) -> Model:
        """Switch off dropout where weights are mixed."""
        if not self.config.keep_dropout:
            set_dropout(model if self.config.mix_head else backbone(model), 0.0)
        return model

    @override
    def on_fit_start(self, model: Model, fit: Fit) -> None:
        """Store the pretrained weights and allocate memory for the mixed ones."""
        mixed = model if self.config.mix_head else backbone(model)
        self.weights = [module.weight for module in mixed.modules() if isinstance(module, nn.Linear)]
        self.pretrained = [weight.detach().clone() for weight in self.weights]
        self.other = [torch.empty_like(weight) for weight in self.pretrained]
        self.generator = tensor_generator(fit.seed, "method", fit.stage, device=fit.device)

    def draw_masks(self) -> list[Tensor]:
        """M of every linear layer, each of shape [inputs]."""
        keep = 1.0 - self.config.p
        return [weight.new_empty(weight.shape[1]).bernoulli_(keep, generator=self.generator) for weight in self.weights]

    @torch.no_grad()
    def mix(self) -> None:
        """Put the mixed weights into the model; `other` holds W until the gradient has been computed."""
        self.masks = self.draw_masks()
        for weight, pretrained, mixed, mask in zip(self.weights, self.pretrained, self.other, self.masks, strict=True):
            torch.lerp(pretrained, weight, mask / (1.0 - self.config.p), out=mixed)
        exchange(self.weights, self.other)

    @override
    def before_loss(self, model: Model, fit: Fit) -> None:
        """Mix the weights."""
        self.mix()

    @override
    def after_backward(self, model: Model, fit: Fit) -> None:
        """Restore W and convert the gradient at W~ into the one at W."""
        exchange(self.weights, self.other)
        scale = 1.0 if self.config.unscaled_gradient else 1.0 / (1.0 - self.config.p)
        for weight, mask in zip(self.weights, self.masks, strict=True):
            if weight.grad is not None:
                weight.grad.mul_(mask * scale)
