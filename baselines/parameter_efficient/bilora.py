"""BiLoRA: the singular values of a low-rank increment learn on held-out data, its singular vectors on the rest."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from typing_extensions import override

from amix.training.method_info import MethodInfo
from amix.training.registry import register
from baselines.parameter_efficient._two_levels import PASSES, Increment, TwoLevel, TwoLevelConfig, from_identity, normal


class PseudoSVD(Increment):
    """W = W0 + scale * P diag(l) Q, with P [out, rank], l [rank] and Q [rank, in]."""

    upper_names = ("singular",)

    def __init__(self, weight: Tensor, rank: int, scale: float, generator: torch.Generator) -> None:
        super().__init__()
        outputs, inputs = weight.shape
        self.left = normal((outputs, rank), outputs**-0.5, generator)
        self.right = normal((rank, inputs), inputs**-0.5, generator)
        self.singular = nn.Parameter(torch.zeros(rank))
        self.scale = scale

    @override
    def forward(self, weight: Tensor) -> Tensor:
        """W from W0."""
        return weight + self.scale * (self.left * self.singular) @ self.right

    @override
    def penalty(self, weight: Tensor) -> Tensor:
        """||P'P - I||_F^2 + ||QQ' - I||_F^2."""
        return from_identity(self.left.T @ self.left).square() + from_identity(self.right @ self.right.T).square()


@dataclass(frozen=True)
class BiLoRAConfig(TwoLevelConfig):
    """See TwoLevelConfig. alpha: the increment is scaled by alpha / rank."""

    rank: int = 8
    alpha: float = 16.0
    upper_lr: float | None = 5e-3
    regulariser: float = 0.1


@register
class BiLoRA(TwoLevel):
    """BiLoRA: W = W0 + (alpha / rank) P diag(l) Q, with P and Q trained on 80 %, the values l on 20 %.

        P, Q <- step on CE(80 %) + regulariser * mean_k (||P_k' P_k - I||_F^2 + ||Q_k Q_k' - I||_F^2)
        l    <- step on CE(20 %), through the step of P and Q

    Qiang et al. (2024). No official code was available, nor the paper's full text: parametrisation, data split and
    penalty follow its abstract and descriptions, and the values are ours. l is unconstrained, the simplest choice; it
    starts at 0, as in AdaLoRA, so that W starts as W0, and P and Q start with columns and rows of expected squared norm
    1. After the search P, Q and the head are retrained on the whole subset with l fixed, as in bidora; whether the
    paper does so could not be checked (`retrain: false` ends with the search).
    """

    Config = BiLoRAConfig
    name = "bilora"
    info = MethodInfo(
        paper="Qiang et al., arXiv 2024",
        year=2024,
        kind="parameter-efficient",
        parity="no official code",
        passes=PASSES,
        micro_batches=True,
        grid={"rank": (4, 8), "lr": (2e-4, 5e-4, 1e-3)},
        toy_settings={"lr": 3e-2, "upper_lr": 0.1, "regulariser": 0.01},
    )

    @override
    def increment(self, linear: nn.Linear, generator: torch.Generator) -> Increment:
        """P, l and Q of one layer."""
        return PseudoSVD(linear.weight, self.config.rank, self.config.alpha / self.config.rank, generator)
