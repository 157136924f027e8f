"""BiDoRA as its released code runs, mistakes included: the variant for comparisons with published numbers."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch
from torch import nn
from typing_extensions import override

from amix.agwm.released_code import leave_displaced
from amix.mixup.bilevel_step import BilevelStep
from amix.mixup.hypergradient import Hypergradient, HypergradientOptions
from amix.specs.recipe import Recipe
from amix.specs.task import Task
from amix.training.fit import Fit
from amix.training.method import Groups, MethodError, Model
from amix.training.optimizers import DecayAfterAdamW
from amix.training.registry import register
from baselines.parameter_efficient._peft import at_own_lr
from baselines.parameter_efficient._two_levels import target_names
from baselines.parameter_efficient.bidora import BiDoRA, BiDoRAConfig, DirectionAndMagnitude

UNCLIPPED = 1e9


@dataclass(frozen=True)
class OfficialConfig(BiDoRAConfig):
    """See BiDoRAConfig. betty: version of the bi-level library, which the repository does not pin."""

    lr: float | None = None
    upper_lr: float | None = None
    upper_decay: float = 0.01
    search_clip_norm: float = UNCLIPPED
    xi: float | None = 1.0
    masks: Literal["common", "independent"] = "independent"
    deviation: float | None = 1.0
    betty: Literal["0.2.1", "0.2.0"] = "0.2.1"

    @override
    def __post_init__(self) -> None:
        super().__post_init__()
        if self.betty not in ("0.2.1", "0.2.0"):
            raise MethodError(f"betty is '0.2.1' or '0.2.0', not '{self.betty}'")

    @override
    def options(self) -> HypergradientOptions:
        """Options of the library's hypergradient."""
        preconditioner: Literal["adam", "identity"] = "adam" if self.betty == "0.2.0" else "identity"
        return HypergradientOptions(preconditioner=preconditioner, xi=self.xi, masks=self.masks)


@register
class BiDoRAOfficial(BiDoRA):
    """BiDoRA as released (t2ance/BiDoRA, run_glue_bilevel.py with loralib/bidora.py and betty-ml 0.2.1).

    Differences from the description, and so from bidora:
    * query and value weights are used transposed, y = x W + b (bidora.py:68-77), even at the start, so that the initial
      model is not the pretrained one and the matrices must be square;
    * the lower level trains every tensor, pretrained weights and LayerNorms included, with decay on all, because the
      library rebuilds the optimizer from all parameters; so does the retraining;
    * A starts from N(0, 1);
    * the derivative omits the learning rate (xi 1), and every pass draws its own dropout masks;
    * AdamW decays after the update and adds eps before the bias correction; the search does not clip gradients.
    betty 0.2.0, which the repository's environment also allows, scales u by Adam's second moments and leaves the
    weights displaced by e v. Ours are the suite's recipe at both levels (the scripts have betas 0.9 and 0.98, eps 1e-6,
    12,000 to 60,000 iterations), batches that are shuffled instead of being the same in every epoch, and clipping as in
    the recipe during the retraining, which has none there.

    Official options that change numbers: under the names that the docstring of bidora lists.
    """

    Config = OfficialConfig
    name = "bidora_official"
    info = replace(
        BiDoRA.info,
        parity="matched: layers, regulariser, losses, hypergradients, parameters",
        cases=("bidora_*",),
        toy_settings={},
    )
    trains_all: ClassVar[bool] = True

    @override
    def check_encoder(self, model: Model, task: Task, recipe: Recipe) -> None:
        """Find the layers, which must be square because their weights are used transposed."""
        for name in target_names(model, self.config.targets):
            shape = tuple(model.get_parameter(f"{name}.weight").shape)
            if shape[0] != shape[1]:
                raise MethodError(
                    f"{self.name} transposes weights, so that they must be square: {name} is {shape}; set targets"
                )

    @override
    def increment(self, linear: nn.Linear, generator: torch.Generator) -> DirectionAndMagnitude:
        """A, B and m of a layer whose weight is used transposed."""
        increment = super().increment(linear, generator)
        assert isinstance(increment, DirectionAndMagnitude)
        increment.transposed = True
        return increment

    @override
    def param_groups(self, model: Model, fit: Fit) -> Groups:
        """Every tensor, with weight decay."""
        parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        return at_own_lr([{"params": parameters, "weight_decay": fit.recipe.weight_decay}], self.config.lr)

    @override
    def optimizer(self, groups: Groups, fit: Fit) -> torch.optim.Optimizer:
        """The released code's AdamW."""
        recipe = fit.recipe
        return DecayAfterAdamW(groups, lr=recipe.lr, betas=recipe.betas, eps=recipe.adam_epsilon)

    @override
    def upper_optimizer(self, parameters: Iterable[nn.Parameter], lr: float, fit: Fit) -> torch.optim.Optimizer:
        """The same optimizer for the magnitudes."""
        recipe, decay = fit.recipe, self.config.upper_decay
        return DecayAfterAdamW(parameters, lr=lr, betas=recipe.betas, eps=recipe.adam_epsilon, weight_decay=decay)

    @override
    def after_upper_step(self, step: BilevelStep, hypergradient: Hypergradient) -> None:
        """Displace the weights if betty 0.2.0 is asked for, which does not restore them."""
        if self.config.betty == "0.2.0":
            leave_displaced(step, hypergradient)
