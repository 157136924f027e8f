"""Two levels that are both parameters of the model itself, in the form in which a bi-level step takes a mixup."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from amix.mixup.mixed_weight import MixedWeight
from amix.mixup.sparse_rows import Offset, move


class Levels:
    """The upper level's parameters, and all others of the model that train as the lower level's.

    Stands where BilevelStep and hypergradient() take a WeightMixup: nothing is mixed beside the model, `attention` is
    the upper level and its gradient is what automatic differentiation gives. upper: parameters of the model by name.
    Raises ValueError when either level is empty.
    """

    def __init__(self, model: nn.Module, upper: Mapping[str, nn.Parameter]) -> None:
        inside = {id(parameter) for parameter in upper.values()}
        self.model, self.upper = model, dict(upper)
        self.ordinary = {n: p for n, p in model.named_parameters() if p.requires_grad and id(p) not in inside}
        if not self.upper or not self.ordinary:
            raise ValueError("two levels need parameters at each: one of them is empty")
        self.mixed: list[MixedWeight] = []

    @property
    def lower(self) -> dict[str, nn.Parameter]:
        """What the lower level trains, by name."""
        return self.ordinary

    @property
    def task(self) -> list[nn.Parameter]:
        """The same without names."""
        return list(self.ordinary.values())

    @property
    def attention(self) -> list[nn.Parameter]:
        """What the upper level trains."""
        return list(self.upper.values())

    @property
    def effective(self) -> list[nn.Parameter]:
        """Those of whose gradients the upper level's are made: they themselves."""
        return self.attention

    def attention_gradients(
        self, gradients: Sequence[Tensor], offsets: Mapping[str, Offset] | None = None, sign: int = 1
    ) -> list[Tensor]:
        """Gradients of the upper level from those of `effective`."""
        return list(gradients)

    def pull_back(self, attention: bool = False) -> None:
        """After the backward pass of a lower loss: the upper level's gradients go, unless asked for."""
        if not attention:
            for parameter in self.attention:
                parameter.grad = None

    @torch.no_grad()
    def shift(self, offsets: Mapping[str, Offset], multiple: float) -> None:
        """Move the lower parameters by multiple * offset."""
        move(self.ordinary, offsets, multiple)

    def write(self) -> None:
        """Nothing: the model holds both levels."""

    def clamp(self) -> None:
        """Nothing: the upper level has no bounds."""
