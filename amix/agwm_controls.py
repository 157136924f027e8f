"""Controls: what remains of the mixup's gain when only its averaging, its extra steps or its dropout are kept."""

from dataclasses import dataclass, replace
from typing import ClassVar

from torch import Tensor

from amix.agwm import AGWM, AGWMConfig
from amix.agwm_search import SplitConfig, split_fit
from amix.method import Method, Model, register
from amix.modules import set_dropout
from amix.recipe import Recipe
from amix.training import Fit, train
from amix.weights import RunningMean, kept_weights, put_back


@dataclass(frozen=True)
class SoupConfig(SplitConfig):
    """Splits as in the search. finetune: whether the second stage on the whole subset takes place."""

    finetune: bool = True


@register
class Soup(Method):
    """K plain finetunings on random 80 % splits, their weights averaged, then finetuned on the whole subset.

    The mixup's procedure without attention: splits, batch order, dropout and head are the same for the same seed.
    Every split starts from the same weights, as in uniform model soups.
    """

    name = "soup"
    paper = "Wortsman et al., ICML 2022 (uniform soup), over splits of the training set"
    year = 2022
    kind = "control"
    parity = "no official code"
    Config: ClassVar[type] = SoupConfig
    null = {"splits": 0}

    def run(self, model: Model, fit: Fit) -> Model:
        """Train every split from the same start, average, finetune."""
        start = kept_weights(model, fit.pretrained)
        mean = RunningMean()
        for number in range(self.parts()):
            mean.add(fit.part(self, model, number))
            put_back(model, start)
        if mean.count:
            mean.write(_trained(model))
        del start, mean
        return train(self, model, fit) if self.config.finetune else model

    def parts(self) -> int:
        """The splits."""
        return int(self.config.splits)

    def part(self, model: Model, fit: Fit, number: int) -> dict[str, Tensor]:
        """Plain finetuning on one split."""
        train(Method(), model, split_fit(self.config, fit, number)[0])
        return _trained(model)

    def relative_passes(self, n_train: int, recipe: Recipe) -> float:
        """Splits and finetuning together, against plain finetuning with the same recipe."""
        config: SoupConfig = self.config
        plain = recipe.total_steps(n_train)
        return (config.splits * config.iterations(n_train, recipe.batch_size) + plain * config.finetune) / plain


def _trained(model: Model) -> dict[str, Tensor]:
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


@register
class VanillaMatched(Method):
    """Plain finetuning with as many forward and backward passes as the mixup with these settings, in one long run."""

    name = "vanilla_matched"
    paper = "Devlin et al., NAACL 2019"
    year = 2019
    kind = "control"
    parity = "no official code"
    Config: ClassVar[type] = AGWMConfig
    null = {"splits": 0}

    def run(self, model: Model, fit: Fit) -> Model:
        """One training, longer."""
        steps = round(self.relative_passes(len(fit.train), fit.recipe) * fit.recipe.total_steps(len(fit.train)))
        return train(self, model, fit.for_stage(fit.stage, recipe=replace(fit.recipe, steps=steps)))

    def relative_passes(self, n_train: int, recipe: Recipe) -> float:
        """Those of the mixup."""
        return AGWM(self.config).relative_passes(n_train, recipe)


@register
class VanillaNoDropout(Method):
    """Plain finetuning with every dropout at zero, as some published baselines do without saying so."""

    name = "vanilla_no_dropout"
    paper = "Devlin et al., NAACL 2019"
    year = 2019
    kind = "control"
    parity = "no official code"

    def prepare(self, model: Model, fit: Fit) -> Model:
        """Switch dropout off."""
        set_dropout(model, 0.0)
        return model
