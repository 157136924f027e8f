"""AutoLoRA: held-out data select the rank-one components of a low-rank increment."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from typing_extensions import override

from amix.training.method_info import MethodInfo
from amix.training.registry import register
from baselines.parameter_efficient._two_levels import PASSES, Increment, TwoLevel, TwoLevelConfig, normal


class Selection(Increment):
    """W = W0 + alpha sum_j s_j b_j a_j' over k rank-one components, s = softmax(selection); s_j starts at 1 / k."""

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
        """s [k]; after the search 1 / k' for each of the k' selected components."""
        count = self.kept.sum()
        return torch.where(count > 0, self.kept / count.clamp_min(1), self.selection.softmax(dim=0))

    @override
    def forward(self, weight: Tensor) -> Tensor:
        """W from W0."""
        return weight + self.alpha * (self.lora_B * self.shares()) @ self.lora_A

    @override
    def penalty(self, weight: Tensor) -> Tensor:
        """No penalty."""
        return weight.new_zeros(())

    @torch.no_grad()
    @override
    def settle(self) -> None:
        """Select the components whose share is at least 1 / k."""
        shares = self.selection.softmax(dim=0)
        self.kept.copy_(shares >= (1 - 1e-6) / len(shares))


@dataclass(frozen=True)
class AutoLoRAConfig(TwoLevelConfig):
    """See TwoLevelConfig. rank: k, the number of components. alpha: scale of the increment."""

    rank: int = 8
    alpha: float = 16.0
    upper_lr: float | None = 5e-3
    regulariser: float = 0.0


@register
class AutoLoRA(TwoLevel):
    """AutoLoRA: W = W0 + alpha sum_j s_j b_j a_j', with a, b trained on 80 % and the shares s on 20 %, then selection.

        a, b      <- step on CE(80 %)
        selection <- step on CE(20 %), through the step of a and b;  s = softmax(selection)

    Of the k components, those with a share of at least 1 / k are selected; with these k', each with share 1 / k', a, b
    and the head are retrained on the whole subset, which is lora with a rank selected per layer. Zhang et al. (2024),
    section 3; official code: ruz048/AutoLoRA, of which only the search script was read, and nothing compared. Learning
    rates and the factor alpha, with which equal shares are the same as lora of rank k, are ours.

    Official options that change numbers (run_glue_search.py): lora_r is `rank` and lora_alpha enters `alpha`; lora_path
    starts from trained adapters and is not here, nor is cls_dropout, a constant of 0.1; epochs, batch size and length
    are the suite's. Constants there that are options here: `lr` and `upper_lr` (3e-4, with Adam), `lower_share` (0.7),
    `unroll` (1). Its search rolls the lower step back, which is not here.
    """

    Config = AutoLoRAConfig
    name = "autolora"
    info = MethodInfo(
        paper="Zhang et al., NAACL 2024",
        year=2024,
        kind="parameter-efficient",
        parity="departs: only the official search script was read; formula and selection as described",
        passes=PASSES,
        micro_batches=True,
        grid={"rank": (4, 8), "lr": (2e-4, 5e-4, 1e-3)},
        toy_settings={"lr": 2e-2, "upper_lr": 0.1},
    )

    @override
    def increment(self, linear: nn.Linear, generator: torch.Generator) -> Increment:
        """The components of one layer."""
        return Selection(linear.weight, self.config.rank, self.config.alpha, generator)
