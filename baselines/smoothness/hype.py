"""HyPe: noise on the input of every block."""

from contextlib import nullcontext
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from typing_extensions import override

from amix.data.encoded import Batch
from amix.models.architecture import ArchitectureError, blocks
from amix.random_streams import tensor_generator
from amix.specs.recipe import Recipe
from amix.specs.task import Task
from amix.training.fit import Fit
from amix.training.method import Method, MethodError, Model
from amix.training.method_info import MethodInfo
from amix.training.registry import register
from baselines.smoothness._hidden_states import changed_inputs, changed_outputs


@register
class HyPe(Method):
    """HyPe: noise on the input of every Transformer block during training, h <- h + e; no dropout on hidden states.

    e is drawn per entry, padding included, from N(0, sigma^2) or U(-sigma, sigma). Yuan et al. (2023), algorithm 1;
    official code: Yuanhy1997/HyPe, whose uniform noise is one-sided, U(0, sigma) (hype_modeling_bert.py:522, 603 and
    612; noise `uniform_one_sided`). As there, dropout of attention probabilities stays (main.py:388-393). A sigma of
    1e-5 is close to the resolution of half precision, and most of the effect then comes from the missing dropout: the
    control is sigma 0.

    Official options that change numbers (main.py; the last three for BERT only): hype_eps is `sigma`; hype_type is
    `noise`; hype_top_layers and hype_low_layers select the blocks of `layer_range`; hype_intermediate is
    `intermediate`, which also adds noise before the feed-forward part of every block, whatever the layer_range, as
    there; hype_only_intermediate is `only_intermediate`. dropout_rate is 0, or with `keep_dropout` the encoder's own.
    """

    @dataclass(frozen=True)
    class Config:
        """sigma: scale of the noise; the paper tries 1e-5 to 1e-2.

        intermediate: noise before the feed-forward parts too. only_intermediate: no noise on the inputs of blocks.
        layer_range: blocks whose input gets noise, numbered from 0 at the bottom; empty for all.
        """

        sigma: float = 1e-5
        noise: str = "normal"
        intermediate: bool = False
        keep_dropout: bool = False
        layer_range: tuple[int, ...] = field(default=(), metadata={"neutral": ()})
        only_intermediate: bool = field(default=False, metadata={"neutral": False})

        def __post_init__(self) -> None:
            if self.noise not in ("normal", "uniform", "uniform_one_sided"):
                raise MethodError(f"HyPe's noise is 'normal', 'uniform' or 'uniform_one_sided', not '{self.noise}'")
            if not isinstance(self.layer_range, tuple) or not all(isinstance(block, int) for block in self.layer_range):
                raise MethodError(f"HyPe's layer_range is a list of block numbers, not {self.layer_range!r}")
            if self.only_intermediate and not self.intermediate:
                raise MethodError("HyPe's only_intermediate adds noise nowhere without intermediate: set both")
            if self.only_intermediate and self.layer_range:
                raise MethodError(
                    "HyPe's layer_range chooses among inputs of blocks, which only_intermediate leaves out"
                )

    name = "hype"
    info = MethodInfo(
        paper="Yuan et al., ACL 2023",
        year=2023,
        kind="smoothness",
        parity="matched: logits, states, gradients",
        cases=("hype_*",),
        micro_batches=True,
        null={"sigma": 0.0, "keep_dropout": True},
        grid={"sigma": (1e-5, 1e-3, 1e-2), "noise": ("normal", "uniform")},
    )

    @override
    def check_encoder(self, model: Model, task: Task, recipe: Recipe) -> None:
        """Count the encoder's blocks.

        Raises:
            MethodError: If layer_range names a block that does not exist.
        """
        count = len(blocks(model))
        missing = [number for number in self.config.layer_range if not 0 <= number < count]
        if missing:
            raise MethodError(f"{self.name}: layer_range names block {missing[0]} of {count} (numbered from 0)")

    @override
    def prepare(self, model: Model, fit: Fit) -> Model:
        """Switch off the dropout of hidden states."""
        self.check_encoder(model, fit.task, fit.recipe)
        if not self.config.keep_dropout:
            for dropout in hidden_dropouts(model):
                dropout.p = 0.0
        return model

    @override
    def on_fit_start(self, model: Model, fit: Fit) -> None:
        """Create the generator of the noise."""
        self.generator = tensor_generator(fit.seed, "method", fit.stage, device=fit.device)

    def noised_blocks(self, layers: list[nn.Module]) -> list[nn.Module]:
        """The blocks whose input gets noise."""
        if self.config.only_intermediate:
            return []
        chosen = self.config.layer_range or range(len(layers))
        return [layer for number, layer in enumerate(layers) if number in chosen]

    def draw_noise(self, states: Tensor) -> Tensor:
        """e for hidden states [batch, length, hidden]."""
        sigma, noise = self.config.sigma, torch.empty_like(states)
        if self.config.noise == "normal":
            return noise.normal_(generator=self.generator).mul_(sigma)
        lower = -sigma if self.config.noise == "uniform" else 0.0
        return noise.uniform_(lower, sigma, generator=self.generator)

    @override
    def loss(self, model: Model, batch: Batch, fit: Fit) -> Tensor:
        """The task's loss under noise."""
        layers = blocks(model)

        def add_noise(states: Tensor) -> Tensor:
            return states + self.draw_noise(states)

        inside = changed_outputs(attentions(layers), add_noise) if self.config.intermediate else nullcontext()
        with changed_inputs(self.noised_blocks(layers), add_noise), inside:
            return super().loss(model, batch, fit)


def hidden_dropouts(model: nn.Module) -> list[nn.Dropout]:
    """All dropouts but those of attention probabilities, which are in a module with query, key and value layers."""
    on_attention = set()
    for module in model.modules():
        children = list(module.children())
        if sum(isinstance(child, nn.Linear) for child in children) >= 3:
            on_attention.add(id(getattr(module, "dropout", None)))
    return [part for part in model.modules() if isinstance(part, nn.Dropout) and id(part) not in on_attention]


def attentions(layers: list[nn.Module]) -> list[nn.Module]:
    """The attention of every block, whose output the feed-forward part reads.

    Raises:
        ArchitectureError: If a block is not an attention followed by a feed-forward part.
    """
    for layer in layers:
        if not (hasattr(layer, "attention") and hasattr(layer, "intermediate")):
            raise ArchitectureError(f"{type(layer).__name__} is not an attention followed by a feed-forward part")
    return [layer.get_submodule("attention") for layer in layers]
