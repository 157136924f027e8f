"""The training loop that all methods share."""

import math
from typing import Any

import torch
from torch import nn

from amix.data.encoded import Batch
from amix.data.metrics import comparable, task_scores
from amix.random_streams import kept_random_state, seed_dropout
from amix.specs.launch import rank
from amix.training.data_parallel import average_, average_gradients, check_same_weights
from amix.training.evaluation import predict
from amix.training.fit import Diverged, Fit
from amix.training.method import Method


def train(method: Method, model: nn.Module, fit: Fit) -> nn.Module:
    """Train the model in place with the method's hooks, and return it.

    Raises:
        Diverged: The loss is no longer finite (checked at the end of each epoch).
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


def start(method: Method, model: nn.Module, fit: Fit) -> None:
    """Set up optimizer and schedule, and call the method's on_fit_start; the random state is restored afterwards."""
    with fit.cost.timed("train"), kept_random_state(fit.device):
        fit.total_steps = fit.recipe.total_steps(len(fit.train))
        fit.optimizer = method.optimizer(method.param_groups(model, fit), fit)
        fit.scheduler = method.schedule(fit.optimizer, fit)
        model.train()
        average_gradients(model)
        method.on_fit_start(model, fit)


def _train_epoch(method: Method, model: nn.Module, fit: Fit) -> float:
    losses = []
    for batch in fit.batches(fit.epoch):
        if fit.step == fit.total_steps:
            break
        losses.append(train_step(method, model, batch, fit))
    return float(average_(torch.stack(losses).mean()))


def train_step(method: Method, model: nn.Module, batch: Batch, fit: Fit) -> torch.Tensor:
    """Take one update step with all hooks; returns the detached loss, without waiting for the device."""
    assert fit.optimizer is not None
    assert fit.scheduler is not None
    seed_dropout(fit.seeds.dropout, fit.stage, fit.step, rank())
    method.before_loss(model, fit)
    loss = fit.accumulate(lambda part: method.loss(model, part, fit), batch)
    method.after_backward(model, fit)
    clip_gradients(fit.optimizer, fit.recipe.clip_norm)
    method.before_step(model, fit)
    fit.optimizer.step()
    fit.cost.optimizer_steps += 1
    fit.scheduler.step()
    fit.optimizer.zero_grad()
    method.after_step(model, fit)
    fit.step += 1
    return loss


def clip_gradients(optimizer: torch.optim.Optimizer, clip_norm: float) -> torch.Tensor:
    """Clip the gradients of all the optimizer's parameters to a global norm of clip_norm; returns the norm before."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    return nn.utils.clip_grad_norm_(parameters, clip_norm, foreach=True)


def _note_epoch(method: Method, model: nn.Module, fit: Fit, mean_loss: float) -> None:
    """Append the epoch to the curve; in the main stage also score the dev set and keep the best weights."""
    point: dict[str, Any] = {"stage": fit.stage, "step": fit.step, "epoch": fit.epoch + 1, "train_loss": mean_loss}
    if fit.stage == "main" and len(fit.dev):
        evaluated = method.for_evaluation(model, fit)
        outputs = predict(evaluated, fit.dev, fit)
        point["dev"] = task_scores(fit.task, fit.dev.labels.numpy(), outputs.predictions, outputs.logits)
        primary = comparable(point["dev"], fit.task.metrics[0])
        if primary > fit.best.score:
            fit.best.score, fit.best.epoch, fit.best.dev = primary, fit.epoch + 1, point["dev"]
            if fit.best.keep_state:
                state = evaluated.state_dict()
                fit.best.state = {name: tensor.detach().cpu().clone() for name, tensor in state.items()}
    fit.curve.append(point)
