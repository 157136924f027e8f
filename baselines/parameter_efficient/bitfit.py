"""BitFit: only the biases and the head train."""

from dataclasses import dataclass

import torch
from typing_extensions import override

from amix.models.architecture import decay_groups, head_names, pretrained_pooler
from amix.specs.recipe import Recipe
from amix.specs.suggestions import nearest
from amix.specs.task import Task
from amix.training.fit import Fit
from amix.training.method import Groups, Method, MethodError, Model
from amix.training.method_info import MethodInfo
from amix.training.registry import register

BIAS_TERMS = {
    "query": "attention.self.query.bias",
    "key": "attention.self.key.bias",
    "value": "attention.self.value.bias",
    "attention_layernorm": "attention.output.LayerNorm.bias",
    "intermediate": "intermediate.dense.bias",
    "output": "output.dense.bias",
    "output_layernorm": "output.LayerNorm.bias",
    "all": "bias",
}
"""Official names of bias terms, each with the pattern that the names of its parameters contain.

A pattern may match more than its term: `output` also matches attention.output.dense, and `output_layernorm` also the
attention's LayerNorm.
"""


@register
class BitFit(Method):
    """BitFit: train the biases, those of LayerNorms included, and the head.

    Ben-Zaken et al. (2022), section 3; official code: benzakenelad/BitFit, glue_evaluator.py, whose constant learning
    rate without warm-up and weight decay is the default here (`constant_lr: false` uses the recipe's schedule). The
    pretrained pooler's bias trains whatever the terms, its weight never. RoBERTa's head begins with a dense layer,
    which trains in full. The paper runs 16 epochs with batches of 8; a few epochs are a small budget.

    Official options that change numbers (run_glue.py): bias-terms is `terms`, with the same names (the paper's section
    4 trains only query and intermediate); learning-rate is `lr`; epochs and batch-size are the recipe's; optimizer adam
    or adamw makes no difference without weight decay; fine-tune-type full_ft is plain finetuning and frozen is
    `linear_probe`; its random subsets (rand_uniform, rand_row_col) are not here, but `random_mask` is similar.
    """

    @dataclass(frozen=True)
    class Config:
        """terms: names from BIAS_TERMS; empty for all biases. lr: null uses the recipe's."""

        lr: float | None = 1e-3
        constant_lr: bool = True
        terms: tuple[str, ...] = ()

        def __post_init__(self) -> None:
            unknown = [term for term in self.terms if term not in BIAS_TERMS]
            if unknown:
                raise MethodError(f"bitfit has no bias term '{unknown[0]}'; {nearest(unknown[0], BIAS_TERMS)}")

    name = "bitfit"
    info = MethodInfo(
        paper="Ben-Zaken et al., ACL 2022",
        year=2022,
        kind="parameter-efficient",
        parity="matched: the same parameters train",
        cases=("bitfit_*",),
        grid={"lr": (1e-4, 3e-4, 1e-3, 3e-3), "constant_lr": (True, False)},
        toy_settings={"lr": 2e-2, "constant_lr": False},
        toy_epochs=40,
    )

    @override
    def check_encoder(self, model: Model, task: Task, recipe: Recipe) -> None:
        """Find a bias for every term.

        Raises:
            MethodError: If a term matches no bias of this encoder.
        """
        head = head_names(model)
        body = [name for name, _ in model.named_parameters() if name not in head and name.endswith("bias")]
        for term in self.config.terms:
            if not any(BIAS_TERMS[term] in name for name in body):
                raise MethodError(
                    f"bitfit: no bias of {type(model).__name__} belongs to the term '{term}': no parameter's name "
                    f"contains '{BIAS_TERMS[term]}'; leave terms empty to train all biases"
                )

    @override
    def prepare(self, model: Model, fit: Fit) -> Model:
        """Freeze everything but the chosen biases and the head."""
        self.check_encoder(model, fit.task, fit.recipe)
        head = head_names(model)
        pooler = {id(parameter) for module in pretrained_pooler(model) for parameter in module.parameters()}
        for name, parameter in model.named_parameters():
            bias = name.endswith("bias") and (id(parameter) in pooler or self.chosen(name))
            parameter.requires_grad_(bias or name in head)
        return model

    def chosen(self, name: str) -> bool:
        """Whether the bias of this name belongs to one of the terms."""
        return not self.config.terms or any(BIAS_TERMS[term] in name for term in self.config.terms)

    @override
    def param_groups(self, model: Model, fit: Fit) -> Groups:
        """Biases and head, at one learning rate and without weight decay."""
        groups = decay_groups(model, 0.0)
        return groups if self.config.lr is None else [group | {"lr": self.config.lr} for group in groups]

    @override
    def schedule(self, optimizer: torch.optim.Optimizer, fit: Fit) -> torch.optim.lr_scheduler.LRScheduler:
        """A constant learning rate, or the recipe's schedule."""
        if not self.config.constant_lr:
            return super().schedule(optimizer, fit)
        return torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0)
