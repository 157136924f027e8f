"""Attention-guided weight mixup (AGWM): search on random splits, average, finetune.

Somayajula et al. (2024): the forward pass uses A o W + B o W0, where the attention A is learned on held-out data.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, get_args

from torch import Tensor
from typing_extensions import override

from amix.agwm.search_rules import RULES
from amix.agwm.split_search import FixedAttention, SearchConfig
from amix.agwm.splits import split_fit
from amix.mixup.linears import block_linears
from amix.mixup.weight_mixup import WeightMixup
from amix.random_streams import tensor_generator
from amix.specs.recipe import Recipe
from amix.specs.task import Task
from amix.training.fit import Fit
from amix.training.loop import train
from amix.training.method import Method, MethodError, Model
from amix.training.method_info import MethodInfo
from amix.training.multi_stage import MultiStageMethod
from amix.training.registry import register
from amix.training.weight_averaging import RunningMean, restore, snapshot

Average = Literal["all", "attention"]
PAPER = "Somayajula et al., NAACL 2024, arXiv 2403.12918"


@dataclass(frozen=True)
class AGWMConfig(SearchConfig):
    """Settings of the search (see SearchConfig) and of what follows it.

    average: `all`: average all weights over the splits; `attention`: only the attention, the task weights start anew.
    finetune: whether there is a second stage, on the whole subset.
    """

    average: Average = "all"
    finetune: bool = True

    @override
    def __post_init__(self) -> None:
        super().__post_init__()
        if self.average not in get_args(Average):
            raise MethodError(f"average '{self.average}' is unknown; known: {', '.join(get_args(Average))}")
        self.rule.check(self)

    @property
    def rule(self) -> type[FixedAttention]:
        """The class that trains a split."""
        return RULES[self.attention]

    @override
    def lower_count(self, n_train: int) -> int:
        """Return the number of examples that train the task weights in a split."""
        return self.rule.lower_count(super().lower_count(n_train), n_train)

    @override
    def iterations(self, n_train: int, batch_size: int) -> int:
        """Return the number of iterations of one split."""
        return self.rule.iterations(self, self.lower_count(n_train), batch_size)

    def passes(self, iterations: int) -> int:
        """Return the forward and backward passes of this number of iterations."""
        return self.rule.passes(self, iterations)

    def mean_passes(self) -> float:
        """Return the passes per iteration, averaged from one step of the attention to the next."""
        return self.passes(self.attention_every) / self.attention_every


@register
class AGWM(MultiStageMethod):
    """The method as intended: K searches on random 80/20 splits, average of all weights, finetuning.

    Each iteration of a search takes one step of the task weights on a batch of the 80 %, and one step of the attention
    on a batch of the 20 %, with a hypergradient from central differences. The second stage trains on the whole subset
    with the attention fixed; its random streams are those of plain finetuning.

    Departures from the released code (which amix.agwm.released_code repeats): the weights are restored exactly after
    the perturbed passes; one task-weight step per iteration, not two; both perturbed passes use the dropout masks of
    the lower pass; the implicit term is scaled by the learning rate of the step it differentiates; AdamW decays before
    the update in both stages. An epoch of a search has no extra iteration when 16 divides the split.

    Official options that change numbers (run_glue_mlo.py): cross_valid is `splits`; MLO_epochs `search_epochs`;
    model_learning_rate the recipe's lr; alpha_learning_rate, alpha_weight_decay and alpha_warmup_ratio
    `attention_lr`, `attention_weight_decay` and `attention_warmup_ratio`; use_l1 with L1factor `attention_l1`;
    total_avg `average`; unroll_steps `attention_every`, except that there a split has unroll_steps times as many
    iterations; train_split and the recipe's arguments are set by the suite. Without an option here are
    alpha_lr_scheduler_type, which is cosine in both published scripts, and mlo_sample_dataset, which when false trains
    one split without averaging (`splits: 1`). mode and reserve_p belong to Child-Tuning. Constants of that code that
    are options here: `search_clip_norm` (5), `attention_std` (0.005), `radius` (0.01), `lower_share` (0.8),
    `preconditioner`. Not in that code: `rank`, `combination`, `share`, `parameterisation`, `attention_start`,
    `attention_limit`, and attention learned `after` the task weights in `attention_epochs`
    (amix.agwm.attention_after); README.md explains their purpose.
    """

    name = "agwm"
    info = MethodInfo(
        paper=PAPER,
        year=2024,
        kind="weight mixing",
        parity="departs: mends the released code, which agwm_official repeats; description and exact derivatives "
        "matched",
        cases=("agwm_layer_*", "agwm_intended_*", "agwm_exact_*"),
        passes=AGWMConfig().mean_passes(),
        micro_batches=True,
        null={"splits": 0},
        toy_settings={"splits": 2},
    )
    Config: ClassVar[type] = AGWMConfig

    @override
    def check_encoder(self, model: Model, task: Task, recipe: Recipe) -> None:
        """Find the matrices that are to be mixed.

        Raises:
            MethodError: There are none, or a pattern of `modules` matches none.
        """
        try:
            block_linears(model, self.config.modules or None)
        except (ValueError, re.error) as error:
            raise MethodError(f"modules: {error}") from error

    @override
    def run(self, model: Model, fit: Fit) -> Model:
        """Run the search on every split, average, and finetune."""
        config: AGWMConfig = self.config
        start = snapshot(model, fit.pretrained)
        mean = RunningMean()
        for weights in self.stage_weights(model, replace(fit, pretrained=start)):
            mean.add(weights)
            restore(model, start)
        if not mean.count:  # Without splits: a mixup whose attention starts below 1 would not be plain finetuning.
            return train(Method(), model, fit) if config.finetune else model
        mixup = self.mixup(model, start)
        mean.write(self.averaged(mixup))
        mixup.write()
        del start, mean
        return config.rule.finetune(config, mixup, model, fit) if config.finetune else model

    @override
    def stages(self) -> int:
        """Return the number of splits."""
        return int(self.config.splits)

    @override
    def run_stage(self, model: Model, fit: Fit, number: int) -> dict[str, Tensor]:
        """Run the search of one split, from a new draw of the attention (the head is the same for all splits)."""
        config: AGWMConfig = self.config
        mixup = self.mixup(model, fit.pretrained)
        search_fit, held_out = split_fit(config, fit, number)
        mixup.draw_attention(config.attention_std, tensor_generator(fit.seed, "attention", number))
        config.rule(config, mixup, held_out).search(model, search_fit)
        return self.averaged(mixup)

    def mixup(self, model: Model, pretrained: Mapping[str, Tensor]) -> WeightMixup:
        """Return the mixup over the model's current weights."""
        config: AGWMConfig = self.config
        return config.mixup(model, snapshot(model, pretrained))

    def averaged(self, mixup: WeightMixup) -> dict[str, Tensor]:
        """Return what is averaged over the splits: everything they train, or only the attention."""
        attention: dict[str, Tensor] = {**mixup.named_attention()}
        return attention if self.config.average == "attention" else {**mixup.lower, **attention}

    @override
    def relative_passes(self, n_train: int, recipe: Recipe) -> float:
        """Return the passes of searches and finetuning together, relative to plain finetuning with the same recipe."""
        config: AGWMConfig = self.config
        plain = recipe.total_steps(n_train)
        held_out = n_train - config.lower_count(n_train)
        afterwards = config.rule.passes_afterwards(config, held_out, recipe.batch_size)
        search = config.splits * (config.passes(config.iterations(n_train, recipe.batch_size)) + afterwards)
        return (search + plain * config.finetune) / plain
