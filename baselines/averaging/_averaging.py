"""Base class of the methods that evaluate an average of weights."""

import copy

import torch
from torch import Tensor, nn
from typing_extensions import override

from amix.training.fit import Fit
from amix.training.method import Method, Model


class Averaging(Method):
    """A second model holds the average and is the one that is evaluated."""

    @override
    def on_fit_start(self, model: Model, fit: Fit) -> None:
        """Create the second model; only weights that train are averaged."""
        self.averaged: nn.Module = copy.deepcopy(model).requires_grad_(False)
        pairs = zip(model.parameters(), self.averaged.parameters(), strict=True)
        trained = [(live, mean) for live, mean in pairs if live.requires_grad]
        self.live: list[Tensor] = [live for live, _ in trained]
        self.mean: list[Tensor] = [mean for _, mean in trained]

    @torch.no_grad()
    def approach(self, weight: float) -> None:
        """Move the average by the share `weight` towards the weights in training."""
        torch._foreach_lerp_(self.mean, self.live, weight)
