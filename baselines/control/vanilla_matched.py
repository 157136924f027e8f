"""Plain finetuning with as many passes as the mixup: the effect of its extra steps alone."""

from dataclasses import replace
from typing import ClassVar

from typing_extensions import override

from amix.agwm.method import AGWM, AGWMConfig
from amix.specs.recipe import Recipe
from amix.training.fit import Fit
from amix.training.loop import train
from amix.training.method import Model
from amix.training.method_info import MethodInfo
from amix.training.multi_stage import MultiStageMethod
from amix.training.registry import register


@register
class VanillaMatched(MultiStageMethod):
    """Plain finetuning with as many forward and backward passes as the mixup with these settings, in one long run.

    No official code.
    """

    name = "vanilla_matched"
    info = MethodInfo(
        paper="Devlin et al., NAACL 2019",
        year=2019,
        kind="control",
        parity="no official code",
        micro_batches=True,
        null={"splits": 0},
        toy_settings={"splits": 1},
    )
    Config: ClassVar[type] = AGWMConfig

    @override
    def run(self, model: Model, fit: Fit) -> Model:
        """Train once, for longer."""
        steps = round(self.relative_passes(len(fit.train), fit.recipe) * fit.recipe.total_steps(len(fit.train)))
        return train(self, model, fit.for_stage(fit.stage, recipe=replace(fit.recipe, steps=steps)))

    @override
    def relative_passes(self, n_train: int, recipe: Recipe) -> float:
        """The mixup's passes."""
        return AGWM(self.config).relative_passes(n_train, recipe)
