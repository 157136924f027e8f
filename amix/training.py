"""The only training loop, and what a method's hooks may read (Fit)."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy
import torch
from accelerate import Accelerator
from torch import nn
from torch.nn import functional

from amix.cost import Cost
from amix.data import Batch, Encoded, evaluation_batches, training_batches
from amix.launch import processes, rank
from amix.metrics import score
from amix.parts import Elsewhere
from amix.ranks import average_, average_gradients, averaged, check_same_weights, share, weight
from amix.recipe import Recipe
from amix.seed_sources import Seeds
from amix.seeds import array_generator, kept_random_state, seed_dropout
from amix.tasks import Task

if TYPE_CHECKING:
    from amix.method import Method


class Diverged(ArithmeticError):
    """The loss is no longer a finite number."""


@cache
def accelerator() -> Accelerator:
    """Device and precision of this process: bf16 on a GPU, fp32 on the CPU."""
    cuda = torch.cuda.is_available()
    return Accelerator(cpu=not cuda, mixed_precision="bf16" if cuda else "no")


@dataclass
class Best:
    """The best dev score so far, and with keep_state the weights that had it; a later epoch must be strictly better."""

    keep_state: bool = True
    score: float = -math.inf
    epoch: int = 0
    dev: dict[str, float] = field(default_factory=dict)
    state: dict[str, torch.Tensor] = field(default_factory=dict)


@dataclass
class Fit:
    """One finetuning as a method's hooks see it.

    train and dev are tokenised; stage names the random streams of batch order and dropout, so that every method's
    stage "main" shares them. cost, curve, best and diagnostics are shared between the stages of a run. step, epoch,
    total_steps, optimizer and scheduler are those of the training under way; step counts from 0. pretrained: the
    encoder's weights by parameter name where they are in memory anyway; never to be written to. parts: where other
    processes do the parts of the run. seed is that of what a method draws for itself; sources holds the seeds of the
    other sources of randomness where they differ from it.
    """

    task: Task
    recipe: Recipe
    seed: int
    train: Encoded
    dev: Encoded
    stage: str = "main"
    cost: Cost = field(default_factory=Cost)
    curve: list[dict[str, Any]] = field(default_factory=list)
    best: Best = field(default_factory=Best)
    diagnostics: dict[str, list[Any]] = field(default_factory=dict)
    step: int = 0
    epoch: int = 0
    total_steps: int = 0
    optimizer: torch.optim.Optimizer | None = None
    scheduler: torch.optim.lr_scheduler.LRScheduler | None = None
    pretrained: Mapping[str, torch.Tensor] = field(default_factory=dict)
    parts: Elsewhere | None = None
    sources: Mapping[str, int] = field(default_factory=dict)

    @property
    def seeds(self) -> Seeds:
        """The seed of every source of randomness."""
        return Seeds.of(self.seed, self.sources)

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return accelerator().device

    def for_stage(self, stage: str, **changes: Any) -> "Fit":
        """The same finetuning in another stage: own random streams, own data or recipe where given."""
        return replace(self, stage=stage, step=0, epoch=0, total_steps=0, optimizer=None, scheduler=None, **changes)

    def logits(self, model: nn.Module, batch: Batch, **inputs: Any) -> torch.Tensor:
        """The model's outputs [batch, outputs] in float32; inputs replace or add to the batch's."""
        given = {name: tensor for name, tensor in batch.items() if name != "labels"} | inputs
        given = {name: value for name, value in given.items() if value is not None}
        with accelerator().autocast():
            outputs = model(**given).logits
        return outputs.float() if outputs.dtype in (torch.float16, torch.bfloat16) else outputs

    def task_loss(self, logits: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Mean cross-entropy, or mean squared error for regression, in the dtype of the logits."""
        labels = batch["labels"]
        if self.task.regression:
            loss = functional.mse_loss(logits.squeeze(-1), labels.to(logits.dtype))
        else:
            loss = functional.cross_entropy(logits, labels)
        return loss if processes() == 1 else loss * weight(len(labels), labels.device)

    def backward(self, loss: torch.Tensor) -> None:
        """Backward pass into the parameters' grad, counted."""
        self.cost.count_backward()
        accelerator().backward(loss)

    def gradients(self, loss: torch.Tensor, tensors: list[torch.Tensor], **options: Any) -> tuple[torch.Tensor, ...]:
        """Gradients of the loss with respect to these tensors (torch.autograd.grad), counted as a backward pass.

        Those of parameters are means over the processes of a data-parallel run.
        """
        self.cost.count_backward()
        return averaged(torch.autograd.grad(loss, tensors, **options), tensors)

    def part(self, method: "Method", model: nn.Module, number: int) -> dict[str, torch.Tensor]:
        """The weights that a part of the run ends with (Method.part), done here or fetched from where it is done."""
        return method.part(model, self, number) if self.parts is None else self.parts.take(number, self)

    def batches(self, epoch: int) -> Iterator[Batch]:
        """The batches of one epoch; the same for every method."""
        order = array_generator(self.seeds.order, "order", self.stage, epoch)
        for positions in training_batches(self.train, self.recipe.batch_size, order):
            yield self.train.batch(share(positions), self.device)


