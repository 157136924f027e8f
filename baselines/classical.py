"""The floor: classifiers fitted in closed form or to convergence, with no finetuning at all."""

from dataclasses import dataclass
from typing import Any

import numpy
import torch
from torch import Tensor, nn

from amix.data import Encoded, evaluation_batches
from amix.extended import Extended
from amix.method import Method, MethodError, Model, register
from amix.metrics import score
from amix.modules import embeddings, head_modules
from amix.recipe import Recipe
from amix.training import Fit, predict


class Linear(Method):
    """A linear classifier on fixed features, by scikit-learn: logistic regression, or ridge regression for numbers."""

    kind = "classical"
    passes = 0.0
    trains_by_steps = False

    def solve(self, features: Any, labels: Tensor, fit: Fit) -> tuple[numpy.ndarray, numpy.ndarray]:
        """Weights [outputs, features] and biases [outputs]; features an array or a sparse matrix.

        C is that of logistic regression, with loss C * sum of cross-entropies + |w|^2 / 2; ridge's weight of |w|^2
        relative to the sum of squared errors is accordingly 1 / (2 C).
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
        logistic = LogisticRegression(C=self.config.C, max_iter=self.config.iterations).fit(features, labels.numpy())
        # Of two classes scikit-learn gives one row, the logit of the second: half of it each way is the same model.
        rows, offsets = logistic.coef_, logistic.intercept_
        if len(classes) == 2:
            rows, offsets = numpy.concatenate([-rows, rows]) / 2, numpy.concatenate([-offsets, offsets]) / 2
        weights[classes], biases[classes] = rows, offsets
        return weights, biases

    def note(self, model: Model, fit: Fit) -> None:
        """Write the one point of the curve: the loss on the training set, and the dev score."""
        logits = torch.from_numpy(predict(model, fit.train, fit).logits)
        loss = float(fit.task_loss(logits, {"labels": fit.train.labels}))
        point: dict[str, Any] = {"stage": fit.stage, "step": 0, "epoch": 1, "train_loss": loss}
        if len(fit.dev):
            found = predict(model, fit.dev, fit).predictions
            point["dev"] = score(fit.task.metrics, fit.dev.labels.numpy(), found)
            fit.best.epoch = 1
        fit.curve.append(point)

    def relative_passes(self, n_train: int, recipe: Recipe) -> float:
        """One forward pass over the examples, a third of a forward and backward pass."""
        return -(-n_train // recipe.batch_size) / (3 * max(1, recipe.total_steps(n_train)))


UNSEEN = -30.0
"""Logit of a class of which the training set has no example."""


@register
class FrozenLogistic(Linear):
    """The pretrained encoder as a fixed feature extractor: logistic (or ridge) regression on what its last layer reads.

    The features are the input of the head's last linear layer, without dropout, in units of their deviation on the
    training set; the solution is written into that layer, so that the model is a plain checkpoint. Where the head has
    a new dense layer below it (RoBERTa, DeBERTa-v2), that layer keeps its random draw and mixes the encoder's features.
    Peters et al. (2019) compare such feature extraction with finetuning.
    """

    @dataclass(frozen=True)
    class Config:
        """C: inverse strength of the regularisation. iterations: at most so many. standardise: units of deviation."""

        C: float = 0.1
        iterations: int = 2000
        standardise: bool = True

    name = "frozen_logistic"
    paper = "Peters et al., RepL4NLP 2019"
    year = 2019
    parity = "no official code; scikit-learn's solver, predictions equal its own"
    grid = {"C": (0.001, 0.01, 0.1, 1.0, 10.0)}

    def prepare(self, model: Model, fit: Fit) -> Model:
        """Freeze all but the last linear layer."""
        self.last = last_linear(model)
        model.requires_grad_(False)
        self.last.requires_grad_(True)
        return model

    def run(self, model: Model, fit: Fit) -> Model:
        """Compute the features, solve, write the solution into the head."""
        with fit.cost.timed("train"):
            features = inputs_of(self.last, model, fit.train, fit).double().numpy()
            mean, deviation = numpy.zeros(features.shape[1]), numpy.ones(features.shape[1])
            if self.config.standardise:
                mean, deviation = features.mean(axis=0), features.std(axis=0) + 1e-12
            weights, biases = self.solve((features - mean) / deviation, fit.train.labels, fit)
            weights = weights / deviation
            write(self.last.weight, weights)
            write(self.last.bias, biases - weights @ mean)
        self.note(model, fit)
        return model


def last_linear(model: nn.Module) -> nn.Linear:
    """The head's last linear layer, whose outputs are the logits.

    Errors: MethodError when the head has no linear layer.
    """
    linears = [module for module in head_modules(model) if isinstance(module, nn.Linear)]
    if not linears:
        raise MethodError(f"the head of {type(model).__name__} has no linear layer")
    return linears[-1]


def inputs_of(module: nn.Module, model: nn.Module, data: Encoded, fit: Fit) -> Tensor:
    """What the module reads for each example, [n, features], in evaluation mode; the model's mode is put back."""
    read: list[Tensor] = []
    handle = module.register_forward_pre_hook(lambda _, args: read.append(args[0].float().cpu()))
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
    features = torch.cat(read)
    return features[torch.argsort(torch.cat(order))].clone()


