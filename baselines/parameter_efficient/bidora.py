"""BiDoRA: the magnitudes of the weights' columns learn on held-out data, their directions on the rest."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from typing_extensions import override

from amix.training.method_info import MethodInfo
from amix.training.registry import register
from baselines.parameter_efficient._two_levels import PASSES, Increment, TwoLevel, TwoLevelConfig, from_identity, normal


class DirectionAndMagnitude(Increment):
    """W = D o m with D = V / ||V||_c and V = W0 + B A: one norm and one magnitude for each column of W [out, in].

    With `transposed`, the layer uses W', as in the released code.
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
        """D, with columns of unit length; gradients flow through the norm."""
        updated = weight + self.lora_B @ self.lora_A
        return updated / updated.norm(dim=0)

    @override
    def forward(self, weight: Tensor) -> Tensor:
        """W from W0."""
        effective = self.direction(weight) * self.m
        return effective.T if self.transposed else effective

    @override
    def penalty(self, weight: Tensor) -> Tensor:
        """||D'D - I||_F."""
        direction = self.direction(weight)
        return from_identity(direction.T @ direction)


@dataclass(frozen=True)
class BiDoRAConfig(TwoLevelConfig):
    """See TwoLevelConfig. deviation: standard deviation of A at the start; null for 1 / sqrt(inputs)."""

    deviation: float | None = None


@register
class BiDoRA(TwoLevel):
    """BiDoRA as described: W = m (W0 + B A) / ||W0 + B A||_c, A and B trained on 80 %, m on 20 %, then A and B again.

        A, B <- step on L1(A, B, m) = CE(80 %) + regulariser * mean_k ||D_k' D_k - I||_F
        m    <- step on L2(A', B', m) = CE(20 %), through the step of A and B

    Finally A, B and the head are retrained from their start on L1 of the whole subset, with m fixed. On the query and
    value projections; B starts at 0 and m at the norms of W0's columns, so that W starts as W0. Zhang et al. (2025);
    official code: t2ance/BiDoRA, loralib/bidora.py and utils/util.py, rank and regulariser from its scripts. The
    paper's full text was not available; the description follows the code's README, and bidora_official lists where the
    released code differs. Ours: the learning rates (the scripts' 1e-5 to 5e-5 train every tensor; null uses the
    recipe's), one search of 3 epochs, and an initial scale of A that does not depend on the width; the head trains in
    both stages. Retraining can be omitted, as in 10 of 16 scripts (`retrain`).

    Official options that change numbers (run_glue_bilevel.py): lora_r is `rank`; lr, arch_lr and arch_weight_decay are
    `lr`, `upper_lr` and `upper_decay`; reg_loss_d is `regulariser`, inner_training_portion `lower_share`, unroll_step
    `unroll`; train_iters, in updates, is `search_epochs`; retrain is `retrain`, with the recipe's epochs and `lr` in
    place of retrain_iters and retrain_lr; weight_decay and the batch size are the recipe's. lora_alpha is read there
    but not used; lora_type selects other methods.
    """

    Config = BiDoRAConfig
    name = "bidora"
    info = MethodInfo(
        paper="Zhang et al., TMLR 2025",
        year=2024,
        kind="parameter-efficient",
        parity="departs: as described, not as run; layer and regulariser matched",
        cases=("bidora_layer_*", "bidora_regulariser*"),
        passes=PASSES,
        micro_batches=True,
        grid={"rank": (4, 8), "lr": (2e-4, 5e-4, 1e-3)},
        toy_settings={"lr": 2e-2, "upper_lr": 2e-2},
    )

    @override
    def increment(self, linear: nn.Linear, generator: torch.Generator) -> Increment:
        """A, B and m of one layer."""
        deviation = linear.in_features**-0.5 if self.config.deviation is None else self.config.deviation
        return DirectionAndMagnitude(linear.weight, self.config.rank, deviation, generator)