def train(method: "Method", model: nn.Module, fit: Fit) -> nn.Module:
    """Train the model in place with the method's hooks, and return it.

    Errors: Diverged at the end of the epoch in which the loss stopped being finite.
    """
    start(method, model, fit)
    epochs = -(-fit.total_steps // -(-len(fit.train) // fit.recipe.batch_size))
    for fit.epoch in range(epochs):
        model.train()
        with fit.cost.timed("train"):
            mean_loss = _train_epoch(method, model, fit)
        if not math.isfinite(mean_loss):
            raise Diverged(f"stage {fit.stage}, epoch {fit.epoch + 1}: the training loss is {mean_loss}")
        check_same_weights(model)
        _note_epoch(method, model, fit, mean_loss)
    return model


def start(method: "Method", model: nn.Module, fit: Fit) -> None:
    """Set up optimizer and schedule and call the method's on_fit_start, with the random state kept around it."""
    with fit.cost.timed("train"), kept_random_state(fit.device):
        fit.total_steps = fit.recipe.total_steps(len(fit.train))
        fit.optimizer = method.optimizer(method.param_groups(model, fit), fit)
        fit.scheduler = method.schedule(fit.optimizer, fit)
        model.train()
        average_gradients(model)
        method.on_fit_start(model, fit)


def _train_epoch(method: "Method", model: nn.Module, fit: Fit) -> float:
    losses = []
    for batch in fit.batches(fit.epoch):
        if fit.step == fit.total_steps:
            break
        losses.append(train_step(method, model, batch, fit))
    return float(average_(torch.stack(losses).mean()))


def train_step(method: "Method", model: nn.Module, batch: Batch, fit: Fit) -> torch.Tensor:
    """One update with all hooks; returns the detached loss without waiting for the device."""
    assert fit.optimizer is not None
    assert fit.scheduler is not None
    seed_dropout(fit.seeds.dropout, fit.stage, fit.step, rank())
    loss = method.loss(model, batch, fit)
    fit.backward(loss)
    method.after_backward(model, fit)
    clip_gradients(fit.optimizer, fit.recipe.clip_norm)
    method.before_step(model, fit)
    fit.optimizer.step()
    fit.cost.optimizer_steps += 1
    fit.scheduler.step()
    fit.optimizer.zero_grad()
    method.after_step(model, fit)
    fit.step += 1
    return loss.detach()


def clip_gradients(optimizer: torch.optim.Optimizer, clip_norm: float) -> torch.Tensor:
    """Scale the gradients of all the optimizer's parameters to a global norm of at most clip_norm; returns the norm."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    return nn.utils.clip_grad_norm_(parameters, clip_norm, foreach=True)


def _note_epoch(method: "Method", model: nn.Module, fit: Fit, mean_loss: float) -> None:
    """Write the epoch into the curve; in the main stage also score the dev set and keep the best weights."""
    point: dict[str, Any] = {"stage": fit.stage, "step": fit.step, "epoch": fit.epoch + 1, "train_loss": mean_loss}
    if fit.stage == "main" and len(fit.dev):
        evaluated = method.for_evaluation(model, fit)
        point["dev"] = score(fit.task.metrics, fit.dev.labels.numpy(), predict(evaluated, fit.dev, fit).predictions)
        primary = point["dev"][fit.task.metrics[0]]
        if primary > fit.best.score:
            fit.best.score, fit.best.epoch, fit.best.dev = primary, fit.epoch + 1, point["dev"]
            if fit.best.keep_state:
                state = evaluated.state_dict()
                fit.best.state = {name: tensor.detach().cpu().clone() for name, tensor in state.items()}
    fit.curve.append(point)


@dataclass(frozen=True)
class Predictions:
    """Outputs on a split, in its order: logits [n, outputs]; predictions [n], class ids or numbers for regression."""

    logits: numpy.ndarray
    predictions: numpy.ndarray


def predict(model: nn.Module, data: Encoded, fit: Fit) -> Predictions:
    """Outputs of the model in evaluation mode; its mode is put back.

    Errors: Diverged when they are not finite numbers, which the losses before the last updates cannot show.
    """
    training = model.training
    model.eval()
    logits = torch.empty(len(data), fit.task.outputs, device=fit.device)
    with fit.cost.timed("evaluation"), torch.inference_mode():
        for positions in evaluation_batches(data):
            logits[positions] = fit.logits(model, data.batch(positions, fit.device)).float()
    model.train(training)
    outputs = logits.cpu().numpy()
    if not numpy.isfinite(outputs).all():
        raise Diverged(f"stage {fit.stage}, after step {fit.step}: the model's outputs are not finite")
    return Predictions(outputs, outputs[:, 0] if fit.task.regression else outputs.argmax(axis=1))
