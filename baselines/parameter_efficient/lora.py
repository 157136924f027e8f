"""LoRA: low-rank adapters of a frozen encoder."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from typing_extensions import override

from amix.specs.recipe import Share
from amix.specs.spec_model import Count
from amix.training.fit import Fit
from amix.training.method import Model
from amix.training.method_info import MethodInfo
from amix.training.registry import register
from baselines.parameter_efficient._peft import PARITY, PeftMethod


@register
class LoRA(PeftMethod):
    """LoRA: W = W0 + (alpha / rank) B A on the query and value projections, with B = 0 at the start.

    W0 is frozen and the head trains. Hu et al. (2022), section 4.1, through peft. Rank and alpha are peft's defaults;
    lr is higher than full finetuning's, which hardly trains the adapters (`lr: null` uses the recipe's). The paper runs
    10 to 80 epochs; 300 examples and 3 epochs are a small budget. As in peft's own classifier, BERT's pretrained pooler
    stays frozen while RoBERTa's new dense layer trains.

    Official options that change numbers (microsoft/LoRA, examples/NLU, run_glue.py): lora_r is `rank`, lora_alpha
    `alpha` (16 in their RoBERTa scripts); lora_path starts from adapters trained on another task (their scripts for
    RTE, MRPC and STS-B take MNLI's) and is not available here; cls_dropout, the head's dropout, is the encoder's here;
    reg_loss_wgt and masking_prob, 0 unless set, are not available here; apply_adapter and apply_bitfit are the rows
    adapter and bitfit.
    """

    @dataclass(frozen=True)
    class Config:
        """targets: last parts of names; empty for the query and value projections. lr: null uses the recipe's."""

        rank: Count = 8
        alpha: float = 8.0
        dropout: Share = 0.0
        lr: float | None = 5e-4
        targets: tuple[str, ...] = ()

    name = "lora"
    info = MethodInfo(
        paper="Hu et al., ICLR 2022",
        year=2022,
        kind="parameter-efficient",
        parity=PARITY,
        grid={"rank": (4, 8, 16), "lr": (2e-4, 5e-4, 1e-3)},
        toy_settings={"lr": 2e-2, "rank": 8, "alpha": 16.0},
    )
    variant: ClassVar[Mapping[str, Any]] = {}

    @override
    def settings(self, model: Model, fit: Fit) -> Any:
        """peft's configuration: rank, alpha, targets and the variant."""
        from peft import LoraConfig

        return LoraConfig(
            r=self.config.rank,
            lora_alpha=self.config.alpha,
            lora_dropout=self.config.dropout,
            target_modules=self.targets(model),
            **self.variant,
        )
