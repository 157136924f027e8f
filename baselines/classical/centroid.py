"""The nearest class mean among frozen embeddings."""

from dataclasses import dataclass

import numpy
from torch import Tensor
from typing_extensions import override

from amix.training.fit import Fit
from amix.training.method import MethodError, Model
from amix.training.method_info import MethodInfo
from amix.training.registry import register
from baselines.classical._linear import UNSEEN, Linear, write
from baselines.classical.frozen_logistic import inputs_of, last_linear


@register
class Centroid(Linear):
    """Nearest class mean: the class whose mean embedding is nearest, with the frozen pretrained encoder.

    With m_k the mean of class k and S the within-class covariance, its eigenvalues shrunk towards their mean s^2:

        C = (1 - shrinkage) S + shrinkage s^2 I,    logit_k = x' C^-1 m_k - m_k' C^-1 m_k / 2

    This ranks the classes like -(x - m_k)' C^-1 (x - m_k) and is, up to a constant, the log-probability of class k if
    every class is normal with covariance C. shrinkage 1 gives the Euclidean distance, the plain nearest mean of Mensink
    et al. (2013), equation 1; less learns the metric, which their section 3 does by gradient steps, and Fisher's linear
    discriminant like this (shrinkage: Ledoit and Wolf 2004). Being linear in x, the classifier is written into the
    head's last layer. Features as in frozen_logistic.

    No official code.
    """

    @dataclass(frozen=True)
    class Config:
        """shrinkage: in (0, 1], 1 for Euclidean distances. standardise: divide by each feature's standard deviation."""

        shrinkage: float = 1.0
        standardise: bool = True

        def __post_init__(self) -> None:
            if not 0 < self.shrinkage <= 1:
                raise MethodError(f"centroid needs a shrinkage in (0, 1], not {self.shrinkage}")

    name = "centroid"
    info = MethodInfo(
        paper="Mensink et al., TPAMI 2013",
        year=2013,
        kind="classical",
        parity="no official code; predictions equal those of scikit-learn's NearestCentroid and discriminant",
        passes=0.0,
        regression=False,
        trains_by_steps=False,
        grid={"shrinkage": (0.1, 0.5, 1.0), "standardise": (True, False)},
        toy_settings={"shrinkage": 0.1},
    )

    @override
    def prepare(self, model: Model, fit: Fit) -> Model:
        """Freeze all but the last linear layer."""
        self.last = last_linear(model)
        model.requires_grad_(False)
        self.last.requires_grad_(True)
        return model

    @override
    def run(self, model: Model, fit: Fit) -> Model:
        """Compute the features and class means, and write the classifier into the head."""
        with fit.cost.timed("train"):
            features = inputs_of(self.last, model, fit.train, fit).double().numpy()
            mean, deviation = numpy.zeros(features.shape[1]), numpy.ones(features.shape[1])
            if self.config.standardise:
                mean, deviation = features.mean(axis=0), features.std(axis=0) + 1e-12
            scaled = (features - mean) / deviation
            weights, biases = class_means(scaled, fit.train.labels, fit.task.outputs, self.config.shrinkage)
            weights = weights / deviation
            write(self.last.weight, weights)
            write(self.last.bias, biases - weights @ mean)
        self.note(model, fit)
        return model


def class_means(
    features: numpy.ndarray, labels: Tensor, outputs: int, shrinkage: float
) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Fit the logits of Centroid to features [n, features] and labels [n].

    Returns:
        Weights [outputs, features] and biases [outputs]; a class without an example is never predicted.
    """
    weights, biases = numpy.zeros((outputs, features.shape[1])), numpy.full(outputs, UNSEEN)
    classes, which = numpy.unique(labels.numpy(), return_inverse=True)
    means = numpy.stack([features[which == index].mean(axis=0) for index in range(len(classes))])
    centred = features - means[which]
    covariance = centred.T @ centred / len(features)
    spherical = (numpy.trace(covariance) / len(covariance) + 1e-12) * numpy.eye(len(covariance))
    weights[classes] = numpy.linalg.solve((1 - shrinkage) * covariance + shrinkage * spherical, means.T).T
    biases[classes] = -0.5 * (weights[classes] * means).sum(axis=1)
    return weights, biases
