"""Delayed ensemble with noisy interpolation (Pecher et al. 2024)."""

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput
from typing_extensions import override

from amix.data.encoded import Batch
from amix.models.architecture import head_names
from amix.random_streams import seed_dropout, tensor_generator
from amix.specs.launch import rank
from amix.specs.recipe import NotNegative, Recipe
from amix.specs.spec_model import Count
from amix.training.data_parallel import average_gradients
from amix.training.fit import Fit
from amix.training.loop import clip_gradients
from amix.training.method import Method, MethodError, Model
from amix.training.method_info import MethodInfo
from amix.training.registry import register
from amix.training.weight_averaging import restore
from baselines.averaging.ensemble import combined

OFFICIAL_STEPS = 1000
"""Updates of the official script's runs: 10 epochs of 800 examples in batches of 8."""
Share = Annotated[float, Field(ge=0, le=1)]


@dataclass(frozen=True)
class DENIConfig:
    """Settings; shares are of all updates.

    members: M, models that train together, the first one included.
    noise_variance: v, relative to the variance of a tensor's values.
    noise_layer: whether a copy's noise goes to the head or to all trained tensors.
    start_noise, end_noise: shares between which copies may be made that are averaged again; if equal: never.
    wait: share for which the first model trains alone before each time.
    together: share for which its copies train with it.
    start_ensemble: share after which copies are made that stay to the end; above 1: never.
    follow_schedule: whether copies have the first model's learning rate in place of the peak one.
    """

    members: Count = 10
    noise_variance: NotNegative = 0.15
    noise_layer: Literal["head", "all"] = "head"
    start_noise: Share = 0.3
    end_noise: Share = 0.6
    wait: Share = 125 / OFFICIAL_STEPS
    together: Share = 125 / OFFICIAL_STEPS
    start_ensemble: NotNegative = 0.9
    follow_schedule: bool = False

    def __post_init__(self) -> None:
        if self.start_noise > self.end_noise:
            raise MethodError(f"start_noise, {self.start_noise:g}, must not be above end_noise, {self.end_noise:g}")


def changes(config: DENIConfig, total: int) -> dict[int, float | None]:
    """Return what happens before which step, counted from 1.

    Args:
        config: The method's settings.
        total: Steps of the training.

    Returns:
        The variance of the noise of the copies that are made, or None where all models become one.
    """
    found: dict[int, float | None] = {}
    shares = (config.start_noise, config.end_noise, config.start_ensemble, config.wait, config.together)
    start, end, ensemble, wait, together = (int(share * total) for share in shares)
    training, since = "alone", 0
    for step in range(1, total + 1) if config.members > 1 else ():
        if training == "together" and since >= together:
            found[step], training, since = None, "alone", 0
        elif training == "alone" and start <= step < end:
            if since >= wait:
                found[step], training, since = config.noise_variance / step, "together", 0
        elif training == "alone" and step >= ensemble:
            found[step], training = config.noise_variance, "to the end"
        since += 1
    return found


def mean_models(config: DENIConfig, total: int) -> float:
    """Return how many models a step trains, as the mean over all steps."""
    plan, models, trained = changes(config, total), 1, 0
    for step in range(1, total + 1):
        if step in plan:
            models = 1 if plan[step] is None else config.members
        trained += models
    return trained / total


@torch.no_grad()
def add_noise(parameter: Tensor, variance: float, draw: Tensor) -> None:
    """Add noise with a variance relative to that of the parameter's values; a single number has none.

    Args:
        parameter: Changed in place.
        variance: v.
        draw: Standard normal numbers of the same shape.
    """
    if parameter.numel() > 1:
        parameter.add_(draw.to(parameter) * parameter.std(), alpha=variance**0.5)


@torch.no_grad()
def average_into_first(models: list[Model]) -> None:
    """Give the first model the mean of the trained weights of all."""
    for first, *others in zip(*(model.parameters() for model in models), strict=True):
        if first.requires_grad:
            for other in others:
                first.add_(other)
            first.div_(len(models))


