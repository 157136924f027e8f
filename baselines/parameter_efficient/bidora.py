"""BiDoRA: the magnitudes of the weights' columns learn on held-out data, their directions on the rest."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from amix.training.method_info import MethodInfo
from amix.training.registry import register
from baselines.parameter_efficient._two_levels import PASSES, Increment, TwoLevel, TwoLevelConfig, from_identity, normal


class DirectionAndMagnitude(Increment):
    """W = D o m with D = V / ||V||_c and V = W0 + B A: one norm and one magnitude for each column of W [out, in].

    transposed: the layer is to use W', as the released code does.
    """

    upper_names = ("m",)

    def __init__(self, weight: Tensor, rank: int, deviation: float, generator: torch.Generator) -> None:
        super().__init__()
        outputs, inputs = weight.shape
        self.lora_A = normal((rank, inputs), deviation, generator)
        self.lora_B = nn.Parameter(torch.zeros(outputs, rank))
        self.m = nn.Parameter(weight.detach().cpu().norm(dim=0))
        self.transposed = False

    def direction(self, weight: Tensor) -> Tensor:
        """D, of columns of length 1; the gradient goes through the norm."""
        moved = weight + self.lora_B @ self.lora_A
        return moved / moved.norm(dim=0)

    def forward(self, weight: Tensor) -> Tensor:
        """W."""
        found = self.direction(weight) * self.m
        return found.T if self.transposed else found

    def penalty(self, weight: Tensor) -> Tensor:
        """||D'D - I||_F."""
        direction = self.direction(weight)
        return from_identity(direction.T @ direction)


@dataclass(frozen=True)
class BiDoRAConfig(TwoLevelConfig):
    """See TwoLevelConfig. deviation: of the start of A, null for 1 / sqrt(inputs)."""

    deviation: float | None = None


@register
class BiDoRA(TwoLevel):
    """BiDoRA as described: W = m (W0 + B A) / ||W0 + B A||_c, A and B trained on 80 %, m on 20 %, then A and B anew.

        A, B <- step on L1(A, B, m) = CE(80 %) + regulariser * mean_k ||D_k' D_k - I||_F
        m    <- step on L2(A', B', m) = CE(20 %), through the step of A and B

    and at last A, B and the head from their start with m fixed, by L1 on the whole subset. On the query and value
    projections; B starts at 0 and m at the norms of W0's columns, so that W starts as W0. Zhang et al. (2025); official
    code: t2ance/BiDoRA, loralib/bidora.py and utils/util.py, rank and regulariser from its scripts; the paper's own
    text was not at hand, what is described follows the code's README. The released program does otherwise in what
    bidora_official lists. Ours: the learning rates (the scripts' 1e-5 to 5e-5 train every tensor; null takes the
    recipe's), one search of 3 epochs, and A starts in a size that does not depend on the width; the head trains in
    both stages. Retraining can be left out, as 10 of 16 scripts do (`retrain`). Not there: lora_alpha, which the code
    reads and does not use.
    """

    Config = BiDoRAConfig
    name = "bidora"
    info = MethodInfo(
        paper="Zhang et al., TMLR 2025",
        year=2024,
        kind="parameter-efficient",
        parity="departs: as described, not as run; layer (described/*) and regulariser matched to 5e-16 "
        "(bidora_layer_*, bidora_regulariser*)",
        passes=PASSES,
        grid={"rank": (4, 8), "lr": (2e-4, 5e-4, 1e-3)},
        toy_settings={"lr": 2e-2, "upper_lr": 2e-2},
    )

    def increment(self, linear: nn.Linear, generator: torch.Generator) -> Increment:
        """A, B and m of a layer."""
        deviation = self.config.deviation
        chosen = linear.in_features**-0.5 if deviation is None else deviation
        return DirectionAndMagnitude(linear.weight, self.config.rank, chosen, generator)
