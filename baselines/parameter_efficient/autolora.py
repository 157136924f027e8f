"""AutoLoRA: which of an increment's rank-one parts are kept is learned on held-out data."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from amix.training.method_info import MethodInfo
from amix.training.registry import register
from baselines.parameter_efficient._two_levels import PASSES, Increment, TwoLevel, TwoLevelConfig, normal


class Selection(Increment):
    """W = W0 + alpha sum_j s_j b_j a_j' over k rank-one parts, s = softmax(selection); s_j = 1 / k at the start."""

    upper_names = ("selection",)

    def __init__(self, weight: Tensor, rank: int, alpha: float, generator: torch.Generator) -> None:
        super().__init__()
        outputs, inputs = weight.shape
        self.lora_A = normal((rank, inputs), inputs**-0.5, generator)
        self.lora_B = nn.Parameter(torch.zeros(outputs, rank))
        self.selection = nn.Parameter(torch.zeros(rank))
        self.alpha = alpha
        self.kept: Tensor
        self.register_buffer("kept", torch.zeros(rank))

    def shares(self) -> Tensor:
        """s_j; after the search 1 / k' for each of the k' parts that were kept."""
        count = self.kept.sum()
        return torch.where(count > 0, self.kept / count.clamp_min(1), self.selection.softmax(dim=0))

    def forward(self, weight: Tensor) -> Tensor:
        """W."""
        return weight + self.alpha * (self.lora_B * self.shares()) @ self.lora_A

    def penalty(self, weight: Tensor) -> Tensor:
        """None."""
        return weight.new_zeros(())

    @torch.no_grad()
    def settle(self) -> None:
        """Keep the parts that have at least their equal share."""
        shares = self.selection.softmax(dim=0)
        self.kept.copy_(shares >= (1 - 1e-6) / len(shares))


@dataclass(frozen=True)
class AutoLoRAConfig(TwoLevelConfig):
    """See TwoLevelConfig. alpha: the increment is scaled by alpha / number of parts."""

    rank: int = 8
    alpha: float = 16.0
    upper_lr: float | None = 5e-3
    regulariser: float = 0.0


@register
class AutoLoRA(TwoLevel):
    """AutoLoRA: W = W0 + alpha sum_j s_j b_j a_j', parts a, b trained on 80 %, shares s on 20 %, then selection.

        a, b      <- step on CE(80 %)
        selection <- step on CE(20 %), through the step of a and b;  s = softmax(selection)

    A part whose share is at least 1 / k, k the number of parts, is kept; with the k' kept ones, each at 1 / k', a, b
    and the head train anew on the whole subset, which is lora of the rank found for each layer. Zhang et al. (2024),
    section 3; official code: ruz048/AutoLoRA, not read and not compared with. Learning rates, k and alpha are ours; so
    is the factor alpha, which makes equal shares the same as lora of rank k.
    """

    Config = AutoLoRAConfig
    name = "autolora"
    info = MethodInfo(
        paper="Zhang et al., NAACL 2024",
        year=2024,
        kind="parameter-efficient",
        parity="departs: the official code was not read; formula and selection as described",
        passes=PASSES,
        grid={"rank": (4, 8), "lr": (2e-4, 5e-4, 1e-3)},
        toy_settings={"lr": 2e-2, "upper_lr": 0.1},
    )

    def increment(self, linear: nn.Linear, generator: torch.Generator) -> Increment:
        """The parts of a layer."""
        return Selection(linear.weight, self.config.rank, self.config.alpha, generator)
