"""Base class of the methods that train a fixed part of the weights."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from typing_extensions import override

from amix.models.architecture import head_names
from amix.specs.recipe import Recipe
from amix.specs.task import Task
from amix.training.fit import Fit
from amix.training.method import Groups, Method, MethodError, Model
from baselines.subnetwork._selection import largest_entries

NULL: Mapping[str, Any] = {"share": 1.0, "lr": None, "weight_decay": True}
"""Settings at which everything trains, as in plain finetuning."""
GRID: Mapping[str, tuple[Any, ...]] = {"share": (0.005, 0.02, 0.1), "lr": (5e-5, 2e-4, 1e-3)}


@dataclass(frozen=True)
class MaskConfig:
    """share: of all parameters that train, the head's included, which trains in full. lr: null uses the recipe's.

    weight_decay: whether to use the recipe's, which also shrinks the weights that do not train.
    """

    share: float = 0.005
    lr: float | None = 5e-5
    weight_decay: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise MethodError(f"a mask needs a share in (0, 1], not {self.share}")


class FixedMask(Method):
    """Train the head and the entries of the body with the largest `importance`.

    K = int(share * all parameters) - parameters of the head. Gradients are multiplied by the mask before clipping.
    """

    Config: ClassVar[type] = MaskConfig

    @override
    def param_groups(self, model: Model, fit: Fit) -> Groups:
        """Plain finetuning's groups, with the method's learning rate and weight decay."""
        changes: dict[str, float] = {} if self.config.lr is None else {"lr": self.config.lr}
        if not self.config.weight_decay:
            changes["weight_decay"] = 0.0
        return [group | changes for group in super().param_groups(model, fit)]

    def importance(self, model: Model, fit: Fit, body: list[nn.Parameter]) -> list[Tensor]:
        """Score of each entry, one tensor per parameter of the body; the largest are trained."""
        raise NotImplementedError

    @override
    def check_encoder(self, model: Model, task: Task, recipe: Recipe) -> None:
        """Count the entries that are to be trained."""
        self.count(model)

    def count(self, model: Model) -> int:
        """How many entries of the body train.

        Raises:
            MethodError: If the share leaves nothing to train outside the head.
        """
        everything = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
        head = everything - sum(parameter.numel() for parameter in body_parameters(model))
        count = int(everything * self.config.share) - head
        if count <= 0:
            raise MethodError(
                f"{self.name}: the head alone holds {head} of {everything} parameters, no less than the share "
                f"{self.config.share}; choose one above {head / everything:.4f}"
            )
        return count

    @override
    def on_fit_start(self, model: Model, fit: Fit) -> None:
        """Choose the mask."""
        self.body = body_parameters(model)
        count = self.count(model)
        self.masks = largest_entries(self.importance(model, fit, self.body), count)

    @override
    def after_backward(self, model: Model, fit: Fit) -> None:
        """Mask the gradients."""
        pairs = [(p.grad, mask) for p, mask in zip(self.body, self.masks, strict=True) if p.grad is not None]
        torch._foreach_mul_([gradient for gradient, _ in pairs], [mask for _, mask in pairs])


def body_parameters(model: Model) -> list[nn.Parameter]:
    """The trainable parameters outside the head."""
    head = head_names(model)
    return [parameter for name, parameter in model.named_parameters() if parameter.requires_grad and name not in head]
