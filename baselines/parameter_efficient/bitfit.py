"""BitFit: training the biases alone."""

from dataclasses import dataclass

import torch

from amix.models.architecture import decay_groups, head_names, pretrained_pooler
from amix.training.fit import Fit
from amix.training.method import Groups, Method, Model
from amix.training.registry import register


@register
class BitFit(Method):
    """BitFit: train the biases, those of LayerNorms included, and the head.

    Ben-Zaken et al. (2022), section 3; official code: benzakenelad/BitFit, glue_evaluator.py, whose constant learning
    rate without warm-up and without weight decay is the default here (`constant_lr: false` takes the recipe's
    schedule). `terms` is its choice of bias terms, such as query and intermediate in the paper's section 4; the
    pretrained pooler's bias trains under every choice, its weight under none. RoBERTa's head begins with a dense layer,
    which trains in full. The paper runs 16 epochs with batches of 8; few epochs are a short budget.
    """

    @dataclass(frozen=True)
    class Config:
        """terms: parts of the names of the biases to train, empty for all. lr null: the recipe's."""

        lr: float | None = 1e-3
        constant_lr: bool = True
        terms: tuple[str, ...] = ()

    name = "bitfit"
    paper = "Ben-Zaken et al., ACL 2022"
    year = 2022
    kind = "parameter-efficient"
    parity = "matched: the same parameters train (bitfit_bert and bitfit_roberta, all and subset)"
    grid = {"lr": (1e-4, 3e-4, 1e-3, 3e-3), "constant_lr": (True, False)}

    def prepare(self, model: Model, fit: Fit) -> Model:
        """Freeze everything but the chosen biases and the head."""
        head = head_names(model)
        pooler = {id(parameter) for module in pretrained_pooler(model) for parameter in module.parameters()}
        for name, parameter in model.named_parameters():
            bias = name.endswith("bias") and (id(parameter) in pooler or self.chosen(name))
            parameter.requires_grad_(bias or name in head)
        return model

    def chosen(self, name: str) -> bool:
        """Whether this bias is one of the terms."""
        return not self.config.terms or any(term in name for term in self.config.terms)

    def param_groups(self, model: Model, fit: Fit) -> Groups:
        """One learning rate and no weight decay, in the head either."""
        groups = decay_groups(model, 0.0)
        return groups if self.config.lr is None else [group | {"lr": self.config.lr} for group in groups]

    def schedule(self, optimizer: torch.optim.Optimizer, fit: Fit) -> torch.optim.lr_scheduler.LRScheduler:
        """A constant learning rate, or the recipe's schedule on request."""
        if not self.config.constant_lr:
            return super().schedule(optimizer, fit)
        return torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0)
