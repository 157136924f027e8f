"""The classical methods against scikit-learn's predictions."""

from dataclasses import replace
from typing import Any

import numpy
import pytest
import torch
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.linear_model import LogisticRegression, Ridge

from amix.data.encoded import Encoded
from amix.models.loading import load_model
from amix.models.with_addition import EncoderWithAddition
from amix.specs.tasks import find_task
from amix.training.evaluation import predict
from baselines.classical._linear import UNSEEN
from baselines.classical.frozen_logistic import FrozenLogistic, inputs_of
from baselines.classical.tfidf_logistic import TfidfLogistic, token_counts
from helpers.parity import GoldenFit, golden_fit
from helpers.toy_encoders import Bench

TASKS = {"classes": "mini-mrpc", "numbers": "mini-stsb"}


def examples(kind: str) -> Encoded:
    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(4, 12, (40,), generator=generator)
    mask = (torch.arange(12) < lengths.unsqueeze(1)).long()
    ids = torch.randint(5, 26, (40, 12), generator=generator) * mask
    labels = (ids == 6).sum(1) + (ids == 9).sum(1)
    return Encoded({"input_ids": ids, "attention_mask": mask}, lengths, labels.clamp(max=1) if kind == "classes" else
                   labels.float())  # fmt: skip


def fit_on(data: Encoded, kind: str) -> GoldenFit:
    fit = golden_fit()
    fit.task, fit.train, fit.dev = find_task(TASKS[kind]), data, data
    return fit


def expected(features: Any, data: Encoded, kind: str, strength: float) -> numpy.ndarray:
    """scikit-learn's output: the logit of the second class, or the number."""
    if kind == "numbers":
        return Ridge(alpha=0.5 / strength).fit(features, data.labels.numpy()).predict(features)
    return LogisticRegression(C=strength, max_iter=2000).fit(features, data.labels.numpy()).decision_function(features)


def decision(logits: numpy.ndarray) -> numpy.ndarray:
    return logits[:, 0] if logits.shape[1] == 1 else logits[:, 1] - logits[:, 0]


def test_many_classes_of_few_examples_are_fitted_without_a_warning() -> None:
    fit = golden_fit()
    fit.task = replace(find_task("mini-mrpc"), labels=tuple(map(str, range(30))))
    features = numpy.random.default_rng(0).normal(size=(40, 5))
    weights, biases = FrozenLogistic().solve(features, torch.arange(40) % 30, fit)
    assert weights.shape == (30, 5)
    assert (biases > UNSEEN).all()


@pytest.mark.parametrize("kind", TASKS)
@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_predictions_from_frozen_features_equal_those_of_scikit_learn(bench: Bench, family: str, kind: str) -> None:
    data = examples(kind)
    fit, method = fit_on(data, kind), FrozenLogistic()
    model = method.prepare(load_model(bench.encoders[family], fit.task, 1), fit)
    features = inputs_of(method.last, model, data, fit).double().numpy()
    deviation = features.std(axis=0)
    logits = predict(method.run(model, fit), data, fit).logits
    reference = expected((features - features.mean(axis=0)) / (deviation + 1e-12), data, kind, 0.1)
    numpy.testing.assert_allclose(decision(logits), reference, atol=1e-4)
    assert fit.curve[0]["step"] == 0
    assert model.training


@pytest.mark.parametrize("kind", TASKS)
def test_predictions_from_token_weights_equal_those_of_scikit_learn(bench: Bench, kind: str) -> None:
    data = examples(kind)
    fit, method = fit_on(data, kind), TfidfLogistic()
    model = method.prepare(load_model(bench.encoders["bert"], fit.task, 1), fit)
    logits = predict(method.run(model, fit), data, fit).logits
    features = TfidfTransformer().fit_transform(token_counts(data, 26))
    numpy.testing.assert_allclose(decision(logits), expected(features, data, kind, 10.0), atol=1e-4)


def test_repeated_tokens_count_and_padding_does_not(bench: Bench) -> None:
    data = examples("classes")
    counts = token_counts(data, 26).toarray()
    assert counts.sum() == data.lengths.sum()
    assert counts[:, 0].sum() == 0
    assert counts.max() > 1


@pytest.mark.parametrize("present", [[0, 2], [1]])
def test_a_class_without_examples_is_never_predicted(bench: Bench, present: list[int]) -> None:
    data = examples("classes")
    labels = torch.tensor(present)[data.labels % len(present)]
    data = Encoded(data.inputs, data.lengths, labels)
    fit = fit_on(data, "classes")
    fit.task = find_task("mnli")
    fit.dev = data.select([])
    model = TfidfLogistic().prepare(load_model(bench.encoders["bert"], fit.task, 1), fit)
    assert isinstance(model, EncoderWithAddition)
    output = predict(TfidfLogistic().run(model, fit), data, fit)
    assert set(output.predictions) <= set(present)
    assert set(range(3)) - set(present) <= set(numpy.flatnonzero(output.logits.max(axis=0) <= UNSEEN))
