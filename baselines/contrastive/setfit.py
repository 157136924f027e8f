"""SetFit: train the encoder on pairs of texts with equal or different labels, then fit a linear classifier."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy
import torch
from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import override

from amix.data.encoded import Batch
from amix.models.architecture import backbone
from amix.random_streams import array_generator
from amix.specs.recipe import Recipe
from amix.training.fit import Diverged, Fit
from amix.training.loop import start, train_step
from amix.training.method import Groups, MethodError, Model
from amix.training.method_info import MethodInfo
from amix.training.multi_stage import MultiStageMethod
from amix.training.registry import register
from baselines.classical._linear import Linear, write
from baselines.classical.frozen_logistic import inputs_of, last_linear
from baselines.smoothness._hidden_states import changed_inputs

Pairs = tuple[numpy.ndarray, numpy.ndarray, numpy.ndarray]
"""Indices of the first and of the second texts [pairs], and the target cosine of each pair [pairs]."""


@dataclass(frozen=True)
class SetFitConfig:
    """iterations: R, pairs of either kind per example; 0 uses every pair once and oversamples the rarer kind.

    batch_size: in pairs. lr: null uses the recipe's. C: inverse regularisation strength of the classifier. unit_length:
    the classifier sees embeddings divided by their root mean square length on the training set.
    """

    iterations: int = 20
    epochs: int = 1
    batch_size: int = 16
    lr: float | None = 2e-5
    warmup_ratio: float = 0.1
    weight_decay: float = 0.01
    C: float = 1.0
    unit_length: bool = True

    def __post_init__(self) -> None:
        if self.iterations < 0 or self.epochs < 1 or self.batch_size < 1:
            raise MethodError("SetFit needs iterations of at least 0, and epochs and batch_size of at least 1")


@register
class SetFit(MultiStageMethod):
    """SetFit: L = mean over pairs (i, j) of (cos(f_i, f_j) - [y_i = y_j])^2, then logistic regression on the f_i.

    Tunstall et al. (2022), section 3: R pairs with equal and R with different labels per example. f is the input of the
    output layer, the mean of the token states for encoders that pool this way; the classifier is written into that
    layer, so that the model is a plain checkpoint. Official code: huggingface/setfit 1.2.0. As there: a text may be
    paired with itself; the two kinds alternate, and pairs repeat in one random order when they run out (sampler.py,
    which always draws that order with seed 42, here with the run's); AdamW with decay 0.01, gradients clipped to norm
    1, linear schedule, 1 epoch of batches of 16 pairs at 2e-5; no dropout after the pooling; C = 1.
    Departs: the library's default is every pair (`iterations: 0`), while 20 is the paper's R and costs less; the
    classifier runs to convergence; where the sentence encoder scales its output to unit length, the library's
    classifier reads it like that, which a plain checkpoint cannot do: `unit_length` divides by one number instead.
    Ours, where the library has no counterpart: a pair of texts is embedded as one input, as in every method here; in
    regression the target cosine is 1 - |y_i - y_j| / (largest y - smallest y), 2 R pairs per example are drawn from all
    pairs, and the classifier is ridge regression.

    Official options that change numbers (TrainingArguments): num_iterations is `iterations`, with 0 for
    sampling_strategy oversampling; undersampling and unique are not here. num_epochs, batch_size, body_learning_rate
    and warmup_proportion are `epochs`, `batch_size`, `lr` and `warmup_ratio`, each the first of its two values; the
    second ones, head_learning_rate, l2_weight and end_to_end belong to a head of torch, which is not here; nor are
    max_steps, and loss with distance_metric, margin and samples_per_label. max_length is the recipe's; use_amp is what
    every method has on a GPU.
    """

    name = "setfit"
    info = MethodInfo(
        paper="Tunstall et al., arXiv 2022",
        year=2022,
        kind="contrastive",
        parity="matched: the library's pairs, losses and final embeddings, to the resolution of its float32",
        cases=("setfit_*",),
        steps_on_task_loss=False,  # They lower the loss of the pairs; the classifier is fitted at the end.
        splits_batches=False,
        micro_batches=False,
        grid={"iterations": (5, 20), "lr": (2e-5, 5e-5, 1e-4)},
        recipe_search_space={},
        toy_settings={"iterations": 2, "lr": 4e-3},
    )
    Config = SetFitConfig

    @override
    def prepare(self, model: Model, fit: Fit) -> Model:
        """Switch off dropout between the pooled states and the output layer."""
        self.last = last_linear(model)
        inside = {id(module) for module in backbone(model).modules()}
        for module in model.modules():
            if isinstance(module, nn.Dropout) and id(module) not in inside:
                module.p = 0.0
        return model

    @override
    def param_groups(self, model: Model, fit: Fit) -> Groups:
        """All parameters but the output layer's."""
        output = {id(parameter) for parameter in self.last.parameters()}
        groups = super().param_groups(model, fit)
        return [group | {"params": [p for p in group["params"] if id(p) not in output]} for group in groups]

    @override
    def loss(self, model: Model, batch: Batch, fit: Fit) -> Tensor:
        """Mean squared error of the cosines; the batch holds first texts, then second texts, and `targets` [pairs]."""
        targets = batch["targets"]
        embedded = self.embed(model, {name: tensor for name, tensor in batch.items() if name != "targets"}, fit)
        fit.cost.count_forward()  # The batch of twice the size is the second pass.
        first, second = embedded.chunk(2)
        return functional.mse_loss(functional.cosine_similarity(first, second), targets.to(first.dtype))

    def embed(self, model: Model, batch: Batch, fit: Fit) -> Tensor:
        """Embeddings of a batch, [texts, width], in float32 or better."""
        inputs: list[Tensor] = []

        def record(features: Tensor) -> Tensor:
            inputs.append(features)
            return features

        with changed_inputs([self.last], record):
            fit.logits(model, batch)
        return inputs[0].float() if inputs[0].dtype in (torch.float16, torch.bfloat16) else inputs[0]

    @override
    def run(self, model: Model, fit: Fit) -> Model:
        """Train the embedding, then fit the classifier."""
        order = array_generator(fit.seed, "method", "pairs")
        pairs = draw_pairs(fit.train.labels.numpy(), fit.task.regression, self.config.iterations, order)
        stage = fit.for_stage("pairs", recipe=self.pair_recipe(fit.recipe, len(pairs[0])))
        self.learn(model, stage, pairs)
        self.classify(model, fit)
        return model

    def pair_recipe(self, recipe: Recipe, pairs: int) -> Recipe:
        """The recipe of the first stage, for this number of pairs."""
        config: SetFitConfig = self.config
        steps = config.epochs * -(-pairs // config.batch_size)
        lr = recipe.lr if config.lr is None else config.lr
        return replace(
            recipe, lr=lr, steps=steps, batch_size=config.batch_size, warmup_ratio=config.warmup_ratio,
            weight_decay=config.weight_decay, clip_norm=1.0,
        )  # fmt: skip

    def learn(self, model: Model, fit: Fit, pairs: Pairs) -> None:
        """Train the embedding on pairs of texts.

        Raises:
            Diverged: If the mean loss of an epoch is not finite.
        """
        start(self, model, fit)
        for fit.epoch in range(self.config.epochs):
            model.train()
            with fit.cost.timed("train"):
                losses = [train_step(self, model, batch, fit) for batch in self.pair_batches(fit, pairs)]
                mean = float(torch.stack(losses).mean())
            if not math.isfinite(mean):
                raise Diverged(f"stage {fit.stage}, epoch {fit.epoch + 1}: the training loss is {mean}")
            fit.curve.append({"stage": fit.stage, "step": fit.step, "epoch": fit.epoch + 1, "train_loss": mean})

    def pair_batches(self, fit: Fit, pairs: Pairs) -> Iterator[Batch]:
        """The pairs of an epoch in random order."""
        order = array_generator(fit.seed, "order", fit.stage, fit.epoch).permutation(len(pairs[0]))
        for begin in range(0, len(order), fit.recipe.batch_size):
            first, second, targets = (part[order[begin : begin + fit.recipe.batch_size]] for part in pairs)
            batch = fit.train.batch(torch.from_numpy(numpy.concatenate([first, second])), fit.device)
            yield batch | {"targets": torch.from_numpy(targets).to(fit.device)}

    def classify(self, model: Model, fit: Fit) -> None:
        """Fit logistic (or ridge) regression to the embeddings and write it into the output layer."""
        classifier = Linear(ClassifierConfig(self.config.C))
        with fit.cost.timed("train"):
            features = inputs_of(self.last, model, fit.train, fit).double().numpy()
            length = numpy.sqrt(numpy.square(features).sum(axis=1).mean()) if self.config.unit_length else 1.0
            weights, biases = classifier.solve(features / length, fit.train.targets, fit)
            write(self.last.weight, weights / length)
            write(self.last.bias, biases)
        classifier.note(model, fit)

    @override
    def relative_passes(self, n_train: int, recipe: Recipe) -> float:
        """Two passes per batch of pairs; with iterations 0, the number of pairs assumes two classes of equal size."""
        pairs = 2 * self.config.iterations * n_train or 2 * (n_train // 2) * (n_train // 2 + 1)
        return 2.0 * self.pair_recipe(recipe, pairs).total_steps(n_train) / recipe.total_steps(n_train)


@dataclass(frozen=True)
class ClassifierConfig:
    """Settings of the linear classifier; see FrozenLogistic."""

    C: float
    iterations: int = 2000


def draw_pairs(labels: numpy.ndarray, numbers: bool, iterations: int, order: Any) -> Pairs:
    """Draw pairs of training texts, with their targets.

    All pairs i <= j are put in one random order. With classes, pairs of equal and of different labels alternate; with
    numbers, pairs are used in that order.

    Args:
        labels: [examples].
        numbers: Whether the labels are numbers.
        iterations: R, or 0 for every pair.
        order: The numpy generator that permutes the pairs.
    """
    upper = numpy.stack(numpy.triu_indices(len(labels)), axis=-1)
    shuffled = upper[order.permutation(len(upper))]
    first, second = labels[shuffled[:, 0]], labels[shuffled[:, 1]]
    if numbers:
        count = 2 * iterations * len(labels) or len(shuffled)
        spread = float(labels.max() - labels.min()) or 1.0
        chosen = numpy.arange(count) % len(shuffled)
        targets = 1.0 - numpy.abs(first - second) / spread
    else:
        kinds = [numpy.flatnonzero(first == second), numpy.flatnonzero(first != second)]
        count = iterations * len(labels) or max(map(len, kinds))
        repeated = [kind[numpy.arange(count) % len(kind)] for kind in kinds if len(kind)]
        chosen = numpy.stack(repeated, axis=1).flatten()
        targets = (first == second).astype(float)
    return shuffled[chosen, 0], shuffled[chosen, 1], targets[chosen].astype(numpy.float32)
