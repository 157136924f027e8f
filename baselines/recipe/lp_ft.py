"""LP-FT: train the head first, then everything."""

from dataclasses import dataclass, replace

from typing_extensions import override

from amix.models.architecture import backbone, trainable
from amix.specs.recipe import Recipe
from amix.training.fit import Fit
from amix.training.loop import train
from amix.training.method import Model
from amix.training.method_info import MethodInfo
from amix.training.multi_stage import MultiStageMethod
from amix.training.registry import register
from baselines.layers.linear_probe import LinearProbe


@register
class LPFT(MultiStageMethod):
    """LP-FT: train the head on the frozen body first (linear probing), then finetune everything from that head.

    Kumar et al. (2022): once the head fits the pretrained features, finetuning distorts them less. Their code
    (AnanyaKumar/transfer_learning) is for images: features without dropout, logistic regression with a penalty chosen
    on validation data, then finetuning. Departs in the first stage, which here is a few epochs of gradient descent on
    features without dropout: it works for every head and for regression, and does not use the dev set. The second
    stage has the batches, dropout masks and steps of plain finetuning.

    Official options that change numbers (unlabeled_extrapolation/log_reg_sk.py): num_reg_values penalties are tried and
    the best by val_metric is kept; neither is here, see above. The options of their finetuning are the recipe's.
    """

    @dataclass(frozen=True)
    class Config:
        """probe_epochs, probe_lr: of the first stage, which has the recipe's schedule over those epochs."""

        probe_epochs: int = 10
        probe_lr: float = 1e-3

    name = "lp_ft"
    info = MethodInfo(
        paper="Kumar et al., ICLR 2022",
        year=2022,
        kind="recipe",
        parity="departs: the official code is for images and fits the head by logistic regression",
        micro_batches=True,
        whole_passes=False,  # The probe's backward passes end below the head.
        null={"probe_epochs": 0},
        grid={"probe_epochs": (5, 10, 20), "probe_lr": (3e-4, 1e-3, 3e-3)},
    )

    @override
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

    @override
    def relative_passes(self, n_train: int, recipe: Recipe) -> float:
        """Probing plus plain finetuning."""
        probe = self.probe_recipe(recipe).total_steps(n_train) if self.config.probe_epochs else 0
        return 1.0 + LinearProbe.info.passes * probe / recipe.total_steps(n_train)
