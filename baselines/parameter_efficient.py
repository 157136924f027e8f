"""Low-rank adapters beside the frozen encoder, through peft, and what all methods through peft share."""

import copy
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import nn

from amix.method import Groups, Method, MethodError, Model, register
from amix.modules import backbone, head_names
from amix.seeds import derive, kept_random_state
from amix.training import Fit

QUERY_AND_VALUE = (
    ("query", "value"),  # BERT, RoBERTa, ELECTRA, ALBERT
    ("query_proj", "value_proj"),  # DeBERTa-v2
    ("q_lin", "v_lin"),  # DistilBERT
    ("q_proj", "v_proj"),  # most decoders
    ("in_proj",),  # DeBERTa, fused
    ("Wqkv",),  # ModernBERT, fused
    ("c_attn",),  # GPT-2, fused
    ("q", "v"),  # MPNet, T5
)
KEY_AND_VALUE = (("key", "value"), ("key_proj", "value_proj"), ("k_lin", "v_lin"), ("k_proj", "v_proj"), ("k", "v"))


def attention_targets(model: nn.Module, families: tuple[tuple[str, ...], ...] = QUERY_AND_VALUE) -> list[str]:
    """Last parts of the names of the query and value projections, or of those of another table of families.

    Errors: MethodError that lists the linear layers when no known family's names are there.
    """
    modules = [name for name, module in backbone(model).named_modules() if list(module.parameters(recurse=False))]
    endings = {name.rsplit(".", 1)[-1] for name in modules}
    for names in families:
        if endings.issuperset(names):
            return list(names)
    raise MethodError(
        f"no {' and '.join(families[0])} projections known in {type(model).__name__}; name them with `targets`. "
        f"Names there: {', '.join(sorted(endings))}"
    )


class PeftMethod(Method):
    """A frozen body with peft's modules in it and a head that trains; the modules merge into the body at the end.

    BERT's pretrained pooler stays frozen, as with peft's own classifier, while the new dense layer in the heads of
    RoBERTa and DeBERTa-v2 trains. Full finetuning's learning rate hardly moves these modules, so that each method has
    one of its own (`lr: null` takes the recipe's).
    """

    kind = "parameter-efficient"
    parity = "departs: peft's implementation, not compared with numbers of the official code"

    def settings(self, model: Model, fit: Fit) -> Any:
        """peft's configuration for this model."""
        raise NotImplementedError

    def prepare(self, model: Model, fit: Fit) -> Model:
        """Freeze the body and put peft's modules into it; the model itself stays, with its class and its hooks."""
        from peft.mapping import PEFT_TYPE_TO_TUNER_MAPPING  # Takes seconds to import, which plans need not wait for.

        settings = self.settings(model, fit)
        head = head_names(model)
        with kept_random_state(fit.device), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Unsupported layer type", UserWarning)  # LayerNorm, which peft supports.
            torch.manual_seed(derive(fit.seed, "method", "adapters"))
            self.adapted = PEFT_TYPE_TO_TUNER_MAPPING[settings.peft_type](model, {"default": settings}, "default")
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(parameter.requires_grad or name in head)
        return model

    def param_groups(self, model: Model, fit: Fit) -> Groups:
        """peft's modules and the head, at the learning rate of the method."""
        return at_own_lr(super().param_groups(model, fit), self.config.lr)

    def export(self, model: Model, fit: Fit) -> Model:
        """A plain copy with peft's modules merged into the weights; the training model stays as it is."""
        merged = copy.deepcopy(self.adapted).merge_and_unload()
        assert isinstance(merged, nn.Module)
        return merged


def at_own_lr(groups: Groups, lr: float | None) -> Groups:
    """The groups at a learning rate of their own; None leaves them at the recipe's."""
    return groups if lr is None else [group | {"lr": lr} for group in groups]


@register
class LoRA(PeftMethod):
    """LoRA: W = W0 + (alpha / rank) B A on the query and value projections, with B = 0 at the start.

    W0 stays as pretrained and the head trains. Hu et al. (2022), section 4.1, through peft. Rank and
    alpha are peft's defaults; it has a learning rate of its own because that of full finetuning does not train it
    (`lr: null` takes the recipe's). The paper runs 10 to 80 epochs; 300 examples and 3 epochs are a short budget. As
    with peft's own classifier, BERT's pretrained pooler stays frozen while RoBERTa's new dense layer trains.
    """

    @dataclass(frozen=True)
    class Config:
        """targets: endings of module names to adapt; empty for the query and value projections."""

        rank: int = 8
        alpha: float = 8.0
        dropout: float = 0.0
        lr: float | None = 5e-4
        targets: tuple[str, ...] = ()

    name = "lora"
    paper = "Hu et al., ICLR 2022"
    year = 2022
    grid = {"rank": (4, 8, 16), "lr": (2e-4, 5e-4, 1e-3)}
    variant: ClassVar[Mapping[str, Any]] = {}

    def settings(self, model: Model, fit: Fit) -> Any:
        """Rank, alpha and targets, and what makes the variant."""
        from peft import LoraConfig

        return LoraConfig(
            r=self.config.rank,
            lora_alpha=self.config.alpha,
            lora_dropout=self.config.dropout,
            target_modules=list(self.config.targets) or attention_targets(model),
            **self.variant,
        )


@register
class DoRA(LoRA):
    """DoRA: W = m (W0 + (alpha / rank) B A) / ||W0 + (alpha / rank) B A||, norms per output unit, with m trained too.

    Liu et al. (2024), section 4, through peft; m starts as the norms of W0, so that W starts as W0. Settings as for
    lora, which the paper compares at equal ranks and learning rates.
    """

    name = "dora"
    paper = "Liu et al., ICML 2024"
    year = 2024
    variant = {"use_dora": True}


@register
class RsLoRA(LoRA):
    """rsLoRA: LoRA scaled by alpha / sqrt(rank), so that larger ranks keep learning.

    Kalajdzievski (2023), theorem 3.2, through peft. At rank 8 its step is 2.8 times that of lora; its purpose is
    larger ranks.
    """

    name = "rslora"
    paper = "Kalajdzievski, arXiv 2023"
    year = 2023
    variant = {"use_rslora": True}
    grid = {"rank": (8, 32, 64), "lr": (2e-4, 5e-4, 1e-3)}
