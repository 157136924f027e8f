"""Base classes of the classifiers that are fitted in closed form or to convergence."""

import warnings
from typing import Any

import numpy
import torch
from torch import Tensor
from typing_extensions import override

from amix.data.metrics import task_scores
from amix.specs.recipe import Recipe
from amix.training.evaluation import predict
from amix.training.fit import Fit
from amix.training.method import Model
from amix.training.multi_stage import MultiStageMethod

UNSEEN = -30.0
"""Logit of a class without a training example."""


class Fitted(MultiStageMethod):
    """A classifier that is fitted without gradient steps, in one forward pass over the examples."""

    def note(self, model: Model, fit: Fit) -> None:
        """Record the only point of the learning curve: training loss and dev score."""
        logits = torch.from_numpy(predict(model, fit.train, fit).logits)
        loss = float(fit.task_loss(logits, {"labels": fit.train.targets}))
        point: dict[str, Any] = {"stage": fit.stage, "step": 0, "epoch": 1, "train_loss": loss}
        if len(fit.dev):
            on_dev = predict(model, fit.dev, fit)
            point["dev"] = task_scores(fit.task, fit.dev.labels.numpy(), on_dev.predictions, on_dev.logits)
            fit.best.epoch = 1
        fit.curve.append(point)

    @override
    def relative_passes(self, n_train: int, recipe: Recipe) -> float:
        """One forward pass over the examples, counted as a third of a forward and backward pass."""
        return -(-n_train // recipe.batch_size) / (3 * max(1, recipe.total_steps(n_train)))


class Linear(Fitted):
    """Linear model on fixed features, by scikit-learn: logistic regression, or ridge regression for numeric labels."""

    def solve(self, features: Any, labels: Tensor, fit: Fit) -> tuple[numpy.ndarray, numpy.ndarray]:
        """Fit the model to features [n, features], an array or a sparse matrix, and labels [n].

        The loss of logistic regression is C * sum of cross-entropies + |w|^2 / 2. Accordingly, ridge regression weighs
        |w|^2 by 1 / (2 C) relative to the sum of squared errors.

        Returns:
            Weights [outputs, features] and biases [outputs].
        """
        from sklearn.linear_model import LogisticRegression, Ridge  # Takes a second to import.

        if fit.task.regression:
            ridge = Ridge(alpha=0.5 / self.config.C).fit(features, labels.double().numpy())
            return ridge.coef_.reshape(1, -1), numpy.atleast_1d(ridge.intercept_)
        weights = numpy.zeros((fit.task.outputs, features.shape[1]))
        biases = numpy.full(fit.task.outputs, UNSEEN)
        classes = numpy.unique(labels.numpy())
        if len(classes) == 1:
            biases[classes] = 0.0
            return weights, biases
        class_weight = fit.recipe.class_weights or None
        solver = LogisticRegression(C=self.config.C, max_iter=self.config.iterations, class_weight=class_weight)
        with warnings.catch_warnings():
            # scikit-learn takes many classes of few examples each for numbers, and says so in the middle of a sweep.
            warnings.filterwarnings("ignore", "The number of unique classes is greater than", UserWarning)
            logistic = solver.fit(features, labels.numpy())
        # For two classes scikit-learn gives one row, the logit of the second; plus and minus half of it are equivalent.
        rows, offsets = logistic.coef_, logistic.intercept_
        if len(classes) == 2:
            rows, offsets = numpy.concatenate([-rows, rows]) / 2, numpy.concatenate([-offsets, offsets]) / 2
        weights[classes], biases[classes] = rows, offsets
        return weights, biases


def write(parameter: Tensor, values: numpy.ndarray) -> None:
    """Overwrite a parameter with values of the same shape."""
    with torch.no_grad():
        parameter.copy_(torch.from_numpy(values))
