"""Methods that train few new parameters beside the frozen encoder, through peft."""

import copy
from dataclasses import dataclass

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
)


def attention_targets(model: nn.Module) -> list[str]:
    """Last parts of the names of the query and value projections.

    Errors: MethodError that lists the linear layers when no known family's names are there.
    """
    modules = [name for name, module in backbone(model).named_modules() if list(module.parameters(recurse=False))]
    endings = {name.rsplit(".", 1)[-1] for name in modules}
    for names in QUERY_AND_VALUE:
        if endings.issuperset(names):
            return list(names)
    raise MethodError(
        f"no query and value projections known in {type(model).__name__}; name them with `targets`. "
        f"Names there: {', '.join(sorted(endings))}"
    )


@register
class LoRA(Method):
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
    kind = "parameter-efficient"
    parity = "peft's own implementation"
    grid = {"rank": (4, 8, 16), "lr": (2e-4, 5e-4, 1e-3)}

    def prepare(self, model: Model, fit: Fit) -> Model:
        """Freeze the body and put the adapters into it; the model itself stays, with its class and its hooks."""
        from peft import LoraConfig, LoraModel  # Takes seconds to import, which plans need not wait for.

        settings = LoraConfig(
            r=self.config.rank,
            lora_alpha=self.config.alpha,
            lora_dropout=self.config.dropout,
            target_modules=list(self.config.targets) or attention_targets(model),
        )
        head = head_names(model)
        with kept_random_state(fit.device):
            torch.manual_seed(derive(fit.seed, "method", "adapters"))
            self.adapted = LoraModel(model, {"default": settings}, "default")
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(parameter.requires_grad or name in head)
        return model

    def param_groups(self, model: Model, fit: Fit) -> Groups:
        """Adapters and head, at the learning rate of the method."""
        groups = super().param_groups(model, fit)
        return groups if self.config.lr is None else [group | {"lr": self.config.lr} for group in groups]

    def export(self, model: Model, fit: Fit) -> Model:
        """A plain copy with the adapters merged into the weights; the training model stays as it is."""
        merged = copy.deepcopy(self.adapted).merge_and_unload()
        assert isinstance(merged, nn.Module)
        return merged
