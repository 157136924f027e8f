"""Logistic regression on the features of the frozen encoder."""

from dataclasses import dataclass

import numpy
import torch
from torch import Tensor, nn
from typing_extensions import override

from amix.data.encoded import Encoded, evaluation_batches
from amix.models.architecture import head_modules
from amix.training.fit import Fit
from amix.training.method import MethodError, Model
from amix.training.method_info import MethodInfo
from amix.training.registry import register
from baselines.classical._linear import Linear, write


@register
class FrozenLogistic(Linear):
    """Feature extraction: logistic (or ridge) regression on the features of the frozen pretrained encoder.

    The features are the input of the head's last linear layer, without dropout, divided by their standard deviations on
    the training set; the solution is written into that layer, so that the model is a plain checkpoint. Where the head
    has a new dense layer below it (RoBERTa, DeBERTa-v2), that layer keeps its random initial weights. Peters et al.
    (2019) compare such feature extraction with finetuning.

    No official code.
    """

    @dataclass(frozen=True)
    class Config:
        """C: inverse regularisation strength. iterations: upper bound. standardise: divide by standard deviations."""

        C: float = 0.1
        iterations: int = 2000
        standardise: bool = True

    name = "frozen_logistic"
    info = MethodInfo(
        paper="Peters et al., RepL4NLP 2019",
        year=2019,
        kind="classical",
        parity="no official code; scikit-learn's solver, predictions equal its own",
        passes=0.0,
        trains_by_steps=False,
        grid={"C": (0.001, 0.01, 0.1, 1.0, 10.0)},
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
        """Compute the features, fit, and write the solution into the head."""
        with fit.cost.timed("train"):
            features = inputs_of(self.last, model, fit.train, fit).double().numpy()
            mean, deviation = numpy.zeros(features.shape[1]), numpy.ones(features.shape[1])
            if self.config.standardise:
                mean, deviation = features.mean(axis=0), features.std(axis=0) + 1e-12
            weights, biases = self.solve((features - mean) / deviation, fit.train.targets, fit)
            weights = weights / deviation
            write(self.last.weight, weights)
            write(self.last.bias, biases - weights @ mean)
        self.note(model, fit)
        return model


def last_linear(model: nn.Module) -> nn.Linear:
    """The head's last linear layer, whose outputs are the logits.

    Raises:
        MethodError: If the head has no linear layer.
    """
    linears = [module for module in head_modules(model) if isinstance(module, nn.Linear)]
    if not linears:
        raise MethodError(f"the head of {type(model).__name__} has no linear layer")
    return linears[-1]


def inputs_of(module: nn.Module, model: nn.Module, data: Encoded, fit: Fit) -> Tensor:
    """The module's input for each example, [n, features], in evaluation mode; the model's mode is restored."""
    inputs: list[Tensor] = []
    handle = module.register_forward_pre_hook(lambda _, args: inputs.append(args[0].float().cpu()))
    training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            order = []
            for positions in evaluation_batches(data):
                fit.logits(model, data.batch(positions, fit.device))
                order.append(positions)
    finally:
        handle.remove()
        model.train(training)
    features = torch.cat(inputs)
    return features[torch.argsort(torch.cat(order))].clone()
