"""Further methods that train few parameters through peft: adaptive ranks, random projections, scales, rotations."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from amix.data import Batch
from amix.method import MethodError, Model, register
from amix.modules import backbone
from amix.seeds import derive
from amix.training import Fit
from amix.weights import block_linears
from baselines.parameter_efficient import KEY_AND_VALUE, PeftMethod, attention_targets


@register
class AdaLoRA(PeftMethod):
    """AdaLoRA: W = W0 + (alpha / rank) P diag(e) Q, whose triplets of least importance are cut until `rank` are left.

    Zhang et al. (2023), algorithm 1, through peft: importance is smoothed sensitivity |w g| times its uncertainty; the
    budget falls cubically between the first `init_share` and the last `final_share` of all updates; the loss has
    `orthogonality` times the mean of ||P'P - I|| and ||QQ' - I||, which peft adds only to losses that transformers
    computes. On all linear layers of the blocks, as there. Shares, alpha, orthogonality and lr are those of RTE
    (QingruZhang/AdaLoRA, NLU/scripts/run_debertav3_rte.sh: 600 and 1800 of 3900 updates), ranks are peft's.
    Cutting waits for the device once per update.
    """

    @dataclass(frozen=True)
    class Config:
        """initial_rank: of every matrix at the start. targets: endings of names; empty for all linears in blocks."""

        rank: int = 8
        initial_rank: int = 12
        alpha: float = 32.0
        dropout: float = 0.0
        lr: float | None = 1.2e-3
        init_share: float = 0.15
        final_share: float = 0.46
        orthogonality: float = 0.3
        targets: tuple[str, ...] = ()

    name = "adalora"
    paper = "Zhang et al., ICLR 2023"
    year = 2023
    grid = {"rank": (4, 8), "lr": (5e-4, 1.2e-3, 2e-3)}

    def settings(self, model: Model, fit: Fit) -> Any:
        """Ranks, and the budget's course in updates."""
        from peft import AdaLoraConfig

        steps = fit.recipe.total_steps(len(fit.train))
        return AdaLoraConfig(
            target_r=self.config.rank,
            init_r=self.config.initial_rank,
            lora_alpha=self.config.alpha,
            lora_dropout=self.config.dropout,
            tinit=int(self.config.init_share * steps),
            tfinal=math.ceil(self.config.final_share * steps),
            total_step=steps,
            target_modules=list(self.config.targets) or [n for n in block_linears(model) if "pooler" not in n],
        )

    def on_fit_start(self, model: Model, fit: Fit) -> None:
        """Find the triplets: P is peft's lora_B, Q its lora_A."""
        adapters = {name: parameter for name, parameter in model.named_parameters() if "lora_" in name}
        self.adapters = list(adapters.values())
        self.p = [parameter for name, parameter in adapters.items() if "lora_B" in name]
        self.q = [parameter for name, parameter in adapters.items() if "lora_A" in name]

    def loss(self, model: Model, batch: Batch, fit: Fit) -> torch.Tensor:
        """With the penalty on P and Q that are not orthogonal."""
        identity = torch.eye(self.config.initial_rank, device=fit.device)
        products = [*(p.T @ p for p in self.p), *(q @ q.T for q in self.q)]
        penalty = torch.stack([(product - identity).norm() for product in products]).mean()
        return super().loss(model, batch, fit) + self.config.orthogonality * penalty

    def before_step(self, model: Model, fit: Fit) -> None:
        """Keep the gradients: importance is taken after the update, as in the official code."""
        self.gradients = [parameter.grad for parameter in self.adapters]

    def after_step(self, model: Model, fit: Fit) -> None:
        """Cut to the budget of this update."""
        for parameter, gradient in zip(self.adapters, self.gradients, strict=True):
            parameter.grad = gradient
        self.adapted.update_and_allocate(fit.step)
        for parameter in self.adapters:
            parameter.grad = None


