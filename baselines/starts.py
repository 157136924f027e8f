"""Methods that change where finetuning starts: other weights in the body, or a head that is trained already."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from amix.method import Method, MethodError, Model, register
from amix.modules import backbone, blocks, initialise, pretrained_pooler, trainable
from amix.recipe import Recipe
from amix.seeds import tensor_generator
from amix.training import Fit, train
from baselines.layers import LinearProbe


@register
class ReInit(Method):
    """Draw the top L blocks and the pooler anew: weights N(0, sd), biases 0, LayerNorms 1 and 0.

    Zhang et al. (2021), section 5; official code: asappresearch/revisit-bert-finetuning, run_glue.py. The standard
    deviation is the encoder's own (0.02 for BERT). The paper chooses L from 1 to 6 of 24 blocks by validation, 5 in its
    sample script for RTE; on six blocks, one is the share that four are there, hence the default. Poolers that belong
    to the head (RoBERTa, DeBERTa-v2) are new under every method; an L above the number of blocks means all.
    """

    @dataclass(frozen=True)
    class Config:
        """layers: the paper's L; 0 leaves the pooler as pretrained too."""

        layers: int = 1

        def __post_init__(self) -> None:
            if self.layers < 0:
                raise MethodError(f"re-initialisation needs 0 or more layers, not {self.layers}")

    name = "reinit"
    paper = "Zhang et al., ICLR 2021"
    year = 2021
    kind = "recipe"
    null = {"layers": 0}
    parity = "matched: every tensor kept, 0, 1 or drawn as there (reinit_top2)"
    grid = {"layers": (1, 2, 3, 4, 5, 6)}

    def prepare(self, model: Model, fit: Fit) -> Model:
        """Draw before anything trains."""
        if self.config.layers:
            top = blocks(model)[-self.config.layers :]
            modules = (module for part in (*top, *pretrained_pooler(model)) for module in part.modules())
            deviation = getattr(model.config, "initializer_range", 0.02)
            initialise(modules, deviation, tensor_generator(fit.seed, "method", "blocks"))
        return model


@register
class NoisyTune(Method):
    """NoisyTune: W <- W + strength * std(W) * U(-1/2, 1/2) for every tensor of the body, once, before finetuning.

    Wu et al. (2022), equation 1; LayerNorms and biases included, and a tensor that is constant stays so. The authors'
    snippet of code is meant for the pretrained model; HyPe's implementation (Yuanhy1997/HyPe, main.py), the published
    one that runs, applies it to the new head too (`perturb_head`).
    """

    @dataclass(frozen=True)
    class Config:
        """strength: the paper's lambda."""

        strength: float = 0.15
        perturb_head: bool = False

    name = "noisytune"
    paper = "Wu et al., ACL 2022"
    year = 2022
    kind = "recipe"
    null = {"strength": 0.0}
    parity = "matched: parameters to 2e-16 (noisytune, with perturb_head)"
    overhead_limit = 1.10
    grid = {"strength": (0.1, 0.15, 0.2), "perturb_head": (False, True)}

    @torch.no_grad()
    def prepare(self, model: Model, fit: Fit) -> Model:
        """Perturb before anything trains."""
        parameters = list((model if self.config.perturb_head else backbone(model)).parameters())
        self.generator = tensor_generator(fit.seed, "method", "noise", device=parameters[0].device)
        for parameter in parameters:
            if parameter.numel() > 1:  # A single number has no deviation.
                noise = self.draw_uniform(parameter).sub_(0.5)
                parameter.add_(noise.mul_(self.config.strength * parameter.std()))
        return model

    def draw_uniform(self, like: Tensor) -> Tensor:
        """Numbers in [0, 1), one for each entry."""
        return torch.empty_like(like).uniform_(generator=self.generator)


@register
class LPFT(Method):
    """LP-FT: train the head on the frozen body first (linear probing), then finetune everything from that head.

    Kumar et al. (2022): once the head fits the pretrained features, finetuning distorts them less. Their code
    (AnanyaKumar/transfer_learning) is for images: features without dropout, logistic regression with its penalty chosen
    on validation data, then finetuning. Departs from it in the first stage, which here takes some epochs of gradient
    descent on features without dropout: the same for every head and for regression, and without a look at the dev set.
    The second stage has the batches, dropout and steps of plain finetuning.
    """

    @dataclass(frozen=True)
    class Config:
        """probe_epochs, probe_lr: training of the head, with the recipe's schedule over those epochs."""

        probe_epochs: int = 10
        probe_lr: float = 1e-3

    name = "lp_ft"
    paper = "Kumar et al., ICLR 2022"
    year = 2022
    kind = "recipe"
    null = {"probe_epochs": 0}
    parity = "departs: the official code is for images and fits the head by logistic regression"
    grid = {"probe_epochs": (5, 10, 20), "probe_lr": (3e-4, 1e-3, 3e-3)}

    def run(self, model: Model, fit: Fit) -> Model:
        """Probe, then finetune."""
        if self.config.probe_epochs:
            body = trainable(backbone(model))
            probe = LinearProbe(LinearProbe.Config(lr=self.config.probe_lr))
            train(probe, probe.prepare(model, fit), fit.for_stage("probe", recipe=self.probe_recipe(fit.recipe)))
            for parameter in body:
                parameter.requires_grad_(True)
        return train(self, model, fit)

    def probe_recipe(self, recipe: Recipe) -> Recipe:
        """The recipe of the first stage."""
        return replace(recipe, epochs=self.config.probe_epochs, steps=None)

    def relative_passes(self, n_train: int, recipe: Recipe) -> float:
        """Probing comes first."""
        probe = self.probe_recipe(recipe).total_steps(n_train) if self.config.probe_epochs else 0
        return 1.0 + LinearProbe.passes * probe / recipe.total_steps(n_train)
