"""Two levels that are both the model's own parameters, with the interface that BilevelStep expects of a mixup."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from amix.mixup.mixed_weight import MixedWeight
from amix.mixup.sparse_rows import Offset, move


class Levels:
    """Some parameters of the model as the upper level, and all its other trainable ones as the lower level.

    A drop-in replacement for a WeightMixup in BilevelStep and hypergradient(): nothing is mixed, `attention` is the
    upper level, and its gradient comes from automatic differentiation.

    Args:
        model: The model.
        upper: The upper level: parameters of the model, by name.

    Raises:
        ValueError: One of the levels is empty.
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
        """What the lower level trains, without names."""
        return list(self.ordinary.values())

    @property
    def attention(self) -> list[nn.Parameter]:
        """What the upper level trains."""
        return list(self.upper.values())

    @property
    def effective(self) -> list[nn.Parameter]:
        """The parameters whose gradients give those of the upper level: here the upper level itself."""
        return self.attention

    def attention_gradients(
        self, gradients: Sequence[Tensor], offsets: Mapping[str, Offset] | None = None, sign: int = 1
    ) -> list[Tensor]:
        """Return the gradients of the upper level, which are those of `effective`."""
        return list(gradients)

    def pull_back(self, attention: bool = False) -> None:
        """Drop the upper level's gradients after the backward pass of a lower loss, unless attention is True."""
        if not attention:
            for parameter in self.attention:
                parameter.grad = None

    @torch.no_grad()
    def shift(self, offsets: Mapping[str, Offset], multiple: float) -> None:
        """Move the lower parameters by multiple * offset."""
        move(self.ordinary, offsets, multiple)

    def write(self) -> None:
        """Do nothing: the model holds both levels."""

    def clamp(self) -> None:
        """Do nothing: the upper level has no bounds."""
