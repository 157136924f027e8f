"""Adapters: small networks between the frozen layers of an encoder, which cannot be merged into its weights."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from transformers import PreTrainedModel
from typing_extensions import override

from amix.models.architecture import backbone, blocks, head_names
from amix.models.with_addition import EncoderWithAddition
from amix.random_streams import tensor_generator
from amix.specs.recipe import Recipe
from amix.specs.spec_model import Count
from amix.specs.task import Task
from amix.training.fit import Fit
from amix.training.method import Groups, Method, MethodError, Model
from amix.training.method_info import MethodInfo
from amix.training.registry import register
from baselines.parameter_efficient._peft import at_own_lr


class Bottlenecks(nn.Module):
    """Small networks after modules of an encoder: h + W2 gelu(W1 h + b1) + b2.

    Export writes the source of this class next to its weights, so that it may use only torch, nn, functional and Any.

    Args:
        places: Names of the modules.
        width: Of the modules' outputs.
        bottleneck: Width of the inner layer.
    """

    def __init__(self, places: list[str], width: int, bottleneck: int) -> None:
        super().__init__()
        self.arguments: dict[str, Any] = {"places": places, "width": width, "bottleneck": bottleneck}
        self.places = places
        self.down = nn.ModuleList(nn.Linear(width, bottleneck) for _ in places)
        self.up = nn.ModuleList(nn.Linear(bottleneck, width) for _ in places)

    def attach(self, body: nn.Module) -> None:
        """Add the networks after their places in this encoder."""
        for place, down, up in zip(self.places, self.down, self.up, strict=True):
            body.get_submodule(place).register_forward_hook(self.after(down, up))

    def after(self, down: nn.Module, up: nn.Module) -> Any:
        """Hook that adds a network's output to that of a module."""

        def add(module: nn.Module, args: tuple[Any, ...], output: torch.Tensor) -> torch.Tensor:
            added: torch.Tensor = up(functional.gelu(down(output), approximate="tanh"))
            return output + added

        return add


@register
class Adapter(Method):
    """Adapters: a bottleneck after the attention and one after the feed-forward part of every block.

    h + W2 gelu(W1 h + b1) + b2, after the projection and its dropout and before the residual sum, nearly the identity
    at the start (weights from a normal distribution with standard deviation 0.001, truncated at two of them; biases 0).
    The adapters, all LayerNorms and the head train. Houlsby et al. (2019), section 2.1; official code: google-research/
    adapter-bert, modeling.py, feedforward_adapter, with gelu in its tanh form as there. lr is the code's, the
    bottlenecks to search are the paper's. 300 examples and 3 epochs are a small budget.

    Official options that change numbers (modeling.py, feedforward_adapter; run_classifier.py): hidden_size is
    `bottleneck`, init_scale `deviation`, learning_rate `lr`; num_train_epochs, train_batch_size and warmup_proportion
    are the recipe's.
    """

    @dataclass(frozen=True)
    class Config:
        """bottleneck: width. deviation: standard deviation of the initial weights. lr: null uses the recipe's."""

        bottleneck: Count = 64
        deviation: float = 1e-3
        lr: float | None = 3e-4

    name = "adapter"
    info = MethodInfo(
        paper="Houlsby et al., ICML 2019",
        year=2019,
        kind="parameter-efficient",
        parity="departs: official code is TensorFlow 1; formula, start and places read from it, not run",
        plain_checkpoint=False,
        grid={"bottleneck": (8, 64, 256), "lr": (3e-4, 1e-3, 3e-3)},
        toy_settings={"lr": 1.5e-2, "bottleneck": 16},
        toy_epochs=15,
    )

    @override
    def check_encoder(self, model: Model, task: Task, recipe: Recipe) -> None:
        """Find the places of the adapters."""
        places(model)

    @override
    def prepare(self, model: Model, fit: Fit) -> Model:
        """Freeze all but LayerNorms and head, and add the adapters."""
        assert isinstance(model, PreTrainedModel)
        trained = {id(parameter) for module in normalisations(backbone(model)) for parameter in module.parameters()}
        head = head_names(model)
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name in head or id(parameter) in trained)
        width = int(model.config.hidden_size)
        addition = Bottlenecks(places(model), width, self.config.bottleneck).to(fit.device)
        generator = tensor_generator(fit.seed, "method", "adapters")
        start = self.config.deviation
        for parameter in addition.parameters():
            values = torch.zeros(parameter.shape)
            if parameter.dim() > 1 and start > 0:
                nn.init.trunc_normal_(values, 0.0, start, -2 * start, 2 * start, generator=generator)
            parameter.data.copy_(values)
        addition.attach(backbone(model))
        return EncoderWithAddition(model, addition)

    @override
    def param_groups(self, model: Model, fit: Fit) -> Groups:
        """Adapters, LayerNorms and head, at the method's learning rate."""
        return at_own_lr(super().param_groups(model, fit), self.config.lr)


def normalisations(module: nn.Module) -> list[nn.Module]:
    """All normalisation layers of a module."""
    return [part for part in module.modules() if "norm" in type(part).__name__.lower()]


def places(model: nn.Module) -> list[str]:
    """Names in the body of the dropouts that end the attention and the feed-forward part of every block.

    Raises:
        MethodError: If the blocks are built differently.
    """
    names = {id(module): name for name, module in backbone(model).named_modules()}
    ends = [part for block in blocks(model) for part in block.modules() if ends_part(part)]
    if len(ends) != 2 * len(blocks(model)):
        raise MethodError(
            f"{type(model).__name__}: adapters need two modules with dropout and LayerNorm in every block, one at the "
            f"end of the attention and one of the feed-forward part; {len(blocks(model))} blocks have {len(ends)}"
        )
    return [names[id(part.dropout)] for part in ends]


def ends_part(module: nn.Module) -> bool:
    """Whether a module ends a part of a block: dropout after a projection, then residual sum and LayerNorm."""
    return all(isinstance(getattr(module, name, None), nn.Module) for name in ("dropout", "LayerNorm"))