@register
class VeRA(PeftMethod):
    """VeRA: W = W0 + diag(b) B diag(d) A, with A and B random, frozen and shared by all layers; b and d train.

    Kopiczko et al. (2024), section 3, through peft, on the query and value projections; b starts at 0, d at 0.1. Rank
    and d are peft's, A and B come from the run's seed. Needs a larger learning rate than lora; the value is ours.
    """

    @dataclass(frozen=True)
    class Config:
        """initial: value of d. targets: endings of names; empty for the query and value projections."""

        rank: int = 256
        initial: float = 0.1
        dropout: float = 0.0
        lr: float | None = 4e-3
        targets: tuple[str, ...] = ()

    name = "vera"
    paper = "Kopiczko et al., ICLR 2024"
    year = 2024
    grid = {"rank": (256, 1024), "lr": (4e-3, 1e-2, 2e-2)}

    def settings(self, model: Model, fit: Fit) -> Any:
        """Rank, start and targets."""
        from peft import VeraConfig

        return VeraConfig(
            r=self.config.rank,
            d_initial=self.config.initial,
            vera_dropout=self.config.dropout,
            projection_prng_key=derive(fit.seed, "method", "projections") % 2**31,
            target_modules=list(self.config.targets) or attention_targets(model),
        )


@register
class IA3(PeftMethod):
    """(IA)3: learned scales on the keys, on the values and on the inner activations of the feed-forward layers.

    Liu et al. (2022), section 3.3, through peft; all scales start at 1. peft's own choice of targets for BERT scales
    the input of the attention's output layer as well; we keep to the paper. lr is the paper's, with Adafactor and 1000
    updates.
    """

    @dataclass(frozen=True)
    class Config:
        """lr: null takes the recipe's."""

        lr: float | None = 3e-3

    name = "ia3"
    paper = "Liu et al., NeurIPS 2022"
    year = 2022
    grid = {"lr": (1e-3, 3e-3, 1e-2)}

    def settings(self, model: Model, fit: Fit) -> Any:
        """Keys, values, and the layers that read the inner activations."""
        from peft import IA3Config

        inner = feedforward_outputs(model)
        targets = [*attention_targets(model, KEY_AND_VALUE), *inner]
        return IA3Config(target_modules=targets, feedforward_modules=inner)


def feedforward_outputs(model: nn.Module) -> list[str]:
    """Names of the second linear layers of the feed-forward parts: those that read more features than they give.

    Errors: MethodError when there are none.
    """
    linears = block_linears(model).items()
    names = [name for name, linear in linears if linear.in_features > linear.out_features]
    if not names:
        raise MethodError(f"no layer that closes a feed-forward part found in {type(model).__name__}")
    return names


@register
class LNTuning(PeftMethod):
    """LayerNorm tuning: only the gains and biases of the body's normalisation layers train, and the head.

    Qi et al. (2022), section 3, through peft. lr is ours. Of all methods here it changes the function least.
    """

    @dataclass(frozen=True)
    class Config:
        """lr: null takes the recipe's."""

        lr: float | None = 1e-3

    name = "ln_tuning"
    paper = "Qi et al., arXiv 2022; Zhao et al., ICLR 2024"
    year = 2022
    grid = {"lr": (5e-4, 1e-3, 2e-3, 5e-3)}

    def settings(self, model: Model, fit: Fit) -> Any:
        """All normalisation layers of the body."""
        from peft import LNTuningConfig

        inside = {id(module) for module in backbone(model).modules()}
        return LNTuningConfig(
            target_modules=[
                name
                for name, module in model.named_modules()
                if id(module) in inside and "norm" in type(module).__name__.lower()
            ]
        )


@register
class OFT(PeftMethod):
    """Orthogonal finetuning: the input of W0 is rotated by a block-diagonal orthogonal R = (I - Q)(I + Q)^-1.

    Qiu et al. (2023), section 3.2, through peft, on the query and value projections as for lora; Q is skew-symmetric
    and starts at 0. The transform (Cayley's) is exact here; peft's default is the first terms of a series
    (`series_terms`, 5 there). The paper finetunes image generators, so that block size and lr are peft's and ours.
    """

    @dataclass(frozen=True)
    class Config:
        """block_size: rows of a block. series_terms: 0 for the exact transform."""

        block_size: int = 32
        series_terms: int = 0
        dropout: float = 0.0
        lr: float | None = 1e-3
        targets: tuple[str, ...] = ()

    name = "oft"
    paper = "Qiu et al., NeurIPS 2023"
    year = 2023
    grid = {"block_size": (16, 32), "lr": (5e-4, 1e-3, 3e-3)}

    def settings(self, model: Model, fit: Fit) -> Any:
        """Blocks and targets."""
        from peft import OFTConfig

        return OFTConfig(
            oft_block_size=self.config.block_size,
            use_cayley_neumann=self.config.series_terms > 0,
            num_cayley_neumann_terms=max(1, self.config.series_terms),
            module_dropout=self.config.dropout,
            target_modules=list(self.config.targets) or attention_targets(model),
        )
