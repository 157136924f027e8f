"""AdaLoRA: low-rank adapters with adaptive ranks."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from typing_extensions import override

from amix.data.encoded import Batch
from amix.mixup.linears import block_linears
from amix.specs.recipe import Share
from amix.specs.spec_model import Count
from amix.training.fit import Fit
from amix.training.method import Model
from amix.training.method_info import MethodInfo
from amix.training.registry import register
from baselines.parameter_efficient._peft import PARITY, PeftMethod


@register
class AdaLoRA(PeftMethod):
    """AdaLoRA: W = W0 + (alpha / rank) P diag(e) Q; the least important triplets are pruned to `rank` on average.

    Zhang et al. (2023), algorithm 1, through peft: importance is smoothed sensitivity |w g| times its uncertainty; the
    budget falls cubically between the first `init_share` and the last `final_share` of all updates; the loss has an
    additional term, `orthogonality` times the mean of ||P'P - I|| and ||QQ' - I||, which peft adds only to losses that
    transformers computes. On all linear layers of the blocks, as there. Shares, alpha, orthogonality and lr are those
    for RTE (QingruZhang/AdaLoRA, NLU/scripts/run_debertav3_rte.sh: 600 and 1800 of 3900 updates); ranks are peft's.
    Pruning synchronises with the device once per update.

    Official options that change numbers (loralib/adalora.py, NLU/scripts): target_rank and lora_r are `rank` and
    `initial_rank` (1 and 2 there), lora_alpha `alpha`, reg_orth_coef `orthogonality`, init_warmup and final_warmup, in
    updates, the two shares; mask_interval 1 and beta1 = beta2 = 0.85 are fixed at their scripts' values, which peft has
    too; target_total_rank and cls_dropout (0.2 there) are not available here; lora_module is `targets`.
    """

    @dataclass(frozen=True)
    class Config:
        """initial_rank: of every matrix at the start. targets: module names or endings; empty for all linear layers."""

        rank: Count = 8
        initial_rank: Count = 12
        alpha: float = 32.0
        dropout: Share = 0.0
        lr: float | None = 1.2e-3
        init_share: Share = 0.15
        final_share: Share = 0.46
        orthogonality: float = 0.3
        targets: tuple[str, ...] = ()

    name = "adalora"
    info = MethodInfo(
        paper="Zhang et al., ICLR 2023",
        year=2023,
        kind="parameter-efficient",
        parity=PARITY,
        micro_batches=True,
        grid={"rank": (4, 8), "lr": (5e-4, 1.2e-3, 2e-3)},
        toy_settings={"lr": 2e-2},
    )

    @override
    def usual_targets(self, model: Model) -> list[str]:
        """All linear layers of the blocks."""
        return [name for name in block_linears(model) if "pooler" not in name]

    @override
    def settings(self, model: Model, fit: Fit) -> Any:
        """peft's configuration: ranks, and the schedule of the budget in updates."""
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
            target_modules=self.targets(model),
        )

    @override
    def on_fit_start(self, model: Model, fit: Fit) -> None:
        """Collect the triplets: P is peft's lora_B, Q its lora_A."""
        adapters = {name: parameter for name, parameter in model.named_parameters() if "lora_" in name}
        self.adapters = list(adapters.values())
        self.p = [parameter for name, parameter in adapters.items() if "lora_B" in name]
        self.q = [parameter for name, parameter in adapters.items() if "lora_A" in name]

    @override
    def loss(self, model: Model, batch: Batch, fit: Fit) -> torch.Tensor:
        """The task's loss plus the orthogonality penalty."""
        identity = torch.eye(self.config.initial_rank, device=fit.device)
        products = [*(p.T @ p for p in self.p), *(q @ q.T for q in self.q)]
        penalty = torch.stack([(product - identity).norm() for product in products]).mean()
        return super().loss(model, batch, fit) + self.config.orthogonality * penalty

    @override
    def before_step(self, model: Model, fit: Fit) -> None:
        """Store the gradients, because importance is computed after the update, as in the official code."""
        self.gradients = [parameter.grad for parameter in self.adapters]

    @override
    def after_step(self, model: Model, fit: Fit) -> None:
        """Prune to the budget of this update."""
        for parameter, gradient in zip(self.adapters, self.gradients, strict=True):
            parameter.grad = gradient
        self.adapted.update_and_allocate(fit.step)
        for parameter in self.adapters:
            parameter.grad = None
