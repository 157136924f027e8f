"""Methods that train some of the parameters that are there and leave the others as pretrained."""

from dataclasses import dataclass

import torch
from torch import Tensor

from amix.data import Batch
from amix.method import Groups, Method, MethodError, Model, register
from amix.modules import backbone, blocks, decay_groups, head_names, pretrained_pooler
from amix.training import Fit


@register
class TopKLayers(Method):
    """Finetune the top k Transformer blocks, the pooler and the head; embeddings and lower blocks stay pretrained.

    Houlsby et al. (2019), section 3.4 ("variable fine-tuning"), who sweep k; a k above the number of blocks means all.
    The variant in Sai-Ashish/BFTSS, topk_freeze.py, which AGWM's baseline probably descends from, trains the embeddings
    too (`freeze_embeddings: false`) and names the highest frozen block, counted from 0: its i is k = blocks - 1 - i.
    """

    @dataclass(frozen=True)
    class Config:
        """k: blocks to train from the top, 0 for none."""

        k: int = 3
        freeze_embeddings: bool = True

    name = "topk_layers"
    paper = "Houlsby et al., ICML 2019"
    year = 2019
    kind = "layers"
    null = {"k": 1000, "freeze_embeddings": False}
    parity = "matched: the same parameters train (topk_bert, topk_roberta)"
    grid = {"k": (1, 2, 3, 5)}

    def prepare(self, model: Model, fit: Fit) -> Model:
        """Freeze what lies below the top k blocks."""
        if self.config.k < 0:
            raise MethodError(f"{self.name}: k must be 0 or more, not {self.config.k}")
        all_blocks = blocks(model)
        lower = all_blocks[: max(0, len(all_blocks) - self.config.k)]
        if self.config.freeze_embeddings:
            backbone(model).requires_grad_(False)
            for module in (*all_blocks[len(lower) :], *pretrained_pooler(model)):
                module.requires_grad_(True)
        for block in lower:
            block.requires_grad_(False)
        return model


@register
class LinearProbe(Method):
    """Train the head alone, on the features of the frozen body without dropout.

    BERT's pretrained pooler belongs to the body and stays frozen; the heads of RoBERTa and DeBERTa-v2 begin with a new
    dense layer, which trains, so that there the probe is not linear. Alain and Bengio (2017), section 3. It has a
    learning rate of its own, because that of full finetuning does not move a new head far (`lr: null` takes the
    recipe's); the paper's probes are trained until they converge, for which few epochs are a short budget.
    """

    @dataclass(frozen=True)
    class Config:
        """lr: learning rate of the head."""

        lr: float | None = 1e-3

    name = "linear_probe"
    paper = "Alain and Bengio, ICLR Workshop 2017"
    year = 2017
    kind = "layers"
    passes = 0.5  # A forward pass, and a backward pass that ends below the head.
    parity = "no official code"
    grid = {"lr": (3e-4, 1e-3, 3e-3, 1e-2, 3e-2)}

    def prepare(self, model: Model, fit: Fit) -> Model:
        """Freeze the body."""
        backbone(model).requires_grad_(False)
        return model

    def param_groups(self, model: Model, fit: Fit) -> Groups:
        """The head, at the learning rate of the method."""
        groups = super().param_groups(model, fit)
        return groups if self.config.lr is None else [group | {"lr": self.config.lr} for group in groups]

    def loss(self, model: Model, batch: Batch, fit: Fit) -> Tensor:
        """The task's loss in evaluation mode, in which an example has the same features at every epoch."""
        model.eval()
        return super().loss(model, batch, fit)


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