class MeanOfLogits(nn.Module):
    """Models that predict with the mean of their logits; it holds the models themselves, not copies.

    Its best state may come from an epoch with another number of models, which `load_state_dict` then uses.
    """

    def __init__(self, models: list[Model]) -> None:
        super().__init__()
        self.models, self.used = nn.ModuleList(models), len(models)

    @override
    def forward(self, **inputs: Any) -> SequenceClassifierOutput:
        """Compute the mean logits of a batch."""
        logits = [model(**inputs).logits for model in self.models[: self.used]]
        return SequenceClassifierOutput(logits=torch.stack(logits).mean(dim=0))

    @override
    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Load a state of any number of models, which alone predict from then on."""
        self.used = len({name.split(".")[1] for name in state_dict})
        while len(self.models) < self.used:
            self.models.append(copy.deepcopy(self.models[0]))
        return super().load_state_dict({**self.state_dict(), **state_dict}, strict, assign)


@dataclass
class Copy:
    """A copy of the first model, and its optimizer."""

    model: Model
    optimizer: torch.optim.Optimizer


@register
class DENI(Method):
    """Noisy copies of a model train with it for a while and are averaged; late in the training they form an ensemble.

    With t of T steps, counted from 1, a copy of the weights is w + sqrt(v_t) std(w) u for every tensor w of the head,
    with u from N(0, 1). Noisy interpolation: while start_noise T <= t < end_noise T, once the model has trained alone
    for `wait` T steps, it gets M - 1 copies with v_t = v / t; all M train on the same batches for `together` T steps,
    and their mean is the model that goes on, with the first one's optimizer. Delayed ensemble: from start_ensemble T
    on, M - 1 copies with v_t = v train to the end. Every copy starts with a new optimizer, at the peak learning rate.

    Pecher et al. (Findings of EMNLP 2024, arXiv 2406.12471); official code: BranislavPecher/DENI at edc60bc, main.py,
    delayed_ensemble_with_noisy_interpolation, and run_randomness_fight.sh, which has the settings. As found it cannot
    run: it reads steps_since_last before it is set; the tests' numbers have it at 0. Its loop over the ensemble calls
    the first model (net) for every member, so that the ensemble's vote is that model's. Its copies are fresh models
    that are never switched to training mode, so that their encoders have no dropout and their heads all have the same
    masks; the first model's learning rate falls, that of the copies does not.

    Departs: members predict with the mean of their logits, as in the method ensemble, not by a vote of classes; every
    copy has dropout masks of its own, after its number; all have the recipe's optimizer and clipping, where theirs is
    Adam without either; `follow_schedule`, which is ours, lets copies decay as well. Lengths are shares of the run,
    since 125 steps of their 1000 would leave a small training set without interpolation. The head is all that is new,
    in RoBERTa two layers, where theirs has one. Models that are still together at the end predict together, as there.

    Official options that change numbers (main.py): ensemble_size, noise_variance, start_noise, end_noise and
    start_ensemble are here, the first as `members`; noise_layer is here, `trainable` as `all`; noise_after_steps and
    ensemble_training_steps are `wait` and `together`, so that step_type, which counts epochs in their place, is not
    needed; noise_type is the script's `scaled`, and noise that does not depend on std(w) is not here. noise_location
    belongs to their other strategies; optimizer, scheduler, lr, batch_size, num_epochs and max_len are the recipe's;
    peft (there with noise on all trained tensors) and augmented_data_size are not here.
    """

    Config: ClassVar[type] = DENIConfig
    name = "deni"
    info = MethodInfo(
        paper="Pecher et al., Findings of EMNLP 2024",
        year=2024,
        kind="averaging",
        parity="matched: weights of all models over whole runs, and their logits",
        cases=("deni_*",),
        passes=mean_models(DENIConfig(), OFFICIAL_STEPS),
        micro_batches=True,
        null={"members": 1},
        plain_checkpoint=False,
        grid={"noise_variance": (0.05, 0.15, 0.5), "follow_schedule": (False, True)},
        toy_settings={"members": 3},
    )

    @override
    def on_fit_start(self, model: Model, fit: Fit) -> None:
        """Plan the run; the first model begins alone."""
        self.copies: list[Copy] = []
        self.changes = changes(self.config, fit.total_steps)

    def models(self, model: Model) -> list[Model]:
        """All models that train at present, the first one first."""
        return [model, *(one.model for one in self.copies)]

    @override
    def before_loss(self, model: Model, fit: Fit) -> None:
        """Make copies or average them, if it is time."""
        if fit.step + 1 not in self.changes:
            return
        variance = self.changes[fit.step + 1]
        if variance is None:
            average_into_first(self.models(model))
            self.copies = []
        else:
            self.copies = [self.noisy_copy(model, variance, fit, number) for number in range(1, self.config.members)]

    def noisy_copy(self, model: Model, variance: float, fit: Fit, number: int) -> Copy:
        """Return the copy of this number, counted from 1, with noise."""
        twin = copy.deepcopy(model)
        named = {name: parameter for name, parameter in twin.named_parameters() if parameter.requires_grad}
        if self.config.noise_layer == "head":
            head = head_names(twin)
            named = {name: parameter for name, parameter in named.items() if name in head}
        for (_, parameter), draw in zip(named.items(), self.draws(named, fit, number), strict=True):
            add_noise(parameter, variance, draw)
        average_gradients(twin)
        return Copy(twin, self.optimizer(self.param_groups(twin, fit), fit))

    def draws(self, named: Mapping[str, Tensor], fit: Fit, number: int) -> Iterator[Tensor]:
        """Yield standard normal numbers for each of these tensors of a copy."""
        generator = tensor_generator(fit.seed, "method", fit.stage, fit.step, number)
        for parameter in named.values():
            yield torch.randn(parameter.shape, generator=generator)

    @override
    def loss(self, model: Model, batch: Batch, fit: Fit) -> Tensor:
        """The task's loss; the batch is kept for the copies."""
        self.batch = fit.whole(batch)
        return super().loss(model, batch, fit)

    @override
    def before_step(self, model: Model, fit: Fit) -> None:
        """Note the learning rates of the first model's step."""
        assert fit.optimizer is not None
        self.rates = [group["lr"] for group in fit.optimizer.param_groups]

    @override
    def after_step(self, model: Model, fit: Fit) -> None:
        """Update the copies on the same batch."""
        for number, one in enumerate(self.copies, start=1):
            self.update(one, fit, number)

    def update(self, one: Copy, fit: Fit, number: int) -> None:
        """One update of a copy."""
        if self.config.follow_schedule:
            for group, rate in zip(one.optimizer.param_groups, self.rates, strict=True):
                group["lr"] = rate
        seed_dropout(fit.seeds.dropout, f"member-{number}", fit.step, rank())
        fit.accumulate(lambda part: self.loss(one.model, part, fit), self.batch)
        clip_gradients(one.optimizer, fit.recipe.clip_norm)
        one.optimizer.step()
        fit.cost.optimizer_steps += 1
        one.optimizer.zero_grad()

    @override
    def for_evaluation(self, model: Model, fit: Fit) -> Model:
        """All models that train at present, with the mean of their logits."""
        return model if self.config.members == 1 else MeanOfLogits(self.models(model))

    @override
    def export(self, model: Model, fit: Fit) -> Model:
        """All members in one model, or the model that is alone."""
        if not self.copies:
            return model
        weights = [
            {name: p.detach().cpu().clone() for name, p in one.named_parameters() if p.requires_grad}
            for one in self.models(model)
        ]
        assert isinstance(model, PreTrainedModel)
        together = combined(model, weights, fit)
        restore(model, weights[0])
        return together

    @override
    def relative_passes(self, n_train: int, recipe: Recipe) -> float:
        """Models that train, as the mean over the steps."""
        return mean_models(self.config, recipe.total_steps(n_train))