def write(parameter: Tensor, values: numpy.ndarray) -> None:
    """Put values into a parameter."""
    with torch.no_grad():
        parameter.copy_(torch.from_numpy(values))


class BagOfTokens(nn.Module):
    """Logits of a linear classifier on the TF-IDF weights of a text's tokens, scaled to length 1.

    Export writes the source of this class beside its weights, so that it uses torch, nn, functional and Any alone.
    """

    def __init__(self, vocabulary: int, outputs: int) -> None:
        super().__init__()
        self.arguments: dict[str, Any] = {"vocabulary": vocabulary, "outputs": outputs}
        self.weight = nn.Embedding(vocabulary, outputs)
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.idf: torch.Tensor
        self.register_buffer("idf", torch.ones(vocabulary))

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, **_: Any) -> torch.Tensor:
        """A token that occurs c times counts c * idf; summed over occurrences, so that nothing is vocabulary long."""
        idf = self.idf[input_ids] * attention_mask
        same = (input_ids.unsqueeze(1) == input_ids.unsqueeze(2)) * attention_mask.unsqueeze(1)
        length = (same.sum(dim=2) * idf.square()).sum(dim=1, keepdim=True).sqrt().clamp_min(1e-12)
        return (self.weight(input_ids) * (idf / length).unsqueeze(2)).sum(dim=1) + self.bias

    def get_input_embeddings(self) -> nn.Module:
        """The table with a row per token."""
        return self.weight


@register
class TfidfLogistic(Linear):
    """TF-IDF of the encoder's tokens and logistic (or ridge) regression: a classifier that knows no language.

    Sparck Jones (1972) for the weights, in scikit-learn's form: count * (ln((1 + n) / (1 + df)) + 1), scaled to
    length 1.
    A pair of texts is one bag; special tokens count as any other. Uses nothing of the encoder but its tokenizer.
    """

    @dataclass(frozen=True)
    class Config:
        """C: inverse strength of the regularisation. iterations: at most so many."""

        C: float = 10.0
        iterations: int = 2000

    name = "tfidf_logistic"
    paper = "Sparck Jones, J. Documentation 1972"
    year = 1972
    plain_checkpoint = False
    parity = "no official code; scikit-learn's features and solver, predictions equal its own"
    grid = {"C": (0.1, 1.0, 10.0, 100.0)}

    def prepare(self, model: Model, fit: Fit) -> Model:
        """A bag of tokens in place of the encoder."""
        table = embeddings(model)
        assert isinstance(table, nn.Embedding)
        return Extended(None, BagOfTokens(table.num_embeddings, fit.task.outputs).to(fit.device))

    def run(self, model: Model, fit: Fit) -> Model:
        """Count, weight, solve, write."""
        from sklearn.feature_extraction.text import TfidfTransformer

        bag = model.addition
        assert isinstance(bag, BagOfTokens)
        with fit.cost.timed("train"):
            transformer = TfidfTransformer()
            features = transformer.fit_transform(token_counts(fit.train, bag.weight.num_embeddings))
            weights, biases = self.solve(features, fit.train.labels, fit)
            write(bag.idf, transformer.idf_)
            write(bag.weight.weight, weights.T)
            write(bag.bias, biases)
        self.note(model, fit)
        return model


def token_counts(data: Encoded, vocabulary: int) -> Any:
    """How often each token occurs in each text: a sparse matrix [n, vocabulary]."""
    from scipy.sparse import csr_matrix

    rows, columns = numpy.nonzero(data.inputs["attention_mask"].numpy())
    tokens = data.inputs["input_ids"].numpy()[rows, columns]
    return csr_matrix((numpy.ones(len(rows)), (rows, tokens)), shape=(len(data), vocabulary))
