"""HyPe: noise on the input of every block."""

from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from amix.data.encoded import Batch
from amix.models.architecture import ArchitectureError, blocks
from amix.random_streams import tensor_generator
from amix.training.fit import Fit
from amix.training.method import Method, MethodError, Model
from amix.training.registry import register
from baselines.smoothness._hidden_states import changed_inputs, changed_outputs


@register
class HyPe(Method):
    """HyPe: noise on the input of every Transformer block during training, h <- h + e; no dropout on hidden states.

    e is drawn per entry, padding included, from N(0, sigma^2) or U(-sigma, sigma). Yuan et al. (2023), algorithm 1;
    official code: Yuanhy1997/HyPe, hype_modeling_bert.py. There uniform noise is one-sided, U(0, sigma) (lines 522, 603
    and 612; noise `uniform_one_sided`), and can be added before the feed-forward part of a block as well
    (`intermediate`). As there, dropout of attention probabilities stays (main.py:388-393). A sigma of 1e-5 is close to
    the resolution of half precision, and most of what changes then is the dropout: the control is plain
    finetuning without it, sigma 0.
    """

    @dataclass(frozen=True)
    class Config:
        """sigma: scale of the noise; the paper tries 1e-5 to 1e-2."""

        sigma: float = 1e-5
        noise: str = "normal"
        intermediate: bool = False
        keep_dropout: bool = False

        def __post_init__(self) -> None:
            if self.noise not in ("normal", "uniform", "uniform_one_sided"):
                raise MethodError(f"HyPe's noise is 'normal', 'uniform' or 'uniform_one_sided', not '{self.noise}'")

    name = "hype"
    paper = "Yuan et al., ACL 2023"
    year = 2023
    kind = "smoothness"
    null = {"sigma": 0.0, "keep_dropout": True}
    parity = "matched: logits, states, gradients to 5e-15 (hype_normal, hype_uniform_intermediate)"
    grid = {"sigma": (1e-5, 1e-3, 1e-2), "noise": ("normal", "uniform")}

    def prepare(self, model: Model, fit: Fit) -> Model:
        """Switch dropout of hidden states off."""
        if not self.config.keep_dropout:
            for dropout in hidden_dropouts(model):
                dropout.p = 0.0
        return model

    def on_fit_start(self, model: Model, fit: Fit) -> None:
        """Open the stream of noise."""
        self.generator = tensor_generator(fit.seed, "method", fit.stage, device=fit.device)

    def draw_noise(self, states: Tensor) -> Tensor:
        """e for hidden states [batch, length, hidden]."""
        sigma, noise = self.config.sigma, torch.empty_like(states)
        if self.config.noise == "normal":
            return noise.normal_(generator=self.generator).mul_(sigma)
        lower = -sigma if self.config.noise == "uniform" else 0.0
        return noise.uniform_(lower, sigma, generator=self.generator)

    def loss(self, model: Model, batch: Batch, fit: Fit) -> Tensor:
        """The task's loss with noise in the blocks."""
        layers = blocks(model)

        def add_noise(states: Tensor) -> Tensor:
            return states + self.draw_noise(states)

        inside = changed_outputs(attentions(layers), add_noise) if self.config.intermediate else nullcontext()
        with changed_inputs(layers, add_noise), inside:
            return super().loss(model, batch, fit)


def hidden_dropouts(model: nn.Module) -> list[nn.Dropout]:
    """Every dropout but those of attention probabilities, which belong to a module with queries, keys and values."""
    on_attention = set()
    for module in model.modules():
        children = list(module.children())
        if sum(isinstance(child, nn.Linear) for child in children) >= 3:
            on_attention.add(id(getattr(module, "dropout", None)))
    return [part for part in model.modules() if isinstance(part, nn.Dropout) and id(part) not in on_attention]


def attentions(layers: list[nn.Module]) -> list[nn.Module]:
    """The attention of every block, of which the feed-forward part takes the output.

    Errors: ArchitectureError where a block is not built so.
    """
    for layer in layers:
        if not (hasattr(layer, "attention") and hasattr(layer, "intermediate")):
            raise ArchitectureError(f"{type(layer).__name__} is not an attention followed by a feed-forward part")
    return [layer.get_submodule("attention") for layer in layers]
