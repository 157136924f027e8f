"""Plain finetuning for longer."""

from dataclasses import dataclass, replace

from typing_extensions import override

from amix.specs.recipe import Recipe
from amix.training.fit import Fit
from amix.training.loop import train
from amix.training.method import Model
from amix.training.method_info import MethodInfo
from amix.training.multi_stage import MultiStageMethod
from amix.training.registry import register


@register
class Longer(MultiStageMethod):
    """Plain finetuning for 20 epochs, with bias-corrected AdamW and warm-up over the first tenth of the updates.

    Mosbach et al. (2021), section 6; official code: uds-lsv/bert-stable-fine-tuning, configs/rte. Their Adam epsilon is
    1e-6; their learning rates are 1e-5, 2e-5 and 3e-5, expressed by `lr_factor` relative to the recipe's. They keep the
    checkpoint with the best dev score (run_finetuning.py:255-276); a record here holds the scores of both the last step
    and that checkpoint. The epochs replace the recipe's epochs or steps, even if those are more.

    Official options that change numbers (configs/rte): num_train_epochs is `epochs`, adam_epsilon `adam_epsilon`,
    learning_rate `lr_factor`; the rest of the schedule, of AdamW and of the clipping is the recipe's. re_init_pooler,
    pooler_layer_norm, pooler_activation, dropout rates and local_normalization, all off or the model's own in those
    configs, are not here; correct_bias is always on.
    """

    @dataclass(frozen=True)
    class Config:
        """epochs, adam_epsilon: null uses the recipe's. lr_factor: learning rate relative to the recipe's."""

        epochs: int | None = 20
        adam_epsilon: float | None = 1e-6
        lr_factor: float = 1.0

    name = "longer"
    info = MethodInfo(
        paper="Mosbach et al., ICLR 2021",
        year=2021,
        kind="recipe",
        parity="departs: torch's AdamW, which decays before the update",
        micro_batches=True,
        null={"epochs": None, "adam_epsilon": None},
        grid={"epochs": (10, 20, 40), "lr_factor": (0.5, 1.0, 1.5)},
    )

    def longer_recipe(self, recipe: Recipe) -> Recipe:
        """The recipe with this method's length, learning rate and epsilon."""
        changed = replace(recipe, lr=recipe.lr * self.config.lr_factor)
        if self.config.adam_epsilon is not None:
            changed = replace(changed, adam_epsilon=self.config.adam_epsilon)
        return changed if self.config.epochs is None else replace(changed, epochs=self.config.epochs, steps=None)

    @override
    def run(self, model: Model, fit: Fit) -> Model:
        """Train once, for longer."""
        return train(self, model, fit.for_stage(fit.stage, recipe=self.longer_recipe(fit.recipe)))

    @override
    def relative_passes(self, n_train: int, recipe: Recipe) -> float:
        """Number of steps relative to the recipe's."""
        return self.longer_recipe(recipe).total_steps(n_train) / recipe.total_steps(n_train)
