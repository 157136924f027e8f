"""Uniform soup: how much of the mixup's gain remains if only its averaging is kept."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor
from typing_extensions import override

from amix.agwm.splits import SplitConfig, split_fit
from amix.specs.recipe import Recipe
from amix.training.fit import Fit
from amix.training.loop import train
from amix.training.method import Method, Model
from amix.training.method_info import MethodInfo
from amix.training.multi_stage import MultiStageMethod
from amix.training.registry import register
from amix.training.weight_averaging import RunningMean, restore, snapshot


@dataclass(frozen=True)
class SoupConfig(SplitConfig):
    """Splits as in AGWM's search. finetune: whether a second stage on the whole subset follows."""

    finetune: bool = True


@register
class Soup(MultiStageMethod):
    """Average the weights of K plain finetunings on random 80 % splits, then finetune on the whole subset.

    This is the mixup's procedure without attention: the same seed gives the same splits, batches, dropout masks and
    head. Every split starts from the same weights, as in uniform model soups.

    No official code.
    """

    name = "soup"
    info = MethodInfo(
        paper="Wortsman et al., ICML 2022 (uniform soup), over splits of the training set",
        year=2022,
        kind="control",
        parity="no official code",
        micro_batches=True,
        null={"splits": 0},
        toy_settings={"splits": 2},
    )
    Config: ClassVar[type] = SoupConfig

    @override
    def run(self, model: Model, fit: Fit) -> Model:
        """Train every split from the same start, average, finetune."""
        start = snapshot(model, fit.pretrained)
        mean = RunningMean()
        for weights in self.stage_weights(model, fit):
            mean.add(weights)
            restore(model, start)
        if mean.count:
            mean.write(_trained(model))
        del start, mean
        return train(self, model, fit) if self.config.finetune else model

    @override
    def stages(self) -> int:
        """One stage per split."""
        return int(self.config.splits)

    @override
    def run_stage(self, model: Model, fit: Fit, number: int) -> dict[str, Tensor]:
        """Plain finetuning on one split."""
        train(Method(), model, split_fit(self.config, fit, number)[0])
        return _trained(model)

    @override
    def relative_passes(self, n_train: int, recipe: Recipe) -> float:
        """Splits and finetuning together, relative to plain finetuning with the same recipe."""
        config: SoupConfig = self.config
        plain = recipe.total_steps(n_train)
        return (config.splits * config.iterations(n_train, recipe.batch_size) + plain * config.finetune) / plain


def _trained(model: Model) -> dict[str, Tensor]:
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
