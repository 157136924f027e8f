"""LNSR: noise at one layer must not change the layers above."""

from dataclasses import dataclass

import torch
from torch import Tensor
from typing_extensions import override

from amix.data.encoded import Batch
from amix.mixup.in_place import RandomState
from amix.models.architecture import blocks
from amix.random_streams import tensor_generator
from amix.specs.recipe import Recipe
from amix.specs.task import Task
from amix.training.fit import Fit
from amix.training.method import Method, MethodError, Model
from amix.training.method_info import MethodInfo
from amix.training.registry import register
from baselines.smoothness._hidden_states import changed_inputs, recorded_outputs


@register
class LNSR(Method):
    """Layer-wise noise stability: L = CE + strength * mean_r |f_br(h_b + e) - f_br(h_b)|^2.

    f_br maps the input h_b of block b to the output of block r; r runs over all blocks from b upwards, with equal
    weights, and the squared norm is averaged over the tokens without padding. e has entries from N(0, sigma^2). Both
    passes have the same dropout masks, or the penalty would measure dropout; gradients flow through both. Hua et al.
    (2021), section 3. No official code was found and the paper's settings could not be checked: the averages and the
    defaults are ours.
    """

    @dataclass(frozen=True)
    class Config:
        """strength: weight of the penalty. sigma: scale of the noise. layer: b, 0 for the lowest block."""

        strength: float = 1.0
        sigma: float = 0.01
        layer: int = 0

    name = "lnsr"
    info = MethodInfo(
        paper="Hua et al., NAACL 2021",
        year=2021,
        kind="smoothness",
        parity="no official code",
        passes=2.0,
        micro_batches=True,
        null={"strength": 0.0},
        grid={"strength": (0.1, 1.0, 10.0), "sigma": (0.01, 0.05, 0.1)},
    )

    @override
    def check_encoder(self, model: Model, task: Task, recipe: Recipe) -> None:
        """Count the encoder's blocks.

        Raises:
            MethodError: If `layer` is none of them.
        """
        count = len(blocks(model))
        if not 0 <= self.config.layer < count:
            raise MethodError(f"{self.name}: layer names block {self.config.layer} of {count} (numbered from 0)")

    @override
    def on_fit_start(self, model: Model, fit: Fit) -> None:
        """Create the generator of the noise."""
        self.check_encoder(model, fit.task, fit.recipe)
        self.generator = tensor_generator(fit.seed, "method", fit.stage, device=fit.device)

    def draw_noise(self, states: Tensor) -> Tensor:
        """e for hidden states [batch, length, hidden]."""
        return torch.empty_like(states).normal_(0.0, self.config.sigma, generator=self.generator)

    @override
    def loss(self, model: Model, batch: Batch, fit: Fit) -> Tensor:
        """The task's loss of the clean pass plus the penalty."""
        upper = blocks(model)[self.config.layer :]
        masks = RandomState.capture(fit.device)
        with recorded_outputs(upper) as clean:
            loss = super().loss(model, batch, fit)
        noisy_start = changed_inputs(upper[:1], lambda states: states + self.draw_noise(states))
        with masks.replayed(), noisy_start, recorded_outputs(upper) as noised:
            fit.logits(model, batch)
        tokens = fit.whole(batch)["attention_mask"].sum() * fit.share_of_batch
        return loss + self.config.strength * squared_distance(clean, noised, batch["attention_mask"]) / tokens


def squared_distance(first: list[Tensor], second: list[Tensor], tokens: Tensor) -> Tensor:
    """||a - b||^2 of each token's states, mean over layers, sum over tokens; tokens: attention mask [batch, length]."""
    squares = [(a - b).square().sum(-1) for a, b in zip(first, second, strict=True)]
    return (torch.stack(squares).mean(0) * tokens).sum()
